"""Handles: through restarts and renames; stale, forged, and never outside of the root."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from posix_kit import PRIVILEGED, ROOT, World, needs_root, place

from backends.base import CreateMode, FileType, FsError, Key, SetAttr, Stable, Status
from backends.posix import PosixBackend, kernel
from backends.posix import index as index_module
from backends.posix.index import Index

PLACES = ["ext4", "tmpfs", "overlay"]


@pytest.fixture(params=[(kind, by) for kind in PLACES for by in ("best", "index")], ids="-".join)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """An export per kind of file system: by what is best there, and by the index."""
    kind, by = request.param
    with place(kind) as here:
        world = World(here, index=by == "index")
        yield world
        world.close()


def tree(world: World) -> dict[str, Key]:
    """A few files of all kinds, made through the server."""
    world.mkdir("a")
    world.mkdir("a/b")
    keys = {"": world.root, "a": world.key("a"), "a/b": world.key("a/b")}
    for path in ("f", "a/f", "a/b/f", "a/b/g"):
        keys[path] = world.make(path, path.encode())
    link = world.run(world.fs.symlink(ROOT, keys["a/b"], b"l", b"/etc/passwd", SetAttr()))
    keys["a/b/l"] = link.attr.key
    fifo = world.run(world.fs.mknod(ROOT, keys["a"], b"p", FileType.FIFO, (0, 0), SetAttr()))
    keys["a/p"] = fifo.attr.key
    return keys


def good(world: World, keys: dict[str, Key]) -> None:
    """All these handles work."""
    for path, key in keys.items():
        attr = world.run(world.fs.getattr(ROOT, key))
        assert attr.key == key
        if attr.type is FileType.REG:
            assert world.read(key) == path.encode()


def test_a_restart_keeps_all_handles(world: World) -> None:
    keys = tree(world)
    world.restart()
    good(world, keys)
    world.restart()
    good(world, dict(reversed(keys.items())))


def test_renames_keep_handles(world: World) -> None:
    fs, keys = world.fs, tree(world)
    world.run(fs.rename(ROOT, keys["a/b"], b"g", world.root, b"moved"))
    world.run(fs.rename(ROOT, keys["a"], b"b", world.root, b"up"))
    world.run(fs.rename(ROOT, world.root, b"a", keys["a/b"], b"down"))
    good(world, keys)
    world.restart()
    good(world, keys)
    assert world.key("up/down/f") == keys["a/f"]
    world.run(world.fs.rename(ROOT, keys["a/b"], b"f", keys["a"], b"f"))
    world.restart()
    world.stale(keys.pop("a/f"))
    good(world, keys)


def test_a_name_of_several_that_goes(world: World) -> None:
    key, sub = world.make("one", b"one"), world.mkdir("sub")
    world.run(world.fs.link(ROOT, key, sub, b"two"))
    world.run(world.fs.remove(ROOT, world.root, b"one"))
    world.restart()
    assert world.read(key) == b"one"
    world.run(world.fs.remove(ROOT, sub, b"two"))
    world.stale(key)
    world.restart()
    world.stale(key)


def test_a_link_made_by_others_is_learned_by_lookup(world: World) -> None:
    key = world.make("one", b"one")
    os.link(world.export / "one", world.export / "two")
    assert world.key("two") == key
    world.run(world.fs.remove(ROOT, world.root, b"one"))
    world.restart()
    assert world.read(key) == b"one"


def test_renames_by_others(world: World) -> None:
    keys = tree(world)
    os.rename(world.export / "a/b/f", world.export / "a/b/other")
    os.rename(world.export / "a/b", world.export / "c")
    world.restart()
    good(world, keys)
    world.run(world.fs.stop())
    os.rename(world.export / "c/g", world.export / "a/g")
    os.rename(world.export / "a", world.export / "z")
    world.fs = world._start()
    good(world, keys)


def test_removal_makes_stale(world: World) -> None:
    keys = tree(world)
    world.run(world.fs.remove(ROOT, world.root, b"f"))
    world.stale(keys["f"])
    (world.export / "a/f").unlink()
    world.stale(keys["a/f"])
    for name in ("f", "g", "l"):
        world.run(world.fs.remove(ROOT, keys["a/b"], name.encode()))
    world.run(world.fs.rmdir(ROOT, keys["a"], b"b"))
    world.stale(keys["a/b"])
    world.restart()
    world.stale(keys["f"], keys["a/f"], keys["a/b"], keys["a/b/g"])


def test_a_reused_inode_is_another_file(world: World) -> None:
    key = world.make("first", b"first")
    world.run(world.fs.remove(ROOT, world.root, b"first"))
    for number in range(3000):
        path = world.export / f"n{number}"
        path.write_bytes(b"other")
        if path.stat().st_ino == key.ino:
            break
        if number % 2:
            path.unlink()
    else:
        pytest.skip("this file system did not give the inode number again")
    world.stale(key)
    other = world.key(path.name)
    assert other.ino == key.ino and other != key
    world.restart()
    world.stale(key)
    assert world.read(other) == b"other"


def test_forged_handles(world: World) -> None:
    keys = tree(world)
    rng = random.Random(7)
    forged = [Key(rng.getrandbits(bits), rng.getrandbits(32)) for bits in (8, 16, 32, 64) * 20]
    forged += [Key(2**64 - 1, 2**64 - 1), Key(0, 0), Key(keys["f"].ino, 2**64 - 1)]
    for key in keys.values():
        forged += [Key(key.ino, key.generation + 1), Key(key.ino, key.generation ^ 1 << 31)]
    if world.root.generation:
        forged += [Key(key.ino, 0) for key in keys.values() if key.generation]
    world.stale(*forged)
    world.restart()
    world.stale(*forged)
    good(world, keys)


def test_files_outside_are_refused(world: World) -> None:
    outside = world.here / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "secret").write_bytes(b"secret")
    (outside / "link").symlink_to("secret")
    for path in (outside, outside / "sub", outside / "secret", outside / "link", world.here):
        with_fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        st = os.fstat(with_fd)
        generation = world.fs._nodes.generation(with_fd, b"", st)
        os.close(with_fd)
        world.stale(Key(st.st_ino, generation))


def test_symbolic_links_are_never_followed(world: World) -> None:
    (world.here / "outside").mkdir()
    (world.here / "outside/secret").write_bytes(b"secret")
    (world.export / "out").symlink_to("../outside")
    (world.export / "file").symlink_to("../outside/secret")
    out, file = world.key("out"), world.key("file")
    world.fails(world.fs.lookup(ROOT, out, b"secret"), Status.NOTDIR)
    world.fails(world.fs.readdir(ROOT, out, 0, 4096, True), Status.NOTDIR)
    world.fails(world.fs.read(ROOT, file, 0, 10), Status.INVAL)
    world.fails(world.fs.setattr(ROOT, file, SetAttr(size=0)), Status.INVAL)
    world.fails(world.fs.write(ROOT, file, 0, b"x", Stable.UNSTABLE), Status.INVAL)
    create = world.fs.create(ROOT, world.root, b"file", CreateMode.UNCHECKED, SetAttr(size=0), b"")
    world.fails(create, Status.EXIST)
    world.run(world.fs.setattr(ROOT, file, SetAttr(mtime=5)))
    assert (world.here / "outside/secret").stat().st_mtime > 5
    assert (world.here / "outside/secret").read_bytes() == b"secret"
    assert world.run(world.fs.readlink(ROOT, file)).target == b"../outside/secret"
    assert b"out" in world.names(world.root)
    # A directory that becomes a link between two calls: it is the directory that is known.
    world.mkdir("swap")
    key = world.key("swap")
    os.rename(world.export / "swap", world.export / "swapped")
    (world.export / "swap").symlink_to("../outside")
    world.fails(world.fs.lookup(ROOT, key, b"secret"), 2)


def test_a_directory_that_is_moved_outside(world: World) -> None:
    world.mkdir("d")
    world.mkdir("d/e")
    world.mkdir("d/e/f")
    file = world.make("d/e/f/x", b"x")
    d, e, f = world.key("d"), world.key("d/e"), world.key("d/e/f")
    (world.here / "secret").write_bytes(b"secret")
    os.rename(world.export / "d", world.here / "gone")
    for key in (d, e, f):
        world.fails(world.fs.parent(ROOT, key), Status.STALE)
        world.fails(world.fs.lookup(ROOT, key, b"x"), Status.STALE)
        world.fails(world.fs.readdir(ROOT, key, 0, 4096, False), Status.STALE)
        world.fails(world.fs.mkdir(ROOT, key, b"new", SetAttr()), Status.STALE)
        world.fails(world.fs.rename(ROOT, world.root, b"d", key, b"y"), Status.STALE)
    world.restart()
    world.stale(d, e, f, file)


def test_the_root_itself_is_moved(world: World) -> None:
    if world.here.name == "merged":
        pytest.skip("overlayfs renames no directory of a lower layer")
    keys = tree(world)
    os.rename(world.export, world.here / "elsewhere")
    good(world, keys)
    assert world.run(world.fs.parent(ROOT, keys["a/b"])).key == keys["a"]
    assert sorted(world.names(keys["a/b"])) == [b"f", b"g", b"l"]
    os.rename(world.here / "elsewhere", world.export)


def test_the_way_up(world: World) -> None:
    keys = tree(world)
    fs = world.fs
    assert world.run(fs.parent(ROOT, keys["a/b"])).key == keys["a"]
    assert world.run(fs.parent(ROOT, keys["a"])).key == world.root
    assert world.run(fs.parent(ROOT, world.root)).key == world.root
    world.fails(fs.parent(ROOT, keys["f"]), Status.NOTDIR)


def test_a_handle_found_by_readdirplus_survives(world: World) -> None:
    for number in range(200):
        (world.export / f"n{number}").write_bytes(b"%d" % number)
    listing = world.run(world.fs.readdir(ROOT, world.root, 0, 65536, True))
    keys = {entry.name: entry.attr.key for entry in listing.entries if entry.attr}
    assert listing.eof and len([n for n in keys if n.startswith(b"n")]) == 200
    world.restart()
    for number in range(200):
        assert world.read(keys[b"n%d" % number]) == b"%d" % number


def test_more_files_than_nodes(world: World) -> None:
    world.options.update(nodes=64, descriptors=16)
    world.restart()
    before = len(os.listdir("/proc/self/fd"))
    keys = [world.make(f"n{number}", b"%d" % number) for number in range(1000)]
    assert len(os.listdir("/proc/self/fd")) <= before + 64 + 16 + 32
    for number, key in enumerate(keys):
        assert world.read(key) == b"%d" % number
    assert len(os.listdir("/proc/self/fd")) <= before + 64 + 16 + 32


@needs_root
def test_overlay_copy_up_keeps_handles() -> None:
    with place("overlay") as here:
        world = World(here)
        keys = {path: world.key(path) for path in ("", "low", "dir", "dir/deep", "dir/deep/leaf")}
        world.write(keys["dir/deep/leaf"], b"LEAF")
        world.run(world.fs.setattr(ROOT, keys["low"], SetAttr(mode=0o600)))
        world.restart()
        assert {path: world.key(path) for path in keys} == keys
        world.restart()
        assert world.read(keys["dir/deep/leaf"]) == b"LEAF"
        assert world.read(keys["low"]) == b"low"
        world.names(keys["dir"])
        world.close()


async def _victim(here: Path, out: int) -> None:
    fs = PosixBackend(here / "export", state=here / "state")
    fs._probe_handles = lambda: False  # type: ignore[method-assign]
    await fs.start()
    root = (await fs.root(ROOT)).key
    sub = (await fs.mkdir(ROOT, root, b"sub", SetAttr(mode=0o755))).attr.key
    keys = {}
    for number in range(6000):
        name = b"n%d" % number
        made = await fs.create(ROOT, sub, name, CreateMode.GUARDED, SetAttr(mode=0o644), b"")
        keys[name.decode()] = made.attr.key
        if number == 5000:
            assert fs._index.full
            fs._index.flush(fs._pool)
    await fs.rename(ROOT, root, b"sub", root, b"renamed")
    await fs.rename(ROOT, sub, b"n1", root, b"top")
    with os.fdopen(out, "w") as file:
        json.dump(keys, file)
    await asyncio.sleep(100)


def _forked(child: Callable[[int], None]) -> tuple[int, str]:
    """Run `child` in another process, which writes to its argument; its pid, what it wrote."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(ours)
            child(theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    with os.fdopen(ours) as file:
        return pid, file.read()


def test_the_index_survives_sigkill() -> None:
    with place("ext4") as here:
        pid, answer = _forked(lambda out: asyncio.run(_victim(here, out)))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        keys = json.loads(answer)
        world = World(here, index=True)
        for name, key in keys.items():
            assert world.run(world.fs.getattr(ROOT, Key(*key))).key == Key(*key), name
        assert world.key("top") == Key(*keys["n1"])
        world.close()


def test_few_descriptors_are_enough() -> None:
    """When they run out, files that are known go."""

    def child(out: int) -> None:
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 150, used + 150))
        world = World(here, nodes=5000, descriptors=1000)
        keys = [world.make(f"n{number}", b"%d" % number) for number in range(1000)]
        good = all(world.read(key) == b"%d" % number for number, key in enumerate(keys))
        world.restart()
        good = good and all(world.read(key) == b"%d" % number for number, key in enumerate(keys))
        os.write(out, b"good" if good else b"bad")
        os._exit(0)

    with place("ext4") as here:
        pid, answer = _forked(child)
        os.waitpid(pid, 0)
        assert answer == "good"


def test_both_ways_give_the_same_handles() -> None:
    """So that a server that is given, or loses, its privilege does not make handles stale."""
    with place("ext4") as here:
        world = World(here, index=True)
        keys = tree(world)
        world.restart(index=False)
        good(world, keys)
        world.close()


# The index alone


def test_the_index_replays_and_forgets_a_torn_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "PENDING_ENTRIES", 4)
    one = Index(tmp_path, b"/x")
    one.open()
    one.add(2**64 - 1, 2**63, 1, b"a")
    one.add(7, 8, 1, b"b")
    one.add(7, 8, 2, b"c")
    one.remove(7, 1, b"b")
    one.alias(7, 99, 8)
    journal = next(tmp_path.glob("*.journal"))
    with journal.open("ab") as file:
        file.write(b"torn")
    del one  # as if it had been killed
    for _ in range(2):
        two = Index(tmp_path, b"/x")
        two.open()
        assert two.links(2**64 - 1) == [(1, b"a", 2**63)]
        assert two.links(7) == [(2, b"c", 8)]
        assert two.issued(7, 99) == 8 and two.issued(7, 98) == 98
        two.close()
    other = Index(tmp_path, b"/y")
    other.open()
    assert other.links(7) == []
    other.close()


def test_a_damaged_index_is_put_aside(tmp_path: Path) -> None:
    one = Index(tmp_path, b"/x")
    one.open()
    one.add(7, 8, 1, b"b")
    one.close()
    path = next(tmp_path.glob("*.db"))
    path.write_bytes(b"no database, that much is sure" * 100)
    two = Index(tmp_path, b"/x")
    two.open()
    assert two.links(7) == []
    two.add(7, 8, 1, b"b")
    two.close()
    assert list(tmp_path.glob("*.damaged"))


@pytest.mark.skipif(not PRIVILEGED, reason="the kernel lets only root open by handle")
def test_the_kernels_handles_need_no_index() -> None:
    with place("ext4") as here:
        world = World(here)
        assert not world.fs._indexing
        key = world.make("f", b"f")
        world.restart()
        assert not list(world.state.glob("*.journal")) or world.fs._index.links(key.ino) == []
        assert world.read(key) == b"f"
        with pytest.raises(OSError):
            world.fs._nodes.handles.open(  # type: ignore[union-attr]
                world.fs._nodes.mount_fd, key.ino, key.generation + 1
            )
        world.close()


def test_what_is_no_directory_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        asyncio.run(PosixBackend(tmp_path / "file", state=None).start())
    with pytest.raises(FileNotFoundError):
        asyncio.run(PosixBackend(tmp_path / "none", state=None).start())
    assert kernel.release() > (3, 0)
    assert FsError(Status.STALE).status is Status.STALE
