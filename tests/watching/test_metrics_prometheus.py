"""A real Prometheus asks running servers; one of them has workers, of which one is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from metrics_kit import HOST, Prometheus, Server, check_metrics, children, serving, tool, until

from nfsloop.client import Client
from nfsloop.nfs3 import nfs3_xdr as x
from nfsloop.watching.metrics import METRICS

pytestmark = pytest.mark.peer

REPO = Path(__file__).resolve().parents[2]
DASHBOARD = REPO / "share" / "grafana" / "nfsloop.json"
COUNT = "nfsloop_call_duration_seconds_count"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("single")
    (place / "export").mkdir()
    args = ("--state", str(place / "state"), f"/e={place / 'export'}", "/m=attrcache|memory:")
    with serving(*args, exports=2) as process:
        yield process


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("several")
    (place / "export").mkdir()
    args = ("--workers", "2", "--state", str(place / "state"), f"/e={place / 'export'}")
    with serving(*args) as process:
        yield process


@pytest.fixture(scope="module")
def prometheus(
    single: Server, several: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    targets = {"single": single.http, "several": several.http}
    process = Prometheus(tmp_path_factory.mktemp("prometheus"), targets)
    try:
        yield process
    finally:
        process.close()


def calls(server: Server, export: str, clients: int = 1, each: int = 5) -> int:
    """So many clients, from ports of their own: how many GETATTRs they made."""
    for _ in range(clients):
        with Client(server.port, export) as client:
            for _ in range(each):
                client.stat("/")
    return clients * each


def everything(server: Server, export: str) -> None:
    """Calls of which every metric tells something."""
    calls(server, export)
    with Client(server.port, export) as client:
        client.write_file("/f", b"data" * 1000)
        client.read_file("/f")
        with pytest.raises(FileNotFoundError):
            client.stat("/none")
        with pytest.raises(OSError, match="GETATTR"):
            client.call("GETATTR", x.GETATTR3args(bytes(32)))
        client.remove("/f")


def cut(server: Server) -> None:
    """A connection that the server closes: for a record that is too long."""
    import socket

    with socket.create_connection((HOST, server.port), 10) as sock:
        sock.sendall(b"\xff\xff\xff\xff" + bytes(64))
        assert sock.recv(1) == b""


def equals(prometheus: Prometheus, query: str, value: float) -> None:
    until(lambda: prometheus.value(query) == value)


def test_a_worker_that_hangs_is_not_ready(several: Server, prometheus: Prometheus) -> None:
    """The first test: Prometheus takes five seconds to look for its targets, meanwhile."""
    pid = children(several.pid)[-1]
    os.kill(pid, signal.SIGSTOP)
    try:
        _, text = until(lambda: (got := several.get("/readyz"))[0] == 503 and got)
        assert re.fullmatch(r"worker \d: NOT WELL: it does not answer\n", text)
        assert several.get("/healthz")[0] == 200
        assert several.value("nfsloop_worker_up") == 1  # of two
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: several.get("/readyz")[0] == 200)


def test_it_counts_what_was_called(prometheus: Prometheus, single: Server) -> None:
    query = f'sum({COUNT}{{job="single",export="/e",procedure="GETATTR"}})'
    before = single.value(COUNT, export="/e", procedure="GETATTR")
    made = calls(single, "/e", 3)
    equals(prometheus, query, before + made)
    assert prometheus.value('sum(nfsloop_call_duration_seconds_bucket{job="single",export="/e",'
                            'procedure="GETATTR",le="+Inf"})') == before + made  # fmt: skip
    (labels, up) = prometheus.query('nfsloop_info{job="single"}')[0]
    assert up == 1 and labels["version"]


def test_what_workers_count_is_one_sum(prometheus: Prometheus, several: Server) -> None:
    """Also when one is killed: what it had counted stays, and what another counts is added."""
    query = f'sum({COUNT}{{job="several",export="/e",procedure="GETATTR"}})'
    made = several.value(COUNT, export="/e", procedure="GETATTR") + calls(several, "/e", 8)
    assert several.get("/readyz") == (200, "ready\n")
    equals(prometheus, query, made)
    seconds = 'sum(nfsloop_call_duration_seconds_sum{job="several"})'
    before = prometheus.value(seconds)
    assert before > 0
    pids = children(several.pid)
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: several.value("nfsloop_worker_restarts_total", worker="0") == 1)
    until(lambda: several.value("nfsloop_worker_up") == 2)
    made += calls(several, "/e", 8)
    equals(prometheus, query, made)
    assert prometheus.value(seconds) > before
    backend = 'sum(nfsloop_backend_seconds_count{job="several",export="/e",method="getattr"})'
    assert prometheus.value(backend) >= made  # workers' backends are timed
    # Nothing ever went down: Prometheus would take it for a restart of all of it.
    for name in (COUNT, "nfsloop_call_duration_seconds_sum", "nfsloop_sent_bytes_total",
                 "nfsloop_backend_seconds_sum", "nfsloop_duplicate_requests_total"):  # fmt: skip
        assert prometheus.value(f'sum(resets({name}{{job="several"}}[5m]))') == 0
    assert prometheus.value('nfsloop_worker_restarts_total{job="several",worker="0"}') == 1
    assert pids[1] in children(several.pid)
    assert {"home", "worker 0", "worker 1"} == {
        labels["process"]
        for labels, _ in prometheus.query('nfsloop_process_resident_bytes{job="several"}')
    }


def test_promtool_has_nothing_to_say(single: Server, several: Server) -> None:
    for server in (single, several):
        check_metrics(server.get("/metrics")[1])


# The dashboard


def queries() -> list[tuple[str, str]]:
    """Title and query of each panel."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def test_the_dashboard_is_one() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["title"] == board["uid"] == "nfsloop"
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    idents = [panel["id"] for panel in board["panels"]]
    assert len(set(idents)) == len(idents) > 15
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        place: dict[str, Any] = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells


def test_the_dashboard_asks_for_all_that_there_is() -> None:
    """And for nothing else."""
    asked = {name for _, text in queries() for name in re.findall(r"nfsloop_\w+", text)}
    suffixes = r"_(bucket|count|sum|total)$"
    there = {metric.name for metric in METRICS} - {"nfsloop"}
    assert {re.sub(suffixes, "", name) for name in asked} == there


def test_each_query_of_the_dashboard_has_a_result(
    prometheus: Prometheus, single: Server, several: Server
) -> None:
    """With two answers of each server after something has happened, rates can be told."""
    everything(single, "/e")
    everything(single, "/m")
    calls(several, "/e")
    cut(single)
    left = [
        re.sub(r"\$__rate_interval|\$__range", "1m", text).replace('"$instance"', '".*"')
        .replace('"$export"', '".*"') for _, text in queries()
    ]  # fmt: skip
    assert not any("$" in text for text in left)

    def answered() -> bool:
        left[:] = [text for text in left if not prometheus.query(text)]
        return not left

    until(answered)


# What the docs say


def test_the_docs_table_is_what_is_told() -> None:
    """Names, labels and meaning of docs/metrics.md are those of the code."""
    rows = re.findall(r"^\| `(nfsloop_\w+)` \| (.*?) \| (.*?) \|$", text_of_docs(), re.MULTILINE)
    told = []
    for metric in METRICS:
        kind = metric.kind.__name__.removesuffix("MetricFamily").lower()
        suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        told.append((metric.name + suffix, labels, f"{kind}: {metric.about}"))
    assert rows == told


def text_of_docs() -> str:
    return (REPO / "docs" / "metrics.md").read_text()


def test_the_docs_configuration_is_one(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(scrape_configs:.*?)```", text_of_docs(), re.DOTALL)
    assert found
    config = tmp_path / "prometheus.yml"
    config.write_text(found[1])
    done = subprocess.run(
        [tool("promtool"), "check", "config", str(config)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
