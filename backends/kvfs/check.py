"""The consistency check: every record against every other, and what to do about it.

All records but file data are read into memory, some hundred bytes for each file. What a repair
changes is one transaction.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from backends.base import FileType, FsError
from backends.kvfs.blockcheck import check_blocks
from backends.kvfs.engine import after
from backends.kvfs.records import (
    DIR_SIZE,
    FIRST_COOKIE,
    ROOT_INO,
    STATE_KEY,
    Doomed,
    Entry,
    Inode,
    State,
    cookie_key,
    decode_listed,
    encode_listed,
    name_key,
    number_key,
    number_of,
)
from backends.kvfs.store import Store, View

LOST_FOUND = b"lost+found"


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
    #: Inodes that must be written.
    dirty: set[int] = field(default_factory=set)

    def say(self, line: str) -> None:
        """A line for the administrator."""
        self.lines.append(line)

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


def check(store: Store, repair: bool, now: int) -> list[str]:
    """Look for inconsistencies, a line each; with `repair`, put them right. Raises OSError.

    `store` must be reloaded afterwards.
    """
    tx = store.engine.begin(write=True, sync=True)
    try:
        tree = Tree(View(store, tx, State()), now)
        _load(tree)
        for step in (_check_root, _check_names, _check_list, _check_tree, _check_counts):
            step(tree)
        check_blocks(tree.view, tree.inodes, tree.doomed, tree.dirty, tree.say, store.engine)
        for ino in tree.dirty & tree.inodes.keys():
            tx.put(number_key(b"I", ino), tree.inodes[ino].encode())
        _check_state(tree)
    except BaseException:
        tx.abort()
        raise
    if repair and tree.lines:
        tx.commit()
    else:
        tx.abort()
    return tree.lines


def _load(tree: Tree) -> None:
    """Read all records; those that cannot be read go."""
    tx = tree.view.tx
    for key, value in list(_records(tree, b"I")):
        try:
            tree.inodes[number_of(key)] = Inode.decode(number_of(key), value)
        except FsError:
            tree.say(f"inode {number_of(key)}: cannot be read")
            tx.delete(key)
    for key, value in _records(tree, b"D"):
        try:
            tree.names[number_of(key)][key[9:]] = Entry.decode(value)
        except FsError:
            tree.say(f"directory {number_of(key)}: the entry {key[9:]!r} cannot be read")
            tx.delete(key)
    for key, value in _records(tree, b"C"):
        try:
            tree.listed[number_of(key)][int.from_bytes(key[9:], "big")] = decode_listed(value)
        except FsError:
            tree.say(f"directory {number_of(key)}: its list cannot be read at {key[9:].hex()}")
            tx.delete(key)
    for key, value in list(_records(tree, b"O")):
        try:
            tree.doomed[number_of(key)] = Doomed.decode(value)
        except FsError:
            tree.say(f"object {number_of(key)}: cannot read what of it is to be deleted")
            tx.delete(key)


def _records(tree: Tree, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    return tree.view.tx.scan(prefix, after(prefix))


def _check_root(tree: Tree) -> None:
    root = tree.inodes.get(ROOT_INO)
    if root is not None and root.type is FileType.DIR and root.generation == 0:
        return
    tree.say("the root directory is missing")
    now = tree.now
    root = Inode(ROOT_INO, FileType.DIR, 0o755, 0, 0, 0, now, now, now, 2, DIR_SIZE)
    root.parent = ROOT_INO
    root.next_cookie = 1 + max(tree.listed[ROOT_INO], default=FIRST_COOKIE)
    tree.inodes[ROOT_INO] = root
    tree.dirty.add(ROOT_INO)


def _is_dir(tree: Tree, ino: int) -> bool:
    node = tree.inodes.get(ino)
    return node is not None and node.type is FileType.DIR


def _check_names(tree: Tree) -> None:
    """That each name is in a directory, stands for something, and is listed."""
    for dir, names in list(tree.names.items()):
        for name, entry in list(names.items()):
            if not _is_dir(tree, dir):
                tree.say(f"{name!r} is in directory {dir}, which is none")
                tree.drop_name(dir, name)
            elif entry.ino not in tree.inodes or entry.ino == ROOT_INO:
                tree.say(f"directory {dir}: {name!r} stands for inode {entry.ino}, which is none")
                tree.drop_name(dir, name)
            elif tree.listed[dir].get(entry.cookie) != (entry.ino, name):
                tree.say(f"directory {dir}: {name!r} is not listed")
                node = tree.inodes[dir]
                node.next_cookie = max([node.next_cookie, *(at + 1 for at in tree.listed[dir])])
                tree.put_name(dir, name, entry.ino)


def _check_list(tree: Tree) -> None:
    """That each entry of a list is found by its name; and that new cookies will be new."""
    for dir, listed in list(tree.listed.items()):
        for cookie, (ino, name) in list(listed.items()):
            if tree.names[dir].get(name) == (ino, cookie):
                continue
            tree.say(f"directory {dir}: {name!r} is listed, but is not found")
            tree.drop_cookie(dir, cookie)
            if name not in tree.names[dir] and _is_dir(tree, dir) and ino in tree.inodes:
                tree.put_name(dir, name, ino)
        if listed and max(listed) >= (node := tree.inodes[dir]).next_cookie:
            tree.say(f"directory {dir}: its next cookie is in use")
            node.next_cookie = max(listed) + 1
            tree.dirty.add(dir)


def _check_tree(tree: Tree) -> None:
    """That each inode is reached from the root, directories by one name."""
    above: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    for dir, names in tree.names.items():
        for name, entry in names.items():
            above[entry.ino].append((dir, name))
    for ino, places in above.items():
        node = tree.inodes[ino]
        if node.type is FileType.DIR:
            places.sort(key=lambda place: place[0] != node.parent)
            for dir, name in places[1:]:
                tree.say(f"directory {ino} has another name, {name!r} in directory {dir}")
                tree.drop_name(dir, name)
            del places[1:]
    reached = _reach(tree, ROOT_INO, set())
    # What has no name first, since it may be what the others are in.
    for ino in sorted(tree.inodes.keys() - reached, key=lambda ino: (bool(above.get(ino)), ino)):
        if ino in reached:
            continue
        tree.say(f"inode {ino} cannot be reached from the root")
        for dir, name in above.get(ino, ()):
            tree.drop_name(dir, name)
        lost = _lost_found(tree, reached)
        tree.put_name(lost, _free_name(tree, lost, b"#%d" % ino), ino)
        reached |= _reach(tree, ino, reached)
    root = tree.inodes[ROOT_INO]
    parents = [(ROOT_INO, root)]
    for dir, names in tree.names.items():
        children = ((dir, tree.inodes[entry.ino]) for entry in names.values())
        parents += [(dir, node) for dir, node in children if node.type is FileType.DIR]
    for dir, node in parents:
        if node.parent != dir:
            tree.say(f"directory {node.ino}: is in {dir}, and says it is in {node.parent}")
            node.parent = dir
            tree.dirty.add(node.ino)


def _reach(tree: Tree, ino: int, known: set[int]) -> set[int]:
    """What can be reached from an inode, itself too, but for what is known already."""
    found, todo = {ino}, [ino]
    while todo:
        for entry in tree.names.get(todo.pop(), {}).values():
            if entry.ino not in found and entry.ino not in known:
                found.add(entry.ino)
                todo.append(entry.ino)
    return found


def _lost_found(tree: Tree, reached: set[int]) -> int:
    """The directory for what has no name, made if need be."""
    entry = tree.names[ROOT_INO].get(LOST_FOUND)
    if entry is not None and _is_dir(tree, entry.ino):
        return entry.ino
    ino = 1 + max([*tree.inodes, *tree.doomed, *(node.data for node in tree.inodes.values())])
    now = tree.now
    node = Inode(ino, FileType.DIR, 0o700, 0, 0, 0, now, now, now, 2, DIR_SIZE)
    node.generation = int.from_bytes(os.urandom(4), "big")
    node.parent = ROOT_INO
    tree.inodes[ino] = node
    tree.put_name(ROOT_INO, _free_name(tree, ROOT_INO, LOST_FOUND), ino)
    reached.add(ino)
    return ino


def _free_name(tree: Tree, dir: int, name: bytes) -> bytes:
    number = 0
    free = name
    while free in tree.names[dir]:
        number += 1
        free = b"%b.%d" % (name, number)
    return free


def _check_counts(tree: Tree) -> None:
    """Link counts, and the number of entries."""
    links: dict[int, int] = defaultdict(int)
    for dir, names in tree.names.items():
        for entry in names.values():
            links[entry.ino] += 1
            if tree.inodes[entry.ino].type is FileType.DIR:
                links[dir] += 1
    for ino, node in tree.inodes.items():
        wanted = links[ino] + (2 if ino == ROOT_INO else node.type is FileType.DIR)
        if node.nlink != wanted:
            tree.say(f"inode {ino}: its link count is {node.nlink}, should be {wanted}")
            node.nlink = wanted
            tree.dirty.add(ino)
        entries = len(tree.names.get(ino, ()))
        if node.type is FileType.DIR and node.entries != entries:
            tree.say(f"directory {ino}: counts {node.entries} names, has {entries}")
            node.entries = entries
            tree.dirty.add(ino)


def _check_state(tree: Tree) -> None:
    """The counters of the whole."""
    least = 1 + max([*tree.inodes, *tree.doomed, *(node.data for node in tree.inodes.values())])
    wanted = State(least, len(tree.inodes), sum(node.used for node in tree.inodes.values()))
    value = tree.view.tx.get(STATE_KEY)
    try:
        found = None if value is None else State.decode(value)
    except FsError:
        found = None
    if found is None:
        tree.say("the counters are missing")
    else:
        if found.next < wanted.next:
            tree.say(f"the next inode's number is {found.next}, should be {wanted.next} at least")
        wanted.next = max(wanted.next, found.next)
        if found.inodes != wanted.inodes:
            tree.say(f"{found.inodes} inodes are counted, there are {wanted.inodes}")
        if found.used != wanted.used:
            tree.say(f"{found.used} bytes are counted as used, {wanted.used} are")
    if found != wanted:
        tree.view.tx.put(STATE_KEY, wanted.encode())
