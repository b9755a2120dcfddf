"""The image in a container engine, with no privilege, and what becomes of a client's files when the
container is killed, started again and stopped."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shlex
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kernel.guest import Guest, Scenario
from kernel.harness import SERVER_IP, HarnessError, Network
from kernel.reporting import LINES, unavailable

from nfsloop.client import Client

pytest.importorskip("docker.errors")

from container_engine import BASE, IMAGE, ROOT, Engine, compose, engine_volume, missing

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

T = TypeVar("T")
#: The user that the image runs as.
UID = 65532
IMAGE_MB = 150
SECOND = 1_000_000_000  # as the engine counts

#: How docs/container.md says to run it.
SAFE: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "read_only": True,
    "security_opt": ["no-new-privileges"],
}
OPEN = {"security_opt": ["seccomp=unconfined"]}
READ_SEARCH = {"cap_add": ["DAC_READ_SEARCH"], **OPEN}
#: name: options of `docker run`, the command, how files are accessed and opened.
PRIVILEGES: dict[str, tuple[dict[str, Any], list[str], str, str]] = {
    "none": (SAFE, [], "user 65532, whoever calls", "the index in /state/nfsloop"),
    "another-user": ({"user": "1000:1000", **SAFE}, [], "user 1000,", "the index"),
    "root": ({"user": "0"}, [], "each caller", "the index"),
    "root-dac": ({"user": "0", **READ_SEARCH}, [], "each caller", "the kernel"),
    "dac": ({"user": "0", "cap_drop": ["ALL"], **READ_SEARCH}, [], "user 0,", "the kernel"),
    "workers": ({"user": "0", **READ_SEARCH}, ["--workers", "2"], "each caller", "the kernel"),
}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    if lacking := missing():
        unavailable(lacking)
    with Network(taps=1) as made:
        yield made


@pytest.fixture(scope="module")
def engine(network: Network) -> Iterator[Engine]:
    with Engine(network) as made:
        yield made


def waited(ask: Callable[[], T], what: Callable[[], str], seconds: float = 30) -> T:
    """What `ask` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)
    return found


def text(container: Any) -> str:
    """What it has printed and logged."""
    return str(container.logs().decode(errors="replace"))


def mount_line(container: Any) -> str:
    """The line that the server prints when it is up."""

    def found() -> str:
        lines = [line.strip() for line in text(container).splitlines()]
        container.reload()
        assert container.status == "running", text(container)
        return next((line for line in lines if line.startswith("mount -t nfs ")), "")

    return waited(found, lambda: text(container))


def ended(container: Any) -> int:
    """Its exit status, when it has ended."""
    return int(container.wait(timeout=30)["StatusCode"])


def test_what_is_in_the_image(engine: Engine) -> None:
    """Not pip, nor what wheels are built with; and a number for who it runs as."""
    image, base = engine.client.images.get(IMAGE), engine.client.images.get(BASE)
    size = (image.attrs["Size"] - base.attrs["Size"]) / 1e6
    assert 1 < size < IMAGE_MB, size
    config = image.attrs["Config"]
    assert config["User"] == f"{UID}:{UID}"
    assert set(config["Volumes"]) == {"/export", "/state"}
    assert config["StopSignal"] == "SIGTERM"
    names = engine.client.containers.run(
        IMAGE, ["-c", "ls /opt/nfsloop/lib/*/site-packages"], entrypoint="sh", remove=True
    )
    there = set(names.decode().split())
    assert {"nfsloop", "uvloop", "xdrlib3", "prometheus_client", "fsspec"} <= there
    assert not {"pip", "setuptools", "hatchling"} & there


def test_it_runs_without_any_privilege_and_says_how_it_is(engine: Engine) -> None:
    often = {"interval": SECOND // 4, "start_period": SECOND // 100, "retries": 1}
    with ExitStack() as stack:
        server = stack.enter_context(engine.running(healthcheck=often, **SAFE))
        mount_line(server)
        second = stack.enter_context(engine.running(volumes_from=[server.id], **SAFE))
        # At another port, which the check is not told; and where there is no server.
        command = ["serve", "--port", "2050", "--rpcbind", "none", "memory:"]
        elsewhere = stack.enter_context(engine.running(*command, healthcheck=often, **SAFE))
        idle = {"entrypoint": "sleep", "healthcheck": often, **SAFE}
        nobody = stack.enter_context(engine.running("60", **idle))

        waited(lambda: health(server) == "healthy", lambda: text(server))
        found = server.exec_run(["cat", "/proc/1/status", "/proc/1/cmdline"])[1].decode()
        status = dict(line.split(":\t", 1) for line in found.splitlines() if ":\t" in line)
        assert status["CapEff"] == status["CapBnd"] == "0" * 16
        assert status["NoNewPrivs"] == "1"
        assert status["Uid"].split() == [str(UID)] * 4
        assert "nfsloop\0serve\0" in found, "the server is the first process"
        assert server.exec_run(["touch", "/x"])[0] != 0, "the root file system can be written"
        assert server.exec_run(["nfsloop", "status"])[1].startswith(b"/export: well")

        waited(lambda: health(elsewhere) == "healthy", lambda: text(elsewhere))
        waited(lambda: health(nobody) == "unhealthy", lambda: text(nobody))
        assert ended(second) == 1, "two servers with one state directory"
        assert "runs with the state directory /state/nfsloop" in text(second)


def health(container: Any) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


def test_the_stock_client_carries_on(
    engine: Engine, network: Network, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Mounted through the published port; the container is killed with SIGKILL and started, and
    another one takes its place, at another address, as when there is a new image."""
    volumes = {"kept-export": {"bind": "/export"}, "kept-state": {"bind": "/state"}}
    options = {"hostname": SERVER_IP, "ports": {"2049/tcp": 2049}, "volumes": volumes, **SAFE}
    with ExitStack() as stack:
        servers = [stack.enter_context(engine.running(**options))]
        logs: list[str] = []

        def kill() -> None:
            servers[-1].kill()
            ended(servers[-1])

        def replace() -> None:
            old = engine.address(servers[-1])
            logs.append(text(servers[-1]))
            servers[-1].remove(force=True)
            stack.enter_context(engine.running("serve", "memory:"))  # it has the address now
            servers.append(stack.enter_context(engine.running(**options)))
            assert engine.address(servers[-1]) != old

        def on_sync(_guest: Guest, tag: str, _data: object) -> None:
            match tag:
                case "kill":
                    kill()
                    threading.Timer(0.5, servers[-1].start).start()
                case "kill and start":
                    kill()
                    time.sleep(0.3)
                    servers[-1].start()
                case "replace":
                    replace()

        params = {"line": mount_line(servers[0]), "uid": UID, **engine_volume(SERVER_IP)}
        scenario = Scenario("container.container_scenario", "", params)
        with Guest(network, tmp_path, [], [scenario], on_sync=on_sync) as guest:
            try:
                steps = guest.finish(timeout=120)
            except HarnessError as error:
                raise AssertionError(f"{error}: {text(servers[-1])}") from error
        request.config.stash[LINES]["container"] = [str(step) for step in steps]
        assert not [str(step) for step in steps if not step.ok]
        assert len(steps) > 9
        logs.append(text(servers[-1]))
        assert [log.count("NFS version 3 on ") for log in logs] == [3, 1]
        assert " ERROR " not in "".join(logs)
        who = servers[-1].exec_run(["stat", "-c", "%u", "/export/held"])[1]
        assert who.decode() == f"{UID}\n"
        servers[-1].stop(timeout=10)
        assert ended(servers[-1]) == 0


@pytest.mark.parametrize("kind", PRIVILEGES)
def test_it_uses_the_privileges_that_it_is_given(
    kind: str, engine: Engine, network: Network
) -> None:
    options, arguments, accessed, opened = PRIVILEGES[kind]
    command = ["serve", "--rpcbind", "none", *arguments, "/export"]
    with engine.running(*command, **options) as server:
        mount_line(server)
        assert f"export /export: files accessed as {accessed}" in text(server)
        assert f"handles opened by {opened}" in text(server)
        host = engine.address(server)
        network.call(lambda: use(host, mine=kind == "none", acts=accessed == "each caller"))
        server.stop(timeout=10)
        assert ended(server) == 0
        assert "nfsloop: stopped" in text(server)


def use(host: str, mine: bool, acts: bool) -> None:
    """A mount works; a server that acts as its callers lets the volume's owner in alone."""
    with Client(2049, "/export", host=host, uid=UID, gid=UID) as owner:
        assert owner.stat("/").st_uid == UID
        if mine or acts:
            owner.write_file("/file", b"data")
            assert owner.stat("/file").st_uid == UID
        with Client(2049, "/export", host=host, uid=1000, gid=1000) as other:
            if mine:
                other.write_file("/another", b"data")
                assert other.stat("/another").st_uid == UID
            else:
                with pytest.raises(PermissionError) as caught:
                    other.write_file("/another", b"data")
                assert caught.value.errno == errno.EACCES
            assert sorted(other.listdir("/")) == (["another", "file"] if mine else ["file"] * acts)


def test_one_port_is_enough(engine: Engine, network: Network) -> None:
    """NFS, MOUNT, NLM and the portmapper on 2049, which is 8 times 256 and 1."""
    with engine.running(**SAFE) as server:
        mount_line(server)
        where = f"{engine.address(server)}.8.1"
        for program in (("100000", "2"), ("100003", "3"), ("100005", "3"), ("100021", "4")):
            said = network.run("rpcinfo", "-a", where, "-T", "tcp", *program)
            assert "ready and waiting" in said


def test_a_user_without_privilege_has_the_portmapper_too(engine: Engine, network: Network) -> None:
    """Engines let everybody bind low ports in a container's own network."""
    with engine.running("serve", "--rpcbind", "builtin", "/export", **SAFE) as server:
        assert mount_line(server).startswith("mount -t nfs ")
        assert "portmapper on port 111" in text(server)
        listed = network.run("rpcinfo", "-p", engine.address(server))
        assert "100003    3   tcp   2049  nfs" in listed


@pytest.mark.parametrize(("seconds", "answered"), [(1, True), (60, False)])
def test_stop_with_a_call_in_flight(
    seconds: float, answered: bool, engine: Engine, network: Network
) -> None:
    """It is waited for, but not longer than the engine waits. 0: no signal has ended the server."""
    wrap = ["--wrap", f"slow?seconds={seconds}&only=read", "--stop-seconds", "1.5"]
    command = ["serve", "--rpcbind", "none", *wrap, "/=memory:"]
    with engine.running(*command, **SAFE) as server, ThreadPoolExecutor(1) as pool:
        mount_line(server)
        host = engine.address(server)
        sending = threading.Event()

        def read() -> bytes:
            with Client(2049, host=host, uid=UID, timeout=2.5) as client:
                client.write_file("/file", b"answered")
                sending.set()
                return client.read("/file")

        reading = pool.submit(network.call, read)
        assert sending.wait(10)
        time.sleep(0.5)
        server.stop(timeout=10)
        assert ended(server) == 0
        assert "SIGTERM: stopping" in text(server)
        assert text(server).rstrip().endswith("nfsloop: stopped")
        if answered:
            assert reading.result() == b"answered"
        else:
            with contextlib.suppress(OSError):
                pytest.fail(f"an answer after all: {reading.result()!r}")


def test_a_stop_right_after_the_start(engine: Engine) -> None:
    """With the engine's init in front: Python is not up yet, and the signal would be lost."""
    for _ in range(3):
        with engine.running(init=True, **SAFE) as server:
            server.stop(timeout=5)
            assert ended(server) in {0, 128 + signal.SIGTERM}


def test_stop_before_the_server_is_up(engine: Engine) -> None:
    """Process 1 of a container never gets a signal that it has no handler for."""
    slow = "import time; time.sleep(60)"
    module = "from nfsloop import cli; cli.verb = lambda _: __import__('slow')"
    # A command that hangs where it is imported, as one does whose disk is slow.
    code = f"open('/tmp/slow.py', 'w').write({slow!r}); import sys; sys.path.insert(0, '/tmp'); "
    code += f"print('begins', flush=True); {module}; cli.main(['serve'])"
    options = {"entrypoint": "/opt/nfsloop/bin/python3", "tmpfs": {"/tmp": ""}, **SAFE}
    with engine.running("-c", code, **options) as server:
        waited(lambda: "begins" in text(server), lambda: text(server))
        time.sleep(1)
        server.stop(timeout=10)
        assert ended(server) == 128 + signal.SIGTERM


@functools.cache
def lines_that_run() -> list[str]:
    """The command lines of the documentation that start a server."""
    pages = [ROOT / "docker" / "README.md", ROOT / "docs" / "container.md"]
    lines = [line.strip() for page in pages for line in page.read_text().splitlines()]
    return [line for line in lines if line.startswith("docker run ")]


@pytest.mark.parametrize("number", range(len(lines_that_run())))
def test_the_lines_of_the_documentation_serve(number: int, engine: Engine, tmp_path: Path) -> None:
    """As they stand, by the engine's own command."""
    engine.client.images.get(IMAGE).tag("nfsloop", "latest")
    line = lines_that_run()[number]
    env = {**os.environ, "DOCKER_HOST": engine.url, "PATH": f"/usr/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        line, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    server = engine.client.containers.get(done.stdout.strip())
    try:
        assert mount_line(server)
    finally:
        server.remove(force=True, v=True)
        for volume in engine.client.volumes.list():
            volume.remove()


def test_compose(engine: Engine, network: Network) -> None:
    """docker/compose.yaml brings it up as it stands, with metrics for the machine itself."""
    engine.client.images.get(IMAGE).tag("nfsloop", "latest")
    env = {**os.environ, "DOCKER_HOST": engine.url, "NFSLOOP_HOST": "files.example.org"}
    file = ("-p", "nfslooptest", "-f", str(ROOT / "docker" / "compose.yaml"))
    compose(*file, "up", "-d", "--no-build", env=env)
    try:
        (server,) = engine.client.containers.list(all=True)
        assert shlex.split(mount_line(server))[-2] == "files.example.org:/export"

        def both() -> bytes:
            with Client(2049, "/export") as client:
                client.write_file("/file", b"data")
            address = "http://127.0.0.1:9049/"
            for page in ("readyz", "healthz"):
                with urllib.request.urlopen(address + page, timeout=10) as answer:
                    assert answer.status == 200
            with urllib.request.urlopen(address + "metrics", timeout=10) as answer:
                return bytes(answer.read())

        metrics = network.call(both).decode()
        assert "nfs" in metrics
        with pytest.raises(OSError):
            network.connect(9049)  # by another address than loopback
        compose(*file, "stop", env=env)
        assert ended(server) == 0
    finally:
        compose(*file, "down", "--volumes", env=env)
    assert not engine.client.volumes.list(filters={"name": "nfslooptest"})
