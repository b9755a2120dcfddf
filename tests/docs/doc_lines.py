"""The command lines of a Markdown page: in its blocks, with what they print, and in prose.

A block is indented by four columns, or fenced. Fences of a language (python, toml, …) are no
commands; in ``console`` each command stands behind ``$ ``, what follows is its output. Elsewhere
a line that begins in the first column with a known program is a command, and what stands between
commands is output. A block without any command must say so by a language (``text``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_PROGRAMS = """
    nfsloop python python3 pytest pip pipx uv make mount umount docker systemctl journalctl curl
    rpcinfo showmount kubectl git cat echo ls cp mkdir df sudo tmux promtool systemd-analyze
    mandb man source apt-get install openssl tail head kill jq nsenter ip stat touch sync cd wget
    systemd-socket-activate firewall-cmd ufw modprobe mmdebstrap
"""
#: What a command line may begin with. A line with another program is taken for output, and then
#: differs from what is printed; a block that begins with one is an error.
PROGRAMS = frozenset(_PROGRAMS.split())
#: Fences that hold commands; those without a language do too.
COMMANDS = ("", "console", "sh", "bash", "shell")

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=\S*$")
_FENCE = re.compile(r"^( *)(```+)(\w*)(.*)$")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?")


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that stand apart, without their indentation; `number` is the first one's."""

    page: str
    number: int
    language: str
    lines: tuple[str, ...]
    #: What stands behind the language of a fence: the name of a file to write.
    name: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """What is typed, where it stands, and the lines that the page shows as its output."""

    page: str
    number: int
    line: str
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}:{self.number}: {self.line}"


def pages() -> list[str]:
    """All pages whose command lines count, by their paths from the project's root."""
    found = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")]
    found += sorted((ROOT / "docs").glob("*.md"))
    found += sorted((ROOT / "docker").rglob("*.md"))
    return [str(path.relative_to(ROOT)) for path in found]


def words_of(line: str) -> list[str]:
    """The words of a line from its program on: without ``sudo`` and ``NAME=value`` before it."""
    words = line.split()
    while words and (_ASSIGNMENT.match(words[0]) or words[0] == "sudo"):
        words = words[1:]
    return words


def is_command(line: str) -> bool:
    """Whether a line begins with a program that we know."""
    words = words_of(line)
    return bool(words) and not line[0].isspace() and words[0] in PROGRAMS


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    lines = text.split("\n")
    here, after_blank = 0, True
    while here < len(lines):
        line = lines[here]
        fence = _FENCE.match(line)
        begin = here
        if fence is not None:
            indent, ticks, language, name = fence.groups()
            here += 1
            while here < len(lines) and lines[here].strip() != ticks:
                here += 1
            body = [one.removeprefix(indent) for one in lines[begin + 1 : here]]
            yield Block(page, begin + 2, language, tuple(body), name.strip())
            after_blank = True
        elif after_blank and line.startswith("    ") and line.strip():
            while here + 1 < len(lines) and lines[here + 1][:4].strip() == "":
                here += 1
            body = [one[4:] for one in "\n".join(lines[begin : here + 1]).rstrip().split("\n")]
            yield Block(page, begin + 1, "", tuple(body))
            after_blank = True
        else:
            after_blank = not line.strip()
        here += 1


def commands(block: Block) -> list[Command]:
    """The commands of a block. Raises ValueError where it has none and does not say so."""
    if block.language not in COMMANDS:
        return []
    prompt = "$ " if block.language == "console" else ""
    found: list[Command] = []
    lines = list(enumerate(block.lines, block.number))
    while lines:
        number, line = lines.pop(0)
        typed = line[len(prompt) :] if line.startswith(prompt) else ""
        if prompt and typed and not is_command(typed):
            raise ValueError(f"{block.page}:{number}: no program that we know: {line!r}")
        if is_command(typed):
            while lines and (typed.endswith("\\") or _is_open(typed)):
                typed += "\n" + lines.pop(0)[1]
            found.append(Command(block.page, number, typed))
        elif line.startswith("#") and not prompt:
            pass
        elif not found:
            raise ValueError(f"{block.page}:{number}: neither a command nor a listing: {line!r}")
        elif line.strip() or found[-1].output:
            last = found[-1]
            found[-1] = Command(last.page, last.number, last.line, (*last.output, line))
    return [_without_blank_end(command) for command in found]


def _is_open(typed: str) -> bool:
    """Whether a here-document has not ended yet."""
    first, *rest = typed.split("\n")
    word = _HEREDOC.search(first)
    return word is not None and word[1] not in rest


def _without_blank_end(command: Command) -> Command:
    output = list(command.output)
    while output and not output[-1].strip():
        output.pop()
    return Command(command.page, command.number, command.line, tuple(output))


def session(page: str) -> list[Command]:
    """All commands in the blocks of a page."""
    text = (ROOT / page).read_text()
    return [command for block in blocks(page, text) for command in commands(block)]


def files(page: str) -> dict[str, str]:
    """The files that a page has its reader write: fences with a name."""
    found = blocks(page, (ROOT / page).read_text())
    return {block.name: "\n".join((*block.lines, "")) for block in found if block.name}


def inline(page: str) -> list[Command]:
    """Commands with arguments in the prose and the tables of a page."""
    lines = (ROOT / page).read_text().split("\n")
    for block in blocks(page, "\n".join(lines)):
        for number in range(block.number - 1, block.number - 1 + len(block.lines)):
            lines[number] = ""
    return [
        Command(page, number, span.strip())
        for number, line in enumerate(lines, 1)
        for span in _INLINE.findall(line)
        if is_command(span) and len(words_of(span)) > 1
    ]
