"""The examination: what is looked at for which question, and the report as text and JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nfsloop.doctor import local, probes
from nfsloop.doctor.causes import PROBLEM, plain
from nfsloop.doctor.diagnosis import Report, diagnose
from nfsloop.doctor.seen import Local, Remote
from oncrpc import loop

Progress = Callable[[str], None]


def parse(what: str) -> tuple[str, str | None]:
    """HOST and /EXPORT of ``HOST[:/EXPORT]``; an IPv6 address stands in brackets before a path.

    Raises ValueError.
    """
    host, colon, path = what.partition(":/")
    if what.startswith("[") or not colon:
        inside, bracket, rest = what.removeprefix("[").partition("]")
        host, path = (inside, rest.removeprefix(":/")) if bracket else (what, "")
        colon = rest if bracket else ""
    if (
        not host
        or host.startswith("-")  # an option, to mount(8)
        or (colon and not colon.startswith(":/"))
        or (not colon and ":" in host and not _numeric(host))
    ):
        raise ValueError(f"{what!r} is no HOST or HOST:/EXPORT")
    return host, f"/{path}" if colon else None


def _numeric(host: str) -> bool:
    import socket

    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return False
    return True


def remote(
    host: str,
    path: str | None,
    port: int | None = None,
    wait: float = 3.0,
    say: Progress = lambda text: None,
    mount_port: int | None = None,
) -> Remote:
    """A server as seen from here; the ports are those that the user named."""
    seen = Remote(host, path, port, mount_port)
    seen.uid, seen.gid, seen.groups = os.geteuid(), os.getegid(), tuple(os.getgroups())
    loop.run(probes.look(seen, wait, say), "asyncio")
    return seen


def of_host(
    host: str,
    path: str | None,
    port: int | None,
    wait: float,
    say: Progress,
    only_remote: bool = False,
) -> Report:
    """Why a mount of the host does not work."""
    say("looking at this machine")
    here: Local | None = None if only_remote else local.look(host, wait)
    return diagnose(remote(host, path, port, wait, say), here)


def of_this_machine(
    state: Path, config: Path | None, wait: float, say: Progress, named: bool = True
) -> Report:
    """Why the server of this machine does not serve, and this machine's mounts do not work.

    `named`: the state directory or the settings are the user's choice.
    """
    from nfsloop.doctor import server

    say(f"looking at the server with the state directory {state}")
    seen = server.look(state, config, wait, named)
    mounts = Local(mounts=local.look(None, wait).mounts)
    there: Remote | None = None
    if seen.answers_at and not seen.knfsd:
        there = remote(seen.answers_at, None, seen.port, wait, say)
    report = diagnose(there, None, seen)
    kinds = {"stale-mount", "dead-mount"}
    found = diagnose(None, mounts).findings
    report.findings += [finding for finding in found if finding.code in kinds]
    report.sort()
    return report


def progress() -> Progress:
    """Says on standard error what is going on, if that is a terminal; the line is overwritten."""
    if not sys.stderr.isatty():
        return lambda text: None

    def say(text: str) -> None:
        print(f"\r\x1b[K{plain(text)} …" if text else "\r\x1b[K", end="", file=sys.stderr)
        sys.stderr.flush()

    return say


def lines(report: Report, verbose: bool = False) -> list[str]:
    """The report for people."""
    out: list[str] = []
    for finding in report.findings:
        out.append(f"{finding.level}: {finding.problem}")
        out += [f"    why: {finding.why}", f"    what to do: {finding.remedy}", ""]
    if verbose or report.healthy:
        out += [f"fine: {plain(text)}" for text in report.fine]
    if report.healthy:
        out.append("no problem was found")
    if report.line:
        once = "" if report.healthy else ", once that is put right"
        out += [f"this mounts it{once}:", f"    {report.line}"]
    while out and not out[-1]:
        out.pop()
    return out


def as_json(report: Report) -> str:
    """The report for machines."""
    found: dict[str, Any] = {
        "healthy": report.healthy,
        "findings": [
            {
                "code": finding.code,
                "level": finding.level,
                "problem": finding.problem,
                "why": finding.why,
                "remedy": finding.remedy,
            }
            for finding in report.findings
        ],
        "fine": report.fine,
        "mount": report.line or None,
        "problems": sum(finding.level == PROBLEM for finding in report.findings),
    }
    return json.dumps(found)
