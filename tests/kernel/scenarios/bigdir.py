"""A directory of 10,000 names: made, listed, removed while it is being listed."""

from __future__ import annotations

import os
import stat
from collections import Counter

from ..guest_lib import Context, check, drop_caches, equal


def listed(path: str) -> Counter[str]:
    with os.scandir(path) as entries:
        return Counter(entry.name for entry in entries)


def compare(path: str, wanted: set[str]) -> None:
    seen = listed(path)
    equal(sorted(name for name, times in seen.items() if times > 1)[:5], [], "listed twice")
    equal(sorted(wanted - seen.keys())[:5], [], "not listed")
    equal(sorted(seen.keys() - wanted)[:5], [], "listed, never made")


def run(ctx: Context) -> None:
    count = ctx.param("names", 10_000)
    big = ctx.path("big")
    os.mkdir(big)
    # Lengths vary, so that replies do not break at round numbers of entries.
    names = [f"{number:05}-{'x' * (number * 7 % 40)}" for number in range(count)]
    with ctx.step("create") as notes:
        for name in names:
            os.mknod(f"{big}/{name}", stat.S_IFREG | 0o644)
        notes.append(f"{count} names")
    with ctx.step("list with warm caches"):
        compare(big, set(names))
    with ctx.step("list after dropping caches"):
        drop_caches()
        compare(big, set(names))
    with ctx.step("list and stat after a remount"):
        ctx.remount()
        with os.scandir(big) as entries:
            wrong = [entry.name for entry in entries if not entry.is_file(follow_symlinks=False)]
        equal(wrong, [], "entries that are no files")
        compare(big, set(names))
    with ctx.step("insert and remove while listing: what stays is listed once"):
        kept = change_while_listing(big, names)
        compare(big, kept)
    with ctx.step("remove while listing, until empty") as notes:
        drop_caches()
        notes.append(f"{remove_all(big, len(names))} passes")
        equal(os.listdir(big), [], "left over")
        os.rmdir(big)
    if ctx.param("links", True):
        hard_links(ctx)


def change_while_listing(big: str, names: list[str]) -> set[str]:
    """Every third name goes and new ones come during one listing; returns what is there after."""
    removed = set(names[::3])
    drop_caches()
    seen: Counter[str] = Counter()
    with os.scandir(big) as entries:
        for position, entry in enumerate(entries):
            seen[entry.name] += 1
            if position < 300:  # the client has fetched only the first part of the listing by now
                os.mknod(f"{big}/new{position:03}", stat.S_IFREG | 0o644)
            if position == 300:
                for name in removed:
                    os.unlink(f"{big}/{name}")
    stay = set(names) - removed
    equal(sorted(name for name in stay if seen[name] != 1)[:5], [], "stayed, not listed once")
    return stay | {f"new{position:03}" for position in range(300)}


def remove_all(path: str, most: int) -> int:
    """rm -r as people write it; returns how many listings it took."""
    for passes in range(1, 20):
        removed = 0
        with os.scandir(path) as entries:
            for entry in entries:
                os.unlink(entry.path)  # ENOENT would be a name listed twice, or never there
                removed += 1
                check(removed <= most, "the listing does not end")
        if removed == 0:
            return passes
    raise AssertionError("not empty after 20 passes")


def hard_links(ctx: Context) -> None:
    folder = ctx.path("links")
    with ctx.step("hard links to one file are all listed, with one inode number"):
        os.mkdir(folder)
        os.mknod(f"{folder}/link0", stat.S_IFREG | 0o644)
        for number in range(1, 200):
            os.link(f"{folder}/link0", f"{folder}/link{number}")
        drop_caches()
        with os.scandir(folder) as entries:
            found = {entry.name: entry.inode() for entry in entries}
        equal(found.keys(), {f"link{number}" for number in range(200)}, "names")
        equal(len(set(found.values())), 1, "inode numbers")
        equal(os.stat(f"{folder}/link7").st_nlink, 200, "link count")
