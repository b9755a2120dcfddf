"""benchmarks: ratios and tables from recorded results, the plan, and a short run of all of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import build, cases, drawing, report
from benchmarks.__main__ import main
from benchmarks.cases import Case
from benchmarks.errors import BenchError, Unavailable
from benchmarks.load import parse

ROOT = Path(__file__).resolve().parents[2]
GETATTR = Case("getattr", 0, 16, 1)
READ = Case("read", 65536, 8, 1)


def run(case: Case, number: int, server: str, cpu: float, rate: float, **more: Any) -> report.Run:
    one = {"case": [case.call, case.size, case.outstanding, case.connections], "round": number}
    figures = {"p50_us": 70.0, "p99_us": 90.0, "MB_s": rate * case.size / 1e6, "errors": 0}
    return {**one, **figures, "server": server, "cpu_us": cpu, "rate": rate, **more}


def result(*runs: report.Run, **more: Any) -> report.Result:
    machine = {
        "cpu": "some", "arch": "x", "cores": 2, "memory_MiB": 1000, "kernel": "6.1", "virtual": "",
        "python": "3.11", "packages": {"uvloop": "0.19"}, "file_system": {"type": "ext4"},
        "load_before": 0.1,
    }  # fmt: skip
    return {
        "format": report.FORMAT, "kind": "wire", "began": "then", "complete": True,
        "machine": machine, "versions": {"nfsloop": "abc"}, "pinned": {"servers": "0",
        "generator": "1"}, "rounds": 3, "seconds": 1.0, "left_out": [], "failed": [],
        "runs": list(runs), **more,
    }  # fmt: skip


#: The machine is half as fast in round 1, and the ratio is the same.
DRIFTING = result(
    *(run(GETATTR, 0, *rest) for rest in (("ganesha", 30.0, 30000.0), ("posix", 9.0, 90000.0))),
    *(run(GETATTR, 1, *rest) for rest in (("posix", 18.0, 45000.0), ("ganesha", 60.0, 15000.0))),
    *(run(GETATTR, 2, *rest) for rest in (("ganesha", 30.0, 30000.0), ("posix", 12.0, 60000.0))),
    run(GETATTR, 3, "posix", 1.0, 1e6),
    run(READ, 0, "ganesha", 40.0, 20000.0),
    run(READ, 0, "posix", 50.0, 10000.0),
    run(READ, 1, "ganesha", 40.0, 20000.0),
    run(READ, 1, "posix", 1.0, 1e6, errors=3, first_error="nfsstat3 5"),
)


def test_ratios_are_made_within_a_round() -> None:
    runs = report.collect([DRIFTING])
    assert report.ratio(runs, GETATTR, "posix", "ganesha", "cpu_us") == report.Spread(0.3, 0.3, 0.4)
    assert report.ratio(runs, GETATTR, "posix", "ganesha", "rate") == report.Spread(2.0, 3.0, 3.0)


def test_a_run_with_errors_does_not_count() -> None:
    runs = report.collect([DRIFTING])
    found = report.ratio(runs, READ, "posix", "ganesha", "cpu_us")
    assert found == report.Spread(1.25, 1.25, 1.25)
    assert any("nfsstat3 5" in line for line in report.machine_lines([DRIFTING]))


def test_files_are_taken_together() -> None:
    """Round 0 of one file is not round 0 of the other."""
    more = result(run(GETATTR, 0, "ganesha", 10.0, 1.0), run(GETATTR, 0, "posix", 5.0, 1.0))
    runs = report.collect([DRIFTING, more])
    assert report.ratio(runs, GETATTR, "posix", "ganesha", "cpu_us") == report.Spread(
        0.3, 0.35, 0.5
    )


def test_markdown_has_the_table_and_says_where_the_server_is_not_faster() -> None:
    text = report.as_markdown([DRIFTING])
    assert "| GETATTR | 16 | 10.5 | 0.30 [0.30-0.40] |" in text
    behind = text.split("### Where the server is not faster")[1]
    assert "READ 64 KiB, 8: CPU 1.25" in behind
    assert "READ 64 KiB, 8: speed 0.50" in behind
    assert "GETATTR" not in behind


def test_goals_are_judged_by_the_median() -> None:
    rows = {row[0]: row[2] for row in report.goals_table(report.collect([DRIFTING])).rows}
    assert rows == {
        "GETATTR, 16: CPU at most 0.3 of ganesha's": "yes",
        "GETATTR, 16: speed at least 2.2 of ganesha's": "yes",
        "READ 64 KiB, 8: CPU at most 0.6 of ganesha's": "no",
    }


def test_comparison_divides_by_the_peer() -> None:
    """The new run was on a machine half as fast: 15 us there is less than 20 us before."""
    old = result(run(GETATTR, 0, "ganesha", 40.0, 1000.0), run(GETATTR, 0, "posix", 20.0, 2000.0))
    new = result(run(GETATTR, 0, "ganesha", 60.0, 500.0), run(GETATTR, 0, "posix", 15.0, 2000.0))
    (table,) = report.comparison(old, new)
    assert table.rows == [["GETATTR", "16", "0.50", "0.25", "0.50", "2.00"]]


def test_another_checkout_is_a_table_of_its_own() -> None:
    both = result(run(GETATTR, 0, "posix", 5.0, 10.0), run(GETATTR, 0, "posix@other", 10.0, 5.0))
    (table,) = [one for one in report.tables(report.collect([both])) if "other" in one.title]
    assert table.rows[0][:5] == ["GETATTR", "16", "5.00", "10.0", "0.50"]


def test_entries_are_what_readdirplus_is_counted_by() -> None:
    raw = {"calls": 10, "calls_s": 20.0, "MB_s": 0, "p50_us": 1, "p99_us": 1, "max_us": 1,
           "errors": 0, "entries": 1000, "seconds": 0.5, "server_cpu_s": 0.01,
           "cpu_us_call": 1000.0}  # fmt: skip
    run = parse(json.dumps(raw), Case("readdirplus", 0, 1, 1))
    assert (run["cpu_us"], run["rate"]) == (10.0, 2000.0)
    run = parse(json.dumps(raw), GETATTR)
    assert (run["cpu_us"], run["rate"]) == (1000.0, 20.0)


def test_the_line_of_nfsload_is_read_too() -> None:
    line = '{"op":"getattr","ops_s":100,"MB_s":0.0,"p50_us":5,"p99_us":6,"max_us":7,' \
           '"cpu_us_op":8.5,"errors":0}'  # fmt: skip
    run = parse(line, GETATTR)
    assert (run["cpu_us"], run["rate"], run["p50_us"]) == (8.5, 100, 5)


def test_levels_and_choices() -> None:
    quick, default, full = (cases.choose(level) for level in ("quick", "default", "full"))
    assert len(quick) < len(default) < len(full)
    assert {one.call for one in full} == set(cases.CALLS)
    assert {one.connections for one in default} == {1, 64}
    chosen = cases.choose("default", calls=["read"], sizes=[65536], outstanding=[1, 64])
    assert [(one.call, one.size, one.outstanding) for one in chosen] == [
        ("read", 65536, 1),
        ("read", 65536, 64),
    ]
    assert [one.call for one in cases.choose("quick", calls=["mix"])] == ["mix"]


@pytest.mark.parametrize(("text", "count"), [("4096", 4096), ("64k", 65536), ("1MiB", 1 << 20)])
def test_sizes(text: str, count: int) -> None:
    assert cases.parse_size(text) == count


def test_numbers_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["wire", "--outstanding", "many"])
    assert "not numbers" in capsys.readouterr().err


def test_a_file_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"kind": "wire", "format": 99}')
    assert main(["report", str(path)]) == 2
    assert "format 99" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none.json")]) == 2


def test_report_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(DRIFTING))
    assert main(["report", "--markdown", str(path)]) == 0
    assert "0.30 [0.30-0.40]" in capsys.readouterr().out
    assert main(["compare", "--markdown", str(path), str(path)]) == 0
    assert "| 1.00 | 1.00 |" in capsys.readouterr().out


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BenchError, match="matplotlib is not installed"):
        drawing.draw(report.collect([DRIFTING]), [tmp_path / "x.svg"])


def test_plot_without_a_peer(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no peer"):
        alone = result(run(GETATTR, 0, "posix", 5.0, 10.0))
        drawing.draw(report.collect([alone]), [tmp_path / "x.svg"])


def test_a_generator_without_room_is_told_of() -> None:
    busy = result(run(GETATTR, 0, "posix", 1.0, 1e6, load_us_call=0.98, calls_s=1e6))
    assert any("generator itself" in line for line in report.machine_lines([busy]))
    free = result(run(GETATTR, 0, "posix", 1.0, 1e6, load_us_call=0.5, calls_s=1e6))
    assert not any("generator itself" in line for line in report.machine_lines([free]))


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="draws the plot; of the extra 'bench'")
    drawing.draw(report.collect([DRIFTING]), [tmp_path / "x.svg", tmp_path / "x.png"])
    assert "<svg" in (tmp_path / "x.svg").read_text()
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(BenchError, match="install gcc"):
        build.compiler()


def test_without_the_sources(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"nfsload\.c"):
        build.program(build.load_source(tmp_path))


needs_compiler = pytest.mark.skipif(
    not any(os.access(f"{path}/{cc}", os.X_OK)
            for path in os.get_exec_path() for cc in ("cc", "gcc", "clang")),
    reason="the generator is a C program, and there is no C compiler",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for the files; nothing is left in it."""
    path = tmp_path / "files"
    path.mkdir()
    yield path
    assert not list(path.iterdir())


def wire(place: Path, output: Path, *more: str) -> list[str]:
    fixed = ["wire", "--pairs", "1", "--warmup", "0", "--seconds", "0.05", "--files", "20"]
    fixed += ["--data-mib", "1", "--sizes", "4k", "--dir", str(place), "--output", str(output)]
    return [*fixed, *more]


@needs_compiler
@pytest.mark.timeout(60)
def test_a_short_run(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.json"
    calls = "getattr,lookup,access,read,write,create,readdirplus,mix"
    words = wire(place, output, "--quick", "--calls", calls, "--peer", "floor")
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # takes longer than all else here
    assert main([*words, "--backends", "memory"]) == 0
    found = report.read(output)
    assert found["complete"] and not found["failed"] and not found["left_out"]
    runs = report.collect([found])
    assert report.names(runs) == ["memory", "floor"]
    assert {case.call for case in runs} == set(calls.split(","))
    for one in found["runs"]:
        assert one["errors"] == 0 and one["calls"] > 0 and one["cpu_us"] > 0, one
        if one["case"][0] == "readdirplus":  # each reply has all names, "." and ".." too
            assert one["entries"] == one["entries_with_attributes"] == 22 * one["calls"]
        if one["case"][0] in ("read", "write"):
            assert one["MB_s"] == pytest.approx(one["calls_s"] * 4096 / 1e6, rel=0.01)
    assert "| GETATTR | 16 |" in output.with_suffix(".md").read_text()


@needs_compiler
@pytest.mark.timeout(60)
def test_what_was_measured_before_an_interrupt_is_kept(place: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    words = wire(place, output, "--calls", "null", "--peer", "none", "--backends", "memory")
    words[words.index("--pairs") + 1] = "10000"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.lstrip().startswith("3/"):
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=50)
    assert process.returncode == 130
    found = report.read(output)
    assert not found["complete"]
    assert len(found["runs"]) >= 2
    assert any("ended early" in line for line in report.machine_lines([found]))


@needs_compiler
def test_a_peer_that_is_missing_is_left_out(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout that is none takes nothing from what the others show."""
    output = tmp_path / "out.json"
    words = wire(place, output, "--calls", "null", "--peer", "floor", "--backends", "memory")
    words += ["--outstanding", "16"]
    monkeypatch.setattr(build, "floor_source", lambda perf: tmp_path / "floor.c")
    assert main([*words, "--tree", str(tmp_path)]) == 0
    found = report.read(output)
    assert [one["server"] for one in found["left_out"]] == ["memory@other", "floor"]
    assert found["runs"]


def test_compiled_programs_lie_where_nobody_else_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"nfsloop-bench-{os.getuid()}").mkdir()
    (tmp_path / f"nfsloop-bench-{os.getuid()}").chmod(0o777)
    with pytest.raises(BenchError, match="not ours alone"):
        build.cache()
