"""What the consistency check knows: all records but file data."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from backends.kvfs.records import (
    Doomed,
    Entry,
    Inode,
    cookie_key,
    encode_listed,
    name_key,
)
from backends.kvfs.store import View


@dataclass
class Tree:
    """The records as they are, then as they should be; `lines` say what was wrong."""

    view: View
    now: int
    lines: list[str] = field(default_factory=list)
    inodes: dict[int, Inode] = field(default_factory=dict)
    names: dict[int, dict[bytes, Entry]] = field(default_factory=lambda: defaultdict(dict))
    listed: dict[int, dict[int, tuple[int, bytes]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    doomed: dict[int, Doomed] = field(default_factory=dict)
    #: The number that the next inode or object had when all was read, and has now: no record and
    #: no block has it, or one behind it.
    first: int = 0
    next: int = 0
    #: Inodes that must be written.
    dirty: set[int] = field(default_factory=set)

    def say(self, line: str) -> None:
        """A line for the administrator."""
        self.lines.append(line)

    def number(self) -> int:
        """A number that no inode and no object ever had."""
        self.next += 1
        return self.next - 1

    def put_name(self, dir: int, name: bytes, ino: int) -> None:
        """Enter a name, in the place of what it stood for, under a new cookie."""
        node = self.inodes[dir]
        self.drop_name(dir, name)
        entry = self.names[dir][name] = Entry(ino, node.next_cookie)
        node.next_cookie += 1
        self.listed[dir][entry.cookie] = ino, name
        self.view.tx.put(name_key(dir, name), entry.encode())
        self.view.tx.put(cookie_key(dir, entry.cookie), encode_listed(ino, name))
        self.dirty.add(dir)

    def drop_name(self, dir: int, name: bytes) -> None:
        """Take a name away."""
        self.view.tx.delete(name_key(dir, name))
        entry = self.names[dir].pop(name, None)
        if entry is not None and self.listed[dir].get(entry.cookie) == (entry.ino, name):
            self.drop_cookie(dir, entry.cookie)

    def drop_cookie(self, dir: int, cookie: int) -> None:
        """Take an entry out of a directory's list."""
        self.view.tx.delete(cookie_key(dir, cookie))
        self.listed[dir].pop(cookie, None)
