"""`nfsloop top` on a terminal, driven in tmux while calls are made."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nfs_process import REPO, Process, directory_of

from nfsloop.client import Client

REQUIRE = "NFSLOOP_REQUIRE_PEERS"
WAIT_SECONDS = 20.0
WIDE, HIGH = 100, 24

NUMBERS = itertools.count()

#: What it prints when a thing is drawn that cannot be.
BROKEN = """
import sys
from nfsloop import cli
from nfsloop.watching import screen
draw = screen.Terminal.draw
def broken(self, model, view):
    draw(self, model, view)
    if view.by == "client":
        raise ZeroDivisionError("planted")
screen.Terminal.draw = broken
sys.exit(cli.main(sys.argv[1:]))
"""

#: And rich cannot put the screen back.
BROKEN_TWICE = f"""
from rich.live import Live
def stop(self):
    raise ZeroDivisionError("planted, too")
Live.stop = stop
{BROKEN}"""


class Tmux:
    """A tmux server of our own, with one shell in it."""

    def __init__(self, home: Path) -> None:
        self._socket = f"nfsloop-{os.getpid()}"
        self._env = {
            **os.environ, "HOME": str(home), "TMUX_TMPDIR": str(home),
            "PYTHONPATH": str(REPO), "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        self._env.pop("TMUX", None)
        self._env.pop("NO_COLOR", None)
        self("new-session", "-d", "-x", str(WIDE), "-y", str(HIGH), "PS1='$ ' exec bash --norc")

    def __call__(self, *args: str) -> str:
        argv = ["tmux", "-L", self._socket, "-f", "/dev/null", *args]
        done = subprocess.run(
            argv, env=self._env, capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout

    def type(self, line: str) -> None:
        """A line for the shell."""
        self("send-keys", "-l", line)
        self("send-keys", "Enter")

    def keys(self, *keys: str) -> None:
        """Keys, one by one."""
        self("send-keys", *keys)

    def screen(self) -> str:
        """What is to be seen."""
        return self("capture-pane", "-p")

    def see(self, pattern: str) -> str:
        """Wait until it is to be seen; the screen."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not re.search(pattern, shown := self.screen(), re.MULTILINE):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{shown}"
            time.sleep(0.03)
        return shown

    def flag(self, name: str) -> str:
        """What tmux knows of the terminal."""
        return self("display-message", "-p", f"#{{{name}}}").strip()

    def until(self, name: str, value: str) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.flag(name) != value:
            assert time.monotonic() < deadline, f"{name} is not {value} in:\n{self.screen()}"
            time.sleep(0.03)

    def close(self) -> None:
        """End it, and all in it."""
        subprocess.run(
            ["tmux", "-L", self._socket, "kill-server"], env=self._env, check=False, timeout=20,
            capture_output=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def tmux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"no tmux ({REQUIRE}=1)", pytrace=False)
        pytest.skip("no tmux")
    made = Tmux(tmp_path_factory.mktemp("tmux"))
    try:
        made.see(r"^\$")
        yield made
    finally:
        made.close()


class Served:
    """A server, and somebody who makes calls of it while it is there."""

    def __init__(self, place: Path) -> None:
        self.state = place / "state"
        self._export = place / "export"
        self._end = threading.Event()
        self._port = 0
        self.process = self._serve()
        self._caller = threading.Thread(target=self._call)
        self._caller.start()

    def _serve(self) -> Process:
        process = Process(
            "serve", "--host", "127.0.0.1", "--port", str(self._port), "--rpcbind", "none",
            "-o", "insecure,no_root_squash", "--state", str(self.state),
            f"/e={self._export}", "/other\x1b[31m\u6f22=memory:",
        )  # fmt: skip
        process.ready(2)
        self._port = process.port
        return process

    def _call(self) -> None:
        """Some three hundred calls a second, for a minute or two at most."""
        until = time.monotonic() + 120
        while time.monotonic() < until and not self._end.is_set():
            try:
                with Client(self._port, "/e", timeout=1.0) as client:
                    while not self._end.wait(0.01):
                        client.write_file("/file", b"x" * 4096)
                        client.exists("/nothing")
            except (OSError, EOFError):
                self._end.wait(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.send(signal.SIGKILL)
        self.process.wait()
        self.process.close()

    def start(self) -> None:
        """Start it anew."""
        self.process = self._serve()

    def close(self) -> None:
        """End both."""
        self._end.set()
        self._caller.join(30)
        self.process.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with directory_of(None) as place:
        made = Served(place)
        try:
            yield made
        finally:
            made.close()


def modes(tmux: Tmux) -> str:
    """How the terminal is set: but for its size, which tmux changes."""
    number = next(NUMBERS)  # what was asked before may still be on the screen
    tmux.type(f"clear; stty -a; echo done {number}")
    shown = tmux.see(f"^done {number}$")
    return re.sub(r"rows \d+; columns \d+;", "", shown.partition("speed")[2].partition("done")[0])


@contextmanager
def top(tmux: Tmux, served: Served, status: int, code: str = "", env: str = "") -> Iterator[int]:
    """Its process, on the screen. At its end the terminal must be as it was before."""
    before = modes(tmux)
    program = "-m nfsloop"
    if code:
        path = served.state.parent / "broken.py"
        path.write_text(code)
        program = str(path)
    pid = served.state.parent / "pid"
    pid.unlink(missing_ok=True)
    tmux.type(
        f"{env} sh -c 'echo $$ > {pid}; exec {sys.executable} {program} top --interval 0.2 "
        f"--state {served.state}'; echo status $?"
    )
    tmux.see("^NFS3 WRITE")
    yield int(pid.read_text())
    tmux.see(f"^status {status}")
    assert tmux.flag("alternate_on") == "0"
    assert tmux.flag("cursor_flag") == "1"
    assert modes(tmux) == before


def rate(tmux: Tmux, name: str) -> str:
    """Wait until a row has calls; the screen."""
    return tmux.see(rf"^{re.escape(name)}\s+[1-9]\d*(\.\d+)? ")


def test_views_keys_and_the_end(tmux: Tmux, served: Served) -> None:
    with top(tmux, served, 0):
        shown = rate(tmux, "NFS3 WRITE")
        assert tmux.flag("alternate_on") == "1" and tmux.flag("cursor_flag") == "0"
        assert "2 exports: /e, /other\\x1b[31m" in shown
        assert re.search(r"^NFS3 LOOKUP .* NOENT ", shown, re.MULTILINE)
        tmux.keys("c")
        assert "CONNECTIONS" in rate(tmux, "127.0.0.1")
        tmux.keys("e")
        rate(tmux, "/e")
        tmux.keys("s")
        tmux.see("sort: errors")
        tmux.keys("Up", "p")  # an arrow is no key of its own
        rate(tmux, "NFS3 WRITE")
        tmux.keys("Space")
        tmux.see("^paused")
        tmux.keys("Space")
        tmux.see(r"\A(?!.*paused)(?s:.*)calls/s")
        tmux("resize-window", "-x", "60", "-y", "14")
        shown = tmux.see(r"^q quit  p c e s sort")
        assert shown.splitlines()[-1].startswith("q quit")
        assert "P99" in shown and "P50" not in shown and "OUT MB/S" in shown
        tmux("resize-window", "-x", str(WIDE), "-y", str(HIGH))
        tmux.see("^q quit  p procedure  c client")
        tmux.keys("q")


def test_a_server_that_is_killed_and_started_again(tmux: Tmux, served: Served) -> None:
    with top(tmux, served, 128 + signal.SIGTERM) as pid:
        served.kill()
        shown = tmux.see("^trying again: no nfsloop runs with the state directory")
        assert "NFS3 WRITE" not in shown
        served.start()
        tmux.see("^server began anew at ")
        rate(tmux, "NFS3 WRITE")
        os.kill(pid, signal.SIGTERM)


def test_stopped_by_the_shell_and_continued(tmux: Tmux, served: Served) -> None:
    with top(tmux, served, 128 + signal.SIGINT):
        tmux.keys("C-z")
        tmux.see("Stopped")
        assert tmux.flag("alternate_on") == "0"
        tmux.type("fg")
        tmux.until("alternate_on", "1")
        rate(tmux, "NFS3 WRITE")
        tmux.keys("C-c")
        tmux.until("alternate_on", "0")  # what is typed before goes to top
        tmux.type("echo status $?")


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGHUP])
def test_other_signals_that_end_it(tmux: Tmux, served: Served, number: signal.Signals) -> None:
    with top(tmux, served, 128 + number) as pid:
        if number is signal.SIGQUIT:
            tmux.keys("C-\\")
        else:
            os.kill(pid, number)


def test_a_terminal_with_few_letters(tmux: Tmux, served: Served) -> None:
    with top(tmux, served, 0, env="PYTHONIOENCODING=latin-1"):
        tmux.see(r"2 exports: /e, /other\\x1b\[31m\\u6f22$")
        tmux.keys("q")


@pytest.mark.parametrize("code", [BROKEN, BROKEN_TWICE], ids=["once", "twice"])
def test_an_error_of_our_own(tmux: Tmux, served: Served, code: str) -> None:
    with top(tmux, served, 1, code):
        tmux.keys("c")
        tmux.see("^ZeroDivisionError: planted")
