"""The screen of `nfsloop top`: the terminal's keys and size, and rich to draw on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from nfsloop.errors import ConfigError
from nfsloop.watching.tables import Span, encodable, rich_text
from nfsloop.watching.top import Model, Sample, View, frame

#: What ends it; the exit status is 128 and the number, as a shell has it.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
CAUGHT = (*ENDING, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)

#: What keys send that have names, such as the arrows; they mean nothing here.
_NAMED_KEY = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)


#: The screen of before, and the cursor: as rich says it, if it still can.
_SCREEN_BACK = b"\x1b[?1049l\x1b[?25h"


class Poller:
    """Takes samples in a thread of its own, so that keys are heard while a server is silent. Each
    writes a byte to `wake`."""

    def __init__(self, sample: Callable[[], Sample], interval: float, wake: int) -> None:
        self.latest: Sample | None = None
        self._sample = sample
        self._interval = interval
        self._wake = wake
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """No more wake-ups; a question that waits for its answer is left behind."""
        self._end.set()

    def _run(self) -> None:
        wait = self._interval
        while not self._end.wait(wait):
            began = time.monotonic()
            found = self._sample()
            if self._end.is_set():
                return
            self.latest = found
            with contextlib.suppress(OSError):
                os.write(self._wake, b"\0")
            wait = max(0.0, began + self._interval - time.monotonic())


class Terminal:
    """The terminal while it is ours: its other screen, no cursor, and a key at a time."""

    def __init__(self) -> None:
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            raise ConfigError(
                "the screen needs the package rich (pip install rich); --once does without it"
            ) from None
        self._make: Callable[[], Any] = lambda: Live(
            console=Console(highlight=False),
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live: Any = None
        self._keys = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._before: list[Any] | None = None

    @property
    def keys(self) -> int | None:
        """The descriptor that keys come from, if any do."""
        return self._keys

    def take(self) -> None:
        """Make it ours."""
        if self._keys is not None:
            self._before = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys, termios.TCSADRAIN)
        self._live = self._make()
        self._live.start()

    def give_back(self) -> None:
        """As it was before."""
        live, self._live = self._live, None
        before, self._before = self._before, None
        try:
            if live is not None:
                live.stop()
        except Exception:
            os.write(sys.stdout.fileno(), _SCREEN_BACK)
            raise
        finally:
            if before is not None and self._keys is not None:
                termios.tcsetattr(self._keys, termios.TCSADRAIN, before)

    def read(self) -> str:
        """The keys that were pressed; none any more where nobody is at them."""
        assert self._keys is not None
        try:
            data = os.read(self._keys, 1024)
        except OSError:
            data = b""
        if not data:
            self._keys = None
        return _NAMED_KEY.sub("", data.decode("latin-1"))

    def draw(self, model: Model, view: View) -> None:
        """Put a frame on the screen."""
        if self._live is not None:
            # As it is now; rich believes COLUMNS and LINES, which somebody may have exported once.
            with contextlib.suppress(OSError):  # it is gone
                self._live.console.size = tuple(os.get_terminal_size(sys.stdout.fileno()))
            width, height = self._live.console.size
            lines = [
                [Span(encodable(text), style) for text, style in line]
                for line in frame(model, view, width, height)
            ]
            self._live.update(rich_text(lines), refresh=True)


@contextlib.contextmanager
def _signals() -> Iterator[tuple[int, int]]:
    """A pipe into which each signal that is caught writes its number."""

    def nothing(number: int, stack: FrameType | None) -> None:
        pass

    ours, theirs = os.pipe()
    for end in (ours, theirs):
        fcntl.fcntl(end, fcntl.F_SETFL, os.O_NONBLOCK)
        os.set_inheritable(end, False)
    heard = [number for number in CAUGHT if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, nothing) for number in heard}
    wakeup = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    try:
        yield ours, theirs
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(ours)
        os.close(theirs)


def watch(sample: Callable[[], Sample], view: View, interval: float, count: int | None) -> int:
    """Show what the server does until a key or a signal ends it, or `count` frames were shown. The
    exit status. Raises ConfigError where the server does not answer at the start."""
    model = Model()
    terminal = Terminal()
    model.feed(sample())
    if model.error:
        raise ConfigError(model.error)
    with _signals() as (ours, theirs):
        poller = Poller(sample, interval, theirs)
        try:
            terminal.take()
            terminal.draw(model, view)
            poller.start()
            return _loop(terminal, poller, model, view, ours, count)
        except OSError:  # the terminal is gone
            return 1
        finally:
            poller.stop()
            with contextlib.suppress(OSError, termios.error):
                terminal.give_back()


def _loop(
    terminal: Terminal, poller: Poller, model: Model, view: View, ours: int, count: int | None
) -> int:
    while True:
        wanted = [ours] if terminal.keys is None else [ours, terminal.keys]
        ready, _, _ = select.select(wanted, [], [])
        if terminal.keys in ready and any([view.key(key) for key in terminal.read()]):
            return 0
        woken = os.read(ours, 1024) if ours in ready else b""
        for number in ENDING:
            if number in woken:
                return 128 + number
        if signal.SIGTSTP in woken:
            _suspend(terminal)
        if 0 in woken and poller.latest is not None and not view.paused:
            model.feed(poller.latest)
            if count is not None:
                count -= 1
        terminal.draw(model, view)
        if count == 0:
            return 0


def _suspend(terminal: Terminal) -> None:
    """Stop as the shell has asked, with the terminal as it was; and go on."""
    terminal.give_back()
    os.kill(os.getpid(), signal.SIGSTOP)
    terminal.take()
