"""From what was seen to what is wrong. Pure, without I/O."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Any

from nfsloop import mountline
from nfsloop.doctor import null
from nfsloop.doctor.causes import CAUSES, PROBLEM, Finding, find
from nfsloop.doctor.null import Reach
from nfsloop.doctor.seen import PORTMAP_PORT, Local, Remote, Root, Server
from nfsloop.hosts import HostPattern, NoNames, address_of
from nfsloop.nfs3 import nfs3_xdr as x
from oncrpc.message import AUTH_NONE, AUTH_SYS

#: Fewer bytes a call than this are worth a word.
SMALL_BYTES = 32768
#: So many names are shown of a list.
SHOWN = 8


#: What a cause in the server looks like from its clients.
_FOLLOWS = {
    "settings-wrong": ("root-stale", "nfs-fails", "no-directory"),
    "directory-closed": ("closed-to-itself",),
    "nobody-listed": ("closed-to-itself",),
    "server-hangs": ("nfs-mute", "mount-dead", "no-listener"),
}
#: What is no fault of a server if it refuses its own machine so.
_TO_ITSELF = {"not-listed", "denied", "root-squashed", "no-permission"}
#: How a firewall shows.
_BARRED = {
    null.SILENT: "what is sent there is dropped, though the machine is there",
    null.UNREACHABLE: "it is rejected, though the machine is there ({text})",
    null.FORBIDDEN: "this machine itself rejects it ({text})",
}
#: Why NFS does not answer, where something does.
_INSTEAD = {
    null.NOT_RPC: "not-rpc",
    null.CLOSED: "nfs-closes",
    null.MUTE: "nfs-mute",
    null.UNAVAILABLE: "no-nfs",
}


@dataclass(slots=True)
class Report:
    """What was found, the worst first; what was fine; what mounts, if anything can."""

    findings: list[Finding] = field(default_factory=list)
    fine: list[str] = field(default_factory=list)
    way: mountline.Way | None = None
    source: str = ""

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not any(finding.level == PROBLEM for finding in self.findings)

    @property
    def line(self) -> str:
        """The command that will mount; empty if none will."""
        return mountline.line(self.way.words, self.source) if self.way else ""

    def add(self, code: str, **values: Any) -> None:
        """Another finding."""
        self.findings.append(find(code, values))

    def sort(self) -> None:
        """In order of blame: the problems first, each kind in the table's order. What only follows
        from another is left out."""
        order = list(CAUSES)
        codes = {finding.code for finding in self.findings}
        follows = {code for first in codes for code in _FOLLOWS.get(first, ())}
        self.findings = [finding for finding in self.findings if finding.code not in follows]
        self.findings.sort(key=lambda it: (it.level != PROBLEM, order.index(it.code)))


def diagnose(
    remote: Remote | None = None, local: Local | None = None, server: Server | None = None
) -> Report:
    """All that is wrong, of what was looked at."""
    report = Report()
    if server is not None:
        _server(report, server)
    if local is not None:
        _local(report, local)
    if remote is not None:
        _remote(report, remote)
        if server is not None and remote.nfs_registered:
            _own_registration(report, remote, server)
        if server is not None:
            _to_itself(report, remote)
        if remote.locks == "works" and local is not None and not local.statd:
            report.add("no-statd")
            if report.way is not None:
                report.way = replace(report.way, nolock=True)
    report.sort()
    return report


# The server, over the network


def _remote(report: Report, seen: Remote) -> None:
    if not seen.addresses:
        report.add("no-name", host=seen.host, text=seen.unresolved)
        return
    if len(seen.addresses) == 1 and seen.addresses[0] != seen.host:
        report.fine.append(f"{seen.host} is {seen.address}")
    nfs = seen.nfs
    assert nfs is not None and seen.rpcbind is not None
    if not nfs.answers:
        _unreached(report, seen, nfs, seen.rpcbind)
        return
    if seen.named and seen.named != seen.nfs_port:
        text = str(seen.reaches[seen.address])
        report.add("other-port", host=seen.host, named=seen.named, port=seen.nfs_port, text=text)
    took = f"in {1000 * nfs.seconds:.1f} ms"
    report.fine.append(f"NFS version 3 answers on TCP port {seen.nfs_port} {took}")
    others = [one for one, reach in seen.reaches.items() if not reach.answers]
    if others and seen.reaches[seen.address].answers:
        report.add("other-address", host=seen.host, address=seen.address, others=_list(others))
    found = _portmapper(report, seen, seen.rpcbind)
    if _mountd(report, seen) and _export(report, seen):
        _way(report, seen, found)
    if seen.root is not None:
        _root(report, seen, seen.root)


def _unreached(report: Report, seen: Remote, nfs: Reach, rpcbind: Reach) -> None:
    """Why NFS does not answer: one cause, the nearest."""
    port, registered = seen.port, seen.nfs_registered
    if registered and seen.at_registered is not None and not seen.named:
        nfs, port = seen.at_registered, registered
    values: dict[str, Any] = {
        "host": seen.host,
        "address": seen.address,
        "port": port,
        "text": nfs.text or str(nfs),
    }
    there = rpcbind.there or (seen.udp is not None and seen.udp.there)
    if nfs.barred and (there or nfs.outcome == null.FORBIDDEN):
        report.add("nfs-firewalled", **values | {"text": _bar(nfs)})
    elif nfs.outcome == null.SILENT:
        report.add("host-silent", **values, ports=f"{port} and {PORTMAP_PORT}")
    elif nfs.barred or nfs.outcome == null.FAILED:
        report.add("no-route", **values)
    elif seen.udp is not None and seen.udp.answers:
        report.add("tcp-missing", **values)
    elif nfs.outcome == null.REFUSED:
        report.add("nfs-dead" if registered == port else "nfs-not-running", **values)
    elif nfs.outcome == null.MISMATCH:
        versions = str(nfs.low) if nfs.low == nfs.high else f"{nfs.low} to {nfs.high}"
        words = [f"vers={nfs.high}", *([f"port={port}"] if port != mountline.NFS_PORT else [])]
        line = mountline.line(words, mountline.source(seen.host, seen.path or "/"))
        report.add("no-version-3", **values, versions=versions, mount=line)
    else:
        report.add(_INSTEAD.get(nfs.outcome, "nfs-refuses"), **values)


def _bar(reach: Reach) -> str:
    return _BARRED[reach.outcome].format(text=reach.text)


def _portmapper(report: Report, seen: Remote, rpcbind: Reach) -> bool:
    """Judge it; whether clients find NFS and MOUNT by it."""
    host = seen.host
    if rpcbind.barred:
        report.add("rpcbind-firewalled", host=host, port=seen.nfs_port, text=_bar(rpcbind))
    elif seen.rpcbind_at_nfs:
        report.fine.append(f"there is a portmapper, but on port {seen.nfs_port} alone")
    elif rpcbind.outcome == null.REFUSED:
        report.add("no-rpcbind", host=host)
    elif not rpcbind.answers or seen.rpcbind_wrong:
        report.add("rpcbind-broken", host=host, text=seen.rpcbind_wrong or str(rpcbind))
    elif not seen.nfs_registered:
        report.add("not-registered", host=host, port=seen.nfs_port)
    elif seen.nfs_registered != seen.nfs_port:
        there = seen.at_registered
        if there is None or not there.answers:
            report.add(
                "wrong-port", host=host, registered=seen.nfs_registered, port=seen.nfs_port,
                text=there or "not looked at",
            )  # fmt: skip
    else:
        report.fine.append(f"the portmapper tells of NFS (port {seen.nfs_port})")
        return bool(seen.mount_registered) and seen.mount_registered == seen.mount_port
    return False


def _mountd(report: Report, seen: Remote) -> bool:
    """Judge the MOUNT service; whether there is more to look at."""
    reach = seen.mountd
    assert reach is not None
    values = {"host": seen.host, "port": seen.mount_port, "text": str(reach)}
    if reach.answers:
        if seen.mount_wrong:
            report.add("mount-dead", **values | {"text": seen.mount_wrong})
            return False
        report.fine.append(f"the MOUNT service answers on port {seen.mount_port}")
        return True
    if reach.barred:
        report.add("mount-firewalled", **values | {"text": _bar(reach)})
    elif reach.outcome in {null.UNAVAILABLE, null.MISMATCH}:
        report.add("no-mountd", **values)
    else:
        report.add("mount-dead", **values)
    return False


def _way(report: Report, seen: Remote, found: bool) -> None:
    """The command that mounts."""
    report.source = mountline.source(seen.host, seen.tried)
    ipv6 = ":" in seen.address
    # Of several addresses, the one that answers.
    if len(seen.addresses) > 1 and any(not reach.answers for reach in seen.reaches.values()):
        report.source = mountline.source(seen.address, seen.tried)
    nolock = seen.locks != "works"
    report.way = mountline.Way(
        seen.nfs_port, seen.mount_port or None, found, ipv6, nolock=nolock, only3=True
    )
    text = {
        "refused": "It refuses every lock (NLM answers LCK_DENIED_NOLOCKS).",
        "missing": "It has no lock manager (NLM version 4) that answers.",
    }
    if seen.locks in text:
        report.add("no-locks", host=seen.host, text=text[seen.locks])


# The export


def _export(report: Report, seen: Remote) -> bool:
    """Judge what MNT said; whether the machine may mount, as far as that can be told."""
    values: dict[str, Any] = {
        "host": seen.host,
        "path": seen.tried or seen.path or "/",
        "address": seen.here,
        "text": seen.status,
        "uid": seen.uid,
    }
    if seen.mounted:
        report.fine.append(f"{seen.tried} is handed out to this machine ({seen.here})")
        return True
    if seen.exports == []:
        report.add("no-exports", **values)
    elif seen.status == "MNT3ERR_NOTDIR":
        report.add("not-directory", **values)
    elif seen.status in {"MNT3ERR_ACCES", "MNT3ERR_PERM", "MNT3ERR_NOENT"}:
        return _refused(report, seen, values)
    else:
        report.add("mount-fails", **values)
    return False


def _refused(report: Report, seen: Remote, values: dict[str, Any]) -> bool:
    """Why it is, as far as the list of exports tells; whether that need not go for a mount."""
    missing, unlisted = seen.status == "MNT3ERR_NOENT", seen.exports is None
    path, groups = _holding(seen.exports or [], values["path"]) or ("", [])
    names = _list([name for name, _ in seen.exports or []])
    listed = "It gives no list of its exports" if unlisted else f"It has: {names}"
    clients = "it gives no list" if unlisted else f"its list has {_list(groups) or 'everybody'}"
    if not path and (missing or not unlisted):
        report.add("unknown-export", **values, listed=listed)
    elif missing:
        report.add("no-directory", **values, export=path)
    elif groups and not _listed(groups, seen.here):
        report.add("not-listed", **values, clients=_list(groups))
    elif not seen.reserved:
        report.add("no-reserved-port", **values)
        return True
    else:
        report.add("denied", **values, clients=clients)
    return False


def _holding(exports: list[tuple[str, list[str]]], path: str) -> tuple[str, list[str]] | None:
    """The deepest export that has the path in it."""
    best = None
    for name, groups in exports:
        inside = path == name or path.startswith(name.rstrip("/") + "/")
        if inside and (best is None or len(name) > len(best[0])):
            best = name, groups
    return best


def _listed(groups: list[str], here: str) -> bool:
    """Whether one of them may mean the address. Names may, as only the server can tell."""
    address = address_of(here)
    for text in groups:
        try:
            pattern = HostPattern.parse(text)
        except ValueError:
            return True
        if pattern.network is None or pattern.matches(address, NoNames()):
            return True
    return False


def _root(report: Report, seen: Remote, root: Root) -> None:
    values: dict[str, Any] = {
        "host": seen.host,
        "path": seen.tried,
        "uid": seen.uid,
        "mode": f"{root.mode:04o}",
        "owner": root.uid,
        "group": root.gid,
        "call": root.call,
        "text": root.wrong,
        "squash": "; root is squashed to an anonymous user" if seen.uid == 0 else "",
        "size": min(root.rtmax, root.wtmax),
    }
    kerberos = bool(seen.flavors) and not {AUTH_NONE, AUTH_SYS} & set(seen.flavors)
    if kerberos or root.wrong:
        report.way = None
    if kerberos:
        flavors = _list([str(flavor) for flavor in seen.flavors])
        report.add("needs-krb5", **values | {"text": f"MNT tells of the flavors {flavors} alone"})
        return
    if root.wrong == "TOOWEAK":
        report.add("needs-krb5", **values | {"text": f"{root.call} is refused as TOOWEAK"})
        return
    if root.wrong:
        stale = root.wrong in {x.NFS3ERR_STALE.name, x.NFS3ERR_BADHANDLE.name}
        report.add("root-stale" if stale else "nfs-fails", **values)
        return
    if min(root.rtmax, root.wtmax) < SMALL_BYTES:
        report.add("small-transfers", **values)
    if not root.access & x.ACCESS3_LOOKUP or not root.access & x.ACCESS3_READ:
        report.add("root-squashed" if seen.uid == 0 else "no-permission", **values)
    elif not root.access & (x.ACCESS3_MODIFY | x.ACCESS3_EXTEND):
        own = seen.uid == root.uid != 0  # root may be squashed
        allowed = root.mode & 0o002 or (own and root.mode & 0o200)
        report.add("read-only" if allowed else "not-writable", **values)
    else:
        report.fine.append(f"user {seen.uid} may read and write there")


# This machine


def _local(report: Report, local: Local) -> None:
    values = {"release": local.release, "place": local.place, "uid": local.uid}
    if local.mount_nfs is None:
        report.add("no-mount-nfs", **values)
    else:
        report.fine.append(f"{local.mount_nfs} is there")
    if local.nfs_client is False:
        report.add("no-kernel-client", **values)
    if local.uid != 0:
        report.add("not-root", **values)
    elif local.can_mount is False:
        report.add("no-capability", **values)
    codes = {"stale": "stale-mount", "silent": "dead-mount"}
    for mount in local.mounts:
        if mount.state in codes:
            report.add(codes[mount.state], directory=mount.directory, source=mount.source)
        else:
            report.fine.append(f"the mount on {mount.directory} is {mount.state}")


# The server of this machine


def _server(report: Report, server: Server) -> None:
    if server.state_wrong:
        report.add("state-closed", state=server.state, text=server.state_wrong)
    for what in server.hangs:
        report.add("state-hangs", what=what, wait=f"{server.wait:g}")
    if server.settings_wrong:
        report.add("settings-wrong", text="; ".join(server.settings_wrong[:SHOWN]))
    if not server.runs:
        _absent(report, server)
        return
    _process(report, server)
    if server.control_wrong:
        report.add("server-hangs", pid=server.pid or "unknown", text=server.control_wrong)
    for path, text in server.ill:
        report.add("storage-ill", path=path, text=text)
    for path, clients in server.nobody:
        report.add("nobody-listed", path=path, clients=clients)
    for path in server.state_exported:
        report.add("state-exported", path=path, state=server.state)
    if server.listens and all(map(_loopback, server.listens)):
        report.add("loopback-only", address=_list(server.listens))
    for served in server.served:
        values = {"path": served.path, "directory": served.directory, "uid": server.uid}
        if served.closed:
            report.add("directory-closed", **values, text=served.closed)
        elif server.reads_all and not served.kernel_handles:
            report.add("no-kernel-handles", **values, filesystem=served.filesystem)


def _process(report: Report, server: Server) -> None:
    if server.pid is None:
        text = "Its lock is held, by no process that is seen here: a container's, or another user's"
        report.add("unseen-process", state=server.state, text=text)
        return
    report.fine.append(f"the server runs as process {server.pid}, user {server.uid}")
    if server.listens is None:
        text = f"The sockets of process {server.pid} are another user's or another network's"
        report.add("unseen-process", state=server.state, text=text)
    elif not server.listens:
        report.add("no-listener", pid=server.pid)
    if server.acts_as is False:
        report.add("one-user", uid=server.uid)


def _absent(report: Report, server: Server) -> None:
    if server.hidden or server.hangs:
        return
    text = "Nobody has its lock."
    if server.other is not None:
        text = "Process {} is an nfsloop, but its state directory is {}.".format(*server.other)
    if server.knfsd:
        report.add("knfsd", port=server.port)
    elif server.answers_at:
        owner = server.port_owner or "a process that cannot be seen from here"
        report.add("other-server", state=server.state, port=server.port, owner=owner)
        if not server.named:  # nobody has said that there is to be one
            return
    elif server.port_owner and server.other is None:
        report.add("port-taken", port=server.port, owner=server.port_owner)
    report.add("not-running", state=server.state, text=text)


def _to_itself(report: Report, seen: Remote) -> None:
    """A server need not be open to its own machine."""
    theirs = [it for it in report.findings if it.code in _TO_ITSELF]
    report.findings = [it for it in report.findings if it.code not in _TO_ITSELF]
    for it in theirs:
        text = f"{it.problem}. {it.why.removesuffix('.')}"
        report.add(
            "closed-to-itself", uid=seen.uid, path=seen.tried, address=seen.address, text=text
        )


def _own_registration(report: Report, seen: Remote, server: Server) -> None:
    """rpcbind here tells of another port than our server has: say whose fault that is."""
    another = seen.at_registered is not None and seen.at_registered.answers
    if not server.listens or seen.nfs_registered == server.port or another:
        return
    report.findings = [it for it in report.findings if it.code != "wrong-port"]
    report.add("foreign-registration", registered=seen.nfs_registered, port=server.port)


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
