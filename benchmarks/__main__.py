"""``python3 -m benchmarks VERB``: measure this server beside others. docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from . import report, wire
from .errors import BenchError

#: Verbs that are modules with a `main` of their own, imported when they are called.
OTHERS = {
    "kernel": "whole workloads through the kernel's client",
    "scale": "whether a call costs the same with many connections, files and names",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python3 -m benchmarks", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser("wire", help="calls over the wire, beside nfs-ganesha and the floor")
    wire.add_arguments(one)
    one.set_defaults(run=wire.main)

    one = verbs.add_parser("report", help="table and plot from result files")
    one.add_argument("files", nargs="+", type=Path, metavar="FILE")
    one.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    one.add_argument("--plot", type=Path, metavar="FILE", help="draw it: .svg or .png")
    one.set_defaults(run=_report)

    one = verbs.add_parser("compare", help="two result files, by their ratios to the same peer")
    one.add_argument("old", type=Path)
    one.add_argument("new", type=Path)
    one.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    one.set_defaults(run=_compare)

    for name, words in OTHERS.items():
        verbs.add_parser(name, help=words, add_help=False)
    return top


def _report(options: argparse.Namespace) -> int:
    report.show(options.files, markdown=options.markdown, plot=options.plot)
    return 0


def _compare(options: argparse.Namespace) -> int:
    report.show_comparison(options.old, options.new, markdown=options.markdown)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; 2 and one line on standard error for what cannot be measured."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and words[0] in OTHERS:
            module = importlib.import_module(f".{words[0]}", __package__)
            other: int = module.main(words[1:])
            return other
        options = parser().parse_args(words)
        status: int = options.run(options)
        return status
    except BenchError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
