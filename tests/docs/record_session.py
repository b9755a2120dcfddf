"""Make docs/session.svg anew: ``python3 tests/docs/record_session.py``, as root, in .venv.

What it shows has happened: the server runs in a sandbox, the client is Linux in a virtual machine
(tests/kernel). Needs what tests/kernel needs, and rich.
"""

from __future__ import annotations

import html
import re
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PICTURE = HERE.parents[1] / "docs" / "session.svg"
SERVER, CLIENT = "myhost", "laptop"
COLUMNS = 92

#: Where each line is typed. The first starts the server.
SESSION = (
    (SERVER, "nfsloop serve /srv/data"),
    (CLIENT, "sudo mount -t nfs myhost:/srv/data /mnt"),
    (CLIENT, "ls -ln /mnt"),
    (CLIENT, "cp -r /mnt/photos /mnt/copy"),
    (CLIENT, "echo 'And bread.' >> /mnt/notes.txt"),
    (SERVER, "cat /srv/data/notes.txt"),
    (SERVER, "nfsloop clients"),
    (SERVER, "nfsloop status"),
)
SET_UP = """
mkdir -p /srv/data/photos
echo "Remember the milk." > /srv/data/notes.txt
for n in 1 2 3; do head -c 300000 /dev/urandom > /srv/data/photos/$n.jpg; done
chown -R 1000:1000 /srv/data
chmod 777 /srv/data
chmod 666 /srv/data/notes.txt
touch -d 2026-01-31T12:00 /srv/data/* /srv/data
"""
_COLOURS = {SERVER: "bold green", CLIENT: "bold cyan"}
#: The font of others' servers, which no page that shows the picture may load.
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    """Run `SESSION`, draw it."""
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    with tempfile.TemporaryDirectory() as directory:
        ran = record(Path(directory))
    PICTURE.write_text(draw(ran))
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")


def record(directory: Path) -> list[tuple[str, str, str]]:
    """Host, line and what it printed, for each line of `SESSION`."""
    from doc_sandbox import Sandbox, clone, shims
    from kernel.guest import Guest, Scenario
    from kernel.harness import SERVER_IP, Network

    found: list[tuple[str, str, str]] = []
    shims(directory / "bin")
    hosts = f"{SERVER_IP} {SERVER}\n127.0.0.1 localhost\n"
    scenario = Scenario("guide", "", {"bin": str(directory / "bin"), "hosts": hosts})
    with Network(taps=1) as network:
        before = network.argv([])
        box = Sandbox(directory / "machine", clone(directory), before=before, address=SERVER_IP)
        with box as sandbox:
            sandbox.set_up(SET_UP)
            lines = _lines(sandbox, found)
            guest = Guest(
                network, directory, [], [scenario], statd=True,
                on_sync=lambda guest, tag, ran: _next(lines, ran),
            )  # fmt: skip
            with guest:
                guest.finish(timeout=90)
    return found


def _next(lines: Any, ran: Any) -> str | None:
    try:
        return str(lines.send(ran))
    except StopIteration:
        return None


def _lines(
    sandbox: Any, found: list[tuple[str, str, str]]
) -> Generator[str, tuple[int, str], None]:
    server: Any = None
    for host, line in SESSION:
        if server is None:
            server = sandbox.start(line)
            server.read_until(lambda printed: any("mount -t" in one for one in printed))
            printed = "\n".join(server.printed)
        elif host == CLIENT:
            status, printed = yield line
            assert status == 0, (line, printed)
        else:
            done = sandbox.run(line)
            printed = done.stdout
            assert done.returncode == 0, (line, printed)
        found.append((host, line, printed.rstrip("\n")))
    yield "umount /mnt"
    server.stop()


def draw(ran: list[tuple[str, str, str]]) -> str:
    """The session as an SVG."""
    from rich.console import Console
    from rich.text import Text

    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for host, line, printed in ran:
            console.print(Text.assemble((f"{host}$ ", _COLOURS[host]), (line, "bold")))
            if printed:
                console.print(Text(printed))
        drawn = console.export_svg(title="nfsloop", unique_id="session")
    return _FONT_FACE.sub("", drawn)


def text_of(drawn: str) -> str:
    """What a picture shows, a line for each line."""
    rows: dict[str, str] = {}
    for y, text in re.findall(r'<text [^>]*\by="([\d.]+)"[^>]*>(.*?)</text>', drawn):
        rows[y] = rows.get(y, "") + text
    return html.unescape("\n".join(rows.values())).replace("\xa0", " ")


if __name__ == "__main__":
    main()
