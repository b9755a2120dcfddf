"""What the doctor's probes saw, as plain values that `diagnosis` judges."""

from __future__ import annotations

from dataclasses import dataclass, field

from nfsloop.doctor.null import Reach
from nfsloop.mountline import NFS_PORT

NFS_PROGRAM, NFS_VERSION = 100003, 3
MOUNT_PROGRAM, MOUNT_VERSION = 100005, 3
NLM_PROGRAM, NLM_VERSION = 100021, 4
PORTMAP_PROGRAM, PORTMAP_PORT = 100000, 111
PORTMAP_VERSION, RPCBIND_VERSION = 2, 4


@dataclass(slots=True)
class Root:
    """The directory that was mounted, as the server tells of it to the user who asks."""

    #: The call that failed, if one did, and with what: an nfsstat3, an auth_stat, or words.
    call: str = ""
    wrong: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    #: The bits that ACCESS granted.
    access: int = 0
    #: The largest READ and WRITE, in bytes.
    rtmax: int = 0
    wtmax: int = 0


@dataclass(slots=True)
class Remote:
    """A server as seen from this machine. None stands for what was not asked, or not answered."""

    host: str
    path: str | None = None
    #: The port that the user named, and that of MOUNT.
    named: int | None = None
    mount_named: int | None = None
    #: Why the name has no address.
    unresolved: str = ""
    #: Numeric, with a scope where there is one ("fe80::1%eth0").
    addresses: list[str] = field(default_factory=list)
    #: The one that all else is about.
    address: str = ""
    #: NULL of NFS at `port` by address.
    reaches: dict[str, Reach] = field(default_factory=dict)
    #: NULL of the portmapper, and of NFS over UDP.
    rpcbind: Reach | None = None
    udp: Reach | None = None
    #: What the portmapper answered; 0 is "not registered". Or why it did not.
    nfs_registered: int | None = None
    mount_registered: int | None = None
    nlm_registered: int | None = None
    rpcbind_wrong: str = ""
    #: Whether there is a portmapper on the port of NFS (`nfsloop serve --rpcbind port`).
    rpcbind_at_nfs: bool = False
    #: NULL of NFS at the registered port, if it is another.
    at_registered: Reach | None = None
    #: The port where NFS is, and MOUNT; how they answer.
    nfs_port: int = NFS_PORT
    nfs: Reach | None = None
    mount_port: int = 0
    mountd: Reach | None = None
    #: Path and for whom (empty: everybody). None: the server gives no list.
    exports: list[tuple[str, list[str]]] | None = None
    #: What was asked to be mounted, and the name of MNT's status; or why there was none.
    tried: str = ""
    status: str = ""
    mount_wrong: str = ""
    #: The flavors of authentication that MNT told.
    flavors: tuple[int, ...] = ()
    #: Whether the call came from a port below 1024, the address that it came from, and its user.
    reserved: bool = False
    here: str = ""
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    root: Root | None = None
    #: "works", "refused" or "missing".
    locks: str = ""

    @property
    def port(self) -> int:
        """The port that is asked first."""
        return self.named or NFS_PORT

    @property
    def mounted(self) -> bool:
        """Whether MNT gave a handle."""
        return self.status == "MNT3_OK"


@dataclass(frozen=True, slots=True)
class Mounted:
    """An NFS mount of this machine; `state` is "well", "stale", "silent" or an error."""

    source: str
    directory: str
    state: str = ""

    @property
    def host(self) -> str:
        """Of the source."""
        return self.source.partition(":/")[0].strip("[]")

    @property
    def path(self) -> str:
        """Of the source."""
        return "/" + self.source.partition(":/")[2]


@dataclass(slots=True)
class Local:
    """This machine as one that mounts."""

    uid: int = 0
    release: str = ""
    #: "container" or "machine".
    place: str = "machine"
    mount_nfs: str | None = None
    statd: str | None = None
    #: Whether the process may mount (CAP_SYS_ADMIN); None: that cannot be told.
    can_mount: bool | None = True
    #: Whether the kernel has the client; None: that cannot be told.
    nfs_client: bool | None = None
    mounts: list[Mounted] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Served:
    """A directory that the server exports; `closed` says what keeps its user out."""

    path: str
    directory: str
    closed: str = ""
    filesystem: str = ""
    kernel_handles: bool = True


@dataclass(slots=True)
class Server:
    """The server of this machine, by its state directory and /proc."""

    state: str
    #: Why the state directory cannot be used.
    state_wrong: str = ""
    #: Whether the doctor may not look into it.
    hidden: bool = False
    #: Whether the user has named it.
    named: bool = True
    #: Whether a process has it locked; which, if it can be seen from here (a container's cannot).
    runs: bool = False
    pid: int | None = None
    uid: int = 0
    #: Whether it may read all (CAP_DAC_READ_SEARCH), and act as its callers (CAP_SETUID); None:
    #: that cannot be told.
    reads_all: bool | None = None
    acts_as: bool | None = None
    #: Why it does not answer; its exports that are not well.
    control_wrong: str = ""
    ill: list[tuple[str, str]] = field(default_factory=list)
    #: The addresses that it listens at, at `port`; None: that cannot be seen.
    listens: list[str] | None = None
    port: int = NFS_PORT
    #: The address where NFS answers at the port: this server, or if it cannot be seen, any.
    answers_at: str = ""
    #: Who has the port, if no server of ours runs.
    port_owner: str = ""
    #: A server of ours that has another state directory: its process, and the directory.
    other: tuple[int, str] | None = None
    knfsd: bool = False
    #: What is wrong by now with the settings that it was started with.
    settings_wrong: list[str] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    #: Exports none of whose clients has an address, and their clients.
    nobody: list[tuple[str, str]] = field(default_factory=list)
    state_exported: list[str] = field(default_factory=list)
    #: What it came to no end to look at, within `wait` seconds.
    hangs: list[str] = field(default_factory=list)
    wait: float = 3.0
