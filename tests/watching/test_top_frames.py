"""Rates from snapshots, frames for any width, keys: without a server or a terminal."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from nfsloop.errors import ConfigError
from nfsloop.printable import printable
from nfsloop.verbs.top import SORTS as SORT_WORDS
from nfsloop.verbs.top import VIEWS as VIEW_WORDS
from nfsloop.watching import screen, tables, top
from nfsloop.watching.counts import Counts
from nfsloop.watching.rates import SORTS, VIEWS, Rates, rates
from nfsloop.watching.snapshot import BOUNDS, Calls, Client, Process, Series, Snapshot
from nfsloop.watching.tables import Column, Span, Table, layout, plain
from nfsloop.watching.top import Model, Sample, View, frame

REPO = Path(__file__).resolve().parents[2]
ODD = "/srv/\x1b]0;owned\x07\x1b[31m\u202e\udcff\n"


def calls(count: int, seconds: float = 0.0002, **errors: int) -> Calls:
    made = Calls(seconds=count * seconds, received=1_000_000 * count, sent=2_000_000 * count)
    made.latency[sum(bound < seconds for bound in BOUNDS)] = count
    made.errors.update(errors)
    return made


def series(procedure: str, export: str = "/srv", program: str = "NFS_PROGRAM") -> Series:
    return Series(program, 3, procedure, export)


def moment(
    at: float,
    counted: dict[Series, Calls],
    clients: dict[str, Client] | None = None,
    pid: int = 77,
    cpu: float = 1.0,
    since: float = 1000.0,
) -> Snapshot:
    return Snapshot(
        time=at,
        since=since,
        monotonic=at,
        began=since,
        calls=counted,
        clients=clients or {},
        counts=Counts(3, 1, Counter(hits=4, in_progress=1, new=99), refused=Counter({"/srv": 2})),
        processes={"server": Process(pid, 50_000_000, cpu, 20, 900.0)},
    )


def model_of(*moments: Snapshot, exports: tuple[str, ...] = ("/srv",)) -> Model:
    model = Model()
    for snapshot in moments:
        model.feed(Sample(snapshot, exports))
    return model


def busy() -> Model:
    """Two seconds of a server."""
    before = moment(1000.0, {series("READ"): calls(5)})
    after = moment(
        1002.0,
        {
            series("READ"): calls(105, IO=2, STALE=4),
            series("GETATTR"): calls(10),
            series("GETATTR", "/pub"): calls(10, 0.02),
            series("MNT", "", "MOUNT_PROGRAM"): calls(1),
            series("NULL", ""): Calls(),
        },
        {"192.0.2.1": Client(120, 6, 0.06, 10, 20, 2), "::1": Client(0, 0, 0, 0, 0, 1)},
        cpu=2.5,
    )
    return model_of(before, after)


def text(model: Model, view: View | None = None, width: int | None = None, height: int = 0) -> str:
    return plain(frame(model, view or View(), width, height or None))


def test_the_words_of_the_command_line_are_those_of_the_module() -> None:
    assert tuple(VIEWS.values()) == VIEW_WORDS
    assert tuple(SORTS) == SORT_WORDS


# Rates


def test_rates_are_a_second_and_by_procedure_client_and_export() -> None:
    found = busy().rates
    assert found.seconds == 2.0
    assert {row.name: row.calls for row in found.rows["procedure"]} == {
        "NFS3 READ": 50.0, "NFS3 GETATTR": 10.0, "MOUNT3 MNT": 0.5, "NFS3 NULL": 0.0,
    }  # fmt: skip
    assert {row.name: row.calls for row in found.rows["export"]} == {
        "/srv": 55.0, "/pub": 5.0, "(none)": 0.5,
    }  # fmt: skip
    (read,) = (row for row in found.rows["procedure"] if row.name == "NFS3 READ")
    assert (read.errors, read.commonest_error) == (3.0, "STALE")
    assert (read.received_bytes, read.sent_bytes) == (50e6, 100e6)
    assert read.mean_seconds == pytest.approx(0.0002)
    assert read.p50_seconds == pytest.approx(0.000175)
    (client, idle) = found.rows["client"]
    assert (client.calls, client.errors, client.connections) == (60.0, 3.0, 2)
    assert client.mean_seconds == pytest.approx(0.0005)
    assert (idle.name, idle.calls, idle.connections) == ("::1", 0.0, 1)
    assert found.whole.calls == 60.5


def test_a_moment_tells_nothing_of_rates() -> None:
    one = moment(1000.0, {series("READ"): calls(5)})
    assert rates(one - one) == Rates()


@pytest.mark.parametrize(
    ("sort", "first"),
    [("calls", "NFS3 READ"), ("p99", "NFS3 GETATTR"), ("name", "MOUNT3 MNT")],
)
def test_rows_are_sorted_and_those_without_a_call_come_last(sort: str, first: str) -> None:
    rows = busy().rates.sorted("procedure", sort)
    assert (rows[0].name, rows[-1].name) == (first, "NFS3 NULL")


# Frames


def test_a_frame_tells_of_the_server_and_its_calls() -> None:
    lines = text(busy()).splitlines()
    assert lines[:4] == [
        "nfsloop up 1 min 42 s, 1 export: /srv",
        "server 77: CPU 75 % 50.0 MB",
        "3 connections, 1 call waiting, 5 duplicates, 2 refused",
        "60.5 calls/s, 3.00 errors/s, in 60.5 MB/s, out 121 MB/s",
    ]
    assert lines[5].split() == (
        ["PROCEDURE", "CALLS/S", "ERR/S", "MOSTLY", "P50", "P99", "IN", "MB/S", "OUT", "MB/S"]
    )
    assert lines[6].split() == ["NFS3", "READ", "50.0", "3.00", "STALE", "175", "us", "249", "us",
                                "50.0", "100"]  # fmt: skip
    assert len(lines) == 9  # plain text has no rows without a call


def test_by_client_and_by_export() -> None:
    by_client = text(busy(), View("client"))
    assert "192.0.2.1" in by_client and "500 us" in by_client and "CONNECTIONS" in by_client
    assert "::1" not in by_client
    by_export = text(busy(), View("export"))
    assert "/pub" in by_export and "(none)" in by_export


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
@pytest.mark.parametrize("by", list(VIEWS.values()))
def test_a_screen_is_filled_and_nothing_sticks_out(by: str, width: int) -> None:
    model = busy()
    model.snapshot = model.snapshot or Snapshot()
    model.exports = ("/srv/a/rather/long/path/of/an/export", "/pub")
    for height in (4, 8, 24):
        lines = frame(model, View(by), width, height)
        assert all(tables.cells(line) <= width for line in plain(lines).splitlines())
        if height >= 8:
            assert len(lines) == height
        assert plain(lines).splitlines()[-1].startswith("q quit")


def test_at_60_columns_all_that_matters_is_there() -> None:
    shown = text(busy(), width=60, height=20)
    for word in ("NFS3 GETATTR", "CALLS/S", "ERR/S", "P99", "IN MB/S", "OUT MB/S"):
        assert word in shown


def test_rows_that_have_no_room_are_counted() -> None:
    counted = {series(f"PROC{number:02}"): calls(1) for number in range(30)}
    model = model_of(moment(1000.0, {}), moment(1001.0, counted))
    lines = text(model, width=80, height=20).splitlines()
    assert lines[-2] == "18 more" and len(lines) == 20


def test_many_processes_are_told_of_together() -> None:
    model = busy()
    assert model.snapshot is not None
    for number in range(8):
        model.snapshot.processes[f"worker {number}"] = Process(number, 50_000_000, 1.0, 9)
        model.cpu[f"worker {number}"] = 0.5
    assert "9 processes: CPU 475 %, memory 450 MB" in text(model)


def test_a_server_that_is_gone_and_one_that_began_anew() -> None:
    model = busy()
    model.feed(Sample(error="no nfsloop runs with the state directory /x"))
    shown = text(model, width=80, height=20)
    assert "trying again: no nfsloop runs with the state directory /x" in shown
    assert "NFS3 READ" not in shown and "connections" not in shown
    model.feed(Sample(moment(1010.0, {}, pid=78, since=1010.0), ("/srv",)))
    assert "server began anew at" in text(model)
    model.feed(Sample(moment(1011.0, {series("READ"): calls(7)}, pid=78, since=1010.0), ("/srv",)))
    assert "7.00 calls/s" in text(model)


@pytest.mark.parametrize("width", [None, 60, 100])
def test_no_name_reaches_the_terminal_raw(width: int | None) -> None:
    bad = "\x1b[2J\x9b31m"
    counted = {Series("NFS_PROGRAM", 3, bad, ODD): calls(9, **{bad: 3})}
    snapshot = moment(1001.0, counted, {bad: Client(9, 0, 0.1, 0, 0, 1)})
    snapshot.processes[bad] = Process(1, 1, 1.0, 1)
    model = model_of(moment(1000.0, {}), snapshot, exports=(ODD,))
    for by in VIEWS.values():
        for error in ("", f"error {bad}"):
            model.error = error
            shown = text(model, View(by), width, 30 if width else 0)
            assert all(line.isprintable() for line in shown.splitlines()), repr(shown)
    assert "\\x1b" in shown


def test_the_state_of_a_view_follows_the_keys() -> None:
    view = View()
    assert [view.key(key) for key in "ces x"] == [False] * 5
    assert (view.by, view.sort, view.paused) == ("export", "errors", True)
    for _ in range(len(SORTS)):
        view.key("s")
    assert view.sort == "errors"
    assert view.key("q") and view.key("Q")


# Tables and texts


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("/srv/d é 漢", "/srv/d é 漢"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\tb\nc\x7f", "a\\tb\\nc\\x7f"),
        ("\x9b1m", "\\x9b1m"),
        ("\u202eevil", "\\u202eevil"),
        (os.fsdecode(b"\xff\xfe"), "\\xff\\xfe"),
        ("\ud800", "\\ud800"),
    ],
    ids=ascii,
)
def test_what_is_not_printable_is_escaped(raw: str, clean: str) -> None:
    assert printable(raw) == clean


def test_wide_letters_take_two_places() -> None:
    assert tables.cells("漢字e\u0301") == 5
    assert tables.cut("漢字漢字", 5) == "漢字…" and tables.cut("漢字漢字", 4) == "漢…"
    table = Table([Column("A", least=4), Column("B", right=True)])
    table.rows = [[Span("漢字漢字"), Span("1")], [Span("abc"), Span("22")]]
    assert plain(layout(table, 9)) == "A       B\n漢字…   1\nabc    22\n"


def test_a_narrow_table_cuts_and_then_drops() -> None:
    table = Table(
        [Column("NAME", least=4), Column("X", right=True, drop=1), Column("Y", right=True, drop=2)]
    )
    table.rows = [[Span("long-name"), Span("12"), Span("34")]]
    assert plain(layout(table)) == "NAME        X   Y\nlong-name  12  34\n"
    assert plain(layout(table, 14)) == "NAME     X   Y\nlong-…  12  34\n"
    assert plain(layout(table, 9)) == "NAME   X\nlon…  12\n"
    assert plain(layout(table, 5)) == "NAME\nlon…\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h"), (-5, "0 s")],
)
def test_ages(value: float, shown: str) -> None:
    assert tables.age(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "-"), (42e-6, "42 us"), (0.00123, "1.23 ms"), (0.25, "250 ms"), (2.5, "2.50 s")],
)
def test_latencies(seconds: float, shown: str) -> None:
    assert tables.latency(seconds) == shown


def test_sizes() -> None:
    found = [tables.size(value) for value in (0, 999, 1000, 12_345_678, 5e15)]
    assert found == ["0 B", "999 B", "1.00 kB", "12.3 MB", "5000 TB"]


# Frames one after the other


def samples(*moments: Snapshot | str) -> list[Sample]:
    return [Sample(error=m) if isinstance(m, str) else Sample(m, ("/srv",)) for m in moments]


def play(given: list[Sample], count: int | None, json_lines: bool = False) -> list[float]:
    slept: list[float] = []
    each = iter(given)
    status = top.frames(lambda: next(each), View(), 2.0, count, json_lines, slept.append)
    assert status == 0
    return slept


def test_plain_frames_end_after_their_count(capsys: pytest.CaptureFixture[str]) -> None:
    given = samples(*(moment(1000.0 + n, {series("READ"): calls(n)}) for n in range(9)))
    assert play(given, 3) == [2.0] * 3
    out = capsys.readouterr().out
    assert out.count("nfsloop up") == 3 and "\x1b" not in out
    assert "\n\nnfsloop up" in out and not out.endswith("\n\n")


def test_a_server_that_ends_is_a_frame(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = moment(1000.0, {}), moment(1002.0, {series("READ"): calls(4)})
    play(samples(one, "it is gone", two), 2, json_lines=True)
    gone, back = map(json.loads, capsys.readouterr().out.splitlines())
    assert gone["error"] == "it is gone"
    assert back["rows"][0]["name"] == "NFS3 READ" and back["all"]["calls"] == 2.0


def test_no_server_at_the_start_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nobody there"):
        play(samples("nobody there"), None)


def test_letters_that_the_output_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", errors="surrogateescape"))
    assert tables.write("/srv/é\n") == 0
    assert raw.getvalue() == b"/srv/\\xe9\n"


def test_without_rich_there_are_tables_but_no_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("rich", "rich.console", "rich.live", "rich.text"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(tables, "on_terminal", lambda: True)
    assert tables.show(lambda width: [[Span(f"{width}", "bold")]]) == 0
    assert capsys.readouterr().out.strip().isdecimal()
    with pytest.raises(ConfigError, match="needs the package rich") as raised:
        screen.Terminal()
    assert len(raised.value.problems) == 1


def test_a_table_on_a_terminal_has_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "on_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert tables.show(lambda width: [[Span("[red]x[/] ", "bold"), Span("y")], [Span("z")]]) == 0
    assert capsys.readouterr().out == "\x1b[1m[red]x[/] \x1b[0my\nz\n"


def test_nobody_reads_any_more() -> None:
    code = "import sys; from nfsloop.watching.tables import write; sys.exit(write('x' * 9) + 40)"
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=theirs, stderr=subprocess.PIPE, cwd=REPO, check=False
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (41, b""), os.strerror(errno.EPIPE)
