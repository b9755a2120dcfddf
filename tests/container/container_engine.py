"""A container engine of the test's own, and what an image of nfsloop is built from without a
registry: a base image made of Debian packages, and a directory of wheels.

dockerd runs in the network namespace that a guest of tests/kernel is in too, and in mount and
process namespaces of its own, where it keeps everything in memory: what it leaves behind is gone
with its first process.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import docker.errors
import docker.utils.build
from kernel.harness import HarnessError, Network, kill_session, requirements, spawn, which

ROOT = Path(__file__).resolve().parents[2]
IMAGE, BASE = "nfsloop:test", "nfsloop-base:test"

#: program -> the Debian package that has it
PROGRAMS = {
    "dockerd": "docker.io",
    "docker-compose": "docker-compose",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
}
#: Debian 12 and its Python, whatever runs the tests. Unpacked only, not configured: that takes a
#: third of the time, and Python needs no more.
RELEASE, PYTHON = "bookworm", "3.11"
PACKAGES = ("base-files", "coreutils", "dash", "python3", "python3-venv")
#: The extras that the image has: ARG EXTRAS of docker/Dockerfile.
EXTRAS = ("all",)


def missing() -> list[str]:
    """What these tests lack on this machine, a line each."""
    lacking = [
        f"{name} (package {package})" for name, package in PROGRAMS.items() if which(name) is None
    ]
    return requirements() + lacking


def _cached(name: str, key: object, make: Callable[[Path], None]) -> Path:
    """A file or directory that `make` makes at the path it is given; kept for the next run, under
    $XDG_CACHE_HOME, while `key` is the same."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nfsloop-tests"
    home.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    place = home / f"{name}-{digest}"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=home) as folder:
            made = Path(folder, name)
            make(made)
            with contextlib.suppress(OSError):  # another run was faster
                made.rename(place)
    return place


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode:
        raise HarnessError(f"{' '.join(argv)[:200]}: {(done.stdout + done.stderr)[-1500:]}")


def base_tar() -> Path:
    """The file system of the base image, as a tar."""
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--format=tar"]
    argv += [f"--include={','.join(PACKAGES)}", RELEASE]
    return _cached("base.tar", argv, lambda made: _run([*argv, str(made)]))


def needed() -> list[str]:
    """What the image's build asks pip for: of pyproject.toml, with the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    found: list[str] = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    wanted = list(EXTRAS)
    for name in wanted:  # it grows: an extra may name others
        for line in extras.get(name, []):
            if line.startswith("nfsloop["):
                wanted += line.removeprefix("nfsloop[").removesuffix("]").split(",")
            else:
                found.append(line)
    return sorted({*found})


def wheelhouse() -> Path:
    """A directory with the wheels of all that, for the base image's Python."""
    argv = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "download"]
    argv += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    for libc in ("manylinux_2_36", "manylinux_2_28", "manylinux_2_17", "manylinux2014"):
        argv += ["--platform", f"{libc}_{platform.machine()}"]
    wanted = needed()
    key = [*argv[3:], *wanted]
    return _cached("wheels", key, lambda made: _run([*argv, "-d", str(made), *wanted]))


def context_names(root: Path) -> list[str]:
    """The files of a tree that .dockerignore lets through."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    dockerfile = "docker/Dockerfile"
    names = docker.utils.build.exclude_paths(str(root), patterns, dockerfile=dockerfile)
    return sorted(name for name in names if (root / name).is_file())


def context(wheels: Path) -> io.BytesIO:
    """The build's context: of the tree what .dockerignore lets through, and the wheels."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in context_names(ROOT):
            tar.add(ROOT / name, name)
        for wheel in sorted(wheels.iterdir()):
            tar.add(wheel, f"wheels/{wheel.name}")
    packed.seek(0)
    return packed


def compose(*args: str, env: Mapping[str, str]) -> str:
    """What docker-compose prints."""
    done = subprocess.run(
        ["docker-compose", *args], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise HarnessError(f"docker-compose {args}: {done.stdout + done.stderr}")
    return done.stdout


def documents(text: str) -> list[Any]:
    """The documents of some YAML."""
    return list(importlib.import_module("yaml").safe_load_all(text))


def composed(file: str, **variables: str) -> Any:
    """A file of docker/ as docker-compose understands it, with its variables filled in."""
    path = str(ROOT / "docker" / file)
    return documents(compose("-f", path, "config", env={**os.environ, **variables}))[0]


def engine_volume(host: str) -> dict[str, str]:
    """The device and the options that the engine mounts for docker/compose.client.yaml."""
    volume = composed("compose.client.yaml", NFSLOOP_HOST=host)["volumes"]["files"]
    if volume["driver_opts"]["type"] != "nfs":
        raise HarnessError(f"no NFS volume: {volume}")
    return {"device": volume["driver_opts"]["device"], "options": volume["driver_opts"]["o"]}


class Engine:
    """dockerd in `network`, with the image built; a context manager."""

    def __init__(self, network: Network) -> None:
        self.network = network
        # Not pytest's directory: the paths of sockets are short.
        self.place = Path(tempfile.mkdtemp(prefix="nfsloop-engine-"))
        self.url = f"unix://{self.place}/socket"
        self.log = self.place / "log"
        self._cgroup = f"nfsloop-{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = None

    def __enter__(self) -> Self:
        try:
            self._start()
            with ThreadPoolExecutor(2) as pool:
                base, wheels = pool.submit(base_tar), pool.submit(wheelhouse)
                self.client.api.import_image_from_file(
                    str(base.result()), repository=BASE.partition(":")[0], tag="test"
                )
                self._build(context(wheels.result()))
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        settings = self.place / "daemon.json"
        settings.write_text("{}")  # not the machine's
        inner = self.place / "inner"
        inner.mkdir()
        argv = ["nsenter", f"--net=/run/netns/{self.network.name}"]
        argv += ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        argv += ["sh", "-c", f'mount -t tmpfs tmpfs {inner} && exec dockerd "$@"', "sh"]
        argv += ["--config-file", str(settings), "--data-root", f"{inner}/data"]
        argv += ["--exec-root", f"{inner}/exec", "--pidfile", f"{inner}/pid"]
        argv += ["--host", self.url, "--group", "root", "--cgroup-parent", f"/{self._cgroup}"]
        with self.log.open("wb") as log:
            self._process = spawn(argv, log)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client = docker.DockerClient(base_url=self.url, timeout=60)
                self.client.ping()
                return
            except docker.errors.DockerException as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise HarnessError(f"dockerd: {error}: {self.tail()}") from error
            time.sleep(0.05)

    def _build(self, packed: io.BytesIO) -> None:
        try:
            self.client.images.build(
                fileobj=packed, custom_context=True, dockerfile="docker/Dockerfile", tag=IMAGE,
                rm=True, forcerm=True, network_mode="none",
                buildargs={"BASE": BASE, "PIP_NO_INDEX": "1"},
            )  # fmt: skip
        except docker.errors.BuildError as error:
            said = "".join(str(line.get("stream", line)) for line in error.build_log)
            raise HarnessError(f"{error}: {said[-3000:]}") from error

    def tail(self) -> str:
        """The end of dockerd's log."""
        return self.log.read_text(errors="replace")[-2000:]

    @contextlib.contextmanager
    def running(self, *command: str, **options: Any) -> Iterator[Any]:
        """A container, removed with its volumes at the end; `options` are those of `run`."""
        container = self.client.containers.create(IMAGE, [*command] or None, **options)
        try:
            container.start()
            yield container
        finally:
            with contextlib.suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)

    def address(self, container: Any) -> str:
        """The container's own address, which the namespace reaches without a published port."""
        container.reload()
        return str(container.attrs["NetworkSettings"]["IPAddress"])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it with all that it runs, and remove what it has kept."""
        if self.client is not None:
            with contextlib.suppress(docker.errors.DockerException, OSError):
                for container in self.client.containers.list(all=True):
                    container.remove(force=True, v=True)
            self.client.close()
        if self._process is not None:
            kill_session(self._process.pid)
            self._process.wait(10)
        self._remove_cgroups()
        shutil.rmtree(self.place, ignore_errors=True)

    def _remove_cgroups(self) -> None:
        """The kernel has them until it has done with the processes: a moment."""
        groups = Path("/sys/fs/cgroup")
        deadline = time.monotonic() + 5
        while left := [
            group
            for group in (groups / self._cgroup, *groups.glob(f"*/{self._cgroup}"))
            if group.exists()
        ]:
            for group in left:
                with contextlib.suppress(OSError):
                    group.rmdir()
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
