"""The consistency check: each kind of damage, planted in the engine, is found and put right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backends.base import Context, CreateMode, Key, SetAttr, Stable
from backends.kvfs import KvfsBackend, MemoryEngine
from backends.kvfs.engine import Engine, Transaction
from backends.kvfs.records import (
    FIRST_COOKIE,
    ROOT_INO,
    STATE_KEY,
    Doomed,
    Entry,
    Inode,
    State,
    cookie_key,
    encode_listed,
    name_key,
    number_key,
)
from backends.sqlite.engine import SqliteEngine

CTX = Context()
BLOCK = 4096
A_DATA = bytes(range(256)) * 40  # two blocks and a half


@dataclass
class Tree:
    """root: a (file), d: b (file), a2 (link to a), l (symlink), e: f (file)."""

    fs: KvfsBackend
    keys: dict[str, Key] = field(default_factory=dict)

    def ino(self, name: str) -> int:
        return self.keys[name].ino

    async def file(self, dir: Key, name: bytes, data: bytes) -> Key:
        attr = SetAttr(mode=0o644)
        key = (await self.fs.create(CTX, dir, name, CreateMode.GUARDED, attr, b"")).attr.key
        await self.fs.write(CTX, key, 0, data, Stable.UNSTABLE)
        return key

    async def build(self) -> None:
        keys, attr = self.keys, SetAttr(mode=0o755)
        root = keys["root"] = (await self.fs.root(CTX)).key
        keys["a"] = await self.file(root, b"a", A_DATA)
        keys["d"] = (await self.fs.mkdir(CTX, root, b"d", attr)).attr.key
        keys["b"] = await self.file(keys["d"], b"b", b"data of b")
        await self.fs.link(CTX, keys["a"], keys["d"], b"a2")
        keys["l"] = (await self.fs.symlink(CTX, keys["d"], b"l", b"target", attr)).attr.key
        keys["e"] = (await self.fs.mkdir(CTX, keys["d"], b"e", attr)).attr.key
        keys["f"] = await self.file(keys["e"], b"f", b"data of f")

    async def names(self, dir: Key) -> list[bytes]:
        return [e.name for e in (await self.fs.readdir(CTX, dir, 0, 10_000, True)).entries]

    async def data(self, key: Key) -> bytes:
        return bytes((await self.fs.read(CTX, key, 0, 1 << 20)).data)


Plant = Callable[[Transaction, Tree], None]


def change(name: str, **values: Any) -> Plant:
    """Other values in an inode's record."""

    def plant(tx: Transaction, tree: Tree) -> None:
        ino = tree.ino(name)
        value = tx.get(number_key(b"I", ino))
        assert value is not None
        node = Inode.decode(ino, value)
        for what, new in values.items():
            setattr(node, what, new)
        tx.put(number_key(b"I", ino), node.encode())

    return plant


def entry(tx: Transaction, dir: int, name: bytes) -> Entry:
    value = tx.get(name_key(dir, name))
    assert value is not None
    return Entry.decode(value)


def unname(dir: str, name: bytes) -> Plant:
    """A name is gone, from both sides."""

    def plant(tx: Transaction, tree: Tree) -> None:
        tx.delete(cookie_key(tree.ino(dir), entry(tx, tree.ino(dir), name).cookie))
        tx.delete(name_key(tree.ino(dir), name))

    return plant


def loop(tx: Transaction, tree: Tree) -> None:
    """d is in e, which is in d, and no longer in the root."""
    unname("root", b"d")(tx, tree)
    cookie = 100
    tx.put(name_key(tree.ino("e"), b"d"), Entry(tree.ino("d"), cookie).encode())
    tx.put(cookie_key(tree.ino("e"), cookie), encode_listed(tree.ino("d"), b"d"))


def second_name(tx: Transaction, tree: Tree) -> None:
    """The directory e is in the root, too."""
    tx.put(name_key(ROOT_INO, b"E"), Entry(tree.ino("e"), 50).encode())
    tx.put(cookie_key(ROOT_INO, 50), encode_listed(tree.ino("e"), b"E"))


def state(**values: int) -> Plant:
    def plant(tx: Transaction, tree: Tree) -> None:
        value = tx.get(STATE_KEY)
        assert value is not None
        counters = State.decode(value)
        for what, new in values.items():
            setattr(counters, what, new)
        tx.put(STATE_KEY, counters.encode())

    return plant


def put(key: Callable[[Tree], bytes], value: bytes | None) -> Plant:
    def plant(tx: Transaction, tree: Tree) -> None:
        if value is None:
            tx.delete(key(tree))
        else:
            tx.put(key(tree), value)

    return plant


def same_data(tx: Transaction, tree: Tree) -> None:
    change("b", data=tree.ino("a"), size=len(A_DATA), used=len(A_DATA))(tx, tree)


def old_list(tx: Transaction, tree: Tree) -> None:
    """The directory's record is an old one, and a name is missing: it must get a new cookie."""
    change("d", next_cookie=FIRST_COOKIE)(tx, tree)
    tx.delete(name_key(tree.ino("d"), b"b"))


def unlist(tx: Transaction, tree: Tree) -> None:
    tx.delete(cookie_key(tree.ino("d"), entry(tx, tree.ino("d"), b"b").cookie))


def wrong_list(tx: Transaction, tree: Tree) -> None:
    at = cookie_key(tree.ino("d"), entry(tx, tree.ino("d"), b"b").cookie)
    tx.put(at, encode_listed(tree.ino("f"), b"b"))


def doomed(name: str, what: Doomed) -> Plant:
    return put(lambda tree: number_key(b"O", tree.ino(name)), what.encode())


#: What is planted, what must be said of it.
DAMAGE: dict[str, tuple[Plant, str]] = {
    "unreadable inode": (put(lambda t: number_key(b"I", t.ino("b")), b"?"), "cannot be read"),
    "lost inode": (put(lambda t: number_key(b"I", t.ino("f")), None), "which is none"),
    "lost directory": (put(lambda t: number_key(b"I", t.ino("e")), None), "is in directory"),
    "lost root": (put(lambda t: number_key(b"I", ROOT_INO), None), "root directory is missing"),
    "unreadable name": (put(lambda t: name_key(t.ino("d"), b"b"), b"?"), "cannot be read"),
    "unreadable list": (put(lambda t: cookie_key(t.ino("d"), 999), b""), "list cannot be read"),
    "unreadable doom": (put(lambda t: number_key(b"O", 77), b"?"), "cannot read what of it"),
    "nameless file": (unname("d", b"b"), "cannot be reached"),
    "nameless directory": (unname("d", b"e"), "cannot be reached"),
    "loop": (loop, "cannot be reached"),
    "directory of two names": (second_name, "has another name"),
    "wrong parent": (change("e", parent=ROOT_INO), "says it is in 1"),
    "wrong parent of the root": (change("root", parent=5), "says it is in 5"),
    "link count of a file": (change("a", nlink=3), "link count is 3, should be 2"),
    "link count of a directory": (change("d", nlink=2), "link count is 2, should be 3"),
    "number of names": (change("d", entries=3), "counts 3 names, has 4"),
    "name that is not listed": (unlist, "is not listed"),
    "name that is listed as another": (wrong_list, "is not listed"),
    "name that is not found": (
        put(lambda t: name_key(t.ino("d"), b"b"), None), "listed, but is not found"
    ),
    "listed ghost": (
        put(lambda t: cookie_key(t.ino("d"), 60), encode_listed(99, b"x")), "is not found"
    ),
    "list of no directory": (
        put(lambda t: cookie_key(t.ino("b"), 3), encode_listed(3, b"x")), "is not found"
    ),
    "cookie in use": (change("d", next_cookie=4), "next cookie is 4, should be 7"),
    "cookie of the server": (change("e", next_cookie=0), "next cookie is 0, should be 4"),
    "cookie too large": (change("e", next_cookie=2**64 - 1), "should be 4"),
    "old list": (old_list, "next cookie is 3, should be 7"),
    "listed far behind": (
        put(lambda t: cookie_key(t.ino("d"), 2**64 - 1), encode_listed(3, b"b")),
        "list cannot be read",
    ),
    "name far behind": (
        put(lambda t: name_key(t.ino("d"), b"b"), Entry(4, 2**64 - 1).encode()), "cannot be read"
    ),
    "listed root": (
        put(lambda t: cookie_key(t.ino("d"), 60), encode_listed(ROOT_INO, b"r")), "is not found"
    ),
    "named root": (put(lambda t: name_key(t.ino("d"), b"r"), Entry(1, 60).encode()), "is none"),
    "name of the server": (
        put(lambda t: cookie_key(t.ino("d"), 60), encode_listed(4, b"..")), "list cannot be read"
    ),
    "name with a slash": (
        put(lambda t: name_key(t.ino("d"), b"a/b"), Entry(4, 60).encode()), "cannot be read"
    ),
    "number too large": (change("b", data=2**64 - 1), "cannot be read"),
    "block too long": (
        lambda tx, t: tx.blocks.write(t.ino("b"), 0, bytes(10)), "9 at most are right"
    ),
    "block behind the end": (
        lambda tx, t: tx.blocks.write(t.ino("b"), 7, bytes(10)), "data behind its end"
    ),
    "block of nobody": (lambda tx, t: tx.blocks.write(4711, 0, b"x"), "no file has it"),
    "lost block": (lambda tx, t: drop_blocks(tx, t.ino("a")), "bytes as used"),
    "bytes of a file": (change("b", used=5), "counts 5 bytes as used, 9 are"),
    "bytes of a link": (change("l", used=5), "counts 5 bytes as used, 6 are"),
    "data of two": (same_data, "its data is that of"),
    "doom of live data": (lambda tx, t: doomed("a", Doomed(1, t.ino("a")))(tx, t), "to be deleted"),
    "doom for another": (doomed("a", Doomed(50, 3)), "which has it not"),
    "counted inodes": (state(inodes=3), "3 inodes are counted"),
    "counted bytes": (state(used=1), "1 bytes are counted"),
    "next number": (state(next=4), "next inode's number"),
    "next number too large": (state(next=2**64 - 1), "next inode's number"),
    "lost counters": (put(lambda t: STATE_KEY, None), "counters are missing"),
}  # fmt: skip


def drop_blocks(tx: Transaction, object: int) -> None:
    tx.blocks.delete(object, 1, 100)


def make(kind: str, path: Path) -> Engine:
    return MemoryEngine(block_bytes=BLOCK) if kind == "memory" else SqliteEngine(path / "fs.db")


async def started(engine: Engine) -> Tree:
    tree = Tree(KvfsBackend(engine))
    await tree.fs.start()
    await tree.build()
    return tree


def damage(tree: Tree, plant: Plant) -> None:
    tx = tree.fs.engine.begin(write=True)
    plant(tx, tree)
    tx.commit()
    tree.fs._store.reload()


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_repaired(name: str) -> None:
    plant, expected = DAMAGE[name]

    async def body() -> None:
        engine = MemoryEngine(block_bytes=BLOCK)
        tree = await started(engine)
        assert await tree.fs.fsck() == []
        damage(tree, plant)
        if name == "lost counters":  # they are made anew when it starts
            engine.memory.set(STATE_KEY, None)
        before = dict(engine.memory.values)
        lines = await tree.fs.fsck()
        assert any(expected in line for line in lines), lines
        assert engine.memory.values == before, "a check without repair changed something"
        assert await tree.fs.fsck(repair=True) == lines
        assert await tree.fs.fsck() == []
        # All that can still be reached works, and new names and files can be made.
        await use(tree)
        assert await tree.fs.fsck() == []
        await tree.fs.stop()
        again = KvfsBackend(engine)
        await again.start()
        assert await again.fsck() == []

    asyncio.run(body())


async def use(tree: Tree) -> None:
    """Walk all that is there, change each directory, remove what was made."""
    todo = [(await tree.fs.root(CTX)).key]
    while todo:
        dir = todo.pop()
        key = await tree.file(dir, b"new", b"new data")
        assert key not in tree.keys.values()
        assert await tree.data(key) == b"new data"
        for one in (await tree.fs.readdir(CTX, dir, 0, 10_000, True)).entries:
            found = (await tree.fs.lookup(CTX, dir, one.name)).attr
            assert found.ino == one.ino
            if found.type.name == "DIR":
                assert (await tree.fs.parent(CTX, found.key)).key == dir
                todo.append(found.key)
        await tree.fs.remove(CTX, dir, b"new")


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("nameless file", b"data of b"),
        ("nameless directory", b"data of f"),
        ("loop", b"data of f"),
        ("name that is not found", b"data of b"),
        ("name that is not listed", b"data of b"),
        ("lost root", b"data of f"),
        ("data of two", A_DATA),
    ],
)
def test_repair_keeps_the_data(name: str, left: bytes, tmp_path: Path) -> None:
    """Through SQLite, where repairs and reads are queries."""

    async def body() -> None:
        tree = await started(make("sqlite", tmp_path))
        damage(tree, DAMAGE[name][0])
        assert await tree.fs.fsck(repair=True)
        assert await tree.fs.fsck() == []
        key = tree.keys["f" if left == b"data of f" else "b"]
        assert await tree.data(key) == left
        assert await tree.data(tree.keys["a"]) == A_DATA
        await tree.fs.stop()

    asyncio.run(body())


def test_what_has_no_name_is_in_lost_found() -> None:
    async def body() -> None:
        tree = await started(MemoryEngine(block_bytes=BLOCK))
        root, e = tree.keys["root"], tree.keys["e"]
        damage(tree, DAMAGE["nameless directory"][0])
        await tree.fs.fsck(repair=True)
        lost = (await tree.fs.lookup(CTX, root, b"lost+found")).attr.key
        assert await tree.names(lost) == [b"#%d" % e.ino]
        assert (await tree.fs.lookup(CTX, lost, b"#%d" % e.ino)).attr.key == e
        assert await tree.names(e) == [b"f"]
        # Once more, when there is such a directory already, and a file of that name.
        await tree.file(lost, b"#%d" % tree.ino("b"), b"")
        damage(tree, DAMAGE["nameless file"][0])
        await tree.fs.fsck(repair=True)
        assert sorted(await tree.names(root)) == [b"a", b"d", b"lost+found"]
        assert b"#%d.1" % tree.ino("b") in await tree.names(lost)

    asyncio.run(body())


def test_a_name_that_is_entered_again_takes_no_others_place() -> None:
    async def body() -> None:
        tree = await started(MemoryEngine(block_bytes=BLOCK))
        d = tree.keys["d"]
        before = await tree.names(d)
        damage(tree, old_list)
        await tree.fs.fsck(repair=True)
        assert sorted(await tree.names(d)) == sorted(before)
        for name in before:
            await tree.fs.lookup(CTX, d, name)
        assert await tree.data(tree.keys["b"]) == b"data of b"

    asyncio.run(body())


@pytest.mark.parametrize("where", ["doomed", "ownerless", "next"])
@pytest.mark.parametrize("what", ["shared data", "lost+found", "lost counters"])
def test_a_new_number_has_no_blocks_of_a_deleted_file(where: str, what: str) -> None:
    """What repairs make takes a number that nothing had, as new files after them do."""

    async def body() -> None:
        engine = MemoryEngine(block_bytes=BLOCK)
        tree = await started(engine)
        old = max(key.ino for key in tree.keys.values()) + 1

        def plant(tx: Transaction, tree: Tree) -> None:
            state(next=old + (where == "next"))(tx, tree)
            if where != "next":
                for number in range(300):
                    tx.blocks.write(old, number, b"secret")
            if where == "doomed":
                tx.put(number_key(b"O", old), Doomed(0, 0).encode())
            if what == "shared data":
                change("b", data=tree.ino("a"), size=300 * BLOCK)(tx, tree)
            elif what == "lost+found":
                unname("d", b"b")(tx, tree)
            elif where != "next":
                tx.delete(STATE_KEY)

        damage(tree, plant)
        root = tree.keys["root"]
        if what == "lost counters":  # no repair: what was counted at the start must do
            assert (await tree.file(root, b"new", b"")).ino > old
            await tree.fs.fsck(repair=True)
        else:
            assert await tree.fs.fsck(repair=True)
        assert await tree.fs.fsck() == []
        if what == "shared data":
            holes = (await tree.fs.read(CTX, tree.keys["b"], 3 * BLOCK, 1 << 20)).data
            assert set(bytes(holes)) == {0}
            assert await tree.data(tree.keys["a"]) == A_DATA
            value = engine.memory.values[number_key(b"I", tree.ino("b"))]
            assert Inode.decode(0, value).data > old
        elif what == "lost+found":
            assert (await tree.fs.lookup(CTX, root, b"lost+found")).attr.ino > old
        new = await tree.file(root, b"newer", b"")
        await tree.fs.setattr(CTX, new, SetAttr(size=300 * BLOCK))
        assert not any(await tree.data(new))

    asyncio.run(body())
