"""`nfsloop mount`: finds ports and options, and mounts."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass

from nfsloop.errors import ConfigError
from nfsloop.verbs.ping import add_timeout

HELP = "mount an export, with the ports and options that it takes"
DESCRIPTION = (
    "Ask HOST for its ports, choose the options, and run mount(8). If that cannot work, say why, "
    "as 'nfsloop doctor' does."
)
EPILOG = """\
examples:
  nfsloop mount files.example.org:/srv/data /mnt
  nfsloop mount -o port=12049,ro localhost:/home/me/tree /mnt
  nfsloop mount --dry-run files.example.org:/ /mnt     print the command only
"""

#: mount.nfs itself tries for two minutes.
MOUNT_SECONDS = 150


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    what: str
    directory: str
    options: tuple[str, ...]

    @property
    def named(self) -> dict[str, str]:
        """The options by name."""
        return {name: value for name, _, value in (word.partition("=") for word in self.options)}

    def port(self, name: str) -> int | None:
        """A port, if it is named. Raises ConfigError."""
        text = self.named.get(name)
        if text is not None and not (text.isdecimal() and 0 < int(text) < 65536):
            raise ConfigError(f"-o {name}={text}: a port is a number from 1 to 65535")
        return int(text) if text else None

    @property
    def other_version(self) -> bool:
        """Whether another version than 3 is asked for."""
        named = self.named
        return "4" in {(named.get(name) or "")[:1] for name in ("vers", "nfsvers")} or any(
            word.startswith("v4") for word in named
        )

    def merged(self, found: list[str]) -> list[str]:
        """`found`, but for what the user says himself."""
        same = {"nolock": "lock", "vers": "nfsvers"}
        theirs = set(self.named)
        if theirs & {"v3", "nfsvers"}:
            theirs.add("vers")
        if theirs & {"tcp", "udp", "tcp6", "udp6"}:
            theirs.add("proto")
        names = {word: word.partition("=")[0] for word in found}
        kept = [it for it in found if not {names[it], same.get(names[it], "")} & theirs]
        return [*kept, *self.options]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its command line."""
    parser.add_argument("what", metavar="HOST:/EXPORT", help="what to mount")
    parser.add_argument("directory", metavar="DIR", help="an existing directory to mount it on")
    parser.add_argument(
        "-o",
        dest="options",
        metavar="OPTIONS",
        default="",
        help="options of mount.nfs, such as ro or port=12049; they count more than what is found",
    )
    parser.add_argument("-v", dest="verbose", action="store_true", help="show the command")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the command, and do not run it"
    )
    add_timeout(parser, "seconds after which something is silent")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from nfsloop import mountline
    from nfsloop.doctor import diagnosis, examine, local

    wanted = Wanted(args.what, args.directory, tuple(filter(None, args.options.split(","))))
    host, path = _place(wanted.what)
    program = _check(wanted, args.dry_run, args.timeout)
    directory = os.path.abspath(wanted.directory)  # which no option looks like
    ports = wanted.port("port"), wanted.port("mountport")
    say = examine.progress()
    if wanted.other_version:
        words, source = list(wanted.options), wanted.what
    else:
        here = local.look(host, args.timeout)
        seen = examine.remote(host, path, ports[0], args.timeout, say, ports[1])
        say("")
        report = diagnosis.diagnose(seen, None if args.dry_run else here)
        if report.way is None or ports[0] not in {None, seen.nfs_port}:
            print("\n".join(examine.lines(report)), file=sys.stderr)
            return 1
        words, source = wanted.merged(report.way.words), report.source
    if args.verbose or args.dry_run:
        print(mountline.line(words, source, directory))
    if args.dry_run:
        return 0
    said = _mount(program, words, source, directory)
    if not said:
        return 0
    print("\n".join(f"nfsloop: {line}" for line in said), file=sys.stderr)
    report = examine.of_host(host, path, ports[0], args.timeout, say)
    say("")
    print("\n".join(examine.lines(report)), file=sys.stderr)
    return 1


def _place(what: str) -> tuple[str, str]:
    from nfsloop.doctor import examine

    try:
        host, path = examine.parse(what)
    except ValueError as exc:
        raise ConfigError(exc) from None
    if path is None:
        raise ConfigError(f"{what}: name the export, too: {what}:/EXPORT (showmount -e lists them)")
    return host, path


def _check(wanted: Wanted, dry: bool, wait: float) -> str:
    """The mount program. Raises ConfigError for what mount(8) would not tell as plainly."""
    from nfsloop.doctor import child, local

    if dry:
        return "mount"
    if os.geteuid() != 0:
        raise ConfigError("only root can mount: use sudo, or --dry-run to see the command")
    program = local.which("mount")
    if program is None or local.mount_nfs() is None:
        raise ConfigError(
            "mount.nfs is not installed: install nfs-common (Debian, Ubuntu) or nfs-utils"
        )
    if any(one.directory == os.path.abspath(wanted.directory) for one in local.mounts()):
        raise ConfigError(f"{wanted.directory}: an NFS mount is there already")
    there = child.ask(
        lambda: [os.path.exists(wanted.directory), os.path.isdir(wanted.directory)], wait
    )
    if there is None:
        raise ConfigError(f"{wanted.directory} is on a file system that does not answer")
    if there != [True, True]:
        what = "is not a directory" if there[0] else "is not there"
        raise ConfigError(f"{wanted.directory} {what}: make the directory to mount on first")
    return program


def _mount(program: str, words: list[str], source: str, directory: str) -> list[str]:
    """Run it; what it said if it failed."""
    from nfsloop.doctor import child

    options = ["-o", ",".join(words)] if words else []
    command = [program, "-t", "nfs", *options, source, directory]
    status, said = child.run(command, MOUNT_SECONDS)
    if status is None:
        return [f"mount does not end; it was stopped after {MOUNT_SECONDS} s"]
    return [] if status == 0 else said or [f"mount failed (status {status})"]
