"""From result files to ratios, tables and sentences. Pure, but for `show` and `read`.

A ratio is made within one round, of two runs that stood beside each other, and never of averages:
a drift of the machine between rounds cancels out. Of the rounds' ratios the table has the median,
and the smallest and largest in brackets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .cases import Case
from .errors import BenchError

FORMAT = 1
Result = dict[str, Any]
Run = dict[str, Any]
#: case -> server -> (file, round) -> run
Runs = dict[Case, dict[str, dict[tuple[int, int], Run]]]

#: Metrics for which more is better.
MORE_IS_BETTER = ("rate", "MB_s")
PEERS = ("ganesha", "floor")
#: Share of a processor at which a generator that has one thread is what limits a run.
GENERATOR_BUSY = 0.95


@dataclass(frozen=True)
class Spread:
    """Smallest, median and largest of some figures."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None without any."""
        return cls(min(values), median(values), max(values)) if values else None

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.middle:.2f}"
        return f"{self.middle:.2f} [{self.low:.2f}-{self.high:.2f}]"


def read(path: Path) -> Result:
    """A result file. Raises `BenchError` if it is none, or of another format."""
    try:
        result: Result = json.loads(path.read_text())
    except OSError as exc:
        raise BenchError(f"{path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise BenchError(f"{path} is not a result file: {exc}") from exc
    if not isinstance(result, dict) or result.get("kind") != "wire":
        raise BenchError(f"{path} is not a result file of 'wire'")
    if result.get("format") != FORMAT:
        raise BenchError(f"{path} has format {result.get('format')}, and this reads {FORMAT}")
    return result


def collect(results: Iterable[Result]) -> Runs:
    """The runs of some files together; runs in which a call failed are left out."""
    found: Runs = {}
    for number, result in enumerate(results):
        for run in result["runs"]:
            if not run.get("errors"):
                table = found.setdefault(Case(*run["case"]), {}).setdefault(run["server"], {})
                table[number, run["round"]] = run
    return found


def figure(runs: Runs, case: Case, server: str, metric: str) -> Spread | None:
    """A server's own figure."""
    table = runs[case].get(server, {})
    return Spread.of([run[metric] for run in table.values()])


def ratio(runs: Runs, case: Case, server: str, peer: str, metric: str) -> Spread | None:
    """`server`'s figure as a share of `peer`'s, over the rounds that have both."""
    ours, theirs = runs[case].get(server, {}), runs[case].get(peer, {})
    shares = [
        ours[at][metric] / theirs[at][metric] for at in ours if theirs.get(at, {}).get(metric)
    ]
    return Spread.of(shares)


def names(runs: Runs) -> list[str]:
    """All servers, in the order in which they were measured."""
    return list(dict.fromkeys(server for table in runs.values() for server in table))


def subjects(runs: Runs) -> list[str]:
    """Those of this project."""
    order = {"posix": 0, "posix@other": 1, "memory": 2, "memory@other": 3}
    return sorted((one for one in names(runs) if one not in PEERS), key=lambda one: order[one])


@dataclass
class Table:
    """Text in rows. The first column is a name, the others are figures."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def markdown(self) -> str:
        """As Markdown, with its title above it."""
        lines = [f"| {' | '.join(self.columns)} |", "|" + "---|" * len(self.columns)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join([f"**{self.title}**", "", *lines, ""])


def number(value: float) -> str:
    """Three digits that count: 4.31, 31.2, 312, 37,100."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _text(value: Spread | None, show: Callable[[Spread], str] = str) -> str:
    return show(value) if value else ""


def _middle(value: Spread) -> str:
    return number(value.middle)


def _where(case: Case) -> list[str]:
    """The columns that name a case."""
    many = f" x {case.connections}" if case.connections > 1 else ""
    return [case.title, f"{case.outstanding}{many}"]


@dataclass(frozen=True)
class View:
    """A table about one server: a figure of its own, and its ratios to the peers."""

    title: str
    metric: str
    heading: str
    show: Callable[[Case], bool] = lambda case: True
    second: str = ""
    second_heading: str = ""


VIEWS = (
    View("CPU of the server for each call, or entry of READDIRPLUS", "cpu_us", "us"),
    View("calls, or entries of READDIRPLUS, per second", "rate", "per s",
         second="MB_s", second_heading="MB/s"),
    View("latency with one call outstanding", "p50_us", "p50 us",
         lambda case: case.outstanding == case.connections == 1, "p99_us", "p99 us"),
)  # fmt: skip


def view_table(runs: Runs, server: str, peers: Sequence[str], view: View) -> Table:
    """One view of one server."""
    columns = ["call", "out", view.heading, *(f"/ {peer}" for peer in peers)]
    table = Table(f"{server}: {view.title}", columns)
    if view.second:
        columns.append(view.second_heading)
    for case in (case for case in runs if server in runs[case] and view.show(case)):
        row = [*_where(case), _text(figure(runs, case, server, view.metric), _middle)]
        row += [_text(ratio(runs, case, server, peer, view.metric)) for peer in peers]
        if view.second:
            shown = view.second != "MB_s" or case.moves_data
            row.append(_text(figure(runs, case, server, view.second), _middle) if shown else "")
        table.rows.append(row)
    return table


def peers_table(runs: Runs, peers: Sequence[str]) -> Table:
    """What the peers did themselves."""
    columns = ["call", "out"]
    columns += [f"{peer} {what}" for peer in peers for what in ("us", "per s", "p50")]
    table = Table("The peers themselves: CPU, speed, latency in us", columns)
    for case in runs:
        row = _where(case)
        for peer in peers:
            for metric in ("cpu_us", "rate", "p50_us"):
                row.append(_text(figure(runs, case, peer, metric), _middle))
        table.rows.append(row)
    return table


def other_table(runs: Runs, server: str) -> Table:
    """This checkout as a share of the other one."""
    other = f"{server}@other"
    columns = ["call", "out", "CPU us", "other's", "CPU", "speed", "p50"]
    table = Table(f"{server}, as a share of the other checkout's", columns)
    for case in runs:
        row = _where(case)
        row += [_text(figure(runs, case, one, "cpu_us"), _middle) for one in (server, other)]
        row += [_text(ratio(runs, case, server, other, m)) for m in ("cpu_us", "rate", "p50_us")]
        table.rows.append(row)
    return table


@dataclass(frozen=True)
class Goal:
    """What a case has to show: a metric's ratio to a peer, at most or at least."""

    calls: tuple[str, ...]
    size: int
    outstanding: tuple[int, ...]
    metric: str
    peer: str
    limit: float


_SMALL = ("getattr", "lookup", "access")
_KIB, _MIB = 1024, 1024 * 1024
#: Of the posix backend with one worker.
GOALS = (
    Goal(_SMALL, 0, (16,), "cpu_us", "ganesha", 0.30),
    Goal(("read", "write"), 4 * _KIB, (8, 16), "cpu_us", "ganesha", 0.40),
    Goal(("create",), 0, (16,), "cpu_us", "ganesha", 0.40),
    Goal(("read", "write"), 64 * _KIB, (8, 16), "cpu_us", "ganesha", 0.6),
    Goal(("read", "write"), _MIB, (8, 16), "cpu_us", "ganesha", 0.7),
    Goal(("getattr",), 0, (16,), "cpu_us", "floor", 5),
    Goal(_SMALL, 0, (16,), "rate", "ganesha", 2.2),
    Goal(_SMALL, 0, (1,), "p50_us", "ganesha", 1),
    Goal(("read", "write"), _MIB, (8, 16), "MB_s", "floor", 0.7),
)
METRICS = {"cpu_us": "CPU", "rate": "speed", "p50_us": "p50", "MB_s": "MB/s"}


def goals_table(runs: Runs, server: str = "posix") -> Table:
    """Each goal beside what was measured; "yes" when the median keeps it."""
    table = Table(f"{server}: the goals", ["goal", "measured", "kept"])
    for goal in GOALS:
        for case in runs:
            fits = case.call in goal.calls and case.outstanding in goal.outstanding
            if not fits or case.size != goal.size or case.connections != 1:
                continue
            found = ratio(runs, case, server, goal.peer, goal.metric)
            if found is None:
                continue
            least = goal.metric in MORE_IS_BETTER
            kept = found.middle >= goal.limit if least else found.middle <= goal.limit
            words = "at least" if least else "at most"
            text = f"{case.label}: {METRICS[goal.metric]} {words} {goal.limit:g} of {goal.peer}'s"
            table.rows.append([text, str(found), "yes" if kept else "no"])
    return table


def not_faster(runs: Runs, server: str, peer: str = "ganesha") -> list[str]:
    """A sentence for each case in which the median is behind the peer's."""
    found: list[str] = []
    for case in runs:
        for metric in ("cpu_us", "rate", "p50_us"):
            share = ratio(runs, case, server, peer, metric)
            if share is None or (metric == "p50_us" and case.outstanding > 1):
                continue
            behind = share.middle < 1 if metric in MORE_IS_BETTER else share.middle > 1
            if behind:
                found.append(f"{case.label}: {METRICS[metric]} {share} of {peer}'s")
    return found


def machine_lines(results: Sequence[Result]) -> list[str]:
    """Where, with what and how, one fact in a line."""
    lines: list[str] = []
    for result in results:
        on, disk = result["machine"], result["machine"]["file_system"]
        versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
        lines += [
            f"{result['began']}: {on['cpu'] or on['arch']}, {on['cores']} cores, "
            f"{on['memory_MiB']} MiB, Linux {on['kernel']}"
            + (f", virtual ({on['virtual']})" if on["virtual"] not in ("", "none") else ""),
            f"Python {on['python']}, uvloop {on['packages']['uvloop'] or 'none'}; {versions}",
            f"{disk['type']} on {disk.get('source', '')} ({disk.get('options', '')})",
            f"{result['rounds']} rounds of {result['seconds']:g} s; servers on cores "
            f"{result['pinned']['servers'] or 'any'}, generator on "
            f"{result['pinned']['generator'] or 'any'}; load before {on['load_before']:.2f}",
        ]
        if not result["complete"]:
            lines.append("The run was ended early.")
        lines += [f"Without {one['server']}: {one['why']}" for one in result["left_out"]]
        if result["failed"]:
            first = result["failed"][0]
            lines.append(f"{len(result['failed'])} runs failed, the first: {first['why']}")
        busy = sorted({Case(*run["case"]).label for run in result["runs"] if _limited(run)})
        if busy:
            lines.append(f"The generator itself was the limit in: {'; '.join(busy)}")
        errors = [run for run in result["runs"] if run.get("errors")]
        if errors:
            first = errors[0]
            lines.append(
                f"{len(errors)} runs had calls that failed and are left out, the first: "
                f"{first['server']} {Case(*first['case']).label}: {first.get('first_error', '')}"
            )
    return lines


def _limited(run: Run) -> bool:
    """Whether the generator, one thread, had nothing left to give."""
    busy: float = run.get("load_us_call", 0.0) * run.get("calls_s", 0.0) / 1e6
    return busy > GENERATOR_BUSY


def tables(runs: Runs) -> list[Table]:
    """All tables that the runs have figures for."""
    present, found = names(runs), []
    peers = [peer for peer in PEERS if peer in present]
    for server in subjects(runs):
        if not server.endswith("@other"):
            found += [view_table(runs, server, peers, view) for view in VIEWS]
            if f"{server}@other" in present:
                found.append(other_table(runs, server))
    if peers:
        found.append(peers_table(runs, peers))
    if "posix" in present:
        found.append(goals_table(runs))
    return [table for table in found if table.rows]


def as_markdown(results: Sequence[Result]) -> str:
    """The report of some result files."""
    runs = collect(results)
    parts = ["".join(f"- {line}\n" for line in machine_lines(results))]
    parts += [table.markdown() for table in tables(runs)]
    behind = [f"{one} {line}" for one in subjects(runs) for line in not_faster(runs, one)]
    if "ganesha" in names(runs):
        parts.append("### Where the server is not faster\n")
        parts.append("".join(f"- {line}\n" for line in behind) or "In no case measured here.\n")
    return "\n".join(parts)


def comparison(old: Result, new: Result) -> list[Table]:
    """New beside old: with a common peer the ratio of ratios to it, so that a slow day cancels."""
    before, after = collect([old]), collect([new])
    found: list[Table] = []
    for server in subjects(after):
        common = [peer for peer in PEERS if peer in names(before) and peer in names(after)]
        peer = common[0] if common else ""
        how = f"each first divided by {peer}'s in its own file" if peer else "as measured"
        columns = ["call", "out", "CPU old", "CPU new", "CPU new/old", "speed new/old"]
        table = Table(f"{server}, new as a share of old, {how}", columns)
        for case in (case for case in after if case in before):
            shown: list[str] = []
            for metric in ("cpu_us", "rate"):
                pair = [_value(runs, case, server, peer, metric) for runs in (before, after)]
                if None in pair or not pair[0]:
                    break
                first, last = pair[0], pair[1] or 0.0
                if metric == "cpu_us":
                    shown += [number(first), number(last)]
                shown.append(f"{last / first:.2f}")
            if len(shown) == 4:
                table.rows.append([*_where(case), *shown])
        found.append(table)
    return [table for table in found if table.rows]


def _value(runs: Runs, case: Case, server: str, peer: str, metric: str) -> float | None:
    own = figure(runs, case, server, metric)
    found = ratio(runs, case, server, peer, metric) if peer else own
    return found.middle if found else None


def show(
    paths: Sequence[Path],
    *,
    markdown: bool,
    plot: Path | None = None,
    beside: Path | None = None,
) -> None:
    """Print the report; `plot` draws to a file; `beside` writes .md, .svg and .png beside a file.

    Without rich the tables are printed as Markdown. Without matplotlib `plot` raises `BenchError`.
    """
    from . import drawing

    results = [read(path) for path in paths]
    text = as_markdown(results)
    drawing.print_report(text, machine_lines(results), tables(collect(results)), markdown)
    if plot is not None:
        drawing.draw(collect(results), [plot])
    if beside is not None:
        beside.with_suffix(".md").write_text(text)
        try:
            drawing.draw(
                collect(results), [beside.with_suffix(f".{one}") for one in ("svg", "png")]
            )
        except BenchError as exc:
            drawing.note(f"no plot: {exc}")


def show_comparison(old: Path, new: Path, *, markdown: bool) -> None:
    """Print the comparison of two files. Raises `BenchError` if they have nothing in common."""
    from . import drawing

    found = comparison(read(old), read(new))
    if not found:
        raise BenchError("the two files have no case in common")
    text = "\n".join(table.markdown() for table in found)
    drawing.print_report(text, [], found, markdown)
