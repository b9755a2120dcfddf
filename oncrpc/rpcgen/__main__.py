"""``python -m oncrpc.rpcgen FILE.x [-o OUT] [--encoded TYPE ...]``, or ``--all`` of a project."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from oncrpc.rpcgen.checks import check
from oncrpc.rpcgen.emit import emit
from oncrpc.rpcgen.generated import GENERATED, default_out
from oncrpc.rpcgen.model import RpcgenError
from oncrpc.rpcgen.parser import parse


def compile_text(text: str, filename: str, encoded: tuple[str, ...] = ()) -> str:
    """The module for the .x file `text`. Raises RpcgenError."""
    return emit(check(parse(text, filename)), Path(filename).name, encoded)


def compile_file(source: Path, out: Path, encoded: tuple[str, ...] = ()) -> None:
    """Write the module for `source` to `out`, in one step. Raises RpcgenError and OSError."""
    text = compile_text(source.read_text("utf-8"), str(source), encoded)
    handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    except BaseException:
        os.unlink(temporary)
        raise


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 if all went well, 1 with a message if not."""
    options = argparse.ArgumentParser(prog="python -m oncrpc.rpcgen", description=__doc__)
    options.add_argument("file", nargs="?", metavar="FILE.x", help="the file to compile")
    options.add_argument("-o", "--out", metavar="OUT", help="default: FILE_xdr.py; - for stdout")
    options.add_argument(
        "--encoded",
        action="append",
        default=[],
        metavar="TYPE",
        help="a fixed-size struct whose values may be given as their encoded bytes (repeatable)",
    )
    options.add_argument(
        "--all", action="store_true", help="every .x file of this project, from its root"
    )
    args = options.parse_args(argv)
    if args.all == (args.file is not None):
        options.error("give one FILE.x, or --all")
    try:
        if args.all:
            for entry in GENERATED:
                compile_file(Path(entry.source), Path(entry.out), entry.encoded)
        elif args.out == "-":
            text = Path(args.file).read_text("utf-8")
            sys.stdout.write(compile_text(text, args.file, tuple(args.encoded)))
        else:
            out = Path(args.out or default_out(args.file))
            compile_file(Path(args.file), out, tuple(args.encoded))
    except (RpcgenError, OSError, UnicodeDecodeError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
