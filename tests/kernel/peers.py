"""The servers that the guests mount: nfsloop with each of its backends, and nfs-ganesha.

nfs-ganesha proves the harness: with NFSLOOP_KERNEL_PEER=ganesha the same scenarios run against it.
It need not pass everything.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .guest import Mount
from .harness import SERVER_IP, SERVER_IP6, Network, ServerProcess, which

REPO = Path(__file__).resolve().parents[2]
EXPLICIT = "vers=3,tcp,port={port},mountport={port},mountproto={proto},nolock"
SMALL_MIB = 24
PROGRAM = ("-m", "nfsloop")


def explicit(port: int = 2049, proto: str = "tcp", mountport: int | None = None) -> str:
    """Mount options that need no portmapper."""
    options = EXPLICIT.format(port=port, proto=proto)
    return options.replace(f"mountport={port}", f"mountport={mountport or port}")


@dataclass
class Served:
    """What a peer started, and how to mount it.

    `mounts` has "main" (root is not squashed) and may have "squash" and "small" (a few MiB).
    `locks` is what a lock over a mount without nolock comes to: "refused" or "granted".
    `link_times` is false for a server that answers OK and leaves a symbolic link's times.
    """

    main: ServerProcess
    servers: list[ServerProcess]
    path: str
    mountport: int = 2049
    mounts: dict[str, Mount] = field(default_factory=dict)
    locks: str = "refused"
    link_times: bool = True
    #: Other paths that can be mounted: directories in the export, and the first export as "/".
    beneath: list[str] = field(default_factory=list)


def start(
    peer: str,
    stack: ExitStack,
    network: Network,
    workdir: Path,
    *,
    only_main: bool = False,
    program: Sequence[str] = PROGRAM,
) -> Served:
    """Start `peer` ("posix", "memory", "unprivileged" or "ganesha"); it ends with `stack`.

    `program`: Python's arguments for another `nfsloop`.
    """
    if peer == "ganesha":
        return start_ganesha(stack, network, workdir)
    return start_nfsloop(peer, stack, network, workdir, only_main, program)


def available(peer: str) -> str | None:
    """Why `peer` can not run here, or None."""
    if peer == "ganesha":
        missing = which("ganesha.nfsd") is None
        return "ganesha.nfsd (packages nfs-ganesha, nfs-ganesha-vfs)" if missing else None
    return None if (REPO / "nfsloop" / "__main__.py").exists() else "nfsloop/__main__.py"


def start_nfsloop(
    peer: str,
    stack: ExitStack,
    network: Network,
    workdir: Path,
    only_main: bool = False,
    program: Sequence[str] = PROGRAM,
) -> Served:
    """The usual server; for posix also one that squashes root, and one on a small file system.

    Nobody could make anything in a fresh `memory:` that squashes root: its root is root's, 0755.
    """
    env = {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1"}
    servers: list[ServerProcess] = []

    memory = peer == "memory"
    # uid 0 without any capability is an ordinary user that may read this checkout.
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if peer == "unprivileged" else []

    def serve(name: str, port: int, options: str, *, small: bool = False) -> str:
        folder = workdir / name
        folder.mkdir()
        folder.chmod(0o777)  # squashed root makes its directories here
        argv = [*bare, sys.executable, *program, "serve", "--port", str(port)]
        argv += ["-o", options]
        argv += ["--state", str(workdir / f"{name}-state")]
        if port != 2049:
            argv += ["--rpcbind", "none"]
        argv += ["memory:" if memory else str(folder)]
        server = ServerProcess(
            network,
            argv,
            log=workdir / f"{name}.log",
            port=port,
            env=env,
            tmpfs={folder: f"{SMALL_MIB}m"} if small else None,
        )
        servers.append(stack.enter_context(server))
        return "/" if memory else str(folder)

    path = serve("main", 2049, "rw,no_root_squash")
    mounts = {"main": Mount("main", f"{SERVER_IP}:{path}", explicit())}
    if peer == "posix" and not only_main:
        squash = serve("squash", 2050, "rw,root_squash")
        mounts["squash"] = Mount("squash", f"{SERVER_IP}:{squash}", explicit(2050))
        small = serve("small", 2051, "rw,no_root_squash", small=True)
        mounts["small"] = Mount("small", f"{SERVER_IP}:{small}", explicit(2051))
    beneath = []
    if not memory:
        (workdir / "main" / "a" / "b").mkdir(parents=True)
        beneath = [f"{path}/a/b", "/"]
    return Served(servers[0], servers, path, mounts=mounts, beneath=beneath)


GANESHA_CONFIG = """\
NFS_CORE_PARAM {{
    Protocols = 3;
    NFS_Port = 2049;
    MNT_Port = {mountport};
    NLM_Port = 32803;
    Rquota_Port = 8750;
    Enable_NLM = true;
    Enable_RQUOTA = false;
    mount_path_pseudo = false;
}}
NFSV4 {{ Graceless = true; }}
NFS_KRB5 {{ Active_krb5 = false; }}
LOG {{ Default_Log_Level = EVENT; }}
"""
GANESHA_EXPORT = """\
EXPORT {{
    Export_Id = {number};
    Path = {path};
    Pseudo = /{name};
    Filesystem_Id = {number}.{number};
    Protocols = 3;
    Transports = TCP, UDP;
    Access_Type = RW;
    Squash = {squash};
    Anonymous_uid = 65534;
    Anonymous_gid = 65534;
    SecType = sys;
    FSAL {{ Name = VFS; }}
}}
"""
# /run is private to the process, so that rpcbind's socket and ganesha's pid file meet no others.
GANESHA_START = """
mount -t tmpfs tmpfs /run && mkdir -p /run/ganesha /run/rpcbind /run/dbus || exit 1
rpcbind -f -w >/dev/null 2>&1 &
for i in 1 2 3 4 5 6 7 8 9 10; do [ -S /run/rpcbind.sock ] && break; sleep 0.1; done
mkdir -p /run/statd/sm /run/statd/sm.bak && chown -R statd /run/statd
rpc.statd -F --no-notify -P /run/statd >/dev/null 2>&1 &
exec ganesha.nfsd -F -L "$1" -f "$2" -p /run/ganesha/pid
"""


def start_ganesha(stack: ExitStack, network: Network, workdir: Path) -> Served:
    """One ganesha with all exports, and an rpcbind beside it."""
    mountport = 20048
    config = GANESHA_CONFIG.format(mountport=mountport)
    exports = {"main": "No_Root_Squash", "squash": "Root_Squash", "small": "No_Root_Squash"}
    for number, (name, squash) in enumerate(exports.items(), 10):
        (workdir / name).mkdir()
        (workdir / name).chmod(0o777)
        config += GANESHA_EXPORT.format(
            number=number, path=workdir / name, name=name, squash=squash
        )
    (workdir / "ganesha.conf").write_text(config)
    log = workdir / "ganesha.log"
    argv = ["sh", "-c", GANESHA_START, "sh", str(log), str(workdir / "ganesha.conf")]
    server = ServerProcess(
        network, argv, log=workdir / "main.log", tmpfs={workdir / "small": f"{SMALL_MIB}m"}
    )
    stack.enter_context(server)
    mounts = {
        name: Mount(name, f"{SERVER_IP}:{workdir / name}", explicit(mountport=mountport))
        for name in exports
    }
    return Served(
        server,
        [server],
        str(workdir / "main"),
        mountport,
        mounts,
        locks="granted",
        link_times=False,
    )


def mount_variants(served: Served) -> list[list[str]]:
    """[label, spec, options] of every way that a mount must work."""
    spec, spec6 = f"{SERVER_IP}:{served.path}", f"[{SERVER_IP6}]:{served.path}"
    port = served.mountport
    tcp = explicit(mountport=port)
    tcp6 = f"proto=tcp6,mountproto=tcp6,vers=3,port=2049,mountport={port},nolock"
    beneath = [[f"a directory in the export: {one}", f"{SERVER_IP}:{one}", tcp]
               for one in served.beneath]  # fmt: skip
    return [
        *beneath,
        ["plain", spec, ""],
        ["vers=3 through the portmapper, nolock", spec, "vers=3,nolock"],
        ["explicit ports", spec, tcp],
        ["MOUNT over UDP", spec, explicit(proto="udp", mountport=port)],
        ["small rsize and wsize, soft", spec, f"{tcp},rsize=4096,wsize=4096,soft"],
        ["several connections", spec, f"{tcp},nconnect=4"],
        ["no READDIRPLUS, no caches", spec, f"{tcp},nordirplus,noac"],
        ["IPv6, explicit ports", spec6, tcp6],
        ["IPv6 through the portmapper", spec6, "vers=3,proto=tcp6,nolock"],
    ]


def mount_refusals(served: Served) -> list[list[str]]:
    """Mounts that must fail, and quickly."""
    options = explicit(mountport=served.mountport)
    above = f"{served.path}/../.."
    return [
        ["a path that is not exported", f"{SERVER_IP}:/no/such", options],
        ["a path that leads out of the export", f"{SERVER_IP}:{above}", options],
    ]
