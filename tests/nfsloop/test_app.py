"""The mount command that is printed fits where the server listens; what a start refuses."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from backends.memory import MemoryBackend
from nfsloop.app import App
from nfsloop.config import ExportSpec, Settings
from nfsloop.errors import ConfigError
from nfsloop.export import Export, Exports
from nfsloop.rpcbind import Rpcbind

PORTS = "port=2049,mountport=2049,nolock"
V4 = f"-o vers=3,proto=tcp,mountproto=tcp,{PORTS}"
V6 = f"-o vers=3,proto=tcp6,mountproto=tcp6,{PORTS}"


class Found(Rpcbind):
    """One that clients are told by."""

    @property
    def found(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("host", "port", "found", "line"),
    [
        (None, 2049, False, f"mount -t nfs {V4} HERE:/x /mnt"),
        ("0.0.0.0", 2049, False, f"mount -t nfs {V4} HERE:/x /mnt"),
        ("::", 2049, False, f"mount -t nfs {V4} HERE:/x /mnt"),
        ("127.0.0.1", 2049, False, f"mount -t nfs {V4} localhost:/x /mnt"),
        ("10.1.2.3", 2049, False, f"mount -t nfs {V4} 10.1.2.3:/x /mnt"),
        ("::1", 2049, False, f"mount -t nfs {V6} '[::1]:/x' /mnt"),
        ("fd00::1", 2049, False, f"mount -t nfs {V6} '[fd00::1]:/x' /mnt"),
        (None, 2049, True, "mount -t nfs HERE:/x /mnt"),
        (None, 12049, True, "mount -t nfs -o vers=3 HERE:/x /mnt"),
        ("::1", 2049, True, "mount -t nfs -o vers=3,proto=tcp6 '[::1]:/x' /mnt"),
    ],
)
def test_mount_lines(tmp_path: Path, host: str | None, port: int, found: bool, line: str) -> None:
    settings = Settings(exports=(ExportSpec.parse("/x=memory:"),), host=host, port=port)
    app = App(settings, tmp_path)
    if found:
        app.rpcbind = Found("none", app.server.dispatcher, "127.0.0.1", port, False)
    assert app.mount_lines() == [line.replace("HERE", socket.gethostname())]


def test_a_path_is_quoted_for_the_shell(tmp_path: Path) -> None:
    settings = Settings(exports=(ExportSpec.parse("/a b'c=memory:"),), host="127.0.0.1")
    assert App(settings, tmp_path).mount_lines()[0].endswith(""" 'localhost:/a b'"'"'c' /mnt""")


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".org", "no such host"])
def test_a_host_that_is_none_is_one_clear_error(tmp_path: Path, host: str) -> None:
    async def main() -> None:
        app = App(Settings(host=host, port=0, rpcbind="none"), tmp_path)
        try:
            with pytest.raises(ConfigError):
                await app.start()
        finally:
            await app.stop()

    asyncio.run(main())


@pytest.mark.parametrize("text", ["/x=loop", "loop", "a\0b", "/n=" + "y" * 5000])
def test_an_export_that_cannot_be_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError):
        ExportSpec.parse(text)


def test_a_backend_is_exported_once() -> None:
    backend = MemoryBackend()
    with pytest.raises(ValueError, match="exported already"):
        Exports([Export("/a", backend), Export("/b", backend)])


def test_the_table_of_descriptors_is_large_from_the_start() -> None:
    """It grows by waiting for all processors, which a call would have to bear."""
    program = (
        "import resource\n"
        "from nfsloop import app\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 3000))\n"
        "app.raise_descriptor_limit()\n"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE) == (3000, 3000)\n"
        "status = open('/proc/self/status').read()\n"
        "print(status.partition('FDSize:')[2].split()[0])\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3000
