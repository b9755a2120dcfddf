"""The man page, the completions and the units: whole, current, and taken by those who read them."""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nfsloop import cli

ROOT = Path(__file__).resolve().parents[2]
SHARE = ROOT / "share"
MAN = SHARE / "man/man1/nfsloop.1"
COMPLETIONS = {
    "bash": SHARE / "bash-completion/completions/nfsloop",
    "zsh": SHARE / "zsh/site-functions/_nfsloop",
    "fish": SHARE / "fish/vendor_completions.d/nfsloop.fish",
}
UNITS = ("nfsloop.service", "nfsloop.socket", "nfsloop@.service")

STALE = "is not what the parser says: run share/generate.py"


def needs(program: str, package: str) -> str:
    """The path of a Debian package's program; skips, or fails where it must not be missing."""
    found = shutil.which(program)
    if found is None:
        why = f"{program} (package {package}) is missing"
        (pytest.fail if os.environ.get("NFSLOOP_REQUIRE_PEERS") else pytest.skip)(why)
    return str(found)


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command with its parser."""
    for action in cli.parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            yield from action.option_strings


# Current


def plain(roff: str) -> str:
    """What a page says, without its markup."""
    text = re.sub(r"\\f[BIR]|\\[,/&]", "", roff).replace("\\-", "-").replace("\\e", "\\")
    return " ".join(text.split())


def test_the_man_page_has_every_command_option_and_help() -> None:
    page = plain(MAN.read_text())
    found = list(commands())
    assert len(found) >= 6
    for name, parser in found:
        start = page.index(f".SS nfsloop {name} ")
        part = page[start : page.index(".S", start + 3)]
        for option in options(parser):
            if option not in {"-h", "--help"}:
                assert re.search(rf"(?<!\S){option}[ ,]", part), f"{name} {option}: {STALE}"
        for action in parser._actions:
            if action.help and "--help" not in action.option_strings:
                text = " ".join((action.help % vars(action)).split())
                assert text in part, f"{name} {action.dest}: {STALE}"
        assert " ".join(str(parser.description).split()) in part, f"{name}: {STALE}"


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_a_completion_has_every_command_and_option(shell: str) -> None:
    text = COMPLETIONS[shell].read_text()
    for name, parser in commands():
        assert re.search(rf"\b{name}\b", text), f"{name}: {STALE}"
        for option in options(parser):
            # fish has them without dashes: -l state, -s o
            word = option.lstrip("-") if shell == "fish" else option
            assert re.search(rf"(?<![\w-]){re.escape(word)}\b", text), f"{option}: {STALE}"


def test_the_version_is_in_one_place() -> None:
    """pyproject.toml has it; the change log's first entry and the man page are of it."""
    project = (ROOT / "pyproject.toml").read_text()
    versions = re.findall(r'^version = "(\d+\.\d+\.\d+)"$', project, re.MULTILINE)
    assert len(versions) == 1
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    found = re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)", released[0])
    assert found is not None and found[1] == versions[0], released
    title = f'.TH NFSLOOP "1" "{found[2]}" "nfsloop {found[1]}" "System administration"'
    assert MAN.read_text().splitlines()[0] == title, STALE


def test_the_generator_makes_them(tmp_path: Path) -> None:
    """With whatever versions of its libraries are here, so their bytes are not compared."""
    done = subprocess.run(
        [sys.executable, str(SHARE / "generate.py"), str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {path.relative_to(SHARE) for path in (MAN, *COMPLETIONS.values())}


# Taken by their readers


def test_the_man_page_renders_without_a_warning() -> None:
    groff = needs("groff", "groff-base")
    argv = [groff, "-man", "-Tutf8", "-ww", "-rLL=80n", str(MAN)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    headings = re.findall(r"^([A-Z][A-Z ]+)$", text, re.MULTILINE)
    assert headings == [
        "NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "SIGNALS", "EXIT STATUS", "FILES",
        "ENVIRONMENT", "EXAMPLES", "SEE ALSO",
    ]  # fmt: skip
    assert "nfsloop - an NFS version 3 server" in " ".join(text.split())


def typed(argv: Sequence[str], setup: str, keys: str, wanted: str) -> str:
    """Type into a shell on a terminal, until it shows `wanted`; what it has shown since `keys`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", PS1="", HISTFILE="")
        os.execv(argv[0], list(argv))
    try:
        os.write(terminal, f"{setup}; echo set''up\n".encode())
        read_until(terminal, "setup\r")
        os.write(terminal, keys.encode())
        return read_until(terminal, wanted)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def read_until(terminal: int, wanted: str) -> str:
    shown, deadline = "", time.monotonic() + 20
    while wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {wanted!r} in {shown!r}"
        shown += os.read(terminal, 65536).decode(errors="replace")
        shown = re.sub("[^\x08]\x08", "", shown)
    return shown


TYPED = {
    "nfsloop se\t": "nfsloop serve ",
    "nfsloop serve --rpcb\tbu\t": "--rpcbind builtin ",
    "nfsloop serve --config OnlyF\t": "--config OnlyFile.toml ",
    "nfsloop status --state OnlyD\t": "--state OnlyDirectory/",
}
SETUPS = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; source {file}",
    ),
    "zsh": (
        ["-f", "-i"],
        "unsetopt zle_bracketed_paste prompt_sp; fpath=({file:h} $fpath); autoload -U compinit; "
        "compinit -u -D",
    ),
}


@pytest.mark.parametrize("shell", SETUPS)
def test_a_shell_completes(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = needs(shell, shell)
    (tmp_path / "OnlyFile.toml").touch()
    (tmp_path / "OnlyDirectory").mkdir()
    monkeypatch.chdir(tmp_path)
    flags, setup = SETUPS[shell]
    file = COMPLETIONS[shell]
    setup = setup.replace("{file:h}", str(file.parent)).replace("{file}", str(file))
    for keys, wanted in TYPED.items():
        typed([program, *flags], setup, keys, wanted)


def test_fish_completes() -> None:
    fish = needs("fish", "fish")
    for line, wanted in {
        "nfsloop se": "serve",
        "nfsloop serve --rpcb": "--rpcbind",
        "nfsloop serve --rpcbind bu": "builtin",
    }.items():
        script = f"source {COMPLETIONS['fish']}; complete -C '{line}'"
        argv = [fish, "--no-config", "-c", script]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert [said.split("\t")[0] for said in done.stdout.splitlines()] == [wanted]


# The units


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As they are, but that the command is there: where it will be, verify cannot know."""
    folder = tmp_path_factory.mktemp("units")
    for name in UNITS:
        text = (SHARE / "systemd" / name).read_text()
        (folder / name).write_text(re.sub(r"(?m)^(Exec\w+)=nfsloop ", r"\1=/bin/true ", text))
        (folder / name).chmod(0o644)  # tests may have no umask, and systemd tells of it
    return folder


def test_systemd_takes_the_units(units: Path) -> None:
    analyze = needs("systemd-analyze", "systemd")
    names = [str(units / name.replace("@", "@files")) for name in UNITS]
    argv = [analyze, "verify", "--man=yes", *names]
    env = {**os.environ, "MANPATH": f"{SHARE / 'man'}:"}
    done = subprocess.run(
        argv, capture_output=True, text=True, env=env, timeout=60, check=False
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "nfsloop" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_verify_would_say_what_is_wrong(units: Path, tmp_path: Path) -> None:
    analyze = needs("systemd-analyze", "systemd")
    text = (units / "nfsloop.service").read_text().replace("ProtectSystem=strict", "ProtectSys=1")
    (tmp_path / "nfsloop.service").write_text(text)
    argv = [analyze, "verify", "--man=no", str(tmp_path / "nfsloop.service")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "ProtectSys" in done.stderr


@pytest.mark.parametrize(("name", "most"), [("nfsloop.service", 4.0), ("nfsloop@.service", 2.0)])
def test_exposure_stays_low(name: str, most: float, units: Path, tmp_path: Path) -> None:
    """`systemd-analyze security`: from 10.0, a service with nothing, down to 0."""
    analyze = needs("systemd-analyze", "systemd")
    unit = tmp_path / name.replace("@", "@files")
    unit.write_text((units / name).read_text())
    argv = [analyze, "security", "--offline=true", "--no-pager", str(unit)]
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60, check=False)
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= most


def settings_of(name: str) -> dict[str, str]:
    """A unit's settings, the last of each name."""
    lines = (SHARE / "systemd" / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line[:1].isalpha())


@pytest.mark.parametrize("name", ["nfsloop.service", "nfsloop@.service"])
def test_a_unit_has_the_patience_that_the_server_needs(name: str) -> None:
    from nfsloop.config import STOP_SECONDS
    from nfsloop.limits import STOP_REST_SECONDS

    unit = settings_of(name)
    assert unit["TimeoutStartSec"] == "infinity", "a long start is killed, again and again"
    assert float(unit["TimeoutStopSec"]) >= 2 * (STOP_SECONDS + STOP_REST_SECONDS)
    # Starts that fail at once: what is awaited, such as a directory, has some minutes to come.
    pause, burst = float(unit["RestartSec"]), int(unit["StartLimitBurst"])
    assert pause * burst >= 120
    assert pause * burst < float(unit["StartLimitIntervalSec"]), "then it never gives up"
