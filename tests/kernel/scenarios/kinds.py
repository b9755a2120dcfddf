"""Every kind of file, and every kind of name."""

from __future__ import annotations

import errno
import os
import socket
import stat

from ..guest_lib import Context, check, drop_caches, equal, forked, raises, read_file, write_file

ODD_NAMES = [
    b"\xff\xfe\x80 no utf-8",
    b"new\nline",
    b"tab\tand\x01control\x7f",
    b"-rf",
    b"'quote\" `cmd` $HOME * ? [x]",
    b" leading and trailing ",
    b"back\\slash",
    b"...",
    b".hidden",
    "\u00e9-composed".encode(),
    "e\u0301-decomposed".encode(),
    b"UPPER",
    b"upper",
    b"n" * 255,
    b"\xe2\x82\xac" * 85,
]


def run(ctx: Context) -> None:
    links(ctx)
    symlinks(ctx)
    fifo(ctx)
    devices(ctx)
    unix_socket(ctx)
    names(ctx)
    renames(ctx)


def links(ctx: Context) -> None:
    with ctx.step("hard links"):
        first, second = ctx.path("first"), ctx.path("second")
        write_file(first, b"one")
        os.link(first, second)
        equal(os.stat(first).st_nlink, 2, "link count")
        equal(os.stat(first).st_ino, os.stat(second).st_ino, "inode number")
        write_file(second, b"other")
        equal(read_file(first), b"other", "content through the first name")
        raises(errno.EEXIST, os.link, first, second)
        os.unlink(first)
        drop_caches()
        equal((os.stat(second).st_nlink, read_file(second)), (1, b"other"), "after unlink")
        raises((errno.EPERM, errno.EISDIR), os.link, ctx.dir, ctx.path("linked-dir"))


def symlinks(ctx: Context) -> None:
    with ctx.step("symbolic links: relative, dangling, long, odd bytes"):
        targets = [b"second", b"no/such/target", b"x/" * 500 + b"end", b"\xff\n odd", b"y" * 4000]
        for number, target in enumerate(targets):
            os.symlink(target, os.fsencode(ctx.path(f"symlink{number}")))
        drop_caches()
        for number, target in enumerate(targets):
            path = ctx.path(f"symlink{number}")
            equal(os.readlink(os.fsencode(path)), target, f"target {number}")
            check(os.path.islink(path), "not a link")
            equal(os.lstat(path).st_size, len(target), "size of a link")
        equal(read_file(ctx.path("symlink0")), b"other", "content through a link")
        raises(errno.ENOENT, os.stat, ctx.path("symlink1"))
        os.symlink("loop", ctx.path("loop"))
        raises(errno.ELOOP, os.stat, ctx.path("loop"))
        raises(errno.EINVAL, os.readlink, ctx.path("second"))


def fifo(ctx: Context) -> None:
    with ctx.step("fifo between two processes"):
        path = ctx.path("fifo")
        os.mkfifo(path, 0o640)
        drop_caches()
        info = os.stat(path)
        check(stat.S_ISFIFO(info.st_mode), "no fifo")
        equal(stat.S_IMODE(info.st_mode), 0o640, "mode")
        writer = forked(lambda: write_fifo(path), timeout=10)
        with open(path, "rb") as file:
            equal(file.read(), b"through the pipe", "what came through")
        writer()


def write_fifo(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"through the pipe")


def devices(ctx: Context) -> None:
    with ctx.step("device nodes"):
        wanted = {
            "null": (stat.S_IFCHR, 1, 3),
            "disk": (stat.S_IFBLK, 8, 17),
            "large": (stat.S_IFCHR, 511, 70000),
        }
        for name, (kind, major, minor) in wanted.items():
            os.mknod(ctx.path(name), kind | 0o600, os.makedev(major, minor))
        drop_caches()
        for name, (kind, major, minor) in wanted.items():
            info = os.stat(ctx.path(name))
            equal(stat.S_IFMT(info.st_mode), kind, f"kind of {name}")
            got = (os.major(info.st_rdev), os.minor(info.st_rdev))
            equal(got, (major, minor), f"numbers of {name}")
        with open(ctx.path("null"), "r+b", buffering=0) as device:
            equal((device.write(b"gone"), device.read(4)), (4, b""), "/dev/null by another name")


def unix_socket(ctx: Context) -> None:
    with ctx.step("unix socket"):
        path = ctx.path("socket")
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen(1)
            client.connect(path)
            peer, _ = server.accept()
            with peer:
                client.sendall(b"hello")
                equal(peer.recv(5), b"hello", "what came through")
        drop_caches()
        check(stat.S_ISSOCK(os.stat(path).st_mode), "no socket")
        os.unlink(path)


def names(ctx: Context) -> None:
    folder = os.fsencode(ctx.path("names"))
    with ctx.step("names with odd bytes, and of 255 bytes"):
        os.mkdir(folder)
        for name in ODD_NAMES:
            write_file(folder + b"/" + name, name)
        drop_caches()
        equal(sorted(os.listdir(folder)), sorted(ODD_NAMES), "listing")
        for name in ODD_NAMES:
            equal(read_file(folder + b"/" + name), name, "content")
    with ctx.step("a name of 256 bytes is ENAMETOOLONG"):
        long = folder + b"/" + b"n" * 256
        raises(errno.ENAMETOOLONG, write_file, long, b"")
        raises(errno.ENAMETOOLONG, os.mkdir, long)
        raises(errno.ENAMETOOLONG, os.stat, long)
        raises(errno.ENAMETOOLONG, os.rename, folder + b"/UPPER", long)
        raises(errno.ENAMETOOLONG, os.symlink, b"x" * 5000, folder + b"/toolong")


def renames(ctx: Context) -> None:
    with ctx.step("renames and their refusals"):
        base = ctx.path("renames")
        os.makedirs(f"{base}/full/sub")
        os.mkdir(f"{base}/empty")
        write_file(f"{base}/file", b"file")
        raises((errno.ENOTEMPTY, errno.EEXIST), os.rename, f"{base}/empty", f"{base}/full")
        raises((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, f"{base}/full")
        raises(errno.EINVAL, os.rename, f"{base}/full", f"{base}/full/sub/in")
        raises(errno.EISDIR, os.rename, f"{base}/file", f"{base}/empty")
        raises(errno.ENOTDIR, os.rename, f"{base}/empty", f"{base}/file")
        raises(errno.ENOTDIR, os.mkdir, f"{base}/file/x")
        raises(errno.ENOENT, os.rename, f"{base}/none", f"{base}/other")
        raises(errno.EEXIST, os.mkdir, f"{base}/full")
        raises((errno.EISDIR, errno.EPERM), os.unlink, f"{base}/empty")
        inode = os.stat(f"{base}/full").st_ino
        os.rename(f"{base}/full", f"{base}/empty")
        os.rename(f"{base}/file", f"{base}/empty/sub/moved")
        drop_caches()
        equal(os.listdir(base), ["empty"], "what is left")
        equal(os.stat(f"{base}/empty").st_ino, inode, "inode of the moved directory")
        equal(read_file(f"{base}/empty/sub/moved"), b"file", "content")
        equal(os.stat(f"{base}/empty/sub/..").st_ino, inode, "..")
