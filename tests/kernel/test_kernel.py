"""The stock Linux client against the server: one boot runs all scenarios, then two at once.

A test is one scenario of one run. With `-k` only the chosen scenarios run in the guest.
NFSLOOP_KERNEL_PEER=ganesha runs them against nfs-ganesha, to tell a fault of the harness from one
of nfsloop.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from . import peers
from .capture import Capture, WireReport
from .guest import Guest, Mount, Rendezvous, Scenario, Step
from .harness import SERVER_IP, Network
from .reporting import LINES, unavailable

PEERS = [os.environ["NFSLOOP_KERNEL_PEER"]] if "NFSLOOP_KERNEL_PEER" in os.environ else []
PEERS = PEERS or ["posix", "memory", "unprivileged"]
# In this order: the capture ends after the first four, and the kills come last.
SCENARIOS = ["mounts", "kinds", "silly", "perms", "perms-squash", "locks", "locks-local", "data"]
SCENARIOS += ["make", "git", "bigdir", "tree", "enospc", "copy_during_kill"]
CAPTURED = ["mounts", "kinds", "silly", "perms"]
# Memory has no size to fill, no directory for nobody, and nothing is left of it after a kill;
# what make asks for is asked of the others.
# Without privilege the server can make no devices, be nobody else, and not listen on port 111.
FOR_UNPRIVILEGED = {"silly", "data", "git", "copy_during_kill"}
NOT_FOR = {
    "memory": {"enospc", "perms-squash", "copy_during_kill", "make"},
    "unprivileged": set(SCENARIOS) - FOR_UNPRIVILEGED,
}
# Refusals that the stock client takes quietly (program, version, accept_stat); FIELD section 5.
EXPECTED_REFUSALS = {
    "program 100003 v4 accept_stat 1",  # its first probe, at a server that has no NFSv4 at all
    "program 100003 v4 accept_stat 2",  # the same, with the versions that there are
    "program 100227 v3 accept_stat 1",  # NFSACL is not there
    "program 100021 v4 accept_stat 1",
}

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(400)]


@dataclass
class Run:
    """What one boot came to."""

    steps: list[Step] = field(default_factory=list)
    wire: WireReport | None = None
    exit_statuses: list[int] = field(default_factory=list)
    server_logs: str = ""

    def of(self, scenario: str) -> list[Step]:
        return [step for step in self.steps if step.scenario == scenario]


#: Of the memory backend, which is asked in process, and over the wire, for 100,000 names.
FEWER = {"tree": 1000, "bigdir": 3000}


def scenarios(peer: str, served: peers.Served, wanted: set[str]) -> list[Scenario]:
    """The chosen scenarios in their order, with the marker that ends the capture."""
    small = served.mounts.get("small")
    fewer = FEWER if peer == "memory" else {}
    known = {
        "mounts": Scenario("mounts", "", {
            "variants": peers.mount_variants(served), "refused": peers.mount_refusals(served),
        }),
        "perms-squash": Scenario("perms", "squash", {"squash": True}, "perms-squash"),
        "locks": Scenario("locks", "plain", {"expect": served.locks}),
        "locks-local": Scenario("locks", "main", {"expect": "local"}, "locks-local"),
        "tree": Scenario("tree", params={
            "link_times": served.link_times, "files": fewer.get("tree", 3000),
        }),
        "bigdir": Scenario("bigdir", params={"names": fewer.get("bigdir", 10_000)}),
        "enospc": Scenario("enospc", "small" if small else "main", {"mib": peers.SMALL_MIB}),
    }  # fmt: skip
    mark = Scenario("mark", "", {"tag": "capture-stop"})
    chosen = [known.get(name, Scenario(name)) for name in SCENARIOS if name in wanted]
    position = sum(1 for name in CAPTURED if name in wanted)
    return [*chosen[:position], mark, *chosen[position:]]


def run_one_client(peer: str, workdir: Path, wanted: set[str]) -> Run:
    """Server, capture, one guest through all scenarios; then the server must end in order."""
    result = Run()
    with ExitStack() as stack:
        network = stack.enter_context(Network(taps=1))
        served = peers.start(peer, stack, network, workdir)
        capture = stack.enter_context(Capture(network, workdir / "wire.pcapng"))

        def on_sync(_guest: Guest, tag: str, _data: Any) -> None:
            if tag == "capture-stop":
                capture.stop()
            elif tag.startswith("kill-"):
                served.main.kill()
                time.sleep(0.3)
                served.main.start()
            elif tag == "restart":
                served.main.restart()

        mounts = list(served.mounts.values())
        if "locks" in wanted:
            mounts.append(Mount("plain", f"{SERVER_IP}:{served.path}"))
        chosen = scenarios(peer, served, wanted)
        guest = Guest(network, workdir, mounts, chosen, statd=True, on_sync=on_sync)
        stack.enter_context(guest)
        try:
            result.steps = guest.finish(timeout=300)
        except Exception as error:
            logs = "\n".join(server.tail() for server in served.servers)
            raise AssertionError(f"{error}\nserver logs:\n{logs}") from error
        result.exit_statuses = [server.terminate() for server in served.servers]
        result.server_logs = "\n".join(server.log.read_text() for server in served.servers)
        result.wire = capture.report()
    return result


def run_two_clients(peer: str, workdir: Path) -> list[Step]:
    """Two guests at once on one export; their steps, those of the second with its number."""
    with ExitStack() as stack:
        network = stack.enter_context(Network(taps=2))
        served = peers.start(peer, stack, network, workdir)
        main = served.mounts["main"]
        mount = Mount("main", main.spec, f"{main.options},acdirmin=1,acdirmax=1")
        meet = Rendezvous(2)
        guests = [
            Guest(
                network,
                workdir,
                [mount],
                [Scenario("two_clients", params={"role": role}, label=f"two_clients-{role}")],
                index=role,
                on_sync=meet,
            )
            for role in range(2)
        ]
        for guest in guests:
            stack.enter_context(guest)
        return [step for guest in guests for step in guest.finish(timeout=90)]


@pytest.fixture(scope="module")
def boot(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Run]]:
    """The run of a peer: made by the first test that wants it, shared by the others."""

    @functools.cache
    def attempt(peer: str) -> Run | Exception:
        wanted = {
            str(item.callspec.params["scenario"])
            for item in request.session.items
            if isinstance(item, pytest.Function)
            and hasattr(item, "callspec")
            and item.callspec.params.get("peer") == peer
            and "scenario" in item.callspec.params
        }
        try:
            run = run_one_client(peer, tmp_path_factory.mktemp(peer), wanted or set(CAPTURED))
        except Exception as error:  # kept: the next test must not boot again to fail again
            return error
        request.config.stash[LINES][peer] = [*map(str, run.steps), str(run.wire)]
        return run

    def get(peer: str) -> Run:
        if reason := peers.available(peer):
            unavailable([reason])
        outcome = attempt(peer)
        if isinstance(outcome, Exception):
            pytest.fail(f"the run did not reach its end: {outcome}", pytrace=False)
        return outcome

    yield get


def cases() -> list[Any]:
    return [
        pytest.param(peer, scenario, id=f"{peer}-{scenario}")
        for peer in PEERS
        for scenario in SCENARIOS
        if scenario not in NOT_FOR.get(peer, set())
    ]


@pytest.mark.parametrize(("peer", "scenario"), cases())
def test_scenario(peer: str, scenario: str, boot: Callable[[str], Run]) -> None:
    steps = boot(peer).of(scenario)
    assert len(steps) > 1, f"{scenario} did not run"
    failed = [str(step) for step in steps if not step.ok]
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("peer", PEERS)
def test_unmounted(peer: str, boot: Callable[[str], Run]) -> None:
    steps = boot(peer).of("end")
    assert [step.ok for step in steps] == [True], steps


@pytest.mark.parametrize("peer", PEERS)
def test_wire(peer: str, boot: Callable[[str], Run]) -> None:
    """tshark understands every packet, and no call was refused that should not have been."""
    wire = boot(peer).wire
    assert wire is not None
    assert wire.calls > 10
    assert wire.calls - wire.replies <= 2  # those under way when the capture ended
    assert wire.malformed == []
    assert set(wire.refusals) <= EXPECTED_REFUSALS, wire.refusals
    assert "10006" not in wire.statuses, "NFS3ERR_SERVERFAULT"


@pytest.mark.parametrize("peer", PEERS)
def test_server_ends_in_order(peer: str, boot: Callable[[str], Run]) -> None:
    run = boot(peer)
    assert set(run.exit_statuses) == {0}
    errors = [line for line in run.server_logs.splitlines() if " ERROR " in line]
    assert not errors, "\n".join(errors[:20])


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer != "unprivileged"])
def test_two_clients(peer: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if reason := peers.available(peer):
        unavailable([reason])
    steps = run_two_clients(peer, tmp_path)
    request.config.stash[LINES][f"{peer}, two clients"] = [*map(str, steps)]
    assert len(steps) > 8
    failed = [str(step) for step in steps if not step.ok]
    assert not failed, "\n".join(failed)
