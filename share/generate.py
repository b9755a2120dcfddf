#!/usr/bin/env python3
"""Make the man page and the shells' completions from the command line's parser: ``make gen``.

Needs shtab and argparse-manpage (the extra `test` has them). Writes below this directory, or below
the one that is given. What the parser does not know of, the man page has from nfsloop.1.in.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from nfsloop import cli  # noqa: E402

#: Where the shells and man look, below a prefix.
MAN = "man/man1/nfsloop.1"
COMPLETIONS = {
    "bash": "bash-completion/completions/nfsloop",
    "zsh": "zsh/site-functions/_nfsloop",
    "fish": "fish/vendor_completions.d/nfsloop.fish",
}

#: What a shell completes, by the name of what an option or operand takes.
TAKES = {
    "DIR": shtab.DIRECTORY,
    "DIRECTORY": shtab.DIRECTORY,
    "FILE": shtab.FILE,
    "FILE|DIR": shtab.FILE,
    "EXPORT": shtab.FILE,
    "STORAGE": shtab.FILE,
}


def parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield top
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers(one)


def parser() -> argparse.ArgumentParser:
    """The command line, with what the shells complete."""
    top = cli.parser()
    for one in parsers(top):
        for action in one._actions:
            takes = TAKES.get(str(action.metavar))
            if takes is not None and not action.choices:
                action.complete = takes  # type: ignore[attr-defined]
    return top


def release() -> tuple[str, str]:
    """The version and the day of the release: pyproject.toml and CHANGELOG.md have them."""
    project = (ROOT / "pyproject.toml").read_text()
    found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert found is not None, "pyproject.toml has no version"
    heading = rf"^## {re.escape(found[1])} \((\d{{4}}-\d\d-\d\d)\)$"
    day = re.search(heading, (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    return found[1], day[1] if day is not None else "unreleased"


def examples(top: argparse.ArgumentParser) -> str:
    """The examples of all commands, as a section of a man page."""
    lines: list[str] = []
    for one in list(parsers(top))[1:]:
        block = (one.epilog or "").split("\n\n")[0].splitlines()
        if block and block[0] == "examples:":
            lines += [".PP", ".EX", *map(_literal, block[1:]), ".EE"]
    return "\n".join(lines[1:])


def _literal(line: str) -> str:
    """A line as it is: roff takes a dot or quote at its start as a request."""
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line


def man() -> str:
    """The man page."""
    top = parser()
    version, day = release()
    os.environ["COLUMNS"] = "100000"  # roff fills lines, and may not meet a quote at their start
    page = Manpage(
        top,
        {
            "project_name": "nfsloop",
            "version": version,
            "date": day,
            "description": "an NFS version 3 server, and what belongs to running it",
            "manual_title": "System administration",
            "include": str(HERE / "nfsloop.1.in"),
        },
        format="single-commands-section",
    )
    page.parser.epilog = page.parser.description = None
    page.add_section("EXAMPLES", "=", examples(top))
    return _tidy(str(page))


#: Requests and macros that the page has; any other line that begins like one is text.
_REQUEST = re.compile(r"\.(?:SH|SS|TH|TP|TQ|PP|EX|EE|B|I|BR|RB|RI|IR|nh|hy)\b")
_SUBHEADING = re.compile(r"\.SS \\fBnfsloop (\S+)\\fR")
_USAGE = re.compile(r"usage: (nfsloop [a-z-]+) ?(.*)")


def _tidy(text: str) -> str:
    """What argparse-manpage gives, as pages are by custom: a section of commands, their usage
    apart, options not indented by another level; and no text that is taken for a request."""
    lines: list[str] = []
    source = iter(text.replace(".SH\nPOSITIONAL ARGUMENTS\n", ".SH COMMANDS\n").splitlines())
    lines.append(next(source).replace("\\-", "-"))  # .TH: a date has plain ones
    for line in source:
        usage = _USAGE.match(line)
        if usage is not None:
            lines += [".nh", f"\\fB{usage[1]}\\fR {usage[2]}", ".hy", ".PP"]
        elif _SUBHEADING.match(line):
            lines.append(line)
            next(source)  # the line of the list of commands; its description says it better
        elif line.strip() and line not in {"arguments:", "options:", ".RS 7", ".RE"}:
            text_like = line.startswith(("'", ".")) and not _REQUEST.match(line)
            lines.append(f"\\&{line}" if text_like else line)
    return "\n".join(lines) + "\n"


def write(where: Path) -> None:
    """Write all files below `where`."""
    texts = {MAN: man()}
    for shell, name in COMPLETIONS.items():
        texts[name] = shtab.complete(parser(), shell=shell)
    for name, text in texts.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.rstrip("\n") + "\n")
        print(path.relative_to(where))


if __name__ == "__main__":
    own = argparse.ArgumentParser(description=__doc__)
    own.add_argument("where", nargs="?", type=Path, default=HERE, help="write below this directory")
    write(own.parse_args().where)
