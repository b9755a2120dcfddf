"""Says that something is still going on, once it has taken a second."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from nfsloop.printable import printable


@contextlib.contextmanager
def working(what: str, tell: Callable[[str], object] | None = None) -> Iterator[None]:
    """While the block runs, say `what`, and for how many seconds already: on standard error if that
    is a terminal, a line that is wiped at the end; or by `tell`, after 1, 2, 4, 8… seconds.

    By a thread, so that it is said too while nothing else moves.
    """
    if tell is None and not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_tick, args=(what, tell, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tick(what: str, tell: Callable[[str], object] | None, done: threading.Event) -> None:
    began, seconds, shown = time.monotonic(), 1, False
    while not done.wait(max(0.0, began + seconds - time.monotonic())):
        text = f"{what}: {seconds} s"
        if tell is not None:
            tell(text)
            seconds *= 2
        else:
            _show(f"\r{printable(text)}\033[K")
            shown = True
            seconds += 1
    if shown:
        _show("\r\033[K")


def _show(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a terminal that is gone
        sys.stderr.write(text)
        sys.stderr.flush()
