"""git on the mount: commit a few hundred files, check, repack, check again."""

from __future__ import annotations

import os

from ..guest_lib import Context, check, command, drop_caches, equal, write_file


def git(cwd: str, *words: str) -> str:
    config = ("user.name=guest", "user.email=guest@example.org", "gc.auto=0", "safe.directory=*")
    options = [word for setting in config for word in ("-c", setting)]
    return command(["git", *options, *words], cwd=cwd, timeout=120)


def run(ctx: Context) -> None:
    repo = ctx.path("repo")
    count = ctx.param("files", 300)
    os.mkdir(repo)
    with ctx.step("init"):
        git(repo, "init", "-q", "-b", "main")
    with ctx.step("add and commit") as notes:
        for number in range(count):
            folder = f"{repo}/d{number % 10}"
            os.makedirs(folder, exist_ok=True)
            lines = "".join(f"file {number} line {line}\n" for line in range(number % 50 + 1))
            write_file(f"{folder}/f{number}.txt", lines.encode())
        os.symlink("d0/f0.txt", f"{repo}/link")
        git(repo, "add", "-A")
        git(repo, "commit", "-q", "-m", "all of them")
        notes.append(f"{count} files")
    with ctx.step("nothing to commit after dropping caches"):
        drop_caches()
        equal(git(repo, "status", "--porcelain"), "", "git status")
        equal(len(git(repo, "ls-files").split()), count + 1, "files in the index")
    with ctx.step("fsck --strict"):
        git(repo, "fsck", "--strict", "--no-progress")
    with ctx.step("second commit: change, remove, rename"):
        write_file(f"{repo}/d1/f1.txt", b"changed\n")
        git(repo, "rm", "-q", "d2/f2.txt")
        git(repo, "mv", "d3/f3.txt", "d3/renamed.txt")
        git(repo, "commit", "-q", "-a", "-m", "some changes")
        equal(git(repo, "rev-list", "--count", "HEAD").strip(), "2", "commits")
    with ctx.step("gc, then fsck --strict"):
        git(repo, "gc", "-q", "--prune=now")
        packs = [n for n in os.listdir(f"{repo}/.git/objects/pack") if n.endswith(".pack")]
        equal(len(packs), 1, "packs")
        drop_caches()
        git(repo, "fsck", "--strict", "--no-progress")
        check(git(repo, "show", "HEAD~1:d2/f2.txt").startswith("file 2"), "an old version is lost")
