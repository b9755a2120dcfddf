"""A directory tree of the local file system, served as NFS.

Handles are inode number and generation. Where the kernel opens files by handle (as root, on ext4,
xfs, btrfs, tmpfs) nothing else is kept; elsewhere (without privilege, or on overlayfs) an on-disk
index says where a file was last. As root, every call acts with the caller's uid, gid and groups, so
that the kernel enforces permissions, ACLs and quotas; an ordinary user serves as himself.

Modules: kernel (system calls), creds (identity), node, pins and nodes (files in use, their table,
and the ways to them), index, descriptors (open files, buffers, fsyncs); core, files, names, dirs
(the methods).
"""

from __future__ import annotations

from .dirs import DirOps

__all__ = ["PosixBackend"]


class PosixBackend(DirOps):
    """Serves the directory `path`.

    `state` is a directory in which the index of handles is kept; None keeps it in memory, and then
    handles do not survive a restart where the kernel does not open files by handle. With `sync`
    False, WRITE and COMMIT answer as asked without waiting for the disk. `nodes` and `descriptors`
    bound the files known and those open for data, by default a fair part of RLIMIT_NOFILE.

    After a call, the thread may act as its caller until the event loop has gone round once. Code
    that opens files right behind an awaited call, and means the process's own rights, calls
    ``backends.posix.creds.of_this_thread().rest()`` first.

    Files on other devices beneath `path` (mounts) are served through the index, with inode numbers
    that are mixed with the number of the device; their handles last as long as that number does.
    """
