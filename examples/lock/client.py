"""A lock client: ``python3 -m examples.lock.client [--port N] NAME [--hold SECONDS]``.

It acquires the lock, holds it for a while, and releases it; with ``--stat`` it only looks.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys

from examples.lock import lock_xdr as x
from oncrpc import loop
from oncrpc.client import connected
from oncrpc.errors import AtMostOnceFailure, RpcError, ServerRestarted


def show(info: x.lock_info) -> str:
    """A line on a lock."""
    holder = "free" if info.holder is None else f"held by {info.holder:#x}"
    counts = f"acquired {info.acquired} times, released {info.released} times"
    return f"{holder}, {info.waiting} waiting, {counts}"


async def run(args: argparse.Namespace) -> int:
    """Do what the command line says. Raises RpcError and OSError."""
    async with connected(args.transport, args.host, args.port) as rpc:
        locks = x.LOCK_V1_Client(rpc, at_most_once=True)
        mine = x.lock_args(args.name.encode(), secrets.randbits(64))
        if args.stat:
            print(f"{args.name}: {show(await locks.STAT(mine))}")
            return 0
        try:
            got = await locks.ACQUIRE(mine, timeout=args.timeout)
        except TimeoutError:
            # If the ACQUIRE has not arrived yet, it is void from now on: see oncrpc.session_client.
            await locks.RELEASE(mine)
            print(f"{args.name}: not acquired in {args.timeout:g} s")
            return 1
        if got != x.LOCK_OK:
            print(f"{args.name}: {got.name}")
            return 1
        print(f"{args.name}: acquired as {mine.client:#x}", flush=True)
        await asyncio.sleep(args.hold)
        if await locks.RELEASE(mine) != x.LOCK_OK:
            print(f"{args.name}: the server has restarted meanwhile, and somebody may have it")
            return 1
        print(f"{args.name}: released")
        return 0


def main() -> int:
    """Run the command line."""
    options = argparse.ArgumentParser(description="acquire a lock, hold it, release it")
    options.add_argument("name", help="the lock's name")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=7070)
    options.add_argument("--transport", choices=("tcp", "udp"), default="tcp")
    options.add_argument("--hold", type=float, default=0.0, help="seconds to hold it")
    options.add_argument("--timeout", type=float, help="seconds to wait for it; default: for ever")
    options.add_argument("--stat", action="store_true", help="only tell of the lock")
    args = options.parse_args()
    try:
        return loop.run(run(args))
    except ServerRestarted:
        print(f"{args.name}: the server restarted; the lock is lost", file=sys.stderr)
    except AtMostOnceFailure:
        print(f"{args.name}: the server has forgotten this client", file=sys.stderr)
    except (RpcError, OSError) as exc:
        print(exc, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
