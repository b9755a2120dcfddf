"""The stock Linux client on every backend that is no directory: one server, one boot, an export
for each.

`-k` chooses scenarios, as in test_kernel.
"""

from __future__ import annotations

import functools
import json
import os
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from . import peers
from .guest import Guest, Mount, Scenario, Step
from .harness import SERVER_IP, Network, ServerProcess
from .reporting import LINES

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(400)]

#: The tree that archives and the repository hold: the standard library's smaller half.
FILES = 400

#: A small S3 that tests bring along, in the namespace.
S3_SERVER = peers.REPO / "tests" / "backends" / "objects" / "s3_server.py"
S3_PORT = 9000

#: What part 1 asks of every backend that can be written; the kills come last.
SCENARIOS = [
    Scenario("tree", "sqlite", {"files": 1200, "tar_files": 200}, "sqlite-tree"),
    Scenario("git", "sqlite", {"files": 150}, "sqlite-git"),
    Scenario("bigdir", "sqlite", {"names": 3_000}, "sqlite-bigdir"),
    Scenario("tree", "objects", {"files": 600, "tar_files": 100}, "objects-tree"),
    Scenario("git", "objects", {"files": 100}, "objects-git"),
    Scenario("bigdir", "objects", {"names": 3_000, "links": False}, "objects-bigdir"),
    Scenario("tree", "s3", {"files": 150, "tar_files": 0}, "s3-tree"),
    Scenario("git", "s3", {"files": 30}, "s3-git"),
    Scenario("bigdir", "s3", {"names": 1_000, "links": False}, "s3-bigdir"),
]
SCENARIOS += [
    Scenario("same", "zip", {"read_only": True, "restart": True}, "zip-same"),
    Scenario("same", "tar", {"read_only": True}, "tar-same"),
    Scenario(
        "same", "git", {"read_only": True, "beneath": "branches/main", "restart": True}, "git-same"
    ),
    Scenario("same", "layered", {"read_only": True, "beneath": "photos"}, "layered-same"),
]
SCENARIOS += [
    Scenario(
        "copy_during_kill",
        mount,
        {"files": 60, "bytes": 128 << 10, "links": mount == "sqlite"},
        f"{mount}-copy_during_kill",
    )
    for mount in ("sqlite", "objects")
]


def plant(top: Path) -> None:
    """Some hundred real files, links, empty ones."""
    stdlib = Path(os.__file__).parent
    sources = sorted(path for path in stdlib.rglob("*.py") if path.stat().st_size < 100_000)
    for number, source in enumerate(sources[:FILES]):
        target = top / source.relative_to(stdlib)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        target.chmod(0o755 if number % 10 == 0 else 0o644)
    for path in top.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)  # whatever the umask is: servers of tests in this process change it
    (top / "link").symlink_to("os.py")
    (top / "empty.txt").touch(0o644)
    os.chmod(top / "empty.txt", 0o644)


def manifest(top: Path) -> dict[str, list[object]]:
    """What `scenarios.same` shall see, by the host's own file system; directories are 0755."""
    found: dict[str, list[object]] = {}
    for path in sorted(top.rglob("*")):
        info = path.lstat()
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = [stat.S_IFLNK, 0, 0, os.readlink(path)]
        elif path.is_dir():
            found[name] = [stat.S_IFDIR, 0o755, 0, ""]
        else:
            mode, crc = stat.S_IMODE(info.st_mode), zlib.crc32(path.read_bytes())
            found[name] = [stat.S_IFREG, mode, info.st_size, crc]
    return found


def pack_zip(top: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(top.rglob("*")):
            if path.is_symlink():
                info = zipfile.ZipInfo(str(path.relative_to(top)))
                info.create_system, info.external_attr = 3, 0o120777 << 16
                archive.writestr(info, os.readlink(path))
            elif path.is_file():
                archive.write(path, path.relative_to(top))


def pack_git(top: Path, target: Path) -> None:
    config = ("user.name=host", "user.email=host@example.org", "init.defaultBranch=main")
    options = [word for setting in config for word in ("-c", setting)]
    there = ["-C", str(target), "--work-tree", str(top)]
    steps = (["init", "-q", str(target)], [*there, "add", "-A"])
    for words in (*steps, [*there, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *options, *words], check=True, timeout=60)


def storages(workdir: Path) -> dict[str, str]:
    """Name of the export -> its storage, with what that holds."""
    tree = workdir / "tree"
    tree.mkdir()
    plant(tree)
    (workdir / "manifest.json").write_text(json.dumps(manifest(tree)))
    pack_zip(tree, workdir / "files.zip")
    with tarfile.open(workdir / "files.tar.gz", "w:gz") as archive:
        for path in sorted(tree.rglob("*")):
            archive.add(path, path.relative_to(tree), recursive=False)
    pack_git(tree, workdir / "repo")
    (workdir / "objects").mkdir()
    (workdir / "copy.zip").write_bytes((workdir / "files.zip").read_bytes())
    return {
        "sqlite": f"sqlite:{workdir}/files.db",
        "objects": f"fsspec+file://{workdir}/objects",
        "s3": f"fsspec+s3://bucket/top?endpoint_url=http://{SERVER_IP}:{S3_PORT}&key=k&secret=s",
        "zip": f"zip:{workdir}/files.zip",
        "tar": f"tar:{workdir}/files.tar.gz",
        "git": f"git:{workdir}/repo",
        "layered": f"audit?file={workdir}/audit.log|demux:photos=attrcache|zip:{workdir}/copy.zip"
        ";scratch=memory:",
    }


def run(workdir: Path, wanted: list[Scenario]) -> tuple[list[Step], list[str]]:
    """Server and guest; the steps, and what is wrong with the server's log and end."""
    with ExitStack() as stack:
        network = stack.enter_context(Network(taps=1))
        argv = [sys.executable, "-m", "nfsloop", "serve", "--rpcbind", "none"]
        argv += ["-o", "no_root_squash", "--state", str(workdir / "state")]
        needed = {scenario.mount for scenario in wanted}
        exports = {name: it for name, it in storages(workdir).items() if name in needed}
        argv += [f"/{name}={storage}" for name, storage in exports.items()]
        env = {"PYTHONPATH": str(peers.REPO), "PYTHONUNBUFFERED": "1"}
        if "s3" in needed:
            store = [sys.executable, str(S3_SERVER), SERVER_IP, str(S3_PORT)]
            s3 = ServerProcess(network, store, log=workdir / "s3.log", port=S3_PORT, env=env)
            stack.enter_context(s3)
        server = ServerProcess(network, argv, log=workdir / "server.log", port=2049, env=env)
        stack.enter_context(server)

        def on_sync(_guest: Guest, tag: str, _data: Any) -> None:
            if tag.startswith("kill-"):
                server.kill()
                time.sleep(0.3)
                server.start()
            elif tag == "restart":
                server.restart()

        mounts = [Mount(name, f"{SERVER_IP}:/{name}", peers.explicit()) for name in exports]
        for scenario in wanted:
            if scenario.module == "same":
                scenario.params["manifest"] = str(workdir / "manifest.json")
        guest = stack.enter_context(Guest(network, workdir, mounts, wanted, on_sync=on_sync))
        try:
            steps = guest.finish(timeout=300)
        except Exception as error:
            raise AssertionError(f"{error}\nserver log:\n{server.tail()}") from error
        status = server.terminate()
        log = (workdir / "server.log").read_text().splitlines()
        wrong = [line for line in log if " ERROR " in line]
        return steps, [*wrong, *([f"exit status {status}"] if status else [])]


@pytest.fixture(scope="module")
def boot(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], tuple[list[Step], list[str]]]]:
    """The one run, made by the first test that wants it."""

    @functools.cache
    def attempt() -> tuple[list[Step], list[str]] | Exception:
        names = {
            item.callspec.params["name"]
            for item in request.session.items
            if isinstance(item, pytest.Function)
            and item.module is request.module
            and hasattr(item, "callspec")
        }
        wanted = [scenario for scenario in SCENARIOS if scenario.name in names]
        try:
            done = run(tmp_path_factory.mktemp("storages"), wanted)
        except Exception as error:  # kept: the next test must not boot again to fail again
            return error
        request.config.stash[LINES]["storages"] = [*map(str, done[0])]
        return done

    def get() -> tuple[list[Step], list[str]]:
        outcome = attempt()
        if isinstance(outcome, Exception):
            pytest.fail(f"the run did not reach its end: {outcome}", pytrace=False)
        return outcome

    yield get


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_storage(name: str, boot: Callable[[], tuple[list[Step], list[str]]]) -> None:
    steps = [step for step in boot()[0] if step.scenario == name]
    assert len(steps) > 1, f"{name} did not run"
    failed = [str(step) for step in steps if not step.ok]
    assert not failed, "\n".join(failed)


def test_storages_server_ends_in_order(boot: Callable[[], tuple[list[Step], list[str]]]) -> None:
    assert not boot()[1]
