"""The causes that the doctor knows, in order of blame, with the words for people.

`docs/mounting.md` shows this table; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Keeps a mount from working, if only one without more options; or is unsafe: the exit status is 1.
PROBLEM = "problem"
#: Good to know; a mount can work all the same.
NOTE = "note"


@dataclass(frozen=True, slots=True)
class Cause:
    """What may be wrong; the texts are templates of `str.format`."""

    code: str
    level: str
    problem: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that was found, its words filled in."""

    cause: Cause
    problem: str
    why: str
    remedy: str

    @property
    def code(self) -> str:
        """The cause's."""
        return self.cause.code

    @property
    def level(self) -> str:
        """PROBLEM or NOTE."""
        return self.cause.level


def find(code: str, values: Mapping[str, Any] | None = None) -> Finding:
    """The finding of a cause by its code; `values` fill in the words."""
    cause = CAUSES[code]
    filled = {name: plain(str(value)) for name, value in (values or {}).items()}
    texts = (text.format_map(filled) for text in (cause.problem, cause.why, cause.remedy))
    return Finding(cause, *texts)


def plain(text: str) -> str:
    """Without control characters: names come from the network, and go to a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


_TABLE = (
    # This machine cannot mount at all.
    Cause(
        "no-mount-nfs", PROBLEM,
        "mount.nfs is not installed on this machine",
        "mount(8) hands NFS to that program, and complains of a bad option or superblock without.",
        "Install nfs-common (Debian, Ubuntu) or nfs-utils (Fedora, Arch, Alpine).",
    ),
    Cause(
        "no-kernel-client", PROBLEM,
        "the kernel of this machine has no NFS client",
        "Neither /proc/filesystems nor the modules of {release} have it.",
        "Load it (modprobe nfsv3), or install the kernel's modules (linux-modules-extra on some "
        "systems). In a container that is the host's to do.",
    ),
    Cause(
        "no-capability", PROBLEM,
        "root of this {place} may not mount",
        "It has not the capability CAP_SYS_ADMIN.",
        "Mount on the host, and hand the directory in as a volume; or start the container with "
        "--cap-add SYS_ADMIN.",
    ),
    # The server of this machine.
    Cause(
        "port-taken", PROBLEM,
        "port {port} of this machine is taken by {owner}",
        "It does not answer as NFS does, and nfsloop cannot listen there as long as it runs.",
        "Stop it, or choose another port: nfsloop serve --port N.",
    ),
    Cause(
        "knfsd", PROBLEM,
        "the kernel's own NFS server runs on this machine, and has port {port}",
        "It belongs to the package nfs-kernel-server.",
        "Stop it (systemctl disable --now nfs-server), or use nfsloop serve --port N.",
    ),
    Cause(
        "state-closed", PROBLEM,
        "the state directory {state} cannot be used",
        "{text}",
        "Ask or run as its user or root, put its owner and mode right (chmod 700), or choose "
        "another: --state DIR.",
    ),
    Cause(
        "state-hangs", PROBLEM,
        "looking at {what} comes to no end",
        "There is no answer in {wait} s, as where the server of a file system is gone.",
        "Bring that file system back, or unmount it: programs that touch it wait.",
    ),
    Cause(
        "not-running", PROBLEM,
        "no nfsloop runs with the state directory {state}",
        "{text}",
        "Start it: nfsloop serve DIR; or name its state directory: nfsloop doctor --state DIR.",
    ),
    Cause(
        "settings-wrong", PROBLEM,
        "the settings of the server are wrong (by now)",
        "{text}. It could not be started with them.",
        "Put that right; 'nfsloop check' tells whether it is.",
    ),
    Cause(
        "server-hangs", PROBLEM,
        "the server (process {pid}) does not answer its control socket",
        "{text}",
        "Look at its log; if it hangs, kill and start it again: clients go on where they were.",
    ),
    Cause(
        "no-listener", PROBLEM,
        "the server (process {pid}) listens nowhere for NFS",
        "None of its sockets answers NFS over TCP from this machine.",
        "Look at its log: it may be starting or stopping; otherwise start it again.",
    ),
    Cause(
        "storage-ill", PROBLEM,
        "the storage of {path} is not well",
        "{text}",
        "Look at the server's log; nfsloop status tells it again.",
    ),
    Cause(
        "directory-closed", PROBLEM,
        "the server may not enter {directory}",
        "It runs as user {uid} without CAP_DAC_READ_SEARCH, and {text}.",
        "Open the directory to user {uid} (chmod, chown), or run the server as root.",
    ),
    Cause(
        "nobody-listed", PROBLEM,
        "the export {path} is for nobody",
        "None of its clients has an address now: {clients}.",
        "Put the names right, in the exports or in DNS, and then: nfsloop reload.",
    ),
    Cause(
        "state-exported", PROBLEM,
        "the export {path} has the server's own state directory in it",
        "Its clients get at {state}, and at the key in it.",
        "Keep the state elsewhere: nfsloop serve --state DIR.",
    ),
    Cause(
        "foreign-registration", PROBLEM,
        "rpcbind of this machine sends clients to port {registered}, not to the server's {port}",
        "Another server has registered itself, or did and is gone.",
        "Stop the other one, and start nfsloop again; or have clients name port {port}.",
    ),
    # The way to the server.
    Cause(
        "no-name", PROBLEM,
        "the name {host} has no address",
        "{text}",
        "Look for a typing error; put the name into DNS or /etc/hosts, or mount by the address.",
    ),
    Cause(
        "no-route", PROBLEM,
        "no way leads to {host} ({address})",
        "The network says: {text}. A firewall that rejects everything says so, too.",
        "Look at addresses and routes (ip route get {address}), whether the machine is on, and "
        "at its firewall.",
    ),
    Cause(
        "host-silent", PROBLEM,
        "{host} ({address}) is silent on all ports that were tried ({ports})",
        "The machine is off, or a firewall drops what is sent to it.",
        "Let TCP port {port} through the firewalls on both sides, and start the machine.",
    ),
    Cause(
        "nfs-firewalled", PROBLEM,
        "a firewall keeps TCP port {port} of {host} from being reached",
        "That shows by this: {text}.",
        "Let TCP port {port} through the firewalls of both machines, and those between.",
    ),
    Cause(
        "other-port", PROBLEM,
        "port {named} was named, but NFS of {host} is on port {port}",
        "Port {named} is like this: {text}. The portmapper tells of port {port}, where NFS "
        "answers.",
        "Name port {port}, or none.",
    ),
    Cause(
        "nfs-dead", PROBLEM,
        "the portmapper of {host} says that NFS is on port {port}, but nobody listens there",
        "The server ended without taking its registration back, or listens on another address.",
        "Start the server again; 'rpcinfo -p {host}' shows what is registered.",
    ),
    Cause(
        "nfs-not-running", PROBLEM,
        "nobody listens on TCP port {port} of {host}",
        "The machine refuses the connection: no NFS server runs there, or on another port or "
        "address.",
        "Start it there (nfsloop serve DIR), or name its port: nfsloop doctor --port N {host}.",
    ),
    Cause(
        "tcp-missing", PROBLEM,
        "NFS on port {port} of {host} answers over UDP, but not over TCP",
        "The server was told so, or a firewall lets UDP alone through.",
        "Have it serve TCP: the kernels of today have no NFS over UDP.",
    ),
    Cause(
        "wrong-port", PROBLEM,
        "the portmapper of {host} sends clients to port {registered}, where NFS is not",
        "Port {registered} is like this: {text}. NFS answers on {port}, so that is a stale or "
        "foreign registration.",
        "Name the ports (see below); put the registration right by starting the server again, or "
        "restarting rpcbind on {host} before it.",
    ),
    Cause(
        "not-rpc", PROBLEM,
        "what listens on port {port} of {host} is no NFS server",
        "It does not speak RPC.",
        "Stop it, or have NFS listen on another port, and name that port to clients.",
    ),
    Cause(
        "nfs-closes", PROBLEM,
        "port {port} of {host} takes the connection, and closes it without an answer",
        "So does a proxy whose server is gone (a container's published port), or a server that "
        "has too many connections or wants none from here.",
        "Look whether the server behind it runs, and at its log.",
    ),
    Cause(
        "nfs-mute", PROBLEM,
        "the server on port {port} of {host} does not answer",
        "It takes the connection, and answers no call: it hangs, is stopped, or has too much to "
        "do.",
        "Look at its log, and start it again.",
    ),
    Cause(
        "no-nfs", PROBLEM,
        "what listens on port {port} of {host} speaks RPC, but not NFS",
        "It answers PROG_UNAVAIL for program 100003.",
        "Find the port of NFS (rpcinfo -p {host}), and name it to clients.",
    ),
    Cause(
        "no-version-3", PROBLEM,
        "{host} serves NFS in version {versions} only, not in version 3",
        "Its version 3 is switched off.",
        "Mount another version: {mount}; or switch version 3 on.",
    ),
    Cause(
        "nfs-refuses", PROBLEM,
        "NFS on port {port} of {host} refuses the simplest call",
        "It says: {text}.",
        "Look at the server's log.",
    ),
    Cause(
        "rpcbind-firewalled", PROBLEM,
        "a firewall keeps port 111 (rpcbind) of {host} from being reached, though NFS answers on "
        "port {port}",
        "That shows by this: {text}. A plain mount fails, or hangs for minutes.",
        "Name the ports to mount (see below), or let TCP port 111 through.",
    ),
    Cause(
        "rpcbind-broken", PROBLEM,
        "what listens on port 111 of {host} is no portmapper that works",
        "It is like this: {text}.",
        "Name the ports to mount (see below), or restart rpcbind there.",
    ),
    Cause(
        "mount-firewalled", PROBLEM,
        "a firewall keeps the MOUNT service of {host}, on port {port}, from being reached",
        "That shows by this: {text}. NFS itself answers.",
        "Let TCP port {port} through too, or give mountd a fixed port and let that through.",
    ),
    Cause(
        "mount-dead", PROBLEM,
        "the MOUNT service of {host} does not answer on port {port}",
        "It is like this: {text}.",
        "Start rpc.mountd, or the server, again.",
    ),
    Cause(
        "no-mountd", PROBLEM,
        "{host} has no MOUNT service in version 3",
        "Version 3 needs it to get the first file handle; version 4 does not.",
        "Start rpc.mountd there with version 3; or, if MOUNT has a port of its own, name it: "
        "nfsloop mount -o mountport=N.",
    ),
    # The export.
    Cause(
        "no-exports", PROBLEM,
        "{host} exports nothing, at least to this machine",
        "Its list of exports (showmount -e) is empty.",
        "Add an export there, to {address} or all, and have the server read it (nfsloop reload; "
        "exportfs -ra).",
    ),
    Cause(
        "unknown-export", PROBLEM,
        "{host} has no export {path}, or none that this machine is told of",
        "{listed}. Some servers leave out what is not for this machine.",
        "Mount one of these; or export {path} on the server, to {address}.",
    ),
    Cause(
        "no-directory", PROBLEM,
        "there is no directory {path} at {host}",
        "The export {export} is there, but nothing by that name in it ({text}).",
        "Mount {export}, or make the directory on the server.",
    ),
    Cause(
        "not-directory", PROBLEM,
        "{path} at {host} is not a directory",
        "Only directories can be mounted.",
        "Mount the directory that it is in.",
    ),
    Cause(
        "not-listed", PROBLEM,
        "{host} does not export {path} to this machine",
        "It is for {clients}; this machine comes as {address}.",
        "Add {address} to the clients of {path} on the server, and have it read them.",
    ),
    Cause(
        "denied", PROBLEM,
        "{host} refuses {path} to this machine ({address})",
        "It answers {text}, though {clients}.",
        "The server's log says why: perhaps there is no such directory, or it is closed to the "
        "server's user, or the server knows this address by no name or another.",
    ),
    Cause(
        "mount-fails", PROBLEM,
        "{host} cannot hand out {path}",
        "It answers {text}.",
        "Look at the server's log.",
    ),
    Cause(
        "needs-krb5", PROBLEM,
        "{host} takes no calls for {path} without Kerberos",
        "{text}.",
        "Mount with sec=krb5 and a ticket or keytab; or export it with sec=sys as well.",
    ),
    Cause(
        "root-stale", PROBLEM,
        "{host} gives out a handle for {path} and does not know it afterwards",
        "{call} ends with {text}.",
        "Start the server again; if there are several behind one address, all need the same "
        "state.",
    ),
    Cause(
        "nfs-fails", PROBLEM,
        "{host} hands out {path}, and fails on it",
        "{call} ends with: {text}.",
        "Look at the server's log.",
    ),
    Cause(
        "root-squashed", PROBLEM,
        "root of this machine may not enter {path} at {host}",
        "The export squashes root to an anonymous user, and the directory is {mode} of user "
        "{owner}.",
        "Work as user {owner}; or give the directory to the anonymous user or open it (chmod 755); "
        "or export with no_root_squash.",
    ),
    Cause(
        "no-permission", PROBLEM,
        "user {uid} may not enter {path} at {host}",
        "The directory is {mode} of user {owner}, group {group}.",
        "Open it on the server (chmod, chown, ACL), or come as another user.",
    ),
    # Mounts that are there.
    Cause(
        "stale-mount", PROBLEM,
        "the mount on {directory} ({source}) has a stale handle",
        "What was mounted is gone at the server: removed, or exported from elsewhere or with "
        "another state directory.",
        "Mount again: nfsloop umount -l {directory}, and then mount.",
    ),
    Cause(
        "dead-mount", PROBLEM,
        "the mount on {directory} ({source}) does not answer",
        "Its server is gone or cannot be reached; programs that touch it wait.",
        "Bring the server back, and they go on; or give it up: nfsloop umount -f {directory}.",
    ),
    # A mount works all the same.
    Cause(
        "other-address", NOTE,
        "{host} answers at {address}, but not at {others}",
        "The name has several addresses, and the server is not on all of them.",
        "Mount by the address that answers, or have the server listen on all.",
    ),
    Cause(
        "no-rpcbind", NOTE,
        "{host} has no portmapper (rpcbind)",
        "Nobody listens on port 111, so that clients must be told the ports.",
        "Name the ports to mount (see below).",
    ),
    Cause(
        "not-registered", NOTE,
        "the portmapper of {host} does not know of NFS version 3",
        "It answers, but NFS on port {port} is not registered with it.",
        "Name the ports to mount (see below), or start the server with --rpcbind system.",
    ),
    Cause(
        "no-reserved-port", NOTE,
        "{host} refuses {path} to calls from ports above 1023",
        "The export is 'secure', or not for this machine: user {uid} gets no lower port, from "
        "which mounts come, and so cannot tell.",
        "Mount as root, or ask again as root; or export with 'insecure'.",
    ),
    Cause(
        "read-only", NOTE,
        "{path} at {host} can be read, but not written by user {uid}",
        "The directory is {mode} of user {owner}; its mode would allow it: exported read-only.",
        "Export it with 'rw' if it is to be written.",
    ),
    Cause(
        "not-writable", NOTE,
        "user {uid} may read {path} at {host}, but not make files in it",
        "The directory is {mode} of user {owner}, group {group}{squash}.",
        "Fine if that is meant; otherwise chmod or chown it on the server.",
    ),
    Cause(
        "small-transfers", NOTE,
        "{host} moves {size} bytes a call at most",
        "Large files will be slow.",
        "Raise rtmax and wtmax at the server, if it can.",
    ),
    Cause(
        "no-locks", NOTE,
        "{host} has no locks across clients",
        "{text}",
        "Mount with nolock: locks then hold among the programs of this machine.",
    ),
    Cause(
        "no-statd", NOTE,
        "rpc.statd is not installed on this machine",
        "The server has locks, but mount.nfs refuses to use them without it.",
        "Install nfs-common, or mount with nolock.",
    ),
    Cause(
        "other-server", NOTE,
        "an NFS server answers on port {port} of this machine, but not with the state directory "
        "{state}",
        "It is {owner}.",
        "Ask as its user or root, or name its state directory (nfsloop doctor --state DIR); "
        "'nfsloop doctor 127.0.0.1' asks as a client does.",
    ),
    Cause(
        "unseen-process", NOTE,
        "the process of the server with the state directory {state} cannot be looked at",
        "{text}.",
        "Look from where it runs, or as a client: nfsloop doctor HOST --port N.",
    ),
    Cause(
        "closed-to-itself", NOTE,
        "the server's own machine, or user {uid} on it, may not mount or use {path}",
        "The way it looks from {address}: {text}.",
        "Fine if that is meant: whether other machines may, 'nfsloop doctor HOST:{path}' tells "
        "there.",
    ),
    Cause(
        "loopback-only", NOTE,
        "the server listens on {address} alone",
        "Other machines cannot reach it.",
        "Fine if that is meant; otherwise start it without --host, or with an address of the "
        "network.",
    ),
    Cause(
        "no-kernel-handles", NOTE,
        "{directory} is on {filesystem}, where files are not opened by kernel handles",
        "The server finds files by an index in its state directory instead.",
        "Nothing need be done; keep the state directory.",
    ),
    Cause(
        "one-user", NOTE,
        "the server does all as user {uid}",
        "It is not root and has no capability to act as its callers.",
        "Fine if that is meant; files belong to that user. As root it acts as each caller.",
    ),
    Cause(
        "not-root", NOTE,
        "only root can mount",
        "The doctor runs as user {uid}.",
        "Use the mount line with sudo.",
    ),
)  # fmt: skip

#: By code, in order of blame.
CAUSES = {cause.code: cause for cause in _TABLE}
