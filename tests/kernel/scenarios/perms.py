"""Who may do what. `squash` says that the export maps root to nobody."""

from __future__ import annotations

import errno
import os
import stat

from ..guest_lib import (
    NOBODY,
    Context,
    as_user,
    check,
    drop_caches,
    equal,
    raises,
    read_file,
    write_file,
)

ALICE, BOB, TEAM = 1000, 1001, 2000


def run(ctx: Context) -> None:
    if ctx.param("squash", False):
        squashed(ctx)
        return
    others(ctx)
    groups(ctx)
    directories(ctx)
    own_files(ctx)
    root(ctx)


def others(ctx: Context) -> None:
    with ctx.step("a user can not read root's 0600 file, nor write where root alone may"):
        secret = ctx.path("secret")
        write_file(secret, b"secret", 0o600)
        os.mkdir(ctx.path("roots"), 0o755)
        write_file(ctx.path("roots", "public"), b"public", 0o644)

        def alice() -> None:
            raises(errno.EACCES, read_file, secret)
            raises(errno.EACCES, write_file, secret, b"x")
            raises(errno.EACCES, write_file, ctx.path("roots", "new"), b"x")
            raises(errno.EACCES, os.mkdir, ctx.path("roots", "newdir"))
            raises(errno.EACCES, os.unlink, ctx.path("roots", "public"))
            raises(errno.EACCES, os.rename, ctx.path("roots", "public"), ctx.path("x"))
            raises(errno.EACCES, write_file, ctx.path("roots", "public"), b"x")
            raises(errno.EPERM, os.chmod, ctx.path("roots", "public"), 0o777)
            raises(errno.EPERM, os.utime, ctx.path("roots", "public"), (1, 1))
            raises(errno.EACCES, os.truncate, ctx.path("roots", "public"), 0)
            equal(read_file(ctx.path("roots", "public")), b"public", "a public file")
            check(not os.access(secret, os.R_OK), "access() says yes")

        as_user(ALICE, ALICE, [], alice)
        drop_caches()
        as_user(ALICE, ALICE, [], alice)
        equal(os.listdir(ctx.path("roots")), ["public"], "what is there")
    with ctx.step("a directory without x can not be entered, without r not be listed"):
        os.mkdir(ctx.path("closed"), 0o744)
        write_file(ctx.path("closed", "in"), b"in", 0o644)
        os.mkdir(ctx.path("blind"), 0o711)
        write_file(ctx.path("blind", "in"), b"in", 0o644)

        def alice_again() -> None:
            raises(errno.EACCES, read_file, ctx.path("closed", "in"))
            raises(errno.EACCES, os.listdir, ctx.path("blind"))
            equal(read_file(ctx.path("blind", "in")), b"in", "a file in a blind directory")

        as_user(ALICE, ALICE, [], alice_again)


def groups(ctx: Context) -> None:
    with ctx.step("supplementary groups count, up to the sixteenth"):
        path = ctx.path("team")
        write_file(path, b"for the team", 0o640)
        os.chown(path, 0, TEAM)
        raises(errno.EACCES, as_user, ALICE, ALICE, [3000], lambda: read_file(path))
        many = [*range(3000, 3015), TEAM]
        equal(as_user(ALICE, ALICE, many, lambda: read_file(path)), b"for the team", "content")
        equal(as_user(BOB, TEAM, [], lambda: read_file(path)), b"for the team", "as first group")


def directories(ctx: Context) -> None:
    with ctx.step("setgid directory: new files and directories have its group"):
        shared = ctx.path("shared")
        os.mkdir(shared)
        os.chown(shared, 0, TEAM)
        os.chmod(shared, 0o2775)

        def alice() -> None:
            write_file(f"{shared}/file", b"x", 0o664)
            os.mkdir(f"{shared}/dir", 0o775)

        as_user(ALICE, ALICE, [TEAM], alice)
        drop_caches()
        file, folder = os.stat(f"{shared}/file"), os.stat(f"{shared}/dir")
        equal((file.st_uid, file.st_gid), (ALICE, TEAM), "owner of the file")
        equal((folder.st_uid, folder.st_gid), (ALICE, TEAM), "owner of the directory")
        check(folder.st_mode & stat.S_ISGID, "the directory did not inherit setgid")
    with ctx.step("sticky directory: only owners remove"):
        sticky = ctx.path("sticky")
        os.mkdir(sticky)
        os.chmod(sticky, 0o1777)
        as_user(ALICE, ALICE, [], lambda: write_file(f"{sticky}/hers", b"x", 0o666))

        def bob() -> None:
            raises((errno.EPERM, errno.EACCES), os.unlink, f"{sticky}/hers")
            raises((errno.EPERM, errno.EACCES), os.rename, f"{sticky}/hers", f"{sticky}/his")
            write_file(f"{sticky}/own", b"x")
            os.unlink(f"{sticky}/own")

        as_user(BOB, BOB, [], bob)
        as_user(ALICE, ALICE, [], lambda: os.unlink(f"{sticky}/hers"))


def own_files(ctx: Context) -> None:
    home = ctx.path("home")
    os.mkdir(home)
    os.chown(home, ALICE, ALICE)
    with ctx.step("an owner writes on through the descriptor that created a 0444 file"):

        def alice() -> None:
            fd = os.open(f"{home}/object", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444)
            with os.fdopen(fd, "wb") as file:
                file.write(b"x" * 100_000)
                os.fsync(file.fileno())
            raises(errno.EACCES, os.open, f"{home}/object", os.O_WRONLY)
            fd = os.open(f"{home}/blind", os.O_CREAT | os.O_RDWR, 0o000)
            os.write(fd, b"blind")
            os.fsync(fd)
            equal(os.pread(fd, 10, 0), b"blind", "read through the descriptor")
            os.close(fd)
            raises(errno.EACCES, os.open, f"{home}/blind", os.O_RDONLY)

        as_user(ALICE, ALICE, [], alice)
        drop_caches()
        equal(len(read_file(f"{home}/object")), 100_000, "size")
    with ctx.step("an owner changes mode and group, not owner"):

        def alice_again() -> None:
            write_file(f"{home}/mine", b"mine")
            os.chmod(f"{home}/mine", 0o640)
            os.chown(f"{home}/mine", -1, TEAM)
            raises(errno.EPERM, os.chown, f"{home}/mine", BOB, -1)
            raises(errno.EPERM, os.chown, f"{home}/mine", -1, 4242)

        as_user(ALICE, ALICE, [TEAM], alice_again)
        drop_caches()
        info = os.stat(f"{home}/mine")
        got = (info.st_uid, info.st_gid, oct(info.st_mode))
        equal(got, (ALICE, TEAM, oct(0o100640)), "uid, gid, mode")
    with ctx.step("a write by another clears setuid"):
        path = ctx.path("setuid")
        write_file(path, b"#!x", 0o777)
        os.chmod(path, 0o4777)
        as_user(ALICE, ALICE, [], lambda: write_file(path, b"changed"))
        drop_caches()
        check(not os.stat(path).st_mode & stat.S_ISUID, "setuid is still there")


def root(ctx: Context) -> None:
    with ctx.step("root may all (no_root_squash)"):
        path = ctx.path("home", "mine")
        os.chown(path, 4711, 4712)
        os.chmod(path, 0o000)
        drop_caches()
        info = os.stat(path)
        equal((info.st_uid, info.st_gid), (4711, 4712), "owner")
        equal(read_file(path), b"mine", "content of a 0000 file")
        write_file(path, b"root's")
        os.unlink(path)


def squashed(ctx: Context) -> None:
    """The working directory was made by squashed root too, so it is nobody's."""
    with ctx.step("what root makes is nobody's"):
        write_file(ctx.path("file"), b"squashed")
        os.mkdir(ctx.path("dir"))
        drop_caches()
        for name in ("file", "dir"):
            info = os.stat(ctx.path(name))
            equal((info.st_uid, info.st_gid), (NOBODY, NOBODY), f"owner of {name}")
    with ctx.step("squashed root can not chown, nor read what is a user's alone"):
        raises(errno.EPERM, os.chown, ctx.path("file"), ALICE, ALICE)
        raises((errno.EPERM, errno.EACCES), os.mknod, ctx.path("dev"), stat.S_IFCHR, 0x103)
        os.chmod(ctx.dir, 0o777)

        def alice() -> None:
            write_file(ctx.path("hers"), b"hers", 0o600)
            equal(read_file(ctx.path("hers")), b"hers", "her own file")
            equal(os.stat(ctx.path("hers")).st_uid, ALICE, "owner")

        as_user(ALICE, ALICE, [], alice)
        drop_caches()
        raises(errno.EACCES, read_file, ctx.path("hers"))
        raises(errno.EPERM, os.chmod, ctx.path("hers"), 0o666)
