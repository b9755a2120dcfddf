"""Pages hold together: links lead somewhere, all commands are told of, listings have a test."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import record_session
from doc_lines import ROOT, blocks, files, pages

#: Listings without a name, that nobody runs, and what runs the like of them.
SKETCHES = {
    "docs/simulator.md": "tests/oncrpc runs the like",
    "docs/wraps.md": "tests/backends runs the like",
}
GUIDES = [page for page in pages() if any(name.endswith(".py") for name in files(page))]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{page}: {link}"


def test_the_index_has_all_pages() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in index, path.name


def test_all_commands_are_told_of() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nfsloop", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    verbs = re.findall(r"^    (\w+) ", done.stdout, re.MULTILINE)
    assert {"serve", "check", "status"} <= set(verbs)
    told = (ROOT / "docs" / "commands.md").read_text()
    assert [verb for verb in verbs if f"`nfsloop {verb}`" not in told] == []


def test_options_of_serve_are_told_of() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nfsloop", "serve", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    options = set(re.findall(r"^  (--[\w-]+)", done.stdout, re.MULTILINE)) - {"--help"}
    assert {"--host", "--state"} <= options
    told = (ROOT / "docs" / "commands.md").read_text()
    assert sorted(option for option in options if f"`{option}`" not in told) == []


@pytest.mark.parametrize("page", pages())
def test_listings_of_python_are_run_by_somebody(page: str) -> None:
    found = blocks(page, (ROOT / page).read_text())
    nameless = [block.number for block in found if block.language == "python" and not block.name]
    assert not nameless or page in SKETCHES


@pytest.mark.parametrize("page", GUIDES)
def test_listings_are_in_the_houses_style(page: str, tmp_path: Path) -> None:
    for name, text in files(page).items():
        (tmp_path / name).write_text(text)
    argv = ["ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "I001", "."]
    done = subprocess.run(
        [sys.executable, "-m", *argv], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_package_names_a_backend_that_is_there() -> None:
    written = files("docs/writing-a-backend.md")
    project = tomllib.loads(written["pyproject.toml"])["project"]
    [(name, target)] = project["entry-points"]["nfsloop.backends"].items()
    module, _, cls = target.partition(":")
    assert f"class {cls}(" in written[f"{module}.py"]
    assert f"nfsloop serve {name}:" in (ROOT / "docs" / "writing-a-backend.md").read_text()


def test_the_picture_shows_the_session() -> None:
    """`record_session.py` makes it; a session that was changed asks for another picture."""
    drawn = record_session.PICTURE.read_text()
    assert len(drawn) < 60_000
    assert "url(" not in drawn.replace("url(#", "")
    shown = record_session.text_of(drawn)
    for host, line in record_session.SESSION:
        assert f"{host}$ {line}\n" in shown + "\n", line
