"""`nfsloop ping` without HOST: it asks the server that runs here, wherever that listens."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from nfs_process import nfsloop, run

from nfsloop.state import ADDRESS, read_address
from nfsloop.verbs.ping import where

HERE = ["serve", "--port", "0", "--rpcbind", "none"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", None])
def test_it_finds_the_server(host: str | None, tmp_path: Path) -> None:
    """By its state directory, which NFSLOOP_STATE names in a container; until it has stopped."""
    state = tmp_path / "state"
    argv = [*HERE, *(["--host", host] if host else []), "--state", str(state)]
    with nfsloop(*argv) as server:
        port = server.port
        name = {None: "127.0.0.1", "::1": "[::1]"}.get(host, host)
        status, out, _ = run("ping", env={"NFSLOOP_STATE": str(state)})
        assert status == 0 and out.startswith(f"{name}:{port} answers")
        assert run("ping", "--state", str(state), "--quiet") == (0, "", "")
        server.send(signal.SIGKILL)
        server.wait()
    status, _, err = run("ping", "--state", str(state))
    assert status == 1 and f"{name}:{port}: " in err


def test_a_server_that_has_stopped_leaves_no_address(tmp_path: Path) -> None:
    with nfsloop(*HERE, "--host", "127.0.0.1", "--state", str(tmp_path)) as server:
        server.ready()
        assert (tmp_path / ADDRESS).exists()
        assert server.stop() == 0
    assert not (tmp_path / ADDRESS).exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "127.0.0.1",
        "127.0.0.1 x",
        "127.0.0.1 0",
        "127.0.0.1 65536",
        "a 9999999",
        "\xff" * 999,
    ],
)
def test_what_is_no_address_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / ADDRESS).write_bytes(text.encode("latin-1", "replace"))
    assert read_address(tmp_path) is None
    assert where(None, None, tmp_path) == ("127.0.0.1", 2049)
    assert where(None, None, tmp_path / "none") == ("127.0.0.1", 2049)


def test_what_is_given_counts(tmp_path: Path) -> None:
    (tmp_path / ADDRESS).write_text("::1 2050\n")
    assert where(None, None, tmp_path) == ("::1", 2050)
    assert where(None, 7, tmp_path) == ("::1", 7)
    assert where("[fe80::1]", None, tmp_path) == ("fe80::1", 2049)
    assert where("host", 7, tmp_path) == ("host", 7)
