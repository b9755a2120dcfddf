"""`nfsloop umount`: unmounts, also where the server is gone, and says who keeps it busy."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from nfsloop.doctor import child
from nfsloop.doctor.causes import plain
from nfsloop.errors import ConfigError
from nfsloop.verbs.ping import add_timeout

HELP = "unmount an export, also where its server is gone"
DESCRIPTION = (
    "Unmount what 'nfsloop mount' mounted, or any other NFS mount. It never waits for a server "
    "that is gone; -f gives such a mount up."
)
EPILOG = """\
examples:
  nfsloop umount /mnt
  nfsloop umount -f /mnt      its server does not come back
  nfsloop umount -l /mnt      it is busy: nobody new gets in, and it goes with the last user
"""

UMOUNT_SECONDS = 20
#: So many users of a busy mount are named.
USERS = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument("directory", metavar="DIR", help="where it is mounted")
    parser.add_argument(
        "-f",
        dest="force",
        action="store_true",
        help="give up calls that wait for a server that is gone; what was not written is lost",
    )
    parser.add_argument(
        "-l",
        dest="lazy",
        action="store_true",
        help="take it out of the tree now; it ends when nobody uses it any more",
    )
    add_timeout(parser, "seconds after which the server counts as gone")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from nfsloop.doctor import local

    directory = os.path.abspath(args.directory)  # by the text alone: a dead mount is not touched
    there = [one for one in local.mounts() if one.directory == directory]
    if not there:
        raise ConfigError(_not_mounted(directory))
    if os.geteuid() != 0:
        raise ConfigError("only root can unmount: use sudo")
    program = local.which("umount")
    if program is None:
        raise ConfigError("umount is not installed: install the package mount or util-linux")
    mount = local.states(there[-1:], args.timeout)[0]
    if mount.state == "silent" and not (args.force or args.lazy):
        raise ConfigError(
            f"{directory}: its server ({mount.source}) does not answer; what was not written yet "
            f"waits for it.",
            f"Bring it back, or give the mount up: nfsloop umount -f {args.directory}",
        )
    said = _umount(program, directory, mount.state == "well", args.force, args.lazy)
    if args.force and said and _there(directory):  # whoever is in it has got his error by now
        said = _umount(program, directory, False, True, True)
    if said or _there(directory, len(there)):
        raise ConfigError(*_why(directory, said))
    return 0


def _there(directory: str, before: int = 1) -> bool:
    from nfsloop.doctor import local

    return sum(one.directory == directory for one in local.mounts()) >= before


def _not_mounted(directory: str) -> str:
    from nfsloop.doctor import local

    if not os.path.exists("/proc/self/mounts"):
        return "without /proc there is no telling what is mounted"
    others = ", ".join(one.directory for one in local.mounts()[:USERS])
    text = f"no NFS is mounted on {plain(directory)}"
    return f"{text}; it is on {plain(others)}" if others else text


def _umount(program: str, directory: str, well: bool, force: bool, lazy: bool) -> list[str]:
    """Run umount; what it said if it failed.

    Only where the server is well the helper umount.nfs comes in, which tells it; and without
    --no-canonicalize umount would look at the directory itself.
    """
    flags = [] if well and not force else ["--internal-only", "--no-canonicalize"]
    flags += ["-f"] if force else []
    flags += ["-l"] if lazy else []
    status, said = child.run([program, *flags, directory], UMOUNT_SECONDS)
    if status is None:
        return [f"umount does not end within {UMOUNT_SECONDS} s: the server may be gone; try -f"]
    return [] if status == 0 else said or [f"umount failed ({status})"]


def _why(directory: str, said: list[str]) -> list[str]:
    busy = any("busy" in line for line in said)
    lines = [plain(line) for line in said] or [f"{directory} is still mounted"]
    if busy:
        found = list(users(directory))
        lines = [f"{plain(directory)} is busy:"]
        lines += [f"    process {pid} ({name}): {what}" for pid, name, what in found[:USERS]]
        if len(found) > USERS:
            lines.append(f"    and {len(found) - USERS} more")
        if not found:
            lines.append(
                "    by the kernel itself: a mount or a loop device in it, or an NFS server"
            )
        lines.append("End them, or detach it: nfsloop umount -l " + plain(directory))
    return lines


def users(directory: str) -> Iterator[tuple[int, str, str]]:
    """Process, its name, and what of it is in the directory. Only /proc is read: links in it say
    where they lead without going there."""
    names = os.listdir("/proc") if os.path.isdir("/proc") else []
    for pid in sorted(map(int, filter(str.isdecimal, names))):
        place = Path("/proc", str(pid))
        with contextlib.suppress(OSError):
            what = _use(place, directory)
            if what:
                name = (place / "comm").read_text(errors="replace").strip()
                yield pid, plain(name), plain(what)


def _use(place: Path, directory: str) -> str:
    """What of one process; empty if nothing. Raises OSError for one that is gone."""
    for name, what in (
        ("cwd", "its working directory"),
        ("root", "its root directory"),
        ("exe", "its program"),
    ):
        with contextlib.suppress(OSError):
            if _inside(os.readlink(place / name), directory):
                return what
    for number in os.listdir(place / "fd"):
        with contextlib.suppress(OSError):
            path = os.readlink(place / "fd" / number)
            if _inside(path, directory):
                return f"the open file {path}"
    for line in (place / "maps").read_text(errors="replace").split("\n"):
        words = line.split(None, 5)
        if len(words) == 6 and _inside(words[5], directory):
            return f"the mapped file {words[5]}"
    return ""


def _inside(path: str, directory: str) -> bool:
    path = path.removesuffix(" (deleted)")
    return path == directory or path.startswith(directory.rstrip("/") + "/")
