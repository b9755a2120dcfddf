"""The stock Linux client over a link that fails: connections cut, replies lost, packets lost.

`NFSLOOP_LOSSY_SECONDS` makes it longer (the seconds of each storm, 2.5 by default), and
`NFSLOOP_LOSSY_SEED` another.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from . import peers
from .guest import Guest, Mount, Scenario, Step
from .harness import SERVER_IP, Network, ServerProcess
from .reporting import LINES, unavailable

QUICK_SECONDS = 2.5
SECONDS = float(os.environ.get("NFSLOOP_LOSSY_SECONDS", QUICK_SECONDS))
SEED = int(os.environ.get("NFSLOOP_LOSSY_SEED", "1"))
RELAY_PORT = 2149
KILLS = 2

#: The server, but it executes again what comes again.
FORGETFUL = """
import sys
from nfsloop import cli
from oncrpc.call import Once
from oncrpc.drc import DuplicateRequestCache
begin = DuplicateRequestCache.begin
def forgetful(self, key, transport):
    if not isinstance(self._entries.get(key), Once):
        self.discard(key)
    return begin(self, key, transport)
DuplicateRequestCache.begin = forgetful
sys.exit(cli.main(sys.argv[1:]))
"""

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120 + 10 * SECONDS)]


@dataclass
class Run:
    """What one boot came to."""

    steps: list[Step] = field(default_factory=list)
    relay: dict[str, Any] = field(default_factory=dict)
    log: str = ""

    def of(self, scenario: str) -> list[Step]:
        return [step for step in self.steps if step.scenario == scenario]


def scenarios() -> list[Scenario]:
    """All of one boot; "main" is mounted through the relay."""
    storm = {"seconds": SECONDS, "rounds": int(1000 * SECONDS)}
    quick = [
        Scenario("storm", params=storm),
        Scenario("tree", params={"files": int(24 * SECONDS), "tar_files": 0}),
        Scenario("storm", params={**storm, "kills": KILLS}, label="storm-kills"),
        Scenario("netem", "direct", {**storm, "seconds": SECONDS / 2, "remount": False}),
    ]
    return [*quick, Scenario("git", params={"files": 40})] if SECONDS > QUICK_SECONDS else quick


def run(
    workdir: Path, chosen: list[Scenario], calls: int = 80, program: Sequence[str] = peers.PROGRAM
) -> Run:
    """Server, relay, guest; a cut every so many `calls`."""
    result = Run()
    with ExitStack() as stack:
        network = stack.enter_context(Network(taps=1))
        served = peers.start("posix", stack, network, workdir, only_main=True, program=program)
        report = workdir / "relay.json"
        argv = [sys.executable, str(Path(__file__).with_name("relay.py"))]
        argv += [str(RELAY_PORT), "2049", str(report), "--host", SERVER_IP, "--seed", str(SEED)]
        argv += ["--calls", str(calls)]
        log = workdir / "relay.log"
        relay = stack.enter_context(ServerProcess(network, argv, log=log, port=RELAY_PORT))

        def on_sync(_guest: Guest, tag: str, _data: Any) -> None:
            if tag.startswith("kill-"):
                served.main.kill()
                served.main.start()

        spec = f"{SERVER_IP}:{served.path}"
        mounts = [
            Mount("main", spec, peers.explicit(RELAY_PORT, mountport=2049)),
            Mount("direct", spec, peers.explicit()),
        ]
        guest = Guest(network, workdir, mounts, chosen, on_sync=on_sync)
        stack.enter_context(guest)
        try:
            result.steps = guest.finish(timeout=100 + 10 * SECONDS)
        except Exception as error:
            raise AssertionError(f"{error}\n{served.main.tail()}\n{relay.tail()}") from error
        relay.terminate()
        result.relay = json.loads(report.read_text())
        served.main.terminate()
        result.log = served.main.log.read_text()
    return result


@pytest.fixture(scope="module")
def boot(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Run]]:
    """The run, made by the first test that wants it."""

    @functools.cache
    def attempt() -> Run | Exception:
        began = time.monotonic()
        try:
            result = run(tmp_path_factory.mktemp("lossy"), scenarios())
        except Exception as error:  # kept: the next test must not boot again to fail again
            return error
        lines = [*map(str, result.steps), str(result.relay), f"{time.monotonic() - began:.1f} s"]
        request.config.stash[LINES]["lossy"] = lines
        return result

    def get() -> Run:
        if reason := peers.available("posix"):
            unavailable([reason])
        outcome = attempt()
        if isinstance(outcome, Exception):
            pytest.fail(f"the run did not reach its end: {outcome}", pytrace=False)
        return outcome

    yield get


@pytest.mark.parametrize("scenario", [scenario.name for scenario in scenarios()])
def test_nobody_notices(scenario: str, boot: Callable[[], Run]) -> None:
    steps = boot().of(scenario)
    assert len(steps) > 1, f"{scenario} did not run"
    failed = [str(step) for step in steps if not step.ok]
    assert not failed, "\n".join(failed)


def test_the_link_was_lossy(boot: Callable[[], Run]) -> None:
    relay = boot().relay
    assert sum(relay["cuts"].values()) >= 12, relay
    assert len(relay["cuts"]) >= 4, relay
    assert sum(relay["swallowed"].values()) >= 6, relay
    assert len(relay["swallowed"]) >= 3, relay


def test_calls_that_came_again_got_their_first_answer(boot: Callable[[], Run]) -> None:
    relay = boot().relay
    assert relay["asked_again"] >= 6, relay
    assert relay["same_answer"] >= 6, relay
    assert not relay["other_answers"], relay


def test_without_the_cache_it_shows(boot: Callable[[], Run], tmp_path: Path) -> None:
    """The same link, and a server that forgets its replies: calls fail that must not."""
    assert boot().steps
    storm = Scenario("storm", params={"seconds": 2.0, "remount": False})
    steps = run(tmp_path, [storm], 20, ("-c", FORGETFUL)).of("storm")
    failed = [step.detail for step in steps if not step.ok]
    assert any("FileExistsError" in it or "FileNotFoundError" in it for it in failed), steps
