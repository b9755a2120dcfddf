"""A server that tells metrics, what it tells, and a real Prometheus that asks it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from nfs_process import Process
from prometheus_client.parser import text_string_to_metric_families

HOST = "127.0.0.1"
WAIT_SECONDS = 30.0
COMMON = (
    "serve", "--host", HOST, "--port", "0", "--rpcbind", "none", "--metrics", "0",
    "-o", "no_root_squash,insecure",
)  # fmt: skip


def missing(why: str) -> NoReturn:
    """Skip, or fail where NFSLOOP_REQUIRE_PEERS says that nothing may be left out."""
    if os.environ.get("NFSLOOP_REQUIRE_PEERS"):
        pytest.fail(f"NFSLOOP_REQUIRE_PEERS is set, but: {why}")
    pytest.skip(why)


def tool(name: str) -> str:
    """A program of Debian's package `prometheus`."""
    path = shutil.which(name)
    if path is None:
        missing(f"not installed: {name} (Debian's package prometheus)")
    return path


def until(what: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What it gives, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)
    return found


def ask(
    port: int, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection(HOST, port, timeout=WAIT_SECONDS)
    try:
        connection.request(
            method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def children(pid: int) -> list[int]:
    """The processes that a process has made: those of a home are its workers."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Server(Process):
    """A server with ``--metrics``."""

    @property
    def http(self) -> int:
        """The port that its description names."""
        found = re.search(r"metrics on http://127\.0\.0\.1:(\d+)/metrics\n", self.ready())
        assert found, self.banner
        return int(found[1])

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        status, _, body = ask(self.http, path)
        return status, body

    def samples(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """What it tells, parsed by Prometheus' own library: by name and labels."""
        status, body = self.get("/metrics")
        assert status == 200
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(body):
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels among theirs."""
        found = self.samples().get(name, {})
        return sum(v for have, v in found.items() if set(labels.items()) <= set(have))


@contextmanager
def serving(
    *args: str, exports: int = 1, code: str = "", env: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server that has started; it must end well unless a test has ended it."""
    server = Server(*COMMON, *args, code=code, env=env)
    try:
        server.ready(exports)
        yield server
        if server.process.poll() is None:
            assert server.stop() == 0, server.stderr()
        assert "Traceback" not in server.stderr()
    finally:
        server.close()


def check_metrics(text: str) -> None:
    """That `promtool check metrics` finds nothing to say."""
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"],
        input=text, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


class Prometheus:
    """A Prometheus that asks servers every second. Stopped by `close`."""

    def __init__(self, place: Path, targets: dict[str, int]) -> None:
        jobs = "".join(
            f"  - job_name: {job}\n    static_configs: [{{targets: ['{HOST}:{port}']}}]\n"
            for job, port in targets.items()
        )
        config = place / "prometheus.yml"
        config.write_text(
            f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}"
        )
        self.errors = (place / "prometheus.log").open("w+")
        self.process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={config}",
             f"--storage.tsdb.path={place / 'tsdb'}", f"--web.listen-address={HOST}:0",
             "--log.level=info", "--scrape.discovery-reload-interval=100ms"],
            stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors, cwd=place,
        )  # fmt: skip
        self.port = 0
        self._targets = len(targets)

    def _started(self) -> None:
        """Wait until it answers, and all targets do. It listens on any port, that its log tells."""
        self.port = until(self._listens)
        until(lambda: ask(self.port, "/-/ready")[0] == 200)
        until(lambda: self.value("sum(up)") == self._targets)

    def _listens(self) -> int:
        assert self.process.poll() is None, self.log()
        found = re.search(r'"Listening on" address=127\.0\.0\.1:(\d+)', self.log())
        return int(found[1]) if found else 0

    def log(self) -> str:
        self.errors.seek(0)
        return self.errors.read()

    def query(self, text: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values of an instant query, once it has begun."""
        if not self.port:
            self._started()
        status, _, body = ask(self.port, f"/api/v1/query?query={urllib.parse.quote(text)}")
        answer = json.loads(body)
        assert (status, answer["status"]) == (200, "success"), (text, body)
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    def value(self, text: str) -> float:
        """The sum of what a query gives."""
        return sum(value for _, value in self.query(text))

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.errors.close()
