"""benchmarks/kernel: its pure parts, and one small run of the real thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kernel.harness import requirements
from kernel.reporting import unavailable

from benchmarks.errors import BenchError
from benchmarks.kernel import main
from benchmarks.kernel.mountstats import Op, difference, parse
from benchmarks.kernel.report import (
    OURS,
    THEIRS,
    Run,
    aligned,
    call_rows,
    lines,
    markdown,
    piped,
    rows,
    unlike,
)
from benchmarks.kernel.run import QUICK, arguments, plan

STATS = """\
device proc mounted on /proc with fstype proc
device 10.79.0.1:/a mounted on /mnt/a with fstype nfs statvers=1.1
\topts:\trw,vers=3,rsize=1048576
\tage:\t1
\tbytes:\t4096 0 0 0 0 0 1 0
\txprt:\ttcp 820 1 1 0 0 12 12 0 12 0 2 0 0
\tper-op statistics
\t        NULL: 1 1 0 44 24 0 0 0 0
\t     GETATTR: 3 4 0 300 336 1 20 22 1
\t        READ: 0 0 0 0 0 0 0 0 0

device 10.79.0.1:/b mounted on /mnt/b with fstype nfs statvers=1.1
\tper-op statistics
\t        NULL: 7 7 0 0 0 0 0 0
"""


def test_mountstats_of_one_mount() -> None:
    ops = parse(STATS, "/mnt/a")
    assert list(ops) == ["NULL", "GETATTR", "READ"]
    assert ops["GETATTR"] == Op(3, 300, 336, 1, 20, 22)  # not the 4 transmissions
    assert parse(STATS, "/mnt/b") == {"NULL": Op(7, 0, 0, 0, 0, 0)}


@pytest.mark.parametrize("target", ["/mnt", "/proc", "/mnt/c"])
def test_mountstats_of_what_is_no_nfs_mount(target: str) -> None:
    with pytest.raises(ValueError, match=target):
        parse(STATS, target)


def test_difference_leaves_out_what_was_not_called() -> None:
    before = {"READ": Op(5, 10, 20, 1, 2, 3), "WRITE": Op(1, 1, 1, 1, 1, 1)}
    after = {"READ": Op(7, 14, 30, 1, 4, 6), "WRITE": before["WRITE"], "NEW": Op(1, 2, 3, 4, 5, 6)}
    assert difference(before, after) == {"READ": Op(2, 4, 10, 0, 2, 3), "NEW": after["NEW"]}


def run(server: str, seconds: float, cpu: float, **calls: int) -> Run:
    ops = {
        name: {"calls": count, "rtt_ms": 2 * count}
        for name, count in sorted(calls.items())
        if count
    }
    return Run("stat", server, seconds, cpu, 0.1, ops)


PAIRS = [
    run(OURS, 1.0, 0.5, GETATTR=100, LOOKUP=50),
    run(THEIRS, 2.0, 0.5, GETATTR=100, LOOKUP=55),
    run(THEIRS, 3.0, 1.0, GETATTR=100, LOOKUP=60, ACCESS=1),
    run(OURS, 1.0, 0.25, GETATTR=100, LOOKUP=50),
    run(OURS, 4.0, 0.5, GETATTR=101, LOOKUP=50),
    run(THEIRS, 4.0, 0.5, GETATTR=100, LOOKUP=65),
]


def test_ratios_are_made_within_a_pair_whoever_was_first() -> None:
    (line,) = lines(PAIRS)
    assert line.wall is not None and line.cpu is not None and line.theirs is not None
    assert (line.wall.low, line.wall.middle, line.wall.high) == (1.0, 2.0, 3.0)
    assert (line.cpu.low, line.cpu.middle, line.cpu.high) == (1.0, 1.0, 4.0)
    assert (line.ours.seconds, line.theirs.seconds) == (1.0, 3.0)
    assert line.theirs.calls["LOOKUP"].calls == 60
    assert line.theirs.calls["LOOKUP"].rtt_us == 2000
    assert "ACCESS" not in line.theirs.calls  # most runs had none


def test_unlike_names_what_the_client_asks_one_of_them_more_often() -> None:
    (line,) = lines(PAIRS)
    assert unlike(line) == "LOOKUP 50/60"


def test_tables() -> None:
    found = lines(PAIRS)
    assert rows(found)[1][:4] == ("stat", "2.00 [1.00-3.00]", "1.00", "3.00")
    assert call_rows(found)[1] == ("stat", "GETATTR", "100", "100", "2000", "2000")
    assert piped(rows(found)).splitlines()[2].startswith("| stat | 2.00 [1.00-3.00] |")
    assert len({len(line.split("  ")[0]) for line in aligned(call_rows(found)).splitlines()}) == 2
    assert "- cores: 2\n" in markdown({"cores": 2}, PAIRS)


def test_alone() -> None:
    (line,) = lines([one for one in PAIRS if one.server == OURS])
    assert (line.wall, line.cpu, line.theirs, unlike(line)) == (None, None, None, "")
    assert rows([line])[1][1:4] == ("", "1.00", "")


def test_the_servers_alternate_and_change_places() -> None:
    scenarios = plan(["tree", "git"], [OURS, THEIRS], 2, {"sizes": {}})
    assert [(one.label, one.mount) for one in scenarios] == [
        ("tree-1", OURS), ("tree-1", THEIRS), ("git-1", OURS), ("git-1", THEIRS),
        ("tree-2", THEIRS), ("tree-2", OURS), ("git-2", THEIRS), ("git-2", OURS),
    ]  # fmt: skip
    assert scenarios[0].params == {"workload": "tree", "sizes": {}}


@pytest.mark.parametrize("argv", [["--workloads", "tree,walk"], ["--pairs", "0"]])
def test_wrong_arguments(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        arguments(argv)
    assert "error" in capsys.readouterr().err


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_a_small_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This server alone: nfs-ganesha is not everywhere."""
    for name, number in (("files", 100), ("large_files", 1), ("large_mib", 2)):
        monkeypatch.setitem(QUICK, name, number)
    if lacking := requirements():
        unavailable(lacking)
    output = tmp_path / "result"
    argv = ["--quick", "--alone", "--workloads", "tree", "--disk", str(tmp_path)]
    assert main([*argv, "--output", str(output)]) == 0
    printed = capsys.readouterr()
    result = json.loads(output.with_suffix(".json").read_text())
    by_phase = {one["phase"]: one for one in result["runs"]}
    assert list(by_phase) == ["copy in", "stat tree", "copy out", "remove tree"]
    files = QUICK["files"] + QUICK["large_files"]
    assert by_phase["copy in"]["calls"]["CREATE"]["calls"] == files
    assert by_phase["copy out"]["calls"]["READ"]["calls"] >= files  # nothing was cached
    assert by_phase["remove tree"]["calls"]["REMOVE"]["calls"] == files
    assert all(one["server_cpu"] > 0 and one["client_cpu"] > 0 for one in result["runs"])
    assert "remove tree" in printed.out and "copy out" in printed.err
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_disk_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BenchError):
        main(["--alone", "--disk", str(tmp_path / "none")])
