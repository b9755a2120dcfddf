"""What hangs, or answers oddly, holds no command for longer than it was told to wait."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from nfs_process import directory_of

from nfsloop import control
from nfsloop.doctor import child, server
from nfsloop.doctor.null import CLOSED, FAILED, MUTE, NOT_RPC, null
from nfsloop.errors import ConfigError
from oncrpc import loop

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def state() -> Iterator[Path]:
    with directory_of(None) as path:
        yield path


@contextmanager
def answering(listener: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    def serve() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer, suppress(OSError):
                    peer.recv(4096)
                    answer(peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    listener.shutdown(socket.SHUT_RDWR)  # before its number is another socket's
    thread.join(10)


def drip(peer: socket.socket) -> None:
    for _ in range(600):
        peer.sendall(b" ")
        time.sleep(0.05)


OURS = "is no nfsloop"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (b"garbage\n", OURS),
        (b"[]\n", OURS),
        (b"7\n", OURS),
        (b'{"ok": true}\n', OURS),
        (b'{"ok": true, "lines": 5}\n', OURS),
        (b'{"ok": true, "lines": "ab"}\n', OURS),
        (b'{"ok": true, "lines": [1]}\n', OURS),
        (b'{"lines": []}\n', OURS),
        (b"[" * 100000 + b"\n", OURS),
        (b'{"ok": true, "li', "ended before it answered"),
        (b"", "ended before it answered"),
        (None, "no answer from the server in 0.3 s"),
    ],
    ids=[
        "garbage", "a list", "a number", "no lines", "wrong lines", "a text", "wrong line", "no ok",
        "deep", "part", "nothing", "dripping",
    ],
)  # fmt: skip
def test_a_control_socket(state: Path, answer: bytes | None, wanted: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(state / control.NAME))
        listener.listen()
        with (
            answering(listener, drip if answer is None else lambda peer: peer.sendall(answer)),
            pytest.raises(ConfigError, match=wanted),
        ):
            control.ask(state, "status", 0.3)


def test_a_long_answer_of_a_control_socket(state: Path) -> None:
    lines = ["x" * 1000] * 1000
    whole = json.dumps({"ok": True, "lines": lines}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(state / control.NAME))
        listener.listen()
        with answering(listener, lambda peer: peer.sendall(whole)):
            assert control.ask(state, "status", 5.0) == lines


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (b"", CLOSED),
        (b"\x80\x00\x00\x18" + b"\0" * 4, CLOSED),
        (None, MUTE),
        (b"\x80\x00\x00\x18" + b"\0" * 4 + b"...", MUTE),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", NOT_RPC),
    ],
    ids=["closed", "closed amid", "mute", "mute amid", "ssh"],
)
def test_answers_to_null(answer: bytes | None, wanted: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        done = threading.Event()

        def serve(peer: socket.socket) -> None:
            peer.sendall(answer or b"")
            if wanted == MUTE:
                done.wait(20)

        stack.enter_context(answering(listener, serve))
        stack.callback(done.set)
        assert null(listener.getsockname(), "tcp", 100003, 3, 0.5).outcome == wanted


def test_a_port_that_is_none() -> None:
    assert null(("127.0.0.1", 70000), "tcp", 100003, 3, 0.5).outcome == FAILED


def test_a_child_has_its_time_and_no_more() -> None:
    def hang() -> int:
        time.sleep(60)
        return 1

    def fail() -> int:
        print("nobody reads this")
        raise SystemExit(3)

    functions: list[Callable[[], Any]] = [
        hang,
        fail,
        lambda: "x" * (1 << 20),
        lambda: [None, "\udce9"],
    ]
    assert child.ask_all(functions, 1.0) == [None, None, "x" * (1 << 20), [None, "\udce9"]]


def test_a_program_is_stopped_with_its_helpers(tmp_path: Path) -> None:
    status, said = child.run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"], 1.0)
    assert (status, said) == (None, [])
    helper = int((tmp_path / "pid").read_text())
    for _ in range(100):
        with suppress(FileNotFoundError):
            if Path(f"/proc/{helper}/stat").read_text().split()[2] != "Z":
                time.sleep(0.05)
                continue
        break
    else:
        os.kill(helper, signal.SIGKILL)
        pytest.fail("it goes on")
    assert child.run(["sh", "-c", "echo $LC_ALL; exit 3"], 5.0) == (3, ["C"])


def test_names_are_looked_up_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    going = threading.Event()

    def getaddrinfo(name: str, *_: object) -> list[object]:
        asked.append(name)
        if name.startswith("slow"):
            going.wait(20)
        if name == "gone":
            raise socket.gaierror(socket.EAI_NONAME, "nobody")
        if name == "later":
            raise socket.gaierror(socket.EAI_AGAIN, "not now")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    names = ["slow1", "gone", "slow2", "later", "there"]
    waits = server._without_address(names, 0.5)
    assert loop.run(waits, "asyncio") == {"gone"}
    assert sorted(asked) == sorted(names)
    going.set()


def test_what_is_exported_is_looked_at_in_time(state: Path) -> None:
    """A file of settings may be on a file system that hangs: here it is a FIFO."""
    os.mkfifo(state / "nfsloop.toml")
    seen = server.look(state / "none", state / "nfsloop.toml", 0.5)
    assert seen.hangs == ["what is exported"]


def test_a_directory_to_mount_on_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    from nfsloop.doctor import local
    from nfsloop.verbs import mount

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(local, "which", lambda program: "/bin/mount")
    monkeypatch.setattr(local, "mount_nfs", lambda: "/sbin/mount.nfs")
    monkeypatch.setattr(os.path, "exists", lambda path: time.sleep(60))
    wanted = mount.Wanted("host:/x", "/somewhere", ())
    with pytest.raises(ConfigError, match="on a file system that does not answer"):
        mount._check(wanted, False, 0.3)


def test_the_doctor_ends_in_time_at_a_server_that_only_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "nfsloop", "doctor", "--remote", "--timeout", "0.3"]
        place = ["127.0.0.1", "--port", str(listener.getsockname()[1])]
        done = subprocess.run(
            [*command, *place], capture_output=True, check=False, timeout=20,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"") and b"does not answer" in done.stdout
