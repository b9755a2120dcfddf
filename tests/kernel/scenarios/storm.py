"""Names made, linked, moved and removed, each exactly once, whatever the link between does.

Each call must succeed: EEXIST from a name that is new, or ENOENT from one that is there, is a call
that was executed twice. Several processes at once, each in a directory of its own and knowing what
must be in it.
"""

from __future__ import annotations

import os
import time

from ..guest_lib import Context, equal, forked, read_file

#: What each process does, however slow the machine is.
LEAST_ROUNDS = 10


def storm(folder: str, rounds: int, seconds: float) -> tuple[int, set[str]]:
    """The number of calls, and the names that must be there."""
    calls, left, ends = 0, set[str](), time.monotonic() + seconds
    os.mkdir(folder)
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.monotonic() > ends:
            break
        made = f"{folder}/d{number}"
        os.mkdir(made)
        with open(f"{made}/new", "xb") as file:
            file.write(b"%d" % number)
        os.link(f"{made}/new", f"{made}/second")
        os.symlink("second", f"{made}/link")
        os.rename(f"{made}/new", f"{folder}/f{number}")
        os.chmod(f"{folder}/f{number}", 0o640)
        os.unlink(f"{made}/link")
        os.unlink(f"{made}/second")
        os.rename(made, f"{folder}/moved{number}")
        os.rmdir(f"{folder}/moved{number}")
        left.add(f"f{number}")
        if number % 3 == 0:
            os.truncate(f"{folder}/f{number}", 1)
            os.unlink(f"{folder}/f{number}")
            left.discard(f"f{number}")
            calls += 2
        calls += 11
    return calls, left


def run(ctx: Context) -> None:
    processes, rounds = ctx.param("processes", 4), ctx.param("rounds", 400)
    seconds, kills = ctx.param("seconds", 6.0), ctx.param("kills", 0)
    left: dict[str, set[str]] = {}
    with ctx.step("every call succeeds once") as notes:
        folders = [ctx.path(f"{ctx.name}{n}") for n in range(processes)]
        children = [
            (folder, forked(lambda folder=folder: storm(folder, rounds, seconds)))  # type: ignore[misc]
            for folder in folders
        ]
        for number in range(kills):
            time.sleep(seconds / (kills + 1))
            ctx.sync(f"kill-{number}")
        total = 0
        for folder, child in children:
            calls, left[folder] = child()
            total += calls
        notes.append(f"{total} changes of {processes} processes")
    if ctx.param("remount", True):
        ctx.remount()
    with ctx.step("what is left is what must be"):
        for folder, names in left.items():
            equal(set(os.listdir(folder)), names, folder)
            for name in sorted(names)[:50]:
                equal(read_file(f"{folder}/{name}"), name[1:].encode(), name)
                equal(os.stat(f"{folder}/{name}").st_nlink, 1, f"links of {name}")
