"""A git repository, judged by the conformance kit."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from git_kit import GitBackend, Repo

from backends.base import Backend
from backends.conformance import BackendConformance, Link, Tree
from backends.conformance.kit import TREE

FILES: Tree = {
    **{name: node for name, node in TREE.items() if name != b"dir"},
    # git has no empty directories: a submodule is one.
    b"dir": {b"sub": {b"deep": b"x" * 70_000}, b"beside": b"y"},
    b" -\n\t\\": b"an unusual name",
    b"\xff\xfe no utf-8": {b"x" * 255: b"a long one"},
}


@functools.cache
def repository() -> tuple[Path, str]:
    """Made once, and copied for each test."""
    path = Path(tempfile.mkdtemp(prefix="nfsloop-git-"))
    repo = Repo(path)
    files = {**FILES, b"module": None}
    commit = repo.commit(files)
    repo.ref("refs/heads/main", commit)
    repo.ref("refs/heads/feature/x", commit)
    return path, commit


def teardown_module() -> None:
    shutil.rmtree(repository()[0])


class TestGit(BackendConformance):
    read_only = True

    @property
    def tree(self) -> Tree:  # type: ignore[override]
        commit = repository()[1].encode()
        return {
            b"HEAD": Link(b"branches/main"),
            b"branches": {
                b"main": Link(b"../commits/" + commit),
                b"feature": {b"x": Link(b"../../commits/" + commit)},
            },
            b"tags": {},
            b"remotes": {},
            b"objects": {},
            b"commits": {commit: {**FILES, b"module": {}}},
        }

    def make_backend(self, tmp_path: Path) -> Backend:
        return GitBackend(repository()[0])
