"""The consistency check: every record against every other, and what to do about it.

All records but file data are read into memory, some hundred bytes for each file. What a repair
changes is one transaction.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

from backends.base import FileType, FsError
from backends.kvfs.blockcheck import check_blocks
from backends.kvfs.engine import after
from backends.kvfs.records import (
    DIR_SIZE,
    FIRST_COOKIE,
    MOST_NUMBER,
    ROOT_INO,
    STATE_KEY,
    Doomed,
    Entry,
    Inode,
    State,
    damaged,
    decode_listed,
    number_key,
    number_of,
)
from backends.kvfs.store import Store, View
from backends.kvfs.tree import Tree

LOST_FOUND = b"lost+found"

_NAME_BYTES = 255
_MOST_BYTES = 2**63 - 1


def check(store: Store, repair: bool, now: int) -> list[str]:
    """Look for inconsistencies, a line each; with `repair`, put them right. Raises OSError.

    `store` must be reloaded afterwards.
    """
    tx = store.engine.begin(write=True, sync=True)
    try:
        tree = Tree(View(store, tx, State()), now)
        _load(tree)
        for step in _STEPS:
            step(tree)
        check_blocks(tree, store.engine)
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
    for number, key, value in _records(tree, b"I"):
        try:
            node = Inode.decode(number, value)
            _sane(key, 0, number, node.data)
            if node.size > _MOST_BYTES:
                raise damaged("a size")
            tree.inodes[number] = node
        except FsError:
            tree.say(f"inode {number}: cannot be read")
            tree.view.tx.delete(key)
    for number, key, value in _records(tree, b"D"):
        try:
            entry = Entry.decode(value)
            _sane_entry(number, entry.ino, entry.cookie, key[9:])
            tree.names[number][key[9:]] = entry
        except FsError:
            tree.say(f"directory {number}: the entry {key[9:]!r} cannot be read")
            tree.view.tx.delete(key)
    for number, key, value in _records(tree, b"C"):
        try:
            cookie = int.from_bytes(key[9:], "big")
            ino, name = decode_listed(value)
            _sane(key, 8)
            _sane_entry(number, ino, cookie, name)
            tree.listed[number][cookie] = ino, name
        except FsError:
            tree.say(f"directory {number}: its list cannot be read at {key[9:].hex()}")
            tree.view.tx.delete(key)
    for number, key, value in _records(tree, b"O"):
        try:
            what = Doomed.decode(value)
            _sane(key, 0, number, what.first)
            tree.doomed[number] = what
        except FsError:
            tree.say(f"object {number}: cannot read what of it is to be deleted")
            tree.view.tx.delete(key)
    _count_on(tree)


def _records(tree: Tree, prefix: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    # All at once: they may be deleted meanwhile.
    for key, value in list(tree.view.tx.scan(prefix, after(prefix))):
        yield number_of(key), key, value


def _sane(key: bytes, tail: int, *numbers: int) -> None:
    """That a key has one number and a tail of so many bytes, and that nothing is too large."""
    if len(key) != 9 + tail or any(number >= MOST_NUMBER for number in numbers):
        raise damaged("a record")


def _sane_entry(dir: int, ino: int, cookie: int, name: bytes) -> None:
    large = max(dir, ino, cookie) >= MOST_NUMBER
    bad = not 0 < len(name) <= _NAME_BYTES or name in (b".", b"..") or re.search(rb"[/\0]", name)
    if large or bad or cookie < FIRST_COOKIE:
        raise damaged("an entry")


def _count_on(tree: Tree) -> None:
    """Find the number that comes next. Blocks count, too: a new file must not get old ones."""
    numbers = [*tree.inodes, *tree.doomed, *tree.view.tx.blocks.objects(0), ROOT_INO]
    numbers += (node.data for node in tree.inodes.values())
    found = _state(tree)
    if found is not None:
        numbers.append(found.next - 1)
    tree.first = tree.next = 1 + max(number for number in numbers if number < MOST_NUMBER)


def _state(tree: Tree) -> State | None:
    value = tree.view.tx.get(STATE_KEY)
    with suppress(FsError):
        return None if value is None else State.decode(value)
    return None


def _check_root(tree: Tree) -> None:
    root = tree.inodes.get(ROOT_INO)
    if root is not None and root.type is FileType.DIR and root.generation == 0:
        return
    tree.say("the root directory is missing")
    now = tree.now
    root = Inode(ROOT_INO, FileType.DIR, 0o755, 0, 0, 0, now, now, now, 2, DIR_SIZE)
    root.parent = ROOT_INO
    tree.inodes[ROOT_INO] = root
    tree.dirty.add(ROOT_INO)


def _is_dir(tree: Tree, ino: int) -> bool:
    node = tree.inodes.get(ino)
    return node is not None and node.type is FileType.DIR


def _check_cookies(tree: Tree) -> None:
    """That new cookies will be new: before names get any here."""
    for dir, node in tree.inodes.items():
        if node.type is not FileType.DIR:
            continue
        used = [*tree.listed.get(dir, ()), *(e.cookie for e in tree.names.get(dir, {}).values())]
        least = 1 + max(used, default=FIRST_COOKIE - 1)
        if not least <= node.next_cookie < MOST_NUMBER:
            tree.say(f"directory {dir}: its next cookie is {node.next_cookie}, should be {least}")
            node.next_cookie = least
            tree.dirty.add(dir)


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
                tree.put_name(dir, name, entry.ino)


def _check_list(tree: Tree) -> None:
    """That each entry of a list is found by its name."""
    for dir, listed in list(tree.listed.items()):
        for cookie, (ino, name) in list(listed.items()):
            if tree.names[dir].get(name) == (ino, cookie):
                continue
            tree.say(f"directory {dir}: {name!r} is listed, but is not found")
            tree.drop_cookie(dir, cookie)
            good = ino in tree.inodes and ino != ROOT_INO
            if good and name not in tree.names[dir] and _is_dir(tree, dir):
                tree.put_name(dir, name, ino)


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
    ino, now = tree.number(), tree.now
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
    used = sum(node.used for node in tree.inodes.values())
    wanted, found = State(tree.next, len(tree.inodes), used), _state(tree)
    if found is None:
        tree.say("the counters are missing")
    else:
        if found.next != tree.first:
            tree.say(f"the next inode's number is {found.next}, should be {tree.first}")
        if found.inodes != wanted.inodes:
            tree.say(f"{found.inodes} inodes are counted, there are {wanted.inodes}")
        if found.used != wanted.used:
            tree.say(f"{found.used} bytes are counted as used, {wanted.used} are")
    if found != wanted:
        tree.view.tx.put(STATE_KEY, wanted.encode())


#: One stands on the other.
_STEPS = _check_root, _check_cookies, _check_names, _check_list, _check_tree, _check_counts
