"""System calls that Python does not offer: file handles, birth times, raw directories, access.

Calls that only look something up in memory go through `PyDLL`, which keeps the interpreter lock
and costs half of what `CDLL` does; those that may wait for a disk go through `CDLL`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import re
import select
import struct
import sys
from typing import NamedTuple, NoReturn, TypeAlias

_fast = ctypes.PyDLL(None, use_errno=True)
_slow = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
_AT_EACCESS = 0x200
_AT_STATX_DONT_SYNC = 0x4000
_STATX_INO_BTIME = 0x100 | 0x800
_STATX_BTIME = 0x800
_FS_IOC_GETVERSION = 0x80087601
_SYS_FACCESSAT2 = 439  # the same on every architecture
#: UTIME_NOW and UTIME_OMIT of utimensat(2), in place of nanoseconds.
UTIME_NOW = 0x3FFFFFFF
UTIME_OMIT = 0x3FFFFFFE

EXT, TMPFS, XFS, BTRFS, OVERLAY = 0xEF53, 0x01021994, 0x58465342, 0x9123683E, 0x794C7630
RAMFS = 0x858458F6


def fail(*what: object) -> NoReturn:
    """Raise OSError for the errno that the last call of this thread left."""
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), *what)


def _address(buffer: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


# File handles

_MAX_HANDLE = 128
_HEAD = struct.Struct("=Ii")  # struct file_handle: bytes that follow, and their type


class Form(NamedTuple):
    """How a file system lays out its handles, and where inode number and generation are."""

    type: int
    layout: struct.Struct
    ino: int
    generation: int
    #: A field that is the same in all handles of one file system (btrfs: the subvolume).
    constant: int | None = None


# A table and no guesswork: in the handle of an ext4 root, inode 2 of generation 0, a search for
# the inode number finds 64 bits where there are 32.
_FORMS = {
    (0x01, 8): Form(0x01, struct.Struct("=II"), 0, 1),  # ext2, ext3, ext4, xfs inode32, f2fs …
    (0x01, 12): Form(0x01, struct.Struct("=IQ"), 1, 0),  # tmpfs
    (0x81, 12): Form(0x81, struct.Struct("=QI"), 0, 1),  # xfs
    (0x4D, 20): Form(0x4D, struct.Struct("=QQI"), 0, 2, 1),  # btrfs
}

_name_to_handle_at = _fast.name_to_handle_at
_name_to_handle_at.argtypes = [
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
]
_open_by_handle_at = _slow.open_by_handle_at
_open_by_handle_at.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]


class Handles:
    """The kernel's file handles of one file system, as (inode number, generation)."""

    def __init__(self, form: Form, constant: int) -> None:
        self._form = form
        self._constant = constant
        self._whole = struct.Struct(_HEAD.format + form.layout.format[1:])
        # Where they are in the whole of it.
        self._ino, self._generation = 2 + form.ino, 2 + form.generation
        self._same = None if form.constant is None else 2 + form.constant
        self._buffer = bytearray(_HEAD.size + _MAX_HANDLE)
        self._address = _address(self._buffer)
        self._mount = ctypes.c_int()
        self._mount_address = ctypes.addressof(self._mount)
        self._bytes, self._type = form.layout.size, form.type

    @classmethod
    def learn(cls, fd: int) -> Handles | None:
        """The handles of the file system that the directory `fd` is in; None: it has none."""
        buffer = ctypes.create_string_buffer(_HEAD.size + _MAX_HANDLE)
        _HEAD.pack_into(buffer, 0, _MAX_HANDLE, 0)
        mount = ctypes.c_int()
        if _name_to_handle_at(
            fd, b"", ctypes.addressof(buffer), ctypes.addressof(mount), AT_EMPTY_PATH
        ):
            return None
        length, kind = _HEAD.unpack_from(buffer)
        form = _FORMS.get((kind, length))
        if form is None:
            return None
        fields = form.layout.unpack_from(buffer, _HEAD.size)
        if fields[form.ino] != os.fstat(fd).st_ino:
            return None
        return cls(form, 0 if form.constant is None else fields[form.constant])

    def mount(self) -> int:
        """The number of the mount on which the last call of `generation` found its file."""
        return self._mount.value

    def generation(self, dir_fd: int, name: bytes, ino: int) -> int | None:
        """The generation of a name (b"": of `dir_fd` itself) whose inode number must be `ino`.

        None: its handle has another form, or the name is another file's by now. OSError: ENOENT …
        """
        buffer = self._buffer
        _HEAD.pack_into(buffer, 0, self._bytes, 0)
        flags = 0 if name else AT_EMPTY_PATH
        if _name_to_handle_at(dir_fd, name, self._address, self._mount_address, flags):
            if ctypes.get_errno() in (errno.EOPNOTSUPP, errno.EOVERFLOW):
                return None
            fail(name)
        fields = self._whole.unpack_from(buffer)
        if (
            fields[self._ino] != ino
            or fields[0] != self._bytes
            or fields[1] != self._type
            or (self._same is not None and fields[self._same] != self._constant)
        ):
            return None
        generation: int = fields[self._generation]
        return generation

    def open(self, mount_fd: int, ino: int, generation: int) -> int:
        """An O_PATH descriptor of the file. Needs CAP_DAC_READ_SEARCH; OSError ESTALE: gone."""
        form = self._form
        fields = [self._constant] * (2 if form.constant is None else 3)
        fields[form.ino], fields[form.generation] = ino, generation
        buffer = ctypes.create_string_buffer(_HEAD.size + form.layout.size)
        _HEAD.pack_into(buffer, 0, form.layout.size, form.type)
        try:
            form.layout.pack_into(buffer, _HEAD.size, *fields)
        except struct.error:  # wider than this file system's numbers: nobody's handle
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from None
        fd: int = _open_by_handle_at(
            mount_fd, ctypes.addressof(buffer), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        )
        if fd < 0:
            fail()
        return fd


# Birth times

_statx = getattr(_fast, "statx", None)
if _statx is not None:
    _statx.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    ]
_statx_buffer = ctypes.create_string_buffer(256)
_statx_address = ctypes.addressof(_statx_buffer)


def birth(dir_fd: int, name: bytes, ino: int) -> int | None:
    """Nanoseconds at which a file was made (b"": `dir_fd` itself); its number must be `ino`.

    None: the file system does not say, or the name is another file's by now.
    """
    if _statx is None:
        return None
    flags = _AT_STATX_DONT_SYNC | (AT_SYMLINK_NOFOLLOW if name else AT_EMPTY_PATH)
    if _statx(dir_fd, name, flags, _STATX_INO_BTIME, _statx_address):
        if ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
            return None
        fail(name)
    (mask,) = struct.unpack_from("=I", _statx_buffer, 0)
    (found,) = struct.unpack_from("=Q", _statx_buffer, 32)
    if found != ino or not mask & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", _statx_buffer, 80)
    return (int(seconds) * 1_000_000_000 + int(nanoseconds)) & 0xFFFFFFFFFFFFFFFF


def version(path: bytes) -> int | None:
    """FS_IOC_GETVERSION: the generation where there is neither handle nor birth time."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return version_of(fd)
    finally:
        os.close(fd)


_version = bytearray(8)


def version_of(fd: int) -> int | None:
    """`version` of what is open as `fd`, for data."""
    try:
        fcntl.ioctl(fd, _FS_IOC_GETVERSION, _version)
    except OSError:
        return None
    return int.from_bytes(_version[:4], sys.byteorder)


# Directories

_getdents64 = getattr(_slow, "getdents64", None)
_NUMBERS = {"x86_64": 217, "aarch64": 61, "riscv64": 61, "loongarch64": 61, "ppc64le": 202}
_syscall_slow = _slow.syscall
_syscall_slow.restype = ctypes.c_long
_DIRENT = struct.Struct("=QqHB")  # struct linux_dirent64, without the name
_dirent_buffer = ctypes.create_string_buffer(1 << 16)
#: d_type of a regular file.
DT_REG = 8
#: Name, inode number, offset behind it, d_type.
Dirent: TypeAlias = tuple[bytes, int, int, int]


def getdents(fd: int, size: int) -> tuple[list[Dirent], int, int]:
    """The next entries but ``.`` and ``..``, the bytes of all their records, at most `size` and
    64 KiB, and the offset behind them. 0 bytes: the end."""
    buffer = _dirent_buffer
    size = min(size, len(buffer))
    if _getdents64 is not None:
        n = _getdents64(fd, buffer, ctypes.c_size_t(size))
    else:
        n = _syscall_slow(ctypes.c_long(_NUMBERS[platform.machine()]), fd, buffer, size)
    if n < 0:
        fail()
    raw = ctypes.string_at(buffer, n)
    entries: list[Dirent] = []
    at = offset = 0
    unpack = _DIRENT.unpack_from
    find = raw.index
    while at < n:
        ino, offset, length, kind = unpack(raw, at)
        name = raw[at + 19 : find(0, at + 19)]
        if name != b"." and name != b"..":  # noqa: PLR1714 - half of what a set costs
            entries.append((name, ino, offset, kind))
        at += length
    return entries, n, offset


# Mounts

_ESCAPED = re.compile(rb"\\([0-7]{3})")


class Mounts:
    """Where something is mounted, as the process sees it."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLERR | select.POLLPRI)
        self._points: list[bytes] | None = None
        self._asked = b""
        self._any = False

    def beneath(self, prefix: bytes) -> bool:
        """Whether anything is mounted on a path that begins with `prefix`."""
        changed = self._poll.poll(0)
        if changed or self._points is None:
            self._points = [
                _ESCAPED.sub(lambda code: bytes((int(code[1], 8),)), line.split(b" ", 5)[4])
                for line in self._read().splitlines()
            ]
        elif prefix == self._asked:
            return self._any
        self._asked = prefix
        self._any = any(point.startswith(prefix) for point in self._points)
        return self._any

    def _read(self) -> bytes:
        os.lseek(self._fd, 0, os.SEEK_SET)
        return b"".join(iter(lambda: os.read(self._fd, 1 << 16), b""))

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


# Permission and times

_faccessat2 = _fast.syscall
_faccessat2.restype = ctypes.c_long
_faccessat2.argtypes = [
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_int,
]


def may(fd: int, mode: int) -> bool:
    """Whether the thread's file system identity has all rights in `mode` (R_OK, W_OK, X_OK).

    faccessat2(2) directly: what glibc before 2.33 and musl make of AT_EACCESS asks for another
    identity. OSError: the kernel (before 5.8), or a seccomp filter, does not know the call.
    """
    if not _faccessat2(_SYS_FACCESSAT2, fd, b"", mode, _AT_EACCESS | AT_EMPTY_PATH):
        return True
    if ctypes.get_errno() in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ETXTBSY):
        return False
    fail()


_futimens = _fast.futimens
_futimens.argtypes = [ctypes.c_int, ctypes.c_void_p]
_utimensat = _fast.utimensat
_utimensat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]


def utimens(what: bytes | int, atime: tuple[int, int], mtime: tuple[int, int]) -> None:
    """utimensat(2) following a path, or on what is open for data; times are (seconds, nanoseconds
    or UTIME_NOW or _OMIT)."""
    times = (ctypes.c_long * 4)(*atime, *mtime)
    address = ctypes.addressof(times)
    if isinstance(what, int):
        failed = _futimens(what, address)
    else:
        failed = _utimensat(AT_FDCWD, what, address, 0)
    if failed:
        fail()


class _Statfs(ctypes.Structure):
    _fields_ = [("type", ctypes.c_long), ("rest", ctypes.c_char * 248)]


def filesystem(fd: int) -> int:
    """f_type of fstatfs(2): EXT, TMPFS …"""
    result = _Statfs()
    if _slow.fstatfs(fd, ctypes.byref(result)):
        fail()
    return int(result.type) & 0xFFFFFFFF


def release() -> tuple[int, int]:
    """The kernel's version."""
    major, minor, *_ = (*platform.release().split("."), "0", "0")
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)
