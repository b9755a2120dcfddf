"""`nfsloop check`, and what a start with broken files says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from nfs_process import directory_of, run


@pytest.fixture
def place() -> Iterator[Path]:
    with directory_of(None) as path:
        yield path


def test_check_says_what_would_be_exported(place: Path) -> None:
    """And starts nothing: no state directory is made."""
    file = place / "exports"
    file.write_text(
        f"{place / 'export'} 127.0.0.0/8(rw) localhost(ro)\n"
        "/m *(rw,anonuid=5,storage=memory:,no_subtree_check)\n"
    )
    status, out, errors = run("check", "--exports", str(file))
    assert (status, errors) == (0, "")
    assert out.splitlines() == [
        f"{file}:2:35: warning: 'no_subtree_check' is ignored: handles need no such check here",
        f"{place / 'export'}: {(place / 'export').resolve()}",
        "    127.0.0.0/8 (rw,root_squash,secure)",
        "    localhost (ro,root_squash,secure)",
        "/m: memory:",
        "    * (rw,root_squash,secure,anonuid=5)",
        "no errors",
    ]
    status, out, _ = run("check", "-o", "ro", str(place / "export"))
    assert status == 0 and "    * (ro,root_squash)" in out


def test_check_says_all_that_is_wrong(place: Path) -> None:
    file, toml = place / "exports", place / "n.toml"
    file.write_text("/a *(rx,storage=memory:)\nb *\n/none/such *\n")
    toml.write_text(f'prot = 5\nexports = ["{file}"]\n')
    status, out, errors = run("check", "--config", str(toml))
    assert (status, out) == (1, "")
    assert [line.split(": ")[0] for line in errors.splitlines()] == [
        f"{toml}:1", f"{file}:1:6", f"{file}:2:1", f"{file}:3:1", "4 errors",
    ]  # fmt: skip


def test_check_of_names_that_nobody_knows(place: Path) -> None:
    """They are no error: who has a name may change while the server runs."""
    file = place / "exports"
    file.write_text("/m no.such.host.invalid(rw,storage=memory:)\n")
    status, out, errors = run("check", "--exports", str(file))
    assert (status, errors) == (0, "")
    assert "warning: no.such.host.invalid has no address" in out


@pytest.mark.parametrize("verb", ["serve", "check"])
def test_a_start_with_broken_files(place: Path, verb: str) -> None:
    """Each error on a line of its own, with its place; and nothing is served."""
    file = place / "exports"
    file.write_text("/a *(rx,storage=memory:)\nb *\n")
    state = ["--state", str(place / "state")] if verb == "serve" else []
    status, out, errors = run(verb, "--exports", str(file), *state)
    assert (status, out) == (1, "")
    assert f"{file}:1:6: unknown export option 'rx'" in errors
    assert f"{file}:2:1: an export begins with a path" in errors
    assert "Traceback" not in errors and not (place / "state").exists()
    status, out, errors = run(verb, "--config", str(place / "none"), *state)
    assert (status, out) == (1, "") and f"{place / 'none'}: No such file" in errors


def test_the_verbs_have_help() -> None:
    for verb in ("serve", "check", "reload"):
        status, out, errors = run(verb, "--help")
        assert (status, errors) == (0, "")
        assert "--config" in out and max(map(len, out.splitlines())) <= 100
