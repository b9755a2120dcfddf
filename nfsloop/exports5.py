"""The syntax of exports(5), as nfs-utils reads it. No I/O: text in, entries and problems out.

    /srv       10.0.0.0/8(rw,no_root_squash) backup.example.org(ro)
    "/my data" -ro,async 192.168.1.5 fd00::/8(rw)      # -… are the defaults of this line
    /scratch   *(rw,storage=memory:)

A path, then its clients. A word may be quoted, or contain octal escapes (``\\040``). A backslash at
the end goes on with the next line, even in a comment; ``#`` where a word may begin is a comment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from nfsloop.hosts import ANYONE, HostPattern
from nfsloop.options import FILE_DEFAULTS, MOUNTPOINT, STORAGE, Options, read_word

#: MNTPATHLEN: what MNT and EXPORT carry (RFC 1813 appendix I).
PATH_BYTES = 1024

#: What ends a word.
BLANKS = " \t\r\v\f"


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in a file; lines and columns count from 1, and 0 stands for the whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])


@dataclass(frozen=True, slots=True)
class Problem:
    """An error, or a warning: something that its author may not have meant."""

    where: Where
    text: str
    error: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {'' if self.error else 'warning: '}{self.text}"


@dataclass(frozen=True, slots=True)
class Client:
    """Whom an export is for, and what for."""

    host: HostPattern
    options: Options
    where: Where = field(default=Where("", 0), compare=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A path and its clients, in the order of the file."""

    path: str
    clients: tuple[Client, ...]
    #: What is served there: "memory:" or a directory; None: the directory at the path itself.
    storage: str | None = None
    #: Not exported unless something is mounted there.
    mountpoint: str | None = None
    where: Where = field(default=Where("", 0), compare=False)


@dataclass(slots=True)
class Parsed:
    """What a text says, and what is wrong with it. With errors, the entries are not all."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def errors(self) -> list[Problem]:
        """The problems that leave no way to serve it."""
        return [problem for problem in self.problems if problem.error]


class _Word:
    """A word of a line, that begins at `where`. `shape` is `text` with whatever was escaped
    replaced by NULs, so that an escaped comma or parenthesis separates nothing."""

    __slots__ = ("places", "shape", "text", "where")

    def __init__(
        self, where: Where, text: str = "", shape: str = "", places: list[Where] | None = None
    ) -> None:
        self.text = text
        self.shape = shape
        self.places = places or []
        self.where = self.places[0] if self.places else where

    def __getitem__(self, part: slice) -> _Word:
        return _Word(self.where, self.text[part], self.shape[part], self.places[part])

    def split(self, separator: str) -> Iterator[_Word]:
        """The words between `separator`, if it is not escaped."""
        start = 0
        for piece in self.shape.split(separator):
            yield self[start : start + len(piece)]
            start += len(piece) + 1

    def __str__(self) -> str:
        """Escaped bytes beside each other may be one character."""
        return self.text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


class _LogicalLine:
    """A line and those that continue it: `text`, and where each of its characters stands.

    A backslash at a line's end, with the blanks that begin the next line, is one blank.
    """

    def __init__(self, file: str, number: int, lines: Sequence[str]) -> None:
        self._file = file
        #: Offsets in `text`, and the line and the column (less 1) that begin there.
        self._offsets: list[int] = []
        self._starts: list[tuple[int, int]] = []
        pieces: list[str] = []
        size = 0
        for index, line in enumerate(lines):
            piece = line.lstrip(" \t") if index else line
            self._offsets.append(size)
            self._starts.append((number + index, len(line) - len(piece)))
            if index < len(lines) - 1:
                piece = piece[:-1] + " " if piece else ""
            pieces.append(piece)
            size += len(piece)
        self.text = "".join(pieces)

    def where(self, offset: int) -> Where:
        """Of one of the characters."""
        index = bisect_right(self._offsets, offset) - 1
        line, column = self._starts[index]
        return Where(self._file, line, column + offset - self._offsets[index] + 1)


def _logical(text: str, file: str, first: int) -> Iterator[_LogicalLine]:
    lines = text.split("\n")
    start = 0
    for number, line in enumerate(lines):
        if not line.endswith("\\") or number == len(lines) - 1:
            yield _LogicalLine(file, first + start, lines[start : number + 1])
            start = number + 1


def _words(line: _LogicalLine, problem: Callable[[Where, str], None]) -> list[_Word]:
    """The words of a line up to a comment. Each character is looked at once."""
    words: list[_Word] = []
    text, pos = line.text, 0
    while pos < len(text):
        if text[pos] in BLANKS:
            pos += 1
        elif text[pos] == "#":
            break
        else:
            word, pos = _word(line, pos, problem)
            words.append(word)
    return words


def _word(line: _LogicalLine, pos: int, problem: Callable[[Where, str], None]) -> tuple[_Word, int]:
    """The word that begins at `pos`, and the position behind it."""
    text, start, quote = line.text, pos, -1
    chars: list[str] = []
    shapes: list[str] = []
    places: list[Where] = []
    while pos < len(text) and (quote >= 0 or text[pos] not in BLANKS):
        size, char, shape = 1, text[pos], text[pos]
        if char == '"':
            quote, char, shape = (-1 if quote >= 0 else pos), "", ""
        elif char == "\\" and (byte := _octal(text[pos + 1 : pos + 4])) >= 0:
            size, char, shape = 4, _character(byte), "\0"
        if char:
            chars.append(char)
            shapes.append(shape)
            places.append(line.where(pos))
        pos += size
    if quote >= 0:
        problem(line.where(quote), "a quote that is not closed")
    return _Word(line.where(start), "".join(chars), "".join(shapes), places), pos


def _octal(digits: str) -> int:
    if len(digits) != 3 or not all(digit in "01234567" for digit in digits):
        return -1
    value = int(digits, 8)
    return value if value < 256 else -1


def _character(byte: int) -> str:
    return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)


class _Parser:
    """Words to entries."""

    def __init__(self, file: str) -> None:
        self.parsed = Parsed()
        self._file = file

    def problem(self, where: Where, text: str, error: bool = True) -> None:
        """Note one."""
        self.parsed.problems.append(Problem(where, text, error))

    def text(self, text: str, line: int = 1) -> Parsed:
        """A whole file."""
        for words in self.words(text, line):
            self._line(words)
        return self.parsed

    def words(self, text: str, line: int) -> Iterator[list[_Word]]:
        """The words of each line that has some."""
        for logical in _logical(text.replace("\r\n", "\n"), self._file, line):
            words = _words(logical, self.problem)
            if words:
                yield words

    def _line(self, words: list[_Word]) -> None:
        path = self._path(words[0])
        entry = self.entry(words[1:], words[0].where)
        if path is not None and entry.clients:
            self.parsed.entries.append(replace(entry, path=path))

    def entry(self, words: list[_Word], where: Where) -> Entry:
        """What stands behind a path: defaults, clients."""
        line = _Line(FILE_DEFAULTS)
        clients = self._clients(words, line)
        if all(word.shape.startswith("-") for word in words):
            text = f"no client: everybody may use it ({line.options})"
            self.problem(where, text, error=False)
            clients = [Client(ANYONE, line.options, where)]
        return Entry("/", tuple(clients), line.storage, line.mountpoint, where)

    def _path(self, word: _Word) -> str | None:
        path = str(word)
        if not path.startswith("/"):
            self.problem(word.where, f"an export begins with a path, not {path!r}")
            return None
        try:
            path = check_path(path)
        except ValueError as exc:
            self.problem(word.where, str(exc))
            return None
        if "(" in word.shape and word.shape.endswith(")"):
            text = f"{path!r} is all path: a blank belongs before the client"
            self.problem(word.where, text, error=False)
        return path

    def _clients(self, words: list[_Word], line: _Line) -> list[Client]:
        """The clients of a line. The defaults for those behind them, and what is said of the export
        itself, go into `line`."""
        clients: list[Client] = []
        bare: str | None = None
        for word in words:
            if word.shape.startswith("-"):
                new = self._options(word[1:], line)
                line.options, bare = new.options, None
                line.storage, line.mountpoint = new.storage, new.mountpoint
                continue
            if not word.shape.startswith("("):
                bare = None if "(" in word.shape else str(word)
            elif bare is not None:
                self.problem(
                    word.where,
                    f"{bare!r} has the defaults, and everybody has {word}: "
                    f"was {bare}{word} meant, without a blank?",
                    error=False,
                )
                bare = None
            else:
                text = f"options without a client are for everybody: write *{word}"
                self.problem(word.where, text, error=False)
            client = self._client(word, line)
            if client is not None:
                clients.append(client)
        return clients

    def _client(self, word: _Word, line: _Line) -> Client | None:
        head, paren, _ = word.shape.partition("(")
        options = _Line(line.options, line.storage, line.mountpoint)
        if paren:
            inside = word[len(head) + 1 :]
            if not inside.shape.endswith(")") or ")" in inside.shape[:-1]:
                text = f"{str(word)!r}: options stand in parentheses, without blanks"
                self.problem(word.where, text)
                return None
            options = self._options(inside[:-1], options)
            line.storage, line.mountpoint = options.storage, options.mountpoint
        try:
            if not word.shape:
                raise ValueError("a client without a name; everybody is *")
            host = HostPattern.parse(str(word[: len(head)]))
        except ValueError as exc:
            self.problem(word.where, str(exc))
            return None
        if host.note:
            self.problem(word.where, host.note, error=False)
        return Client(host, options.options, word.where)

    def _options(self, words: _Word, line: _Line) -> _Line:
        for word in words.split(","):
            if not word.text:
                continue
            try:
                read = read_word(str(word), line.options)
                if read.name == STORAGE:
                    line = replace(line, storage=self._same(word, line.storage, read.value))
                elif read.name == MOUNTPOINT[0]:
                    mountpoint = self._same(word, line.mountpoint, read.value)
                    line = replace(line, mountpoint=mountpoint)
                else:
                    line = replace(line, options=read.options)
            except ValueError as exc:
                self.problem(word.where, str(exc))
            else:
                if read.note:
                    self.problem(word.where, read.note, error=False)
        return line

    def _same(self, word: _Word, old: str | None, new: str) -> str:
        if old not in {None, new}:
            raise ValueError(f"{word}: it is {old!r} already, and one for all clients")
        return new


@dataclass(slots=True)
class _Line:
    """What options say: of a client, and of the export itself."""

    options: Options
    storage: str | None = None
    mountpoint: str | None = None


def parse(text: str, file: str = "exports", line: int = 1) -> Parsed:
    """The entries of an exports file, and all that is wrong with it. Never raises.

    `text` is the file's, decoded as UTF-8 with surrogateescape; `file` and the number `line` of its
    first line are for the problems.
    """
    return _Parser(file).text(text, line)


def parse_clients(text: str, where: Where) -> Parsed:
    """What stands behind a path in an exports file; the one entry's path is ``/``.

    All problems are at `where`.
    """
    parser = _Parser(where.file)
    words = [word for words in parser.words(text, where.line) for word in words]
    parser.parsed.entries.append(parser.entry(words, where))
    parser.parsed.problems = [replace(found, where=where) for found in parser.parsed.problems]
    return parser.parsed


def merge(entries: Iterable[Entry]) -> Parsed:
    """One entry a path, the clients of all its lines together; what contradicts is an error."""
    merged: dict[str, Entry] = {}
    parsed = Parsed()
    for entry in entries:
        old = merged.get(entry.path)
        if old is None:
            merged[entry.path] = replace(entry, clients=_distinct((), entry, parsed))
            continue
        for name in ("storage", "mountpoint"):
            was, now = getattr(old, name), getattr(entry, name)
            if was is not None and now not in {None, was}:
                text = f"{entry.path} has {name}={was} at {old.where}, and {now} here"
                parsed.problems.append(Problem(entry.where, text))
        merged[entry.path] = replace(
            old,
            clients=_distinct(old.clients, entry, parsed),
            storage=old.storage if old.storage is not None else entry.storage,
            mountpoint=old.mountpoint if old.mountpoint is not None else entry.mountpoint,
        )
    parsed.entries = list(merged.values())
    return parsed


def _distinct(known: tuple[Client, ...], entry: Entry, parsed: Parsed) -> tuple[Client, ...]:
    clients = {client.host: client for client in known}
    for client in entry.clients:
        old = clients.setdefault(client.host, client)
        if old is not client:
            differs = old.options != client.options
            text = f"{entry.path} names {client.host.text} twice: first at {old.where}"
            parsed.problems.append(Problem(client.where, text, error=differs))
    return tuple(clients.values())


def check_path(path: str) -> str:
    """`path`, an export's, as it is `normal`. Raises ValueError for one that cannot be mounted."""
    if "\0" in path or ".." in path.split("/"):
        raise ValueError(f"a path with a NUL or .. in it: {path!r}")
    if len(path.encode("utf-8", "surrogateescape")) > PATH_BYTES:
        raise ValueError(f"a path of more than {PATH_BYTES} bytes")
    return normal(path)


def normal(path: str) -> str:
    """A path without double or trailing slashes and without ``.`` components."""
    return "/" + "/".join(name for name in path.split("/") if name not in {"", "."})


def format(entries: Iterable[Entry]) -> str:
    """A text that `parse` makes the same entries of."""
    return "".join(_format(entry) + "\n" for entry in entries)


def _format(entry: Entry) -> str:
    of_export = [
        f"{name}={escape(value, ',')}" if value else name
        for name, value in ((STORAGE, entry.storage), (MOUNTPOINT[0], entry.mountpoint))
        if value is not None
    ]
    clients = [
        f"{escape(client.host.text, '()')}({','.join([str(client.options), *of_export])})"
        for client in entry.clients
    ]
    return " ".join([escape(entry.path, ""), *clients])


def escape(text: str, more: str) -> str:
    """A word of an exports file: bytes that would be read otherwise, and `more`, as escapes."""
    raw = text.encode("utf-8", "surrogateescape")
    special = {*b' \t\r\v\f\n"\\#()', *more.encode()}
    return "".join(
        f"\\{byte:03o}" if byte in special or not 0x20 < byte < 0x7F else chr(byte) for byte in raw
    )
