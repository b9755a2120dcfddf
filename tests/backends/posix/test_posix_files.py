"""Data, permission, durability, listings."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from posix_kit import ALICE, BOB, PRIVILEGED, ROOT, World, needs_root, place

from backends.base import (
    NOW,
    Access,
    Context,
    CreateMode,
    DirEntry,
    FileType,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.cookies import LAST, Names, cookie_of
from backends.posix import PosixBackend, creds, descriptors

EACCES, EPERM, EEXIST, ENOSPC, ENOENT, EIO = 13, 1, 17, 28, 2, 5


@pytest.fixture(params=["ext4", "tmpfs", "overlay"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """An export per kind of file system."""
    with place(request.param) as here:
        world = World(here)
        yield world
        world.close()


@pytest.fixture
def shared(world: World) -> World:
    """One that everybody may write to."""
    world.export.chmod(0o777)
    return world


# Identity


@needs_root
def test_whoever_may_write_may_truncate_as_an_open_does(shared: World) -> None:
    """O_TRUNC sends a size with mtime alone set to now, which utimensat(2) refuses to others."""
    world = shared
    key = world.make("open", b"data", 0o777)
    world.run(world.fs.setattr(ROOT, key, SetAttr(mode=0o4777)))
    wcc = world.run(world.fs.setattr(ALICE, key, SetAttr(size=0, mtime=NOW)))
    assert wcc.after is not None
    assert (wcc.after.size, wcc.after.mode) == (0, 0o777)
    world.fails(world.fs.setattr(ALICE, key, SetAttr(mtime=1)), Status.PERM)


def test_links_may_be_as_long_as_linux_makes_them(world: World) -> None:
    root = world.run(world.fs.root(ROOT))
    target = b"y" * world.fs.limits.path_max
    made = world.run(world.fs.symlink(ROOT, root.key, b"long", target, SetAttr()))
    assert world.run(world.fs.readlink(ROOT, made.attr.key)).target == target
    assert len(target) == 4095


@needs_root
def test_the_kernel_judges_the_caller(shared: World) -> None:
    world = shared
    secret = world.make("secret", b"secret", 0o600)
    world.fails(world.fs.read(ALICE, secret, 0, 9), Status.ACCES)
    world.fails(world.fs.write(ALICE, secret, 0, b"x", Stable.UNSTABLE), Status.ACCES)
    world.fails(world.fs.setattr(ALICE, secret, SetAttr(size=0)), Status.ACCES)
    world.fails(world.fs.setattr(ALICE, secret, SetAttr(mode=0o777)), Status.PERM)
    world.fails(world.fs.setattr(ALICE, secret, SetAttr(mtime=NOW)), Status.ACCES)
    world.fails(world.fs.setattr(ALICE, secret, SetAttr(mtime=5)), Status.PERM)
    world.fails(world.fs.setattr(ALICE, secret, SetAttr(uid=1000)), EPERM)
    private = world.mkdir("private", 0o700)
    world.make("private/in", b"in")
    world.fails(world.fs.lookup(ALICE, private, b"in"), EACCES)
    world.fails(world.fs.readdir(ALICE, private, 0, 4096, False), Status.ACCES)
    world.fails(world.fs.remove(ALICE, private, b"in"), EACCES)
    world.fails(world.fs.rename(ALICE, private, b"in", world.root, b"out"), EACCES)
    assert world.run(world.fs.access(ALICE, secret, 0x3F)).access == 0
    assert world.read(secret) == b"secret"
    mine = world.make("mine", b"mine", ctx=ALICE)
    st = (world.export / "mine").stat()
    assert (st.st_uid, st.st_gid) == (1000, 1000)
    assert world.read(mine, BOB) == b"mine"
    device = world.fs.mknod(ALICE, world.root, b"null", FileType.CHR, (1, 3), SetAttr(mode=0o666))
    world.fails(device, EPERM)


@needs_root
def test_groups_and_acls(shared: World) -> None:
    world = shared
    file = world.make("file", b"data", 0o640)
    os.chown(world.export / "file", 0, 4242)
    member = Context(1000, 1000, (7, 4242))
    world.fails(world.fs.read(ALICE, file, 0, 9), Status.ACCES)
    assert world.read(file, member) == b"data"
    assert world.run(world.fs.access(member, file, 0x3F)).access == Access.READ
    os.chmod(world.export / "file", 0o600)
    world.fails(world.fs.read(member, file, 0, 9), Status.ACCES)
    if shutil.which("setfacl") is None:
        pytest.skip("no setfacl")
    path = world.export / "file"
    if subprocess.run(["setfacl", "-m", "u:1001:rw", path], check=False).returncode:
        pytest.skip("no ACLs here")
    assert world.read(file, BOB) == b"data"
    granted = world.run(world.fs.access(BOB, file, 0x3F)).access
    assert granted == Access.READ | Access.MODIFY | Access.EXTEND
    assert world.write(file, b"more", BOB) == 4
    subprocess.check_call(["setfacl", "-b", path])
    world.fails(world.fs.read(BOB, file, 0, 9), Status.ACCES)
    world.fails(world.fs.write(BOB, file, 0, b"x", Stable.UNSTABLE), Status.ACCES)


@needs_root
def test_the_process_comes_back_to_itself(shared: World) -> None:
    world = shared
    world.make("mine", b"mine", ctx=ALICE)
    world.fails(world.fs.lookup(ALICE, world.mkdir("private", 0o700), b"x"), EACCES)

    async def go_round() -> tuple[str, str]:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with open("/proc/thread-self/status", encoding="ascii") as status:
            lines = dict(line.rstrip().split(":", 1) for line in status)
        return lines["Uid"], lines["Groups"].strip()

    uids, groups = world.run(go_round())
    assert uids.split() == ["0"] * 4
    assert groups.split() == [str(group) for group in os.getgroups()]
    # Threads of the pool are the process, whatever the loop was when they were started.
    world.run(world.fs.lookup(ALICE, world.root, b"mine"))
    identity = creds.of_this_thread()
    identity.become(ALICE)
    status = world.fs._pool.submit(Path("/proc/thread-self/status").read_text).result()
    assert "Uid:\t0\t0\t0\t0" in status
    identity.rest()


@needs_root
def test_who_executes_may_read(shared: World) -> None:
    world = shared
    program = world.make("program", b"#!", 0o711)
    assert world.read(program, ALICE) == b"#!"
    assert world.run(world.fs.access(ALICE, program, 0x3F)).access == Access.EXECUTE


@needs_root
def test_set_id_bits_go_when_others_write(shared: World) -> None:
    world = shared
    file = world.make("file", b"data", 0o6777)
    assert world.run(world.fs.getattr(ROOT, file)).mode == 0o6777
    world.write(file, b"x")
    assert world.run(world.fs.getattr(ROOT, file)).mode == 0o6777
    world.write(file, b"x", ALICE)
    assert world.run(world.fs.getattr(ROOT, file)).mode == 0o777
    world.run(world.fs.setattr(ROOT, file, SetAttr(mode=0o6755, size=1)))
    assert world.run(world.fs.getattr(ROOT, file)).mode == 0o6755


def test_the_owner_may_always_read_and_write(shared: World) -> None:
    world = shared
    me = ALICE if PRIVILEGED else ROOT
    file = world.make("file", b"data", 0o444, me)  # made and written to
    world.restart()
    assert world.write(file, b"DA", me) == 2
    world.run(world.fs.setattr(me, file, SetAttr(mode=0)))
    world.restart()
    assert world.read(file, me) == b"DAta"
    world.restart()
    world.run(world.fs.setattr(me, file, SetAttr(size=2)))
    world.run(world.fs.commit(me, file, 0, 0))
    assert world.read(file, me) == b"DA"
    assert world.run(world.fs.getattr(me, file)).mode == 0
    if PRIVILEGED:
        world.fails(world.fs.read(BOB, file, 0, 9), Status.ACCES)
        assert world.run(world.fs.access(me, file, 0x3F)).access == 0


# Making


def test_exclusive_create_keeps_all_of_the_verifier(world: World) -> None:
    def create(verifier: bytes) -> Key:
        call = world.fs.create(ROOT, world.root, b"x", CreateMode.EXCLUSIVE, SetAttr(), verifier)
        return world.run(call).attr.key

    for verifier in (b"\xff" * 8, bytes(8), b"\x80\x00\x00\x00\x00\x00\x00\x01", os.urandom(8)):
        key = create(verifier)
        world.restart()
        assert create(verifier) == key
        for bit in range(64):
            other = (int.from_bytes(verifier, "big") ^ 1 << bit).to_bytes(8, "big")
            with pytest.raises(Exception, match="EXIST"):
                create(other)
        world.write(key, b"data")
        with pytest.raises(Exception, match="EXIST"):
            create(verifier)
        assert world.read(key) == b"data"
        world.run(world.fs.remove(ROOT, world.root, b"x"))


def test_create_never_opens_what_is_no_file(world: World) -> None:
    os.mkfifo(world.export / "fifo")
    os.symlink("nowhere", world.export / "link")
    os.mkdir(world.export / "directory")
    for name in (b"fifo", b"link", b"directory"):
        for mode in (CreateMode.UNCHECKED, CreateMode.GUARDED):
            call = world.fs.create(ROOT, world.root, name, mode, SetAttr(size=0), b"")
            world.fails(call, Status.EXIST, EEXIST)
    world.fails(world.fs.read(ROOT, world.key("fifo"), 0, 1), Status.INVAL)
    assert not os.path.lexists(world.export / "nowhere")


def test_nothing_is_left_of_a_create_that_fails(shared: World) -> None:
    world = shared
    me = ALICE if PRIVILEGED else ROOT
    before = set(os.listdir(world.export))
    attrs = [SetAttr(mode=0o644, uid=4242)]
    if "shm" not in str(world.here):  # tmpfs takes any size
        attrs.append(SetAttr(mode=0o644, size=2**62))
    for attr in attrs:
        for mode in (CreateMode.UNCHECKED, CreateMode.GUARDED):
            with pytest.raises(OSError):
                world.run(world.fs.create(me, world.root, b"new", mode, attr, b""))
    with pytest.raises(OSError):
        world.run(world.fs.mkdir(me, world.root, b"new", SetAttr(uid=4242)))
    assert set(os.listdir(world.export)) == before


def test_setattr_is_all_or_nothing(shared: World) -> None:
    world = shared
    me = ALICE if PRIVILEGED else ROOT
    file = world.make("file", b"data", 0o640, me)
    before = world.run(world.fs.getattr(me, file))
    bad = SetAttr(mode=0o600, uid=4242, size=0, mtime=5)
    world.fails(world.fs.setattr(me, file, bad), EPERM)
    if "shm" not in str(world.here):
        large = SetAttr(mode=0o600, size=2**62)
        world.fails(world.fs.setattr(me, file, large), 27, 22, Status.FBIG)
    world.fails(world.fs.setattr(me, file, SetAttr(mode=0), before.ctime + 1), Status.NOT_SYNC)
    after = world.run(world.fs.getattr(me, file))
    assert (after.mode, after.uid, after.size) == (before.mode, before.uid, before.size)
    assert after.mtime == before.mtime
    wcc = world.run(world.fs.setattr(me, file, SetAttr(size=2, mtime=7, atime=9), after.ctime))
    assert wcc.after is not None
    assert (wcc.after.size, wcc.after.mtime, wcc.after.atime) == (2, 7, 9)


# Data


def test_reading_and_writing_beyond_4_gib(world: World) -> None:
    file = world.make("sparse")
    far = 5 << 30
    assert world.write(file, b"far", offset=far) == 3
    assert world.read(file, offset=far) == b"far"
    data = world.run(world.fs.read(ROOT, file, far - 3, 6))
    assert bytes(data.data) == b"\0\0\0far" and data.eof
    assert not world.run(world.fs.read(ROOT, file, 0, 1 << 20)).eof
    assert world.run(world.fs.read(ROOT, file, far + 3, 10)).eof
    assert world.run(world.fs.getattr(ROOT, file)).used < 1 << 20


def test_large_reads_do_not_share_a_buffer(world: World) -> None:
    file = world.make("file")
    blocks = [os.urandom(1 << 20) for _ in range(4)]
    for number, block in enumerate(blocks):
        world.write(file, block, offset=number << 20)
    held = [world.run(world.fs.read(ROOT, file, n << 20, 1 << 20)).data for n in range(4)]
    assert [bytes(data) for data in held] == blocks
    tail = memoryview(held[0])[5:]
    del held
    for number in range(1, 4):
        assert world.read(file, offset=number << 20, count=1 << 20) == blocks[number]
    assert bytes(tail) == blocks[0][5:]
    del tail
    buffers = world.fs._buffers
    one = buffers.take(100_000)
    assert buffers.take(100_000) is not one
    address = id(one)
    del one
    assert id(buffers.take(70_000)) == address


@pytest.mark.skipif(not PRIVILEGED, reason="only root empties the page cache")
def test_cold_reads_go_to_a_thread(world: World) -> None:
    file = world.make("file")
    block = os.urandom(3 << 20)
    for at in range(0, len(block), 1 << 20):
        world.write(file, block[at : at + (1 << 20)], offset=at)
    world.run(world.fs.commit(ROOT, file, 0, 0))
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    data = world.run(world.fs.read(ROOT, file, 1 << 20, 2 << 20))
    assert bytes(data.data) == block[1 << 20 :] and data.eof


def test_a_failed_fsync_changes_the_verifier(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = world.make("file", b"data")
    verifier = world.fs.verifier

    def broken(fd: int) -> None:
        raise OSError(EIO, "the disk is gone")

    monkeypatch.setattr(descriptors, "fsync", broken)
    monkeypatch.setattr(descriptors, "fdatasync", broken)
    for call in (
        lambda: world.fs.commit(ROOT, file, 0, 0),
        lambda: world.fs.write(ROOT, file, 0, b"x", Stable.FILE_SYNC),
        lambda: world.fs.write(ROOT, file, 0, b"x", Stable.DATA_SYNC),
    ):
        world.fails(call(), EIO)
        assert world.fs.verifier != verifier
        verifier = world.fs.verifier
    monkeypatch.undo()
    world.run(world.fs.commit(ROOT, file, 0, 0))
    assert world.fs.verifier == verifier


def test_who_waits_for_what(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = world.make("file", b"data")
    calls: list[str] = []

    def slow(kind: str) -> None:
        calls.append(kind)
        time.sleep(0.05)

    monkeypatch.setattr(descriptors, "fsync", lambda fd: slow("all"))
    monkeypatch.setattr(descriptors, "fdatasync", lambda fd: slow("data"))

    def write(stable: Stable) -> Stable:
        return world.run(world.fs.write(ROOT, file, 0, b"x", stable)).stable

    assert write(Stable.UNSTABLE) is Stable.UNSTABLE and not calls
    assert write(Stable.DATA_SYNC) is Stable.DATA_SYNC and calls == ["data"]
    assert write(Stable.FILE_SYNC) is Stable.FILE_SYNC and calls == ["data", "all"]
    calls.clear()

    async def many() -> None:
        await asyncio.gather(*(world.fs.commit(ROOT, file, 0, 0) for _ in range(20)))

    world.run(many())
    assert calls == ["all", "all"]  # the first one's, and one that all others share
    world.options["sync"] = False
    world.restart()
    calls.clear()
    assert write(Stable.FILE_SYNC) is Stable.FILE_SYNC and not calls


def test_a_file_goes_while_it_is_synced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file, root = world.make("file", b"data"), world.root
    seen: list[os.stat_result] = []

    def slow(fd: int) -> None:
        time.sleep(0.05)
        seen.append(os.fstat(fd))

    monkeypatch.setattr(descriptors, "fsync", slow)

    async def both() -> None:
        commit = asyncio.ensure_future(world.fs.commit(ROOT, file, 0, 0))
        await asyncio.sleep(0)
        await world.fs.remove(ROOT, root, b"file")
        await commit

    world.run(both())
    assert seen[0].st_nlink == 0 and seen[0].st_ino
    world.stale(file)


@needs_root
def test_a_full_disk(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        (tmp_path / "export").mkdir()
        world = World(tmp_path)
        file = world.make("file")
        block = bytes(1 << 20)
        count = world.write(file, block)
        assert 0 < count <= 256 << 10
        assert world.run(world.fs.getattr(ROOT, file)).size == count
        world.fails(world.fs.write(ROOT, file, count, block, Stable.UNSTABLE), ENOSPC)
        world.run(world.fs.remove(ROOT, world.root, b"file"))  # its space is free at once
        assert world.write(world.make("other"), block) == count
        world.close()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=False)


def test_space_is_free_when_others_remove_a_file(world: World) -> None:
    file = world.make("file", b"data")
    node = world.fs._nodes.find(file)
    (world.export / "file").unlink()
    world.fs._nodes.sweep(100)
    world.fs._nodes.sweep(100)
    assert node.fd == -1 and node.desc is None
    assert file.ino not in world.fs._table


def test_idle_programs_can_be_executed(world: World) -> None:
    file = world.make("program", b"#!/bin/sh\nexit 0\n", 0o755)
    world.write(file, b"#!/bin/sh\nexit 7\n")
    for _ in range(3):
        world.fs._descriptors.sweep()
        world.run(asyncio.sleep(0.1))  # it is synced before it is closed
    assert subprocess.run([world.export / "program"], check=False).returncode == 7


# Listings


def test_20000_names_while_they_are_removed(world: World, request: pytest.FixtureRequest) -> None:
    # After each change an overlay merges its whole listing anew: 20,000 names take it 16 times as
    # long as 5,000, and are listed no differently.
    count = 5000 if "overlay" in request.node.name or not PRIVILEGED else 20000
    names = [b"name%05d" % number for number in range(count)]
    directory = os.open(world.export, os.O_RDONLY)
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)
    time.sleep(0.05)
    key, cookie, seen = world.root, 0, list[bytes]()
    kept = {name for name in names if name[-1] % 2}
    doomed = set(names) - kept
    while True:
        listing = world.run(world.fs.readdir(ROOT, key, cookie, 8192, False))
        page: list[DirEntry] = list(listing.entries)
        page = page[: max(1, len(page) * 3 // 4)] if not listing.eof else page
        for entry in page:
            seen.append(entry.name)
            cookie = entry.cookie
            if entry.name in doomed:
                world.run(world.fs.remove(ROOT, key, entry.name))
        if listing.eof:
            break
        if len(seen) % 7 == 0:
            world.make(f"new{len(seen)}")
    assert len(seen) == len(set(seen))
    assert kept <= set(seen)
    assert {name for name in world.names(key) if name.startswith(b"name")} == kept


def test_a_listing_with_attributes(world: World) -> None:
    keys = {name: world.make(name, name.encode()) for name in ("a", "b", "c")}
    os.symlink("x", world.export / "d")
    listing = world.run(world.fs.readdir(ROOT, world.root, 0, 4096, True))
    (world.export / "c").unlink()
    found = {entry.name: entry.attr for entry in listing.entries}
    assert found[b"c"] is None
    for name in ("a", "b"):
        attr = found[name.encode()]
        assert attr is not None and attr.key == keys[name] and attr.size == 1
    link = found[b"d"]
    assert link is not None and link.type is FileType.LNK
    assert world.run(world.fs.getattr(ROOT, link.key)) == link


def test_a_name_appears_at_once(world: World) -> None:
    for number in range(50):
        (world.export / f"local{number}").touch()
        assert b"local%d" % number in world.names(world.root)
        world.make(f"mine{number}")
        assert b"mine%d" % number in world.names(world.root)
        world.run(world.fs.remove(ROOT, world.root, b"local%d" % number))
        assert b"local%d" % number not in world.names(world.root)


def test_bad_cookies(world: World) -> None:
    for cookie in (-1, 2**63):
        world.fails(world.fs.readdir(ROOT, world.root, cookie, 4096, False), Status.BAD_COOKIE)


def test_cookies_of_one_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    from backends import cookies

    monkeypatch.setattr(cookies, "_moved", {})
    monkeypatch.setattr(cookies, "cookie_of", lambda name: 100 if name[0] < 100 else 200)
    names = Names((name, None) for name in (b"A", b"B", b"C", b"x"))
    listed = list(names.after(0))
    assert [name for _, name, _ in listed] == [b"A", b"B", b"C", b"x"]
    assert len({cookie for cookie, _, _ in listed}) == 4
    first = listed[0][0]
    names.remove(b"A")
    assert [name for _, name, _ in names.after(first)] == [b"B", b"C", b"x"]
    again = Names((name, None) for name in (b"B", b"C", b"x"))
    assert [name for _, name, _ in again.after(first)] == [b"B", b"C", b"x"]
    names.add(b"D", None)
    assert [name for _, name, _ in names.after(first)] == [b"B", b"C", b"x"]
    assert sorted(name for _, name, _ in names.after(0)) == [b"B", b"C", b"D", b"x"]


def test_cookies_are_in_range() -> None:
    cookies = [cookie_of(b"%d" % number) for number in range(10000)]
    assert min(cookies) >= 3 and max(cookies) <= LAST and len(set(cookies)) == 10000
    assert cookie_of(b"name") == cookie_of(b"name")


# Without privilege


@needs_root
def test_all_of_this_without_privilege(tmp_path: Path) -> None:
    """The same tests as a user whom nothing belongs to."""
    here = Path(__file__).parent
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable]
    environment = os.environ | {"PYTHONPATH": f"{here}:{here.parents[2]}", "HOME": "/nonexistent"}
    probe = [*nobody, "-c", "import pytest, posix_kit"]
    if subprocess.run(probe, check=False, capture_output=True, env=environment).returncode:
        pytest.skip("that user cannot import the tests")
    base = Path("/var/tmp") / f"nfsloop-nobody-{os.getpid()}"
    base.mkdir()
    os.chown(base, 65534, 65534)
    command = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={base}/pytest",
        str(here),
    ]
    try:
        result = subprocess.run(
            [*nobody, *command],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            cwd=here.parents[2],
        )
        assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    finally:
        shutil.rmtree(base, ignore_errors=True)


def test_a_stop_leaves_nothing_open(tmp_path: Path) -> None:
    """Also of files whose data nobody has committed."""

    async def main() -> None:
        backend = PosixBackend(tmp_path, state=None)
        await backend.start()
        root = (await backend.root(ROOT)).key
        for number in range(400):
            attr = SetAttr(mode=0o644)
            made = await backend.create(
                ROOT, root, b"%d" % number, CreateMode.GUARDED, attr, bytes(8)
            )
            await backend.write(ROOT, made.attr.key, 0, b"data", Stable.UNSTABLE)
        await backend.stop()

    before = set(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    left = [fd for fd in set(os.listdir("/proc/self/fd")) - before if str(tmp_path) in where(fd)]
    assert not left


def where(fd: str) -> str:
    """What a descriptor of this process is open for."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""
