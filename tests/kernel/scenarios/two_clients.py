"""Two guests on one export: what one wrote and closed, the other sees when it opens.

Runs in both guests at once; `role` is 0 or 1. Each `sync` waits for the other guest. The mount
must have acdirmin=1,acdirmax=1: names are seen after the directory cache's time, not at open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ..guest_lib import Context, check, equal, forked, read_file, write_file

PATIENCE = 5.0


def eventually(seen: Callable[[], bool], what: str) -> None:
    """True within a few times the directory cache's life of one second."""
    deadline = time.monotonic() + PATIENCE
    while not seen():
        check(time.monotonic() < deadline, f"{what}: not seen after {PATIENCE} s")
        time.sleep(0.05)


def run(ctx: Context) -> None:
    role = ctx.param("role", 0)
    contents(ctx, role)
    names(ctx, role)
    appends(ctx, role)


def contents(ctx: Context, role: int) -> None:
    path, rounds = ctx.path("ping"), ctx.param("rounds", 24)
    with ctx.step("close-to-open: the writer alternates, sizes change and stay") as notes:
        for number in range(rounds):
            # Every third round keeps the size: only the times can tell that the content changed.
            size = 5000 + (number - number % 3) * 1237 % 90_000
            data = (b"%06d" % number) * (size // 6)
            if number % 2 == role:
                write_file(path, data)
            ctx.sync(f"written-{number}")
            got = read_file(path)
            check(got == data, f"round {number}: {got[:6]!r} x {len(got)}, not {len(data)}")
            ctx.sync(f"read-{number}")
        notes.append(f"{rounds} rounds")
    with ctx.step("the other's truncation and its in-place change"):
        if role == 0:
            os.truncate(path, 10)
        ctx.sync("truncated")
        equal(len(read_file(path)), 10, "size")
        ctx.sync("truncated-read")
        if role == 1:
            with open(path, "r+b") as file:
                file.seek(4)
                file.write(b"CHANGE")
        ctx.sync("changed")
        equal(read_file(path)[4:], b"CHANGE", "content")
        ctx.sync("changed-read")


def names(ctx: Context, role: int) -> None:
    with ctx.step("the other's create, rename and remove"):
        old, new = ctx.path("old"), ctx.path("new")
        for number in range(ctx.param("name_rounds", 3)):
            mine = number % 2 == role
            if mine:
                write_file(old, b"%d" % number)
            ctx.sync(f"created-{number}")
            eventually(lambda: os.path.exists(old), "created")
            ctx.sync(f"created-seen-{number}")
            if mine:
                os.rename(old, new)
            ctx.sync(f"renamed-{number}")
            eventually(lambda: os.path.exists(new) and not os.path.exists(old), "renamed")
            equal(read_file(new), b"%d" % number, "content under the new name")
            check("old" not in os.listdir(ctx.dir), "the old name is listed")
            ctx.sync(f"renamed-seen-{number}")
            if mine:
                os.unlink(new)
            ctx.sync(f"removed-{number}")
            eventually(lambda: not os.path.exists(new), "removed")
            ctx.sync(f"removed-seen-{number}")


def appends(ctx: Context, role: int) -> None:
    with ctx.step("exclusive create is won by one of the two"):
        # The Linux client's create verifier is its jiffies and its process id. Guests that booted
        # together may agree in both, and then no server can tell one's create from the other's
        # retry: so the second races from a child.
        wins = forked(lambda: races(ctx))() if role else races(ctx)
        equal(sum(ctx.sync("race-wins", wins)), 20, "wins of both together")


def races(ctx: Context) -> int:
    """How many of twenty creates this client wins."""
    wins = 0
    for number in range(20):
        ctx.sync(f"race-{number}")
        try:
            os.close(os.open(ctx.path(f"race{number}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            wins += 1
        except FileExistsError:
            pass
    return wins
