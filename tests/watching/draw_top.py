"""Make docs/top.svg anew: ``python3 tests/watching/draw_top.py``. Needs rich.

What it shows has happened: a server with two workers, and clients that write, read and list.
"""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "nfsloop"), str(HERE.parents[1])]

from nfs_process import Process, directory_of  # noqa: E402

from nfsloop.client import Client  # noqa: E402
from nfsloop.watching.tables import rich_text  # noqa: E402
from nfsloop.watching.top import Model, Source, View, frame  # noqa: E402

PICTURE = HERE.parents[1] / "docs" / "top.svg"
COLUMNS, LINES = 92, 19
SECONDS = 2.0
#: The font of others' servers, which no page that shows the picture may load.
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def work(port: int, path: str, number: int, until: float) -> None:
    """What one client does."""
    with Client(port, path) as client:
        client.mkdir(f"/{number}")
        for turn in range(100_000):
            name = f"/{number}/{turn % 50}"
            client.write_file(name, b"x" * 150_000)
            for _ in range(4):
                client.read_file(name)
                client.exists(f"/{number}/nothing")
            if turn % 8 == 0:
                client.listdir(f"/{number}")
            if time.monotonic() > until:
                return
            time.sleep(0.01)


def main() -> None:
    """Serve, work, look, draw."""
    from rich.console import Console

    with directory_of(None) as place:
        state = place / "state"
        (place / "notes").mkdir()
        server = Process(
            "serve", "--host", "127.0.0.1", "--port", "0", "--rpcbind", "none", "--workers", "2",
            "-o", "insecure,no_root_squash", "--state", str(state),
            f"/srv/data={place / 'export'}", f"/srv/notes={place / 'notes'}",
        )  # fmt: skip
        try:
            server.ready(2)
            until = time.monotonic() + SECONDS + 2
            paths = ["/srv/data"] * 4 + ["/srv/notes"]
            threads = [
                threading.Thread(target=work, args=(server.port, path, number, until))
                for number, path in enumerate(paths)
            ]
            source, model = Source(state), Model()
            model.feed(source.sample())
            for thread in threads:
                thread.start()
            time.sleep(1)
            model.feed(source.sample())
            time.sleep(SECONDS)
            model.feed(source.sample())
            for thread in threads:
                thread.join()
        finally:
            server.close()
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(rich_text(frame(model, View(), COLUMNS, LINES)), crop=False)
    picture = console.export_svg(title="nfsloop top", unique_id="top")
    PICTURE.write_text(_FONT_FACE.sub("", picture))
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
