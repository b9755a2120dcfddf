"""What of a repository is served, how it is named, and how long its keys hold."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from git_kit import (
    ROOT,
    Files,
    GitBackend,
    Repo,
    content,
    counted,
    find,
    link,
    listed,
    names,
    refused,
    served,
    snapshot,
)

from backends.base import FileType, Key, Status
from backends.conformance import Link

FILES: Files = {
    b"README": b"read me\n",
    b"run": (0o100755, b"#!/bin/sh\n"),
    b"odd mode": (0o100664, b"x"),
    b"src": {b"a.c": b"int a;", b"deep": {b"b.c": b"int b;"}},
    b"link": Link(b"src/a.c"),
    b"vendor": None,
}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "r.git")


def live(repo: Repo, **options: object) -> GitBackend:
    """A backend that looks at the repository on each call."""
    return GitBackend(repo.path, refresh=0, **options)  # type: ignore[arg-type]


def test_a_commit(repo: Repo) -> None:
    sha = repo.commit(FILES, time=1_234_567_890)
    repo.ref("refs/heads/main", sha)

    async def look(backend: GitBackend) -> None:
        top = await find(backend, f"commits/{sha}")
        assert await snapshot(backend, top.key) == {
            b"README": (0o100644, b"read me\n"),
            b"run": (0o100755, b"#!/bin/sh\n"),
            b"odd mode": (0o100644, b"x"),
            b"src": (0o40000, b""),
            b"src/a.c": (0o100644, b"int a;"),
            b"src/deep": (0o40000, b""),
            b"src/deep/b.c": (0o100644, b"int b;"),
            b"link": (0o120000, b"src/a.c"),
            b"vendor": (0o40000, b""),
        }
        for path in ("", "README", "src/deep", "link", "vendor"):
            attr = await find(backend, f"commits/{sha}/{path}")
            assert attr.mtime == attr.ctime == 1_234_567_890 * 10**9
            assert (attr.uid, attr.gid) == (5, 6)

    served(GitBackend(repo.path, uid=5, gid=6), look)


def test_branches_tags_and_head(repo: Repo) -> None:
    first = repo.commit({b"a": b"1"})
    second = repo.commit({b"a": b"2"}, [first])
    repo.ref("refs/heads/main", second)
    repo.ref("refs/heads/feature/deep/x", first)
    repo.ref("refs/remotes/origin/main", first)
    repo.repo.create_reference("refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    repo.ref("refs/tags/light", first)
    repo.ref("refs/tags/annotated", repo.tag(second))
    repo.ref("refs/tags/of-a-tag", repo.tag(repo.tag(first), "tag"))
    repo.ref("refs/notes/commits", repo.commit({b"n": b"note"}))

    async def look(backend: GitBackend) -> None:
        links = {
            "HEAD": "branches/main",
            "branches/main": f"../commits/{second}",
            "branches/feature/deep/x": f"../../../commits/{first}",
            "remotes/origin/main": f"../../commits/{first}",
            "remotes/origin/HEAD": f"../../commits/{first}",
            "tags/light": f"../commits/{first}",
            "tags/annotated": f"../commits/{second}",
            "tags/of-a-tag": f"../commits/{first}",
        }
        for path, target in links.items():
            assert await link(backend, path) == target.encode()
            assert (await find(backend, path)).size == len(target)
        assert await names(backend, "") == [
            b"HEAD", b"branches", b"commits", b"objects", b"remotes", b"tags",
        ]  # fmt: skip
        assert await names(backend, "branches") == [b"feature", b"main"]
        assert await names(backend, "tags") == [b"annotated", b"light", b"of-a-tag"]
        assert await names(backend, "commits") == sorted([first.encode(), second.encode()])

    served(GitBackend(repo.path), look)


def test_a_detached_head_and_one_of_no_branch(repo: Repo) -> None:
    sha = repo.commit({})

    async def unborn(backend: GitBackend) -> None:
        assert await link(backend, "HEAD") == b"branches/main"
        assert await names(backend, "branches") == []
        assert await names(backend, "commits") == []
        repo.repo.set_head(repo.repo[sha].id)
        assert await link(backend, "HEAD") == f"commits/{sha}".encode()
        assert await names(backend, "commits") == [sha.encode()]

    served(live(repo), unborn)


def test_tags_of_trees_and_blobs(repo: Repo) -> None:
    tree, blob = repo.tree({b"a": b"in a tree"}), repo.write("blob", b"a blob")
    repo.ref("refs/tags/tree", tree)
    repo.ref("refs/tags/blob", repo.tag(blob, "blob"))
    repo.ref("refs/heads/main", repo.commit({}))

    async def look(backend: GitBackend) -> None:
        assert await link(backend, "tags/tree") == f"../objects/{tree}".encode()
        assert await link(backend, "tags/blob") == f"../objects/{blob}".encode()
        assert await names(backend, "objects") == sorted([tree.encode(), blob.encode()])
        a = await find(backend, f"objects/{tree}/a")
        assert await content(backend, a.key) == b"in a tree"
        assert await content(backend, (await find(backend, f"objects/{blob}")).key) == b"a blob"
        top = (await find(backend, f"objects/{tree}")).key
        objects = (await find(backend, "objects")).key
        assert (await backend.parent(ROOT, top)).key == objects
        await refused(find(backend, f"commits/{tree}"), Status.NOENT)
        # As another server would find them, by nothing but the key.
        again = GitBackend(repo.path)
        await again.start()
        assert await content(again, a.key) == b"in a tree"
        await again.stop()

    served(GitBackend(repo.path), look)


def test_commits_by_their_ids(repo: Repo) -> None:
    sha, lost = repo.commit(FILES), repo.commit({b"lost": b"no branch leads here"})
    repo.ref("refs/heads/main", sha)

    async def look(backend: GitBackend) -> None:
        assert await names(backend, "commits") == [sha.encode()]
        assert await names(backend, f"commits/{lost}") == [b"lost"]
        for length in (4, 7, 39):
            assert await link(backend, f"commits/{sha[:length]}") == sha.encode()
        short = await find(backend, f"commits/{sha[:7]}")
        assert (await backend.getattr(ROOT, short.key)).size == 40
        assert short.key not in ((await find(backend, f"commits/{sha[:8]}")).key, Key(0, 0))
        blob = str(repo.repo[sha].tree["README"].id)
        for name in ("abc", sha + "0", sha.upper(), "0" * 40, "0" * 8, blob, blob[:10], "zzzz"):
            await refused(find(backend, f"commits/{name}"), Status.NOENT)

    served(GitBackend(repo.path), look)


def test_short_ids_that_are_not_one_commits(repo: Repo) -> None:
    shas = [repo.commit({b"n": b"%d" % number}) for number in range(400)]
    heads = [sha[:4] for sha in shas]
    twice = next((head for head in heads if heads.count(head) > 1), None)
    number = 400
    while twice is None:
        shas.append(repo.commit({b"n": b"%d" % number}))
        twice = shas[-1][:4] if shas[-1][:4] in heads else None
        heads.append(shas[-1][:4])
        number += 1

    async def look(backend: GitBackend) -> None:
        await refused(find(backend, f"commits/{twice}"), Status.NOENT)

    served(GitBackend(repo.path), look)


def test_a_branch_that_moves(repo: Repo) -> None:
    first = repo.commit({b"a": b"1", b"b": b"1"})
    repo.ref("refs/heads/main", first)

    async def look(backend: GitBackend) -> None:
        dir, old = await find(backend, "branches"), await find(backend, "branches/main")
        held = await find(backend, f"commits/{first}/a")
        second = repo.commit({b"a": b"2", b"b": b"2"}, [first])
        repo.ref("refs/heads/main", second)
        new = await find(backend, "branches/main")
        assert new.key != old.key
        await refused(backend.readlink(ROOT, old.key), Status.STALE)
        assert await link(backend, "branches/main") == f"../commits/{second}".encode()
        assert (await find(backend, "branches")).mtime > dir.mtime
        # Who was in the old commit stays there, with all of it.
        assert await content(backend, held.key) == b"1"
        assert await content(backend, (await find(backend, f"commits/{first}/b")).key) == b"1"
        repo.repo.references.delete("refs/heads/main")
        await refused(find(backend, "branches/main"), Status.NOENT)
        assert await names(backend, "branches") == []

    served(live(repo), look)


def test_changes_are_seen_after_a_while_and_not_on_each_call(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.ref("refs/heads/main", repo.commit({}))

    async def look(backend: GitBackend) -> None:
        looks = counted(monkeypatch, backend._tree, "refresh")
        repo.ref("refs/heads/new", repo.commit({b"n": b"n"}))
        for _ in range(100):
            await refused(find(backend, "branches/new"), Status.NOENT)
        assert not looks
        backend._fresh_until = 0  # an hour later
        await asyncio.gather(*(find(backend, "branches/new") for _ in range(20)))
        assert len(looks) == 1, "all wait for one look"

    served(GitBackend(repo.path, refresh=3600), look)


def test_what_has_not_changed_keeps_its_time(repo: Repo) -> None:
    sha = repo.commit({})
    repo.ref("refs/heads/a/b", sha)

    async def look(backend: GitBackend) -> None:
        before = [await find(backend, path) for path in ("branches/a", "tags", "commits", "")]
        repo.ref("refs/heads/main", repo.commit({b"n": b"n"}, [sha]))
        after = [await find(backend, path) for path in ("branches/a", "tags", "commits", "")]
        assert [old.mtime == new.mtime for old, new in zip(before, after, strict=True)] == [
            True, True, False, True,
        ]  # fmt: skip

    served(live(repo), look)


def test_keys_hold_over_a_restart(repo: Repo) -> None:
    shas = [repo.commit({**FILES, b"n": b"%d" % number}) for number in range(3)]
    repo.ref("refs/heads/feature/x", shas[0])
    repo.ref("refs/tags/t", shas[1])

    async def keys(backend: GitBackend) -> dict[bytes, Key]:
        found: dict[bytes, Key] = {}
        todo = [(b"", (await backend.root(ROOT)).key)]
        todo += [
            (b"/commits/" + sha.encode(), (await find(backend, f"commits/{sha}")).key)
            for sha in shas
        ]
        while todo:
            path, dir = todo.pop()
            found[path] = dir
            for entry in await listed(backend, dir):
                assert entry.attr is not None
                found[path + b"/" + entry.name] = entry.attr.key
                if entry.attr.type is FileType.DIR:
                    todo.append((path + b"/" + entry.name, entry.attr.key))
        return found

    before = served(GitBackend(repo.path), keys)
    assert len(set(before.values())) == len(before), "two files have one key"

    async def look(backend: GitBackend) -> None:
        for path, key in before.items():
            attr = await backend.getattr(ROOT, key)
            assert attr.key == key
            if attr.type is FileType.DIR and path:
                above = path.rpartition(b"/")[0]
                assert (await backend.parent(ROOT, key)).key == before[above], path
        readme = before[f"/commits/{shas[2]}/README".encode()]
        assert await content(backend, readme) == b"read me\n"

    served(GitBackend(repo.path), look)
    assert served(GitBackend(repo.path), keys) == before


@pytest.mark.parametrize("delta", [-1, 1, 2**40, 2**63])
def test_keys_of_nothing_are_stale(repo: Repo, delta: int) -> None:
    sha = repo.commit({b"a": b"x", b"b/c": b"a name that is left out"})
    repo.ref("refs/heads/main", sha)

    async def look(backend: GitBackend) -> None:
        key = (await find(backend, f"commits/{sha}")).key
        if delta != 1:
            await refused(
                backend.getattr(ROOT, Key((key.ino + delta) % 2**64, key.generation)), Status.STALE
            )
        await refused(backend.getattr(ROOT, Key(key.ino, key.generation + delta)), Status.STALE)
        await refused(backend.getattr(ROOT, Key(key.ino + 2, key.generation)), Status.STALE)

    served(GitBackend(repo.path), look)


@pytest.mark.parametrize("packed", [False, True])
def test_what_was_pruned_is_stale(repo: Repo, packed: bool) -> None:
    kept, doomed = repo.commit({b"a": b"kept"}), repo.commit({b"a": b"doomed"})
    repo.ref("refs/heads/main", kept)
    repo.ref("refs/heads/doomed", doomed)
    if packed:
        repo.git("repack", "-adq")
        repo.git("prune-packed", "-q")

    async def look(backend: GitBackend) -> None:
        keys = [(await find(backend, f"commits/{doomed}{path}")).key for path in ("", "/a")]
        good = (await find(backend, f"commits/{kept}/a")).key
        assert await content(backend, keys[1]) == b"doomed"
        repo.repo.references.delete("refs/heads/doomed")
        assert await content(backend, keys[1]) == b"doomed", "it is there, without a branch"
        repo.git("-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now")
        for key in keys:
            await refused(backend.getattr(ROOT, key), Status.STALE)
        await refused(backend.read(ROOT, keys[1], 0, 10), Status.STALE)
        await refused(find(backend, f"commits/{doomed}"), Status.NOENT)
        assert await content(backend, good) == b"kept"
        assert await names(backend, "commits") == [kept.encode()]

    served(live(repo), look)


# /commits


def test_the_list_of_commits_follows_the_references(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = repo.commit({b"n": b"0"})
    chain = [first]
    for number in range(1, 30):
        chain.append(repo.commit({b"n": b"%d" % number}, [chain[-1]], 10**9 + number))
    repo.ref("refs/heads/main", chain[9])

    async def look(backend: GitBackend) -> None:
        walked: list[bytes] = []
        walk = backend._tree.store.walk

        def seen(*args: Any) -> Iterator[bytes]:
            for oid in walk(*args):
                walked.append(oid)
                yield oid

        monkeypatch.setattr(backend._tree.store, "walk", seen)

        async def commits() -> list[bytes]:
            walked.clear()
            return await names(backend, "commits")

        def expected(*shas: str) -> list[bytes]:
            return sorted(sha.encode() for sha in shas)

        assert await commits() == expected(*chain[:10])
        assert await commits() == expected(*chain[:10])
        assert not walked, "nothing has changed"
        repo.ref("refs/heads/main", chain[19])
        assert await commits() == expected(*chain[:20])
        assert len(walked) == 10, "what is new, and no more"
        merge = repo.commit({}, [chain[19], repo.commit({b"side": b""}, [chain[5]])], 10**9 + 99)
        repo.ref("refs/heads/main", merge)
        assert len(await commits()) == 22
        repo.ref("refs/heads/main", chain[3])
        assert await commits() == expected(*chain[:4]), "a branch that was set back"
        repo.ref("refs/heads/other", chain[29])
        assert await commits() == expected(*chain)
        repo.repo.references.delete("refs/heads/other")
        assert await commits() == expected(*chain[:4])

    served(live(repo), look)


def test_the_list_of_commits_is_bounded(repo: Repo, caplog: pytest.LogCaptureFixture) -> None:
    chain = [repo.commit({})]
    for number in range(1, 30):
        chain.append(repo.commit({b"n": b"%d" % number}, [chain[-1]], 10**9 + number))
    repo.ref("refs/heads/main", chain[-1])

    async def look(backend: GitBackend) -> None:
        for _ in range(2):
            assert await names(backend, "commits") == sorted(sha.encode() for sha in chain[-10:])
        assert await names(backend, f"commits/{chain[0]}") == []

    with caplog.at_level(logging.WARNING, "nfsloop.git"):
        served(GitBackend(repo.path, max_commits=10), look)
    assert caplog.text.count("/commits lists the newest 10 commits only") == 1


def test_a_listing_goes_on_while_commits_come(repo: Repo) -> None:
    chain = [repo.commit({b"n": b"%d" % number}, time=10**9 + number) for number in range(60)]
    for number in range(40):
        repo.ref(f"refs/heads/{number}", chain[number])

    async def look(backend: GitBackend) -> None:
        key = (await find(backend, "commits")).key
        page = await backend.readdir(ROOT, key, 0, 1000, False)
        seen = [entry.name for entry in page.entries]
        assert not page.eof
        for number in range(40, 60):
            repo.ref(f"refs/heads/{number}", chain[number])
        rest = await backend.readdir(ROOT, key, list(page.entries)[-1].cookie, 1 << 20, False)
        seen += [entry.name for entry in rest.entries]
        assert len(set(seen)) == len(seen)
        assert set(seen) >= {sha.encode() for sha in chain[:40]}

    served(live(repo), look)


# Trees


def test_names_that_no_file_may_have(repo: Repo) -> None:
    blob, tree = repo.write("blob", b"x"), repo.tree({b"in": b"y", b"too": b"z"})
    entries = [(0o100644, name, blob) for name in (b"a/b", b".", b"..", b"ok", b"", b"n" * 256)]
    entries += [(0o40000, b"..", tree), (0o40000, b"sub", tree), (0o100644, b"ok", tree)]
    sha = repo.commit(repo.raw_tree(entries))
    repo.ref("refs/heads/main", sha)

    async def look(backend: GitBackend) -> None:
        top = (await find(backend, f"commits/{sha}")).key
        assert await snapshot(backend, top) == {
            b"ok": (0o100644, b"x"),
            b"sub": (0o40000, b""),
            b"sub/in": (0o100644, b"y"),
            b"sub/too": (0o100644, b"z"),
        }
        keys = [(await find(backend, f"commits/{sha}/{path}")).key for path in ("ok", "sub/too")]
        again = GitBackend(repo.path)
        await again.start()
        assert [await content(again, key) for key in keys] == [b"x", b"z"]
        await again.stop()

    served(GitBackend(repo.path), look)


def bomb(repo: Repo, levels: int, width: int = 10) -> str:
    tree = repo.raw_tree(
        [(0o100644, b"f%d" % number, repo.write("blob", b"boom")) for number in range(width)]
    )
    for _ in range(levels):
        tree = repo.raw_tree([(0o40000, b"d%d" % number, tree) for number in range(width)])
    return repo.commit(tree)


def test_a_bomb_of_few_objects_takes_no_longer_than_they_do(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = bomb(repo, 9)

    async def look(backend: GitBackend) -> None:
        reads = counted(monkeypatch, backend._tree.store, "data")
        path = "/".join(["d9"] * 9)
        last = await find(backend, f"commits/{sha}/{path}/f9")
        assert await content(backend, last.key) == b"boom"
        assert len(reads) < 40
        again = GitBackend(repo.path)
        await again.start()
        assert await content(again, last.key) == b"boom"
        await again.stop()

    served(GitBackend(repo.path), look)


def test_a_bomb_that_no_key_could_tell_apart_is_refused(repo: Repo) -> None:
    sha, good = bomb(repo, 12), repo.commit({b"a": b"x"})

    async def look(backend: GitBackend) -> None:
        error = await refused(find(backend, f"commits/{sha}/d0"), Status.IO)
        assert "has more than" in str(error)
        assert await content(backend, (await find(backend, f"commits/{good}/a")).key) == b"x"

    served(GitBackend(repo.path), look)


def test_a_very_deep_tree(repo: Repo) -> None:
    tree = repo.tree({b"end": b"here"})
    for _ in range(1000):
        tree = repo.raw_tree([(0o40000, b"d", tree)])
    sha = repo.commit(tree)

    async def look(backend: GitBackend) -> Key:
        attr = await find(backend, f"commits/{sha}")
        for _ in range(1000):
            attr = (await backend.lookup(ROOT, attr.key, b"d")).attr
        return (await backend.lookup(ROOT, attr.key, b"end")).attr.key

    key = served(GitBackend(repo.path), look)
    assert served(GitBackend(repo.path), lambda backend: content(backend, key)) == b"here"


def test_objects_that_are_missing_or_damaged(repo: Repo) -> None:
    blob = repo.write("blob", b"there")
    entries = [(0o100644, b"a", blob), (0o100644, b"gone", "ab" * 20)]
    sha = repo.commit(repo.raw_tree(entries))
    missing = repo.commit(repo.raw_tree([(0o40000, b"d", "cd" * 20)]))
    cut = repo.commit(repo.write("tree", b"100644 a\0" + b"x" * 19))
    odd = repo.commit(repo.write("tree", b"10x644 a\0" + b"x" * 20))
    other = repo.commit(blob)

    async def look(backend: GitBackend) -> None:
        top = (await find(backend, f"commits/{sha}")).key
        entries = {entry.name: entry.attr for entry in await listed(backend, top)}
        assert set(entries) == {b"a", b"gone"}
        assert entries[b"gone"] is None, "of a partial clone, say"
        await refused(backend.lookup(ROOT, top, b"gone"), Status.IO)
        assert await content(backend, (await find(backend, f"commits/{sha}/a")).key) == b"there"
        for bad in (missing, cut, odd, other):
            key = (await find(backend, f"commits/{bad}")).key
            await refused(backend.readdir(ROOT, key, 0, 1000, True), Status.IO)

    served(GitBackend(repo.path), look)


def test_links_that_are_no_paths(repo: Repo) -> None:
    sha = repo.commit({b"long": Link(b"x" * 5000), b"ok": Link(b"x" * 4095)})

    async def look(backend: GitBackend) -> None:
        assert await link(backend, f"commits/{sha}/ok") == b"x" * 4095
        await refused(link(backend, f"commits/{sha}/long"), Status.IO)

    served(GitBackend(repo.path), look)


# Contents


def test_large_blobs_are_read_by_another_process(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("backends.git.backend.LARGE_BYTES", 100_000)
    large = [bytes([number]) * 150_000 for number in range(3)]
    sha = repo.commit({b"%d" % number: data for number, data in enumerate(large)})

    async def look(backend: GitBackend) -> None:
        blobs = backend._blobs
        runs = counted(monkeypatch, blobs, "_unpack")
        keys = [(await find(backend, f"commits/{sha}/{number}")).key for number in range(3)]
        reads = [backend.read(ROOT, keys[0], at, 10_000) for at in range(0, 150_000, 10_000)]
        got = await asyncio.gather(*reads)
        assert b"".join(bytes(data.data) for data in got) == large[0]
        assert [data.eof for data in got] == [False] * 14 + [True]
        assert len(runs) == 1, "all wait for one process"
        for key, data in zip(keys, large, strict=True):
            assert await content(backend, key) == data
            assert sum(size for _, size in blobs._files.values()) <= 300_000
        assert len(runs) == 3
        assert await content(backend, keys[0]) == large[0], "it was pushed out meanwhile"
        assert len(runs) == 4
        assert not blobs._cache

    served(GitBackend(repo.path, spool_bytes=300_000, state=tmp_path / "state"), look)
    assert list((tmp_path / "state").iterdir()) == [], "the files have no names"


def test_the_cache_of_contents_is_bounded(repo: Repo) -> None:
    sha = repo.commit({b"%d" % number: bytes([number]) * 1000 for number in range(50)})

    async def look(backend: GitBackend) -> None:
        blobs = backend._blobs
        for number in range(50):
            key = (await find(backend, f"commits/{sha}/{number}")).key
            assert await content(backend, key, 300) == bytes([number]) * 1000
            kept = sum(map(len, blobs._cache.values()))
            assert kept == blobs._cached_bytes <= 5000
        assert len(blobs._cache) == 5

    served(GitBackend(repo.path, cache_bytes=5000), look)


# Starting


def test_a_working_tree_and_what_is_in_it(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "bare")
    sha = repo.commit(FILES)
    repo.ref("refs/heads/main", sha)
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"), sha)
    subprocess.run(
        ["git", "clone", "-q", str(repo.path), str(tmp_path / "clone")], check=True, timeout=60
    )

    async def look(backend: GitBackend) -> bytes:
        return await content(backend, (await find(backend, f"commits/{sha}/README")).key)

    for path in ("clone", "clone/.git", "linked", "bare"):
        assert served(GitBackend(tmp_path / path), look) == b"read me\n", path


def test_what_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    repo = Repo(tmp_path / "r.git")
    (repo.path / "below").mkdir()
    for name, message in (
        ("none", "no such directory"),
        ("file", "[Rr]epository|directory"),
        ("", "[Rr]epository not found|could not find"),
        ("r.git/below", "[Rr]epository not found|could not find"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            served(GitBackend(tmp_path / name), lambda backend: backend.root(ROOT))
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_damaged_references(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "r.git")
    sha = repo.commit({})
    (repo.path / "refs" / "heads" / "bad").write_text("no id\n")
    (repo.path / "packed-refs").write_text(f"{sha} refs/heads/a/../../b\n{sha} refs/heads/good\n")

    async def look(backend: GitBackend) -> None:
        assert await names(backend, "branches") == [b"good"]

    served(GitBackend(repo.path), look)
    (repo.path / "packed-refs").write_text("no references\n")
    with pytest.raises(ValueError, match=f"^{repo.path}: references: [^\n]*$"):
        served(GitBackend(repo.path), look)


def test_a_repository_that_is_taken_away(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "r.git")
    sha = repo.commit(FILES)

    async def look(backend: GitBackend) -> None:
        key = (await find(backend, f"commits/{sha}/README")).key
        assert await backend.health() is None
        repo.path.rename(tmp_path / "moved")
        for _ in range(2):
            await refused(backend.getattr(ROOT, key), Status.IO)
        assert "no repository any more" in (await backend.health() or "")
        (tmp_path / "moved").rename(repo.path)
        assert await content(backend, key) == b"read me\n"

    served(live(repo), look)


@pytest.mark.parametrize("option", ["refresh", "cache_bytes", "max_commits", "uid"])
def test_options_that_make_no_sense(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is -1, and must be"):
        GitBackend(Path("r"), **{option: -1})  # type: ignore[arg-type]


def test_without_pygit2() -> None:
    code = (
        "import sys; sys.modules['pygit2'] = None\n"
        "try:\n    import backends.git\nexcept ImportError as exc:\n    print(exc)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "pip install 'nfsloop[git]'" in done.stdout
    assert done.stdout.count("\n") == 1
