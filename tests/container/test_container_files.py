"""What docker/ says to engines and clusters: it is well-formed, asks for no privilege, and agrees
with what the server prints."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kernel.reporting import unavailable

pytest.importorskip("docker.errors")

from container_engine import ROOT, composed, context_names, documents, engine_volume

MANIFESTS = sorted((ROOT / "docker" / "kubernetes").glob("*.yaml"))


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The options that `nfsloop serve --rpcbind none` tells to mount with, and `--rpcbind port`."""
    from nfsloop.app import App
    from nfsloop.config import ExportSpec, Settings

    state = tmp_path_factory.mktemp("state")
    settings = Settings(exports=(ExportSpec.parse("/export=memory:"),), rpcbind="none", state=state)
    (line,) = App(settings, state).mount_lines()
    words = line.split()
    return words[words.index("-o") + 1]


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str], Any]:
    """All objects of the manifests, by kind and name."""
    found = [item for path in MANIFESTS for item in documents(path.read_text())]
    return {(item["kind"], item["metadata"]["name"]): item for item in found}


def test_the_manifests_are_what_kubernetes_takes() -> None:
    """By the schemas of its API, of the latest version that the package has."""
    if importlib.util.find_spec("kubernetes_validate") is None:
        unavailable(["kubernetes-validate (a package of pip)"])
    argv = [sys.executable, "-m", "kubernetes_validate", "--strict"]
    done = subprocess.run(
        [*argv, *map(str, MANIFESTS)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deployment/nfsloop" in done.stdout + done.stderr


def test_the_manifests_agree_with_each_other(objects: Any, printed: str) -> None:
    pod = objects["Deployment", "nfsloop"]["spec"]["template"]
    service = objects["Service", "nfsloop"]["spec"]
    volume = objects["PersistentVolume", "nfsloop"]["spec"]
    assert ",".join(volume["mountOptions"]) == printed
    assert volume["nfs"] == {"server": service["clusterIP"], "path": "/export"}
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    names = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [(port["port"], names[port["targetPort"]]) for port in service["ports"]] == [
        (2049, 2049)
    ]
    assert f"0.0.0.0:{names['metrics']}" in container["args"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(names["metrics"])
    claims = {one["persistentVolumeClaim"]["claimName"] for one in pod["spec"]["volumes"]
              if "persistentVolumeClaim" in one}  # fmt: skip
    assert all(("PersistentVolumeClaim", name) in objects for name in claims)
    mounted = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    assert set(mounted) == {"/export", "/state", "/tmp"}
    assert set(mounted.values()) == {one["name"] for one in pod["spec"]["volumes"]}


def test_the_state_outlives_the_pod_and_can_be_written(objects: Any) -> None:
    """Without it all clients' files are stale; new volumes belong to root, whom nobody is here."""
    spec = objects["Deployment", "nfsloop"]["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in spec["volumes"]}
    (container,) = spec["containers"]
    for mount in container["volumeMounts"]:
        kept = "persistentVolumeClaim" in volumes[mount["name"]]
        assert kept is (mount["mountPath"] in {"/export", "/state"}), mount
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]


def test_engines_wait_for_the_server(objects: Any) -> None:
    """For a stop as long as it may take; for a start that settles much, half an hour."""
    from nfsloop.config import STOP_SECONDS
    from nfsloop.limits import STOP_REST_SECONDS

    compose()
    whole = STOP_SECONDS + STOP_REST_SECONDS
    server = composed("compose.yaml")["services"]["nfsloop"]
    assert seconds(server["stop_grace_period"]) >= whole + 2
    assert server["init"] is True
    spec = objects["Deployment", "nfsloop"]["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] >= whole + 2
    startup = spec["containers"][0]["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1800


def seconds(text: str) -> float:
    """A time as compose writes it."""
    found = re.fullmatch(r"(?:(\d+)m)?(\d+)s", text)
    assert found is not None, text
    return 60 * int(found[1] or 0) + int(found[2])


def test_the_image_is_built_of_what_is_in_the_package(tmp_path: Path) -> None:
    """Not of what lies beside it in somebody's checkout."""
    wanted = {
        "pyproject.toml", "README.md", "CHANGELOG.md", "nfsloop/cli.py", "nfsloop/py.typed",
        "nfsloop/verbs/serve.py", "nfsloop/nfs3/nfs3.x", "backends/posix/core.py", "oncrpc/xdr.py",
        "portmap/portmap.x", "share/man/man1/nfsloop.1", "share/systemd/nfsloop@.service",
        "docs/nfsloop.toml", "wheels/rich-1-py3-none-any.whl", "docker/Dockerfile", ".dockerignore",
    }  # fmt: skip
    litter = {
        ".env", ".git/config", ".venv/lib/x.py", "id_rsa", "notes.txt", "local.sqlite", "x.py",
        "nfsloop/.env", "nfsloop/id_rsa", "nfsloop/cli.py.bak", "nfsloop/verbs/serve.py~",
        "nfsloop/__pycache__/cli.pyc", "backends/posix/local.sqlite", "oncrpc/key.pem",
        "portmap/id_ed25519", "share/local.toml", "share/systemd/nfsloop.service.bak",
        "share/man/man1/.swp", "docs/container.md", "tests/run.py", "wheels/key.pem",
        "docker/secret.env",
    }  # fmt: skip
    for name in wanted | litter:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert set(context_names(tmp_path)) == wanted
    missing = set(tracked()) - set(context_names(ROOT))
    assert not [name for name in missing if name.partition("/")[0] in PACKAGES]


PACKAGES = {"nfsloop", "oncrpc", "portmap", "backends"}


def tracked() -> list[str]:
    """What git has; nothing where there is no checkout."""
    if not (ROOT / ".git").exists():
        return []
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
    )
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def test_one_server_for_a_state_directory_and_no_privilege(objects: Any) -> None:
    """As the Pod security standard `restricted` has it."""
    deployment = objects["Deployment", "nfsloop"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    for spec in (deployment["template"]["spec"], objects["Pod", "nfsloop-example"]["spec"]):
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_what_the_server_and_the_manifests_run_is_taken_by_the_command(objects: Any) -> None:
    from nfsloop import cli

    compose()
    server = composed("compose.yaml")["services"]["nfsloop"]
    (container,) = objects["Deployment", "nfsloop"]["spec"]["template"]["spec"]["containers"]
    for words in (
        server["command"],
        server["healthcheck"]["test"][2:],
        container["args"],
        container["livenessProbe"]["exec"]["command"][1:],
    ):
        cli.parser().parse_args(words)  # SystemExit if not


def compose() -> None:
    """Skip without docker-compose, or fail where CI has it."""
    if shutil.which("docker-compose") is None:
        unavailable(["docker-compose (package docker-compose)"])


def test_compose_asks_for_no_privilege() -> None:
    compose()
    server = composed("compose.yaml", NFSLOOP_HOST="files.example.org")["services"]["nfsloop"]
    assert server["hostname"] == "files.example.org"
    assert server["cap_drop"] == ["ALL"]
    assert server["security_opt"] == ["no-new-privileges:true"]
    assert server["read_only"]
    assert not {"privileged", "cap_add", "user", "network_mode"} & set(server)
    # The metrics are for the machine itself.
    published = {str(port) if isinstance(port, str) else str(port["target"]): port
                 for port in server["ports"]}  # fmt: skip
    assert any("127.0.0.1" in str(port) for name, port in published.items() if "9049" in name)


def test_the_engines_volume_is_mounted_as_the_server_says(printed: str) -> None:
    compose()
    volume = engine_volume("192.0.2.1")
    assert volume == {"device": ":/export", "options": f"addr=192.0.2.1,{printed}"}


def test_the_dockerfile_is_of_any_base_and_names_no_host() -> None:
    text = Path(ROOT, "docker", "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.startswith("FROM")] == [
        "FROM ${BASE} AS build",
        "FROM ${BASE}",
    ]
    # What the health check runs is taken by the command, and is about the server.
    (check,) = [
        line.strip() for line in lines if line.strip().startswith("CMD [") and "ping" in line
    ]
    assert check.startswith('CMD ["nfsloop", "ping", ')
    assert not [line for line in lines if "://" in line.replace("file:///source", "")]
