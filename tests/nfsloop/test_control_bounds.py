"""Who asks over the control socket and does not read, or says nothing, keeps nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nfsloop import control
from nfsloop.control import NAME, Control, ask
from nfsloop.errors import ConfigError
from nfsloop.limits import CONTROL_CLIENTS


async def much(request: Mapping[str, Any]) -> list[str]:
    return ["x" * 3_000_000]


async def little(request: Mapping[str, Any]) -> list[str]:
    return ["done"]


def connected(state: Path, said: bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(state / NAME))
    sock.sendall(said)
    return sock


def test_answers_that_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        served = Control(tmp_path, {"much": much, "little": little})
        await served.start()
        try:
            line = b'{"command": "much"}\n'
            idle = [connected(tmp_path, line) for _ in range(CONTROL_CLIENTS)]
            while len(served._clients) < CONTROL_CLIENTS:
                await asyncio.sleep(0.01)
            wanted = f"{CONTROL_CLIENTS} others ask the server just now: try again"
            with pytest.raises(ConfigError, match=wanted):
                await asyncio.to_thread(ask, tmp_path, "little")
            while served._clients:  # they are not waited for without end
                await asyncio.sleep(0.01)
            assert await asyncio.to_thread(ask, tmp_path, "little") == ["done"]
            for sock in idle:
                sock.settimeout(10)
                with sock, contextlib.suppress(ConnectionResetError):
                    while sock.recv(1 << 20):
                        pass
        finally:
            await served.stop()

    monkeypatch.setattr(control, "CONTROL_ANSWER_SECONDS", 0.5)
    asyncio.run(main())
