"""Repositories that are damaged, or made to do harm."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest
from git_kit import (
    ROOT,
    GitBackend,
    Repo,
    content,
    counted,
    find,
    link,
    names,
    refused,
    served,
)

from backends.base import Status
from backends.git import store

LARGE_BYTES = 100_000


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "r.git")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.git.backend.LARGE_BYTES", LARGE_BYTES)


def live(repo: Repo, **options: object) -> GitBackend:
    return GitBackend(repo.path, refresh=0, **options)  # type: ignore[arg-type]


# Code


@pytest.mark.parametrize("module", ["pygit2", "enum", "_cffi_backend"])
def test_nothing_in_the_working_directory_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_limits: None, module: str
) -> None:
    """The helper is started in the directory that is served, whose path is a relative one."""
    repo = Repo(tmp_path / "tree" / ".git")
    (tmp_path / "tree" / f"{module}.py").write_text("open('RAN', 'w').close()\nraise SystemExit\n")
    sha = repo.commit({b"big": b"x" * (LARGE_BYTES + 1)})
    monkeypatch.chdir(tmp_path / "tree")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "tree"))

    async def look(backend: GitBackend) -> bytes:
        return await content(backend, (await find(backend, f"commits/{sha}/big")).key)

    assert served(GitBackend(Path(".")), look) == b"x" * (LARGE_BYTES + 1)
    assert not (tmp_path / "tree" / "RAN").exists()


# Objects that are not what they should be


def test_objects_of_another_kind_or_too_large_are_not_read(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "OBJECT_BYTES", {"tree": 4096, "commit": 4096, "tag": 4096})
    blob = repo.write("blob", b"x" * 5000)
    entries = [(0o100644, b"%03d" % number, blob) for number in range(200)]
    of_blob = repo.commit(repo.raw_tree([(0o40000, b"d", blob)]))
    of_wide = repo.commit(repo.raw_tree(entries))
    good = repo.commit({b"a": b"x"})
    text = f"tree {repo.tree({})}\ncommitter A <a@b> 1 +0000\n\n{'long ' * 1000}\n"
    wordy = repo.write("commit", text.encode())
    head = f"object {good}\ntype commit\ntag t\ntagger A <a@b> 1 +0000\n\n"
    repo.ref("refs/tags/wordy", repo.write("tag", (head + "long " * 1000).encode()))
    (repo.path / "refs" / "heads" / "wordy").write_text(f"{wordy}\n")
    repo.ref("refs/heads/main", good)

    async def look(backend: GitBackend) -> None:
        sizes: list[int] = []
        read = backend._tree.store.read

        def seen(oid: bytes) -> tuple[int, bytes]:
            found: tuple[int, bytes] = read(oid)
            sizes.append(len(found[1]))
            return found

        monkeypatch.setattr(backend._tree.store, "read", seen)
        for sha, why in ((of_blob, "is no tree"), (of_wide, "has 6200 bytes")):
            top = (await find(backend, f"commits/{sha}")).key
            error = await refused(backend.readdir(ROOT, top, 0, 1000, True), Status.IO)
            assert why in str(error)
        await refused(find(backend, f"commits/{wordy}"), Status.IO)
        assert await names(backend, "tags") == []
        assert await names(backend, "commits") == [good.encode()], "the walk reads none either"
        assert await content(backend, (await find(backend, f"commits/{good}/a")).key) == b"x"
        assert max(sizes) <= 4096

    served(GitBackend(repo.path), look)


def damaged_commit(repo: Repo) -> str:
    return repo.write("commit", b"tree zz\ncommitter A <a@b> 9000000000 +0000\n\nx\n")


@pytest.mark.parametrize("head", ["main", "bad"])
def test_one_damaged_commit_hides_nothing_else(repo: Repo, head: str) -> None:
    good, bad = repo.commit({b"a": b"x"}), damaged_commit(repo)
    for name, sha in (("main", good), ("bad", bad)):
        (repo.path / "refs" / "heads" / name).write_text(f"{sha}\n")
    (repo.path / "HEAD").write_text(f"ref: refs/heads/{head}\n")

    async def look(backend: GitBackend) -> None:
        assert b"HEAD" in await names(backend, "")
        assert await names(backend, "branches") == [b"bad", b"main"]
        assert await link(backend, "branches/bad") == f"../commits/{bad}".encode()
        assert (await find(backend, "branches/bad")).mtime == 0
        assert await names(backend, "commits") == [good.encode()]
        assert await names(backend, f"commits/{good}") == [b"a"]
        await refused(find(backend, f"commits/{bad}"), Status.IO)

    served(GitBackend(repo.path), look)


def test_what_is_left_of_a_broken_history(repo: Repo, caplog: pytest.LogCaptureFixture) -> None:
    whole = [repo.commit({b"n": b"0"})]
    for number in range(1, 5):
        whole.append(repo.commit({b"n": b"%d" % number}, [whole[-1]], 10**9 + number))
    # Newer than all, so that it comes first.
    broken = [repo.commit({b"b": b"0"}, ["12" * 20], 2 * 10**9)]
    broken.append(repo.commit({b"b": b"1"}, [broken[0], damaged_commit(repo)], 2 * 10**9 + 1))
    repo.ref("refs/heads/whole", whole[3])
    repo.ref("refs/heads/broken", broken[1])

    async def look(backend: GitBackend) -> None:
        def expected(*shas: str) -> list[bytes]:
            return sorted(sha.encode() for sha in shas)

        for _ in range(3):
            assert await names(backend, "commits") == expected(*whole[:4], *broken)
        repo.ref("refs/heads/whole", whole[4])
        assert await names(backend, "commits") == expected(*whole, *broken)

    with caplog.at_level(logging.WARNING, "nfsloop.git"):
        served(live(repo), look)
    [record] = [record for record in caplog.records if "history" in record.getMessage()]
    assert "2 commits" in record.getMessage()


def test_a_shallow_clone_is_not_broken(
    repo: Repo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = repo.commit({b"n": b"0"})
    last = repo.commit({b"n": b"1"}, [first], 10**9 + 1)
    repo.ref("refs/heads/main", last)
    repo.git("clone", "-q", "--bare", "--depth=1", f"file://{repo.path}", str(tmp_path / "s"))

    async def look(backend: GitBackend) -> None:
        assert await names(backend, "commits") == [last.encode()]

    with caplog.at_level(logging.WARNING, "nfsloop.git"):
        served(GitBackend(tmp_path / "s"), look)
    assert not caplog.records


def test_damaged_packed_references_leave_the_old_ones(
    repo: Repo, caplog: pytest.LogCaptureFixture
) -> None:
    sha = repo.commit({b"a": b"x"})
    repo.ref("refs/heads/main", sha)
    repo.git("pack-refs", "--all")
    packed = repo.path / "packed-refs"
    good = packed.read_text()

    async def look(backend: GitBackend) -> None:
        assert await backend.health() is None
        packed.write_text("no references\n")
        for _ in range(3):
            assert await names(backend, "branches") == [b"main"]
            assert await content(backend, (await find(backend, f"commits/{sha}/a")).key) == b"x"
        assert "references: " in (await backend.health() or "")
        packed.write_text(good)
        repo.ref("refs/heads/other", sha)
        assert await names(backend, "branches") == [b"main", b"other"]
        assert await backend.health() is None

    with caplog.at_level(logging.WARNING, "nfsloop.git"):
        served(live(repo), look)
    assert len([record for record in caplog.records if "references" in record.getMessage()]) == 1


def test_names_that_git_refuses_in_trees(repo: Repo) -> None:
    below = repo.tree({b"config": b"[core]\n"})
    blob = repo.write("blob", b"x")
    sha = repo.commit(
        repo.raw_tree(
            [(0o40000, name, below) for name in (b".git", b".GIT", b".gitt")]
            + [(0o100644, b".gIt", blob), (0o100644, b".gitignore", blob), (0o100644, b"z", blob)]
        )
    )

    async def look(backend: GitBackend) -> None:
        assert await names(backend, f"commits/{sha}") == [b".gitignore", b".gitt", b"z"]
        await refused(find(backend, f"commits/{sha}/.git"), Status.NOENT)
        key = (await find(backend, f"commits/{sha}/z")).key
        # As another server would find it, by nothing but the key.
        again = GitBackend(repo.path)
        await again.start()
        assert await content(again, key) == b"x"
        # The keys of what is left out, and of what is below it, lead nowhere.
        top = (await find(again, f"commits/{sha}")).key
        for place in range(1, 6):
            hidden = top._replace(ino=(top.ino + place) % 2**64)
            await refused(again.getattr(ROOT, hidden), Status.STALE)
        await again.stop()

    served(GitBackend(repo.path), look)


# Bounds


def test_a_blob_that_the_spool_cannot_hold_is_refused(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, small_limits: None
) -> None:
    sizes = {b"a": 150_000, b"b": 150_001, b"c": 150_002, b"more": 300_001}
    sha = repo.commit({name: name[:1] * size for name, size in sizes.items()})

    async def look(backend: GitBackend) -> None:
        blobs = backend._blobs
        used: list[int] = []
        unpack = blobs._unpack

        def seen(oid: bytes, size: int) -> object:
            used.append(blobs._spooled_bytes)
            return unpack(oid, size)

        monkeypatch.setattr(blobs, "_unpack", seen)
        keys = {name: (await find(backend, f"commits/{sha}/{name.decode()}")).key for name in sizes}
        error = await refused(backend.read(ROOT, keys[b"more"], 0, 10), Status.IO)
        assert "spool_bytes" in str(error)
        assert not used
        # All at once: what is on its way counts too.
        few = [name for name in keys if name != b"more"]
        got = await asyncio.gather(*(content(backend, keys[name]) for name in few))
        assert got == [name * sizes[name] for name in few]
        assert len(used) >= 3
        assert max(used) <= 300_001
        assert blobs._spooled_bytes == sum(size for _, size in blobs._files.values()) <= 300_000

    served(GitBackend(repo.path, spool_bytes=300_000), look)


def test_what_could_not_be_unpacked_gives_its_room_back(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, small_limits: None
) -> None:
    sha = repo.commit({b"a": b"a" * 150_000})

    async def look(backend: GitBackend) -> None:
        key = (await find(backend, f"commits/{sha}/a")).key
        with monkeypatch.context() as patched:
            patched.setattr("backends.git.blobs._HELPER", "raise SystemExit('broken')")
            for _ in range(3):
                await refused(backend.read(ROOT, key, 0, 10), Status.IO)
        assert await content(backend, key) == b"a" * 150_000
        assert backend._blobs._spooled_bytes == 150_000

    served(GitBackend(repo.path, spool_bytes=150_000), look)


def test_open_files_are_bounded(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, small_limits: None
) -> None:
    monkeypatch.setattr("backends.git.blobs.OPEN_FILES", 2)
    sha = repo.commit({b"%d" % number: b"%d" % number * 100_001 for number in range(4)})

    async def look(backend: GitBackend) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for number in (0, 1, 2, 3, 3):
            key = (await find(backend, f"commits/{sha}/{number}")).key
            assert bytes((await backend.read(ROOT, key, 5, 1)).data) == b"%d" % number
            assert len(backend._blobs._files) <= 2
        assert len(os.listdir("/proc/self/fd")) <= before + 2

    served(GitBackend(repo.path), look)


def test_the_newest_trees_are_kept_however_large(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_CACHED_NAMES", 100)
    files = {b"%03d" % number: b"" for number in range(150)}
    sha = repo.commit({b"x": files, b"y": {**files, b"more": b""}})

    async def look(backend: GitBackend) -> None:
        keys = [(await find(backend, f"commits/{sha}/{name}")).key for name in "xy"]
        reads = counted(monkeypatch, backend._tree.store, "data")
        cookies = [0, 0]
        for _ in range(6):
            for which, key in enumerate(keys):
                page = await backend.readdir(ROOT, key, cookies[which], 500, False)
                cookies[which] = list(page.entries)[-1].cookie
        assert len(reads) <= 2

    served(GitBackend(repo.path), look)
