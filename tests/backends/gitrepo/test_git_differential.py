"""All that is served of a repository, against what git itself says of it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from git_kit import GitBackend, find, link, names, served, snapshot

ENV = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


class Working:
    """A repository with a working tree, made by git."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.clock = 1_600_000_000
        self.git("init", "-q", "-b", "main")

    def git(self, *args: str, data: bytes = b"") -> bytes:
        times = {f"GIT_{who}_DATE": f"{self.clock} +0200" for who in ("AUTHOR", "COMMITTER")}
        done = subprocess.run(
            ["git", *args], cwd=self.path, input=data, capture_output=True, timeout=60,
            check=True, env={**ENV, **times},
        )  # fmt: skip
        return done.stdout

    def write(self, name: bytes, data: bytes, mode: int = 0o644) -> None:
        path = os.path.join(os.fsencode(self.path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)

    def commit(self) -> None:
        self.clock += 60
        self.git("add", "-A")
        # What `add` takes away again, as there is no such working tree.
        self.git("update-index", "--add", "--cacheinfo", f"160000,{'12' * 20},libs/module")
        self.git("commit", "-qm", "text")


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Working:
    repo = Working(tmp_path_factory.mktemp("git") / "work")
    repo.write(b"README", b"read me\n")
    repo.write(b"bin/run", b"#!/bin/sh\n", 0o755)
    repo.write(b"empty", b"")
    repo.write(b"a b\tc\n'\"\\", b"odd")
    repo.write("ä/ö.txt".encode(), b"utf-8")
    repo.write(b"\xe4/\xff", b"not utf-8")
    repo.write(b"sorted", b"a file")
    repo.write(b"sorted.d/x", b"before the directory of almost the same name")
    repo.write(b"sorted0", b"behind it")
    repo.write(b"big", bytes(range(256)) * 2000)
    os.symlink("../README", repo.path / "bin" / "link")
    os.symlink(b"\xff dangling", os.fsencode(repo.path) + b"/dangling")
    repo.commit()
    repo.git("tag", "v1")
    repo.git("checkout", "-qb", "feature/one")
    for number in range(30):
        repo.write(b"many/%d/%03d" % (number % 3, number), b"%d\n" % number * number)
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.write(b"README", b"read me again\n")
    os.chmod(repo.path / "bin" / "run", 0o644)
    repo.commit()
    repo.clock += 60
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "feature/one")
    repo.git("tag", "-a", "-m", "text", "v2/annotated")
    (repo.path / "sorted").unlink()
    repo.write(b"sorted/now", b"a directory")
    repo.commit()
    return repo


def expected(repo: Working, sha: str) -> dict[bytes, tuple[int, bytes]]:
    """What `git ls-tree` and `git cat-file` say of a commit."""
    found = {}
    for line in repo.git("ls-tree", "-rtz", sha).split(b"\0")[:-1]:
        head, _, name = line.partition(b"\t")
        mode, kind, oid = head.split()
        number = int(mode, 8)
        if kind == b"blob":
            found[name] = number, repo.git("cat-file", "blob", oid.decode())
        else:
            found[name] = 0o40000, b""
    return found


@pytest.mark.parametrize("packed", [False, True])
def test_every_commit(working: Working, packed: bool) -> None:
    if packed:
        working.git("gc", "-q")
    shas = working.git("rev-list", "--all").decode().split()
    assert len(shas) == 5

    async def look(backend: GitBackend) -> None:
        assert await names(backend, "commits") == sorted(sha.encode() for sha in shas)
        for sha in shas:
            top = await find(backend, f"commits/{sha}")
            assert await snapshot(backend, top.key) == expected(working, sha)
            time = int(working.git("show", "-s", "--format=%ct", sha))
            assert top.mtime == time * 10**9

    served(GitBackend(working.path), look)


def test_every_reference(working: Working) -> None:
    async def look(backend: GitBackend) -> None:
        lines = working.git("for-each-ref", "--format=%(refname)").decode().split()
        assert len(lines) == 4
        for name in lines:
            sha = working.git("rev-parse", name + "^{commit}").decode().strip()
            kind, _, rest = name.removeprefix("refs/").partition("/")
            path = {"heads": "branches", "tags": "tags"}[kind] + "/" + rest
            assert await link(backend, path) == f"{'../' * path.count('/')}commits/{sha}".encode()

    served(GitBackend(working.path), look)


def test_git_archive(working: Working) -> None:
    data = working.git("archive", "--format=tar", "main")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
        for info in tar:
            name = info.name.encode("utf-8", "surrogateescape")
            file = tar.extractfile(info) if info.isreg() else None
            if file is not None:
                found[name] = file.read()
            else:
                found[name] = info.linkname.encode("utf-8", "surrogateescape")

    async def look(backend: GitBackend) -> None:
        sha = (await link(backend, "branches/main")).decode().rpartition("/")[2]
        top = await find(backend, f"commits/{sha}")
        everything = await snapshot(backend, top.key)
        assert {name: data for name, (_, data) in everything.items()} == found

    served(GitBackend(working.path), look)
