"""``python -m portmap``: a portmapper as a program of its own."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Sequence

from oncrpc import loop
from oncrpc.net import host_port
from portmap.portmap_xdr import PMAP_PORT
from portmap.server import Portmapper
from portmap.uaddr import AddressError

log = logging.getLogger("portmap")

_EPILOG = """\
Programs of this host register with it (SET and UNSET are taken from the loopback interface only;
from a port below 1024 they are the superuser's), and anybody may ask it. It does not forward calls
(CALLIT, INDIRECT). Registrations are kept in memory: they are gone when it ends.
SIGTERM and SIGINT end it, with exit status 0."""


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m portmap",
        description="A portmapper: portmap version 2 and rpcbind versions 3 and 4 (RFC 1833), over"
        " TCP and UDP.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host", metavar="ADDR", help="listen at this address (default: every IPv4 and IPv6 one)"
    )
    parser.add_argument(
        "--port",
        type=port_number,
        default=PMAP_PORT,
        help="listen at this port (default: %(default)s, where clients ask; 0: any free one)",
    )
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="what is told on standard error (default: %(default)s)",
    )
    return parser


def port_number(text: str) -> int:
    """A port; the name stands in argparse's message. Raises ValueError."""
    port = int(text)
    if not 0 <= port < 65536:
        raise ValueError
    return port


async def _serve(host: str | None, port: int) -> None:
    """Serve until a signal ends it. Raises OSError, AddressError."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    portmapper = Portmapper()
    port = portmapper.listen(host, port)
    log.info("listening on %s (tcp and udp)", host_port(host or "*", port))
    await stop.wait()
    await portmapper.stop()
    log.info("stopped")


def main(argv: Sequence[str] | None = None) -> int:
    """The program; its exit status."""
    options = _arguments().parse_args(argv)
    level = options.log_level.upper()
    logging.basicConfig(level=level, format="%(name)s: %(message)s", stream=sys.stderr)
    try:
        loop.run(_serve(options.host, options.port))
    except (OSError, AddressError) as exc:
        why = exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
        if isinstance(exc, OSError) and exc.errno in {errno.EACCES, errno.EPERM}:
            why += " (a port below 1024 takes root or CAP_NET_BIND_SERVICE)"
        print(f"portmap: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
