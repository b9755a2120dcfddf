"""The page shows the table of causes as the doctor words them. ``python3 tests/doctor/FILE`` writes
it there anew."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "mounting.md"
BEGIN, END = "<!-- causes -->\n", "<!-- end of causes -->"


class _Names(dict[str, str]):
    """Placeholders in capitals, as in a manual."""

    def __missing__(self, name: str) -> str:
        return name.upper()


def table() -> str:
    """The causes, in order of blame."""
    from nfsloop.doctor.causes import CAUSES

    lines = ["| | what the doctor says | why | what to do |", "|---|---|---|---|"]
    for cause in CAUSES.values():
        texts = (cause.problem, cause.why, cause.remedy)
        words = [text.format_map(_Names()).replace("|", "\\|") for text in texts]
        lines.append(f"| {cause.code} | {' | '.join(words)} |")
    return "\n".join(lines) + "\n"


def test_the_page_shows_the_table() -> None:
    text = PAGE.read_text()
    assert table() == text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def test_the_words_are_ready_for_people() -> None:
    from nfsloop.doctor.causes import CAUSES, find

    for cause in CAUSES.values():
        assert not cause.problem[0].isspace() and not cause.problem.endswith(".")
        assert cause.remedy.endswith("."), cause.code
        names = set(re.findall(r"{(\w+)}", cause.problem + cause.why + cause.remedy))
        found = find(cause.code, {name: "a\x1b[31m\nb" for name in names})
        assert found.problem.isprintable() and found.why.isprintable()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    old = PAGE.read_text()
    PAGE.write_text(old[: old.index(BEGIN) + len(BEGIN)] + table() + old[old.index(END) :])
