"""Tables on the terminal, and plots: the only importer of rich and matplotlib, both lazily."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import BenchError
from .report import METRICS, PEERS, Runs, Table, names, ratio, subjects

INSTALL = "pip install 'nfsloop[bench]', or matplotlib and rich"
#: "[0.31-0.42]" stays in one line.
SPREAD_COLUMNS = 13
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")


def note(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_report(text: str, lines: Sequence[str], tables: Sequence[Table], markdown: bool) -> None:
    """`text` as it is for `markdown`, or without rich; else its `lines` and `tables`."""
    if markdown:
        print(text)
        return
    try:
        from rich.console import Console
        from rich.table import Table as Drawn
    except ImportError:
        note(f"tables as Markdown, as rich is not installed ({INSTALL})")
        print(text)
        return
    console = Console()
    for line in lines:
        console.print(line, markup=False, highlight=False)
    for table in tables:
        drawn = Drawn(title=table.title, title_justify="left")
        for at, column in enumerate(table.columns):
            spread = any("[" in row[at] for row in table.rows)
            drawn.add_column(
                column,
                justify="left" if at == 0 else "right",
                overflow="fold",
                min_width=SPREAD_COLUMNS if spread else None,
            )
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def draw(runs: Runs, paths: Sequence[Path]) -> None:
    """CPU and speed of each case as shares of a peer's, with their spread; one file per path.

    The peer is nfs-ganesha, or else the floor. Raises `BenchError` without matplotlib or a peer.
    """
    peer = next((one for one in PEERS if one in names(runs)), None)
    if peer is None:
        raise BenchError("it would show shares of a peer's figures, and no peer was measured")
    try:
        import matplotlib
    except ImportError as exc:
        raise BenchError(f"matplotlib is not installed ({INSTALL})") from exc
    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = list(runs)
    shown = [one for one in [*subjects(runs), *PEERS] if one in names(runs) and one != peer]
    figure, panels = pyplot.subplots(
        1, 2, sharey=True, figsize=(11, 1.2 + 0.32 * len(cases)), layout="constrained"
    )
    for panel, metric in zip(panels, ("cpu_us", "rate"), strict=True):
        for at, server in enumerate(shown):
            _points(panel, runs, server, peer, metric, 0.14 * (at - (len(shown) - 1) / 2), at)
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10], labels=None)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("")
        better = "less" if metric == "cpu_us" else "more"
        panel.set_title(f"{METRICS[metric]}, as a share of {peer}'s: {better} is better")
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(cases)), [case.label for case in cases])
    panels[0].invert_yaxis()
    panels[1].legend(loc="best")
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _points(
    panel: Any, runs: Runs, server: str, peer: str, metric: str, shift: float, colour: int
) -> None:
    """A dot at each median, with a line from the smallest to the largest."""
    found = [(at, ratio(runs, case, server, peer, metric)) for at, case in enumerate(runs)]
    points = [(at + shift, spread) for at, spread in found if spread is not None]
    panel.errorbar(
        [spread.middle for _, spread in points],
        [at for at, _ in points],
        xerr=[
            [spread.middle - spread.low for _, spread in points],
            [spread.high - spread.middle for _, spread in points],
        ],
        fmt="o",
        markersize=4,
        color=COLOURS[colour % len(COLOURS)],
        label=server,
    )
