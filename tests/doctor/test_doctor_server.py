"""Without HOST, the doctor names what is wrong with the server of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import doctor_world as w
import pytest
from nfs_process import REPO, Process, directory_of, run
from portmap_ns import missing, namespace

from nfsloop.doctor import examine, local
from nfsloop.doctor.diagnosis import Report
from nfsloop.mountline import NFS_PORT

pytestmark = pytest.mark.timeout(60)
ROOT = os.geteuid() == 0
LOOP = ("--host", "127.0.0.1", "--port", "0", "--rpcbind", "none")


@dataclass
class Rig:
    """A directory to work in, and what is to end with the test."""

    path: Path
    stack: ExitStack
    config: Path | None = None
    user: int | None = None
    processes: list[Process] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def export(self) -> Path:
        return self.path / "export"

    def serve(self, *args: str, exports: int = 1) -> Process:
        process = Process("serve", *LOOP, "--state", str(self.state), *args, user=self.user)
        self.stack.callback(process.close)
        process.ready(exports)
        self.processes.append(process)
        return process


@pytest.fixture
def rig() -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack.enter_context(directory_of(w.NOBODY if ROOT else None)), stack)


def healthy(rig: Rig) -> None:
    rig.export.chmod(0o777)
    rig.serve(str(rig.export))


def not_running(rig: Rig) -> None:
    rig.state.mkdir()


def port_taken(rig: Rig) -> None:
    taken = rig.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    rig.config = rig.path / "nfsloop.toml"
    export = f'[[export]]\npath = "{rig.export}"\n'
    rig.config.write_text(f"port = {taken.getsockname()[1]}\n{export}")


def another(rig: Rig) -> None:
    port = rig.serve("memory:").port
    rig.config = rig.path / "nfsloop.toml"
    rig.config.write_text(f'port = {port}\n[[export]]\npath = "/x"\nstorage = "memory:"\n')
    rig.state.rename(rig.path / "moved")


def state_open(rig: Rig) -> None:
    rig.state.mkdir()
    rig.state.chmod(0o777)


def directory_gone(rig: Rig) -> None:
    rig.serve(str(rig.export))
    shutil.rmtree(rig.export)


def directory_closed(rig: Rig) -> None:
    rig.user = w.NOBODY
    rig.serve(str(rig.export))
    os.chown(rig.export, 0, 0)
    rig.export.chmod(0o700)


def nobody(rig: Rig) -> None:
    exports = rig.path / "exports"
    exports.write_text(f"{rig.export} nosuch.invalid(rw)\n")
    rig.serve("--exports", str(exports))


def state_exported(rig: Rig) -> None:
    rig.export.rmdir()
    rig.path = rig.path / "tree"
    rig.path.mkdir(mode=0o777)
    rig.path.chmod(0o777)
    rig.serve("-o", "no_root_squash,insecure", str(rig.path))


def for_others(rig: Rig) -> None:
    exports = rig.path / "exports"
    exports.write_text(f"{rig.export} 192.0.2.0/24(rw)\n")
    rig.serve("--exports", str(exports))


def squashed(rig: Rig) -> None:
    """The home of a user."""
    os.chown(rig.export, 1234, 1234)
    rig.export.chmod(0o700)
    rig.serve(str(rig.export))


def everywhere(rig: Rig) -> None:
    rig.serve("--host", "::", "memory:")


def group(rig: Rig) -> None:
    """A directory that only the server's group lets its user into."""
    rig.user = w.NOBODY
    rig.serve(str(rig.export))
    os.chown(rig.export, 0, w.NOBODY)
    rig.export.chmod(0o750)


def in_a_container(rig: Rig) -> None:
    """Its process is number 1 there."""
    alone = ("unshare", "--pid", "--fork", "--kill-child")
    process = Process("serve", *LOOP, "--state", str(rig.state), "memory:", prefix=alone)
    rig.stack.callback(process.close)
    rig.config = rig.path / "nfsloop.toml"
    rig.config.write_text(f'port = {process.port}\n[[export]]\npath = "/x"\nstorage = "memory:"\n')
    assert (rig.state / "lock").read_text().strip() == "1"


def fifo(rig: Rig) -> None:
    rig.state.mkdir(mode=0o700)
    os.mkfifo(rig.state / "lock")


def link(rig: Rig) -> None:
    rig.state.mkdir(mode=0o700)
    (rig.state / "lock").symlink_to("/etc/passwd")


def pretender(rig: Rig) -> None:
    """Anybody's process may look like a server; what it says it was told is not read."""
    os.mkfifo(rig.path / "fifo")
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); "
    code += "print('mount -t nfs', 'x:%d over' % s.getsockname()[1], flush=True); time.sleep(60)"
    words = ("nfsloop", "serve", "--config", str(rig.path / "fifo"), "--state", "/a\x1b")
    process = Process(*words, code=code)
    rig.stack.callback(process.close)
    rig.config = rig.path / "nfsloop.toml"
    rig.config.write_text(f"port = {process.port}\n[[export]]\npath = '{rig.export}'\n")


def code_of_its_own(rig: Rig) -> None:
    """Settings that name a class; nothing of it is run."""
    (rig.path / "doctor_trap.py").write_text(f"open({str(rig.path / 'trapped')!r}, 'w')\n")
    sys.path.append(str(rig.path))
    rig.stack.callback(sys.path.remove, str(rig.path))
    rig.config = rig.path / "nfsloop.toml"
    rig.config.write_text('[[export]]\npath = "/x"\nstorage = "doctor_trap:Zen"\n')


def no_listener(rig: Rig) -> None:
    """What holds the state directory has the lock and no socket."""
    rig.state.mkdir(mode=0o700)
    code = "import fcntl, os, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); "
    code += (
        "print(os.getpid(), file=f, flush=True); print('mount -t nfs', flush=True); time.sleep(60)"
    )
    process = Process(str(rig.state / "lock"), code=code)
    rig.stack.callback(process.close)
    process.ready()


def stopped(rig: Rig) -> None:
    process = rig.serve("memory:")
    process.send(signal.SIGSTOP)


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[Rig], None]
    #: All the problems, and notes that must be among the others.
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    words: str = ""
    root: bool = False


CASES = (
    Case("healthy", healthy, (), ("no-rpcbind", "loopback-only"), "this mounts it"),
    Case("not running", not_running, ("not-running",), words="nfsloop serve DIR"),
    Case("port taken", port_taken, ("port-taken", "not-running"), words=f"process {os.getpid()}"),
    Case("another server", another, ("not-running",), words="is an nfsloop, but its state"),
    Case("state open to all", state_open, ("state-closed", "not-running"), words="chmod 700"),
    Case(
        "directory gone",
        directory_gone,
        ("settings-wrong", "storage-ill"),
        words="no such directory",
    ),
    Case("directory closed", directory_closed, ("directory-closed",), ("one-user",), root=True),
    Case("for nobody", nobody, ("nobody-listed",), words="nosuch.invalid"),
    Case("state exported", state_exported, ("state-exported",)),
    Case("hanging", stopped, ("server-hangs",)),
    Case("for others", for_others, (), ("closed-to-itself",), "It is for 192.0.2.0/24"),
    Case("squashed", squashed, (), ("closed-to-itself",), "is 0700 of user", root=True),
    Case("every address of IPv6", everywhere, (), ("no-rpcbind",), "'[::1]:/' /mnt"),
    Case("its group's", group, (), ("one-user",), root=True),
    Case("a container's", in_a_container, (), ("unseen-process",), "127.0.0.1:/ /mnt", root=True),
    Case("the lock is a FIFO", fifo, ("state-closed", "not-running"), words="is no file"),
    Case("the lock is a link", link, ("state-closed", "not-running"), words="symbolic links"),
    Case("a pretender", pretender, ("not-running",), words=r"its state directory is /a\x1b."),
    Case("its own code", code_of_its_own, ("not-running",)),
    Case("no listener", no_listener, ("server-hangs",)),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_the_cause_is_named(case: Case, rig: Rig) -> None:
    if case.root and not ROOT:
        pytest.skip("takes root, to run the server as another user")
    case.make(rig)
    report = examined(rig)
    text = "\n".join(examine.lines(report, verbose=True))
    problems = [finding.code for finding in report.findings if finding.level == "problem"]
    assert problems == list(case.problems), text
    assert {finding.code for finding in report.findings} >= set(case.notes), text
    assert case.words in text
    assert not (rig.path / "trapped").exists()


def test_another_server_where_none_was_meant(rig: Rig) -> None:
    """As for a user who asks on a machine where root's server runs."""
    another(rig)
    report = examine.of_this_machine(rig.state, rig.config, 1.0, lambda text: None, named=False)
    assert report.healthy and report.line
    assert "other-server" in [finding.code for finding in report.findings]


def examined(rig: Rig) -> Report:
    return examine.of_this_machine(rig.state, rig.config, 1.0, lambda text: None)


# This machine as one that mounts


def doctor(*args: str, prefix: tuple[str, ...] = (), user: int | None = None) -> dict[str, object]:
    """What the command says, as JSON."""
    process = Process("doctor", "--json", "--timeout", "1", *args, prefix=prefix, user=user)
    out, _ = process.process.communicate(timeout=30)
    status, errors = process.wait(), process.stderr()
    process.close()
    assert not errors
    found: dict[str, object] = json.loads(out)
    assert status == (0 if found["healthy"] else 1)
    return found


def codes(found: dict[str, object]) -> list[str]:
    return [finding["code"] for finding in found["findings"]]  # type: ignore[attr-defined]


MASKED = """
for helper in /sbin /usr/sbin /sbin/fs /sbin/fs.d
do [ ! -e $helper/mount.nfs ] || mount --bind /dev/null $helper/mount.nfs
done; exec "$@"
"""


@pytest.mark.skipif(not ROOT, reason="takes root, to take something from the machine")
def test_a_machine_that_cannot_mount(rig: Rig) -> None:
    port = str(rig.serve("memory:").port)
    masked = ("unshare", "--mount", "sh", "-c", MASKED, "sh")
    bounded = ("setpriv", "--bounding-set", "-sys_admin")
    found = codes(doctor("127.0.0.1", "--port", port, prefix=(*masked, *bounded)))
    assert {"no-mount-nfs", "no-capability"} <= set(found)
    found = codes(doctor("127.0.0.1", "--port", port, user=w.NOBODY))
    assert "not-root" in found and "no-reserved-port" in found and "no-capability" not in found
    found = codes(doctor("--state", str(rig.state), user=w.NOBODY))
    assert found == ["state-closed"]
    found = codes(doctor("127.0.0.1", "--port", port))
    assert not {"no-mount-nfs", "no-capability", "not-root"} & set(found)


def test_a_foreign_registration(rig: Rig) -> None:
    """The system's rpcbind, in which somebody else has registered himself."""
    why = missing()
    if why and os.environ.get("NFSLOOP_REQUIRE_PEERS"):
        pytest.fail(why)
    if why:
        pytest.skip(why)
    space = rig.stack.enter_context(namespace())
    rig.stack.enter_context(space.daemon(("rpcbind", "-f", "-w"), "rpcinfo -p 127.0.0.1"))
    space.python("await register(registrations([(100003, 3)], 'tcp', None, 999))")
    enter = ("nsenter", "-t", str(space.pid), "--net", "--mount")
    args = ("serve", "--rpcbind", "none", "--state", str(rig.state), "memory:")
    process = Process(*args, prefix=enter)
    rig.stack.callback(process.close)
    process.ready()
    found = doctor("--state", str(rig.state), prefix=enter)
    assert codes(found)[0] == "foreign-registration"
    assert f"port={NFS_PORT}" in str(found["mount"])
    found = doctor("--remote", "127.0.0.1", prefix=enter)
    assert codes(found)[0] == "wrong-port"


def test_the_command_for_people(rig: Rig) -> None:
    status, out, errors = run("doctor", "--remote", "127.0.0.1", "--port", "1")
    assert (status, errors) == (1, "")
    assert out.startswith("problem: nobody listens on TCP port 1 of 127.0.0.1\n    why: ")
    assert "\n    what to do: " in out and "\x1b" not in out
    for wrong in ("", ":/x", "[::1", "a:b:c"):
        status, out, errors = run("doctor", "--remote", wrong)
        assert (status, out) == (1, "") and errors.startswith("nfsloop: "), errors


def test_output_that_cannot_be_written(rig: Rig) -> None:
    port = str(rig.serve("-o", "insecure", "/日本=memory:").port)
    for encoding, shown in (("ascii", r"/\u65e5\u672c"), ("utf-8", "/日本")):
        env = {"PYTHONIOENCODING": encoding}
        status, out, errors = run("doctor", "--remote", "127.0.0.1", "--port", port, env=env)
        assert (status, errors) == (0, "") and f"fine: {shown} is handed out" in out
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "nfsloop", "doctor", "--remote", "127.0.0.1", "--port", port],
            stdout=closed, stderr=subprocess.PIPE, check=False, cwd=REPO,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_ping(rig: Rig) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = str(listener.getsockname()[1])
    with listener:
        status, out, errors = run("ping", "--port", port, "--timeout", "0.2")
    assert (status, out) == (1, "")
    assert (
        errors == f"nfsloop: 127.0.0.1:{port}: takes the connection, but does not answer the call\n"
    )
    status, out, errors = run("ping", "--port", port)
    assert (status, out, errors) == (1, "", f"nfsloop: 127.0.0.1:{port}: nobody listens there\n")
    port = str(rig.serve("--host", "localhost", "memory:").port)
    for more in ((), ("--udp",), ("localhost",)):
        status, out, errors = run("ping", *more, "--port", port)
        assert (status, errors) == (0, "") and f":{port} answers in " in out
    assert run("ping", "--quiet", "--port", port) == (0, "", "")
    assert run("ping", "--port", "70000")[0] == 2


def test_ping_imports_little() -> None:
    """It is a health check, run every few seconds."""
    code = "import sys, nfsloop.verbs.ping; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-ISc", f"import sys; sys.path.insert(0, {str(REPO)!r});"
                           + code], capture_output=True, text=True, check=True)  # fmt: skip
    loaded = set(done.stdout.split())
    assert not loaded & {"asyncio", "ssl", "nfsloop.config", "nfsloop.nfs3.nfs3_xdr", "backends"}


@pytest.mark.skipif(not local.which("mount"), reason="mount is not installed")
def test_mount_tells_what_is_missing(rig: Rig) -> None:
    port = str(rig.serve("-o", "insecure", "memory:").port)
    mounted = ("mount", "-o", f"ro,port={port}", "localhost:/")
    status, out, errors = run(*mounted, "--dry-run", str(rig.export))
    assert (status, errors) == (0, "")
    words = out.split("-o ")[1].split(" ")[0].split(",")
    assert {"ro", f"port={port}", f"mountport={port}", "nolock", "vers=3"} <= set(words)
    assert len(words) == len({word.partition("=")[0] for word in words})
    status, out, errors = run("mount", "--dry-run", "-o", f"port={port}", "localhost:/", "--", "-x")
    assert (status, errors) == (0, "") and out.endswith(" localhost:/ /-x\n")
    wanted = {
        ("localhost:/", str(rig.path / "none")): "make the directory to mount on first",
        ("localhost", str(rig.export)): "name the export, too",
    }
    for args, words_of in wanted.items() if ROOT else ():
        status, out, errors = run("mount", *args)
        assert status == 1 and words_of in errors
    status, out, errors = run("umount", str(rig.export))
    assert (status, out) == (1, "") and errors.startswith("nfsloop: no NFS is mounted on ")
    if ROOT:
        status, out, errors = run(*mounted, str(rig.export), user=w.NOBODY)
        assert status == 1 and "only root can mount" in errors
