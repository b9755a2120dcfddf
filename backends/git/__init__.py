"""A git repository as a read-only file system: every commit, branch and tag.

    /branches/NAME  /tags/NAME  /remotes/REMOTE/NAME   symbolic links to commits
    /HEAD                                              one to a branch, or to a commit
    /commits/SHA/                                      the files of that commit
    /objects/SHA                                       trees and blobs that tags point at

Modules: store (objects, read by libgit2), refs (the names of commits), tree (both as one tree of
files, and the keys of files), blobs (contents), backend (the methods).
"""

from __future__ import annotations

try:
    import pygit2 as _pygit2
except ImportError as exc:
    raise ImportError(
        "git repositories are read by pygit2, which is missing: pip install 'nfsloop[git]'",
        name="pygit2",
    ) from exc

if not hasattr(_pygit2.Odb, "read_header"):
    raise ImportError(
        "pygit2 is too old, git repositories need 1.20: pip install -U 'nfsloop[git]'",
        name="pygit2>=1.20",
    )

from backends.git.backend import GitBackend

__all__ = ["GitBackend"]
