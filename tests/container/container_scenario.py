"""In the guest: what a client sees of a container that is mounted by its published port, killed and
started again.

The host answers "kill" when the container is dead, and starts it again soon after; so what comes
next waits for it. "kill and start" is answered when it runs again.

Nothing but the standard library: the guest's interpreter has no packages.
"""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import subprocess
import threading

from kernel.guest_lib import (
    Context,
    check,
    command,
    drop_caches,
    equal,
    libc,
    libc_error,
    mount_options,
    read_file,
    umount,
    write_file,
)

HERE = "/mnt/container"
KIB, MIB = 1 << 10, 1 << 20


def content(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def run(ctx: Context) -> None:
    os.makedirs(HERE)
    with ctx.step("the line that the server printed mounts it") as notes:
        *words, _ = shlex.split(ctx.params["line"])
        command([*words, HERE], timeout=45)
        options = mount_options(HERE)
        equal((options["vers"], options["port"]), ("3", "2049"), "version and port")
        notes.append(ctx.params["line"])
    files = {f"file{number}": content(number, size) for number, size in enumerate(SIZES)}
    with ctx.step("write files"):
        os.mkdir(f"{HERE}/tree")
        for name, data in files.items():
            write_file(f"{HERE}/tree/{name}", data)
        status = os.stat(f"{HERE}/tree/file0")
        equal(status.st_uid, ctx.params["uid"], "who owns what root has made")
    killed_while_open(ctx)
    killed_while_writing(ctx, files)
    with ctx.step("replaced by a new container with the same volumes: the client carries on"):
        with open(f"{HERE}/tree/file1", "r+b") as file:
            ctx.sync("replace")
            file.write(b"!")
            file.flush()
            os.fsync(file.fileno())
        files["file1"] = b"!"
        drop_caches()
        compare(files)
    with ctx.step("everything is there after a new mount"):
        umount(HERE)
        command([*words, HERE], timeout=45)
        compare(files)
    with ctx.step("a volume of the engine's own, as compose.client.yaml has it"):
        umount(HERE)
        bare_mount(ctx.params["device"], ctx.params["options"])
        compare(files)
        umount(HERE)


SIZES = (0, 1, 5 * KIB, 200 * KIB, 3 * MIB)


def killed_while_open(ctx: Context) -> None:
    data = content(99, 2 * MIB)
    held = os.open(f"{HERE}/held", os.O_RDWR | os.O_CREAT, 0o600)
    gone = os.open(f"{HERE}/gone", os.O_RDWR | os.O_CREAT, 0o600)
    folder = os.open(f"{HERE}/tree", os.O_RDONLY | os.O_DIRECTORY)
    with ctx.step("killed with files open: the client carries on"):
        os.pwrite(gone, b"still here", 0)
        os.fsync(gone)
        os.unlink(f"{HERE}/gone")
        os.pwrite(held, data[: 512 * KIB], 0)
        os.fsync(held)
        os.pwrite(held, data[512 * KIB : MIB], 512 * KIB)  # the server may not have it yet
        ctx.sync("kill")
        os.pwrite(held, data[MIB:], MIB)
        os.fsync(held)
        os.mkdir("new", dir_fd=folder)
        os.rename("new", "renamed", src_dir_fd=folder, dst_dir_fd=folder)
        os.rmdir("renamed", dir_fd=folder)
    with ctx.step("and gets the same data"):
        drop_caches()
        equal(digest(os.pread(held, len(data), 0)), digest(data), "the open file")
        equal(os.pread(gone, 100, 0), b"still here", "the open file that was removed")
        equal(os.fstat(folder).st_ino, os.stat(f"{HERE}/tree").st_ino, "the open directory")
        equal(os.stat("file4", dir_fd=folder).st_size, SIZES[4], "a size by the open directory")
    for fd in (held, gone, folder):
        os.close(fd)
    with ctx.step("nothing is left of the removed file"):
        equal(sorted(os.listdir(HERE)), ["held", "tree"], "names")
        equal(digest(read_file(f"{HERE}/held")), digest(data), "the file by its name")


def killed_while_writing(ctx: Context, files: dict[str, bytes]) -> None:
    with ctx.step("killed while files are written") as notes:
        killer = threading.Thread(target=ctx.sync, args=("kill and start",))
        killer.start()
        number, last = 100, 0
        while (killer.is_alive() or number < last) and number < 5000:
            data = files[f"file{number}"] = content(number, 64 * KIB)
            write_file(f"{HERE}/tree/part", data)
            os.rename(f"{HERE}/tree/part", f"{HERE}/tree/file{number}")
            number += 1
            last = number + 10 if killer.is_alive() else last
        killer.join()
        notes.append(f"{len(files)} files")
    with ctx.step("all of them are there"):
        drop_caches()
        compare(files)


def compare(files: dict[str, bytes]) -> None:
    equal(sorted(os.listdir(f"{HERE}/tree")), sorted(files), "names")
    for name, data in files.items():
        check(read_file(f"{HERE}/tree/{name}") == data, f"{name} differs")


def bare_mount(device: str, options: str) -> None:
    """mount(2), as the engine's `local` driver calls it: without mount.nfs."""
    arguments = (device, HERE, "nfs", 0, options)
    given = [item.encode() if isinstance(item, str) else item for item in arguments]
    if libc.mount(*given) != 0:
        kernel = subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout
        raise AssertionError(f"{libc_error(options)}: {kernel[-500:]}")
