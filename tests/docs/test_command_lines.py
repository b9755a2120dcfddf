"""Every command line of the pages is run, or checked by a rule where it cannot be.

Lines of pages that mount are run by tests/kernel/test_guide.py, in one guest.
"""

from __future__ import annotations

import os
from pathlib import Path

import doc_lines
import doc_rules
import doc_sessions
import pytest
from doc_lines import Block, Command, commands, pages, session
from doc_sandbox import Sandbox, clone, missing


def has_a_session_here(page: str) -> bool:
    """Whether a page has commands, and none for a machine that mounts. Also if it is wrong."""
    try:
        return bool(session(page)) and not doc_sessions.has_clients(page)
    except ValueError:
        return True


SESSIONS = list(filter(has_a_session_here, pages()))
REQUIRE = "NFSLOOP_REQUIRE_PEERS"

INLINE = sorted({command.line: command for page in pages() for command in doc_lines.inline(page)})


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (why := missing()) is not None:
        why = f"these tests need {why}"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{why} ({REQUIRE}=1)", pytrace=False)
        pytest.skip(why)
    return clone(tmp_path_factory.mktemp("checkout"))


@pytest.mark.parametrize("page", SESSIONS)
def test_a_page(page: str, cloned: Path, tmp_path: Path) -> None:
    with Sandbox(tmp_path / "machine", cloned) as sandbox:
        for line in doc_sessions.play(page, sandbox):
            raise AssertionError(f"{page}: for a machine that mounts: {line}")


@pytest.mark.parametrize("line", INLINE)
def test_a_line_in_prose(line: str) -> None:
    doc_rules.check(line)


def test_what_looks_like_a_command_and_is_none() -> None:
    for wrong in ("nfslop serve /srv", "$ nfslop serve /srv", "Serve it:"):
        language = "console" if wrong.startswith("$") else ""
        with pytest.raises(ValueError, match="README"):
            commands(Block("README.md", 1, language, (wrong,)))


@pytest.mark.parametrize(
    "line",
    [
        "nfsloop serve --prot 2049 .",
        "nfsloop ckeck",
        "python3 -m nfsloop serve --udp .",
        "python3 tests/fuzz/fuzz.py --secs 3",
        "python3 tests/fuzz/fuz.py",
        "python3 tests/run.py tests/kernel/test_nothing.py",
        "python3 -m benchmarks wire --quik",
        "make benches",
        "pip install 'nfsloop[metric]' another",
        "mount -t nfs -o vers=3,mountprot=tcp host:/ /mnt",
        "docker compose -f docker/compos.yaml up",
        "systemctl enable nfslop.service",
        "kubectl apply -f docker/nothing",
        "curl localhost",
        "echo hi | nobody-has-this",
    ],
)
def test_a_wrong_line_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        doc_rules.check(line)


def test_what_is_shown_is_compared() -> None:
    shown = ("one … three", "…", "end")
    assert doc_sessions.matches(shown, ["one two three", "x", "y", "end"])
    assert doc_sessions.matches(shown, ["one two three", "end"])
    assert not doc_sessions.matches(shown, ["one two", "end"])
    assert not doc_sessions.matches(("one",), ["one", "two"])
    command = Command("page", 1, "true", ("one",))
    with pytest.raises(AssertionError, match="shown"):
        doc_sessions.compare(command, doc_sessions.Ran(0, "two\n"))
    with pytest.raises(AssertionError, match="status"):
        doc_sessions.compare(command, doc_sessions.Ran(1, "one\n"))
    failing = Command("page", 1, "false", ("nfsloop: no",))
    doc_sessions.compare(failing, doc_sessions.Ran(1, "nfsloop: no\n"))
    with pytest.raises(AssertionError, match="status"):
        doc_sessions.compare(failing, doc_sessions.Ran(0, "nfsloop: no\n"))
