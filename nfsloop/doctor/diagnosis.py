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

READ, LOOKUP, MODIFY, EXTEND = 1, 2, 4, 8
#: Fewer bytes a call than this are worth a word.
SMALL_BYTES = 32768
#: So many names are shown of a list.
SHOWN = 8


#: What a cause in the server looks like from its clients.
_FOLLOWS = {
    "settings-wrong": ("root-stale", "no-directory"),
    "directory-closed": ("root-squashed", "no-permission", "denied"),
    "nobody-listed": ("denied", "not-listed"),
    "server-hangs": ("nfs-mute", "mount-dead"),
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
        udp_alone = report.way is not None and report.way.udp
        if udp_alone and local is not None and local.nfs_udp is False:
            report.add("no-udp-client", release=local.release)
            report.way = None
        if server is not None and remote.nfs_registered:
            _own_registration(report, remote, server)
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
    took = f"in {1000 * nfs.seconds:.1f} ms"
    report.fine.append(f"NFS version 3 answers on TCP port {seen.nfs_port} {took}")
    others = [one for one, reach in seen.reaches.items() if not reach.answers]
    if others and seen.nfs_port == seen.port:
        report.add("other-address", host=seen.host, address=seen.address, others=_list(others))
    found = _portmapper(report, seen, seen.rpcbind)
    if _mountd(report, seen):
        _export(report, seen)
    if seen.mounted:
        _way(report, seen, found)
    if seen.root is not None:
        _root(report, seen, seen.root)


def _unreached(report: Report, seen: Remote, nfs: Reach, rpcbind: Reach) -> None:
    """Why NFS does not answer: one cause, the nearest."""
    values: dict[str, Any] = {
        "host": seen.host,
        "address": seen.address,
        "port": seen.port,
        "text": nfs.text or str(nfs),
    }
    registered = seen.nfs_registered
    if registered and registered != seen.port and seen.at_registered is not None:
        nfs, values["port"] = seen.at_registered, registered
        values["text"] = nfs.text or str(nfs)
    if nfs.outcome in {null.UNREACHABLE, null.FAILED}:
        report.add("no-route", **values)
    elif nfs.outcome == null.SILENT:
        if rpcbind.there or (seen.udp is not None and seen.udp.there):
            report.add("nfs-firewalled", **values)
        else:
            report.add("host-silent", **values, ports=f"{seen.port} and {PORTMAP_PORT}")
    elif seen.udp is not None and seen.udp.answers:
        report.add("tcp-missing", **values)
        found = registered == seen.port
        report.way = mountline.Way(
            seen.port, None, found, ":" in seen.address, udp=True, nolock=True, only3=True
        )
        report.source = mountline.source(seen.host, seen.path or "/")
    elif nfs.outcome == null.REFUSED:
        report.add("nfs-dead" if registered else "nfs-not-running", **values)
    elif nfs.outcome == null.MISMATCH:
        versions = str(nfs.low) if nfs.low == nfs.high else f"{nfs.low} to {nfs.high}"
        report.add("no-version-3", **values, versions=versions, high=nfs.high)
    else:
        codes = {
            null.NOT_RPC: "not-rpc",
            null.CLOSED: "not-rpc",
            null.MUTE: "nfs-mute",
            null.UNAVAILABLE: "no-nfs",
        }
        values["text"] = str(nfs)
        report.add(codes.get(nfs.outcome, "nfs-refuses"), **values)


def _portmapper(report: Report, seen: Remote, rpcbind: Reach) -> bool:
    """Judge it; whether clients find NFS and MOUNT by it."""
    host = seen.host
    if rpcbind.outcome == null.SILENT:
        report.add("rpcbind-firewalled", host=host, port=seen.nfs_port)
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
                text=f"like this: {there}" if there else "another",
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
    if reach.outcome == null.SILENT:
        report.add("mount-firewalled", **values)
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
    if nolock:
        report.add("no-locks", host=seen.host, text=text.get(seen.locks, text["missing"]))


# The export


def _export(report: Report, seen: Remote) -> None:
    values: dict[str, Any] = {
        "host": seen.host,
        "path": seen.tried or seen.path or "/",
        "address": seen.here,
        "text": seen.status,
        "uid": seen.uid,
    }
    if seen.exports is not None and not seen.exports and not seen.mounted:
        report.add("no-exports", **values)
    elif seen.mounted:
        report.fine.append(f"{seen.tried} is handed out to this machine ({seen.here})")
    elif seen.status == "MNT3ERR_NOTDIR":
        report.add("not-directory", **values)
    elif seen.status in {"MNT3ERR_ACCES", "MNT3ERR_PERM", "MNT3ERR_NOENT"}:
        _refused(report, seen, values)
    else:
        report.add("mount-fails", **values)


def _refused(report: Report, seen: Remote, values: dict[str, Any]) -> None:
    exports = seen.exports
    holding = _holding(exports or [], values["path"])
    if exports is not None and holding is None:
        names = _list([path for path, _ in exports])
        report.add("unknown-export", **values, exports=names)
        return
    path, groups = holding or ("", [])
    values["clients"] = _list(groups) or "everybody"
    if seen.status == "MNT3ERR_NOENT" and holding:
        report.add("no-directory", **values, export=path)
    elif groups and not _listed(groups, seen.here):
        report.add("not-listed", **values)
    elif not seen.reserved:
        report.add("no-reserved-port", **values)
    else:
        report.add("denied", **values)


def _holding(exports: list[tuple[str, list[str]]], path: str) -> tuple[str, list[str]] | None:
    """The deepest export that has the path in it. `/` means the first one with our server."""
    best = None
    for name, groups in exports:
        inside = path == name or path.startswith(name.rstrip("/") + "/")
        if inside and (best is None or len(name) > len(best[0])):
            best = name, groups
    return best or (exports[0] if path == "/" and exports else None)


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
        "text": root.wrong,
        "squash": "; root is squashed to an anonymous user" if seen.uid == 0 else "",
        "size": min(root.rtmax, root.wtmax),
    }
    if root.wrong:
        report.add("root-stale", **values)
        report.way = None
        return
    if min(root.rtmax, root.wtmax) < SMALL_BYTES:
        report.add("small-transfers", **values)
    if not root.access & LOOKUP or not root.access & READ:
        report.add("root-squashed" if seen.uid == 0 else "no-permission", **values)
    elif not root.access & (MODIFY | EXTEND):
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
    elif not local.can_mount:
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
    if server.settings_wrong:
        report.add("settings-wrong", text="; ".join(server.settings_wrong[:SHOWN]))
    if server.pid is None:
        _absent(report, server)
        return
    report.fine.append(f"the server runs as process {server.pid}, user {server.uid}")
    if server.control_wrong:
        report.add("server-hangs", pid=server.pid, text=server.control_wrong)
    for path, text in server.ill:
        report.add("storage-ill", path=path, text=text)
    for path, clients in server.nobody:
        report.add("nobody-listed", path=path, clients=clients)
    for text in server.state_exported:
        report.add("state-exported", text=text)
    if server.listens and all(map(_loopback, server.listens)):
        report.add("loopback-only", address=_list(server.listens))
    if not server.acts_as:
        report.add("one-user", uid=server.uid)
    for served in server.served:
        values = {"path": served.path, "directory": served.directory, "uid": server.uid}
        if served.closed:
            report.add("directory-closed", **values, text=served.closed)
        elif server.reads_all and not served.kernel_handles:
            report.add("no-kernel-handles", **values, filesystem=served.filesystem)


def _absent(report: Report, server: Server) -> None:
    if server.hidden:
        return
    text = "Nobody has its lock."
    if server.other is not None:
        text = "Process {} is an nfsloop, but its state directory is {}.".format(*server.other)
    elif server.knfsd:
        report.add("knfsd", port=server.port)
    elif server.port_owner:
        report.add("port-taken", port=server.port, owner=server.port_owner)
    report.add("not-running", state=server.state, text=text)


def _own_registration(report: Report, seen: Remote, server: Server) -> None:
    """rpcbind here tells of another port than our server has: say whose fault that is."""
    if server.pid is None or not server.port or seen.nfs_registered == server.port:
        return
    report.findings = [it for it in report.findings if it.code != "wrong-port"]
    report.add("foreign-registration", registered=seen.nfs_registered, port=server.port)


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
