"""What is asked of a command line that is not run whole: that all it names is there, and taken.

`check(line)` raises AssertionError with the reason. There is a rule for each program; a program
without one is an error.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

from doc_lines import ROOT, words_of

#: What prose writes for a value, where a parser wants one of its kind.
PLACEHOLDERS = {
    "N": "2", "N|auto": "2", "LEVEL": "2", "PORT": "2049", "SECONDS": "1",
    "HOST:PORT": "127.0.0.1:9", "text|json": "json",
}  # fmt: skip
#: Packages of others that pages have their readers install.
OTHERS = {"atheris", "s3fs", "pytest"}
_MOUNT_OPTIONS = """
    vers nfsvers proto mountproto mountvers port mountport mounthost nolock lock local_lock hard
    soft timeo retrans rsize wsize ro rw noac nconnect nofail _netdev noauto x-systemd.automount bg
    fg sec actimeo lookupcache noatime noresvport resvport
"""
#: mount(8) and nfs(5), as far as pages use them.
MOUNT_OPTIONS = frozenset(_MOUNT_OPTIONS.split())
UNITS = {"rpcbind", "rpcbind.socket", "rpcbind.service", "docker", "nfs-server", "prometheus"}
_SEPARATORS = re.compile(r"\s(?:\|\||\||&&|;|&)(?=\s|$)")
_TAKEN = """
import argparse, os, runpy, sys
def taken(self, *args, parse=argparse.ArgumentParser.parse_args):
    parse(self, *args)
    os._exit(77)
argparse.ArgumentParser.parse_args = taken
sys.argv = sys.argv[1:]
if sys.argv[0] == "-m":
    sys.argv.pop(0)
    sys.path.insert(0, os.getcwd())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


class _Taken(BaseException):
    """The parser has taken the arguments."""


@functools.cache
def check(line: str) -> None:
    """All commands of a line. Raises AssertionError for what is not there, or not taken."""
    for part in _SEPARATORS.split(f"{line} "):
        words = words_of(part)
        if words:
            program = words[0]
            words = shlex.split(part, comments=True)
            words = words[words.index(program) + 1 :]
            words = [PLACEHOLDERS.get(word, word) for word in words if word not in ("…", "...")]
            assert program in RULES or shutil.which(program), f"nobody checks {program}: {line}"
            RULES.get(program, _nothing)(words)


def _nothing(words: list[str]) -> None:
    """A program of the system that takes files: it is there, and that is all."""


def nfsloop(words: list[str]) -> None:
    """The command takes its arguments."""
    from nfsloop import cli

    if len(words) == 1 and words[0].isalpha():  # prose names the command, and no more
        words = [*words, "--help"]
    parse = argparse.ArgumentParser.parse_args

    def taken(self: argparse.ArgumentParser, *args: object, **kwargs: object) -> None:
        parse(self, *args, **kwargs)
        raise _Taken

    said = redirect_stdout(io.StringIO())
    with said, mock.patch.object(argparse.ArgumentParser, "parse_args", taken):
        try:
            cli.main(words)
        except _Taken:
            return
        except SystemExit as exit:
            assert exit.code == 0, f"nfsloop {shlex.join(words)}: not taken"


def python(words: list[str]) -> None:
    """A module or a program of the checkout, which takes its arguments."""
    if words[:2] == ["-m", "nfsloop"]:
        nfsloop(words[2:])
        return
    name = words[0]
    if words[:2] == ["-m", "build"]:
        assert "build-system" in tomllib.loads((ROOT / "pyproject.toml").read_text())
        return
    if name in OWN:
        OWN[name](words[1:])
        return
    if name != "-m":
        assert (ROOT / name).exists(), f"there is no {name}"
        assert "argparse" in (ROOT / name).read_text(), f"{name} needs a rule of its own"
    done = subprocess.run(
        [sys.executable, "-c", _TAKEN, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 77, f"python3 {shlex.join(words)}: not taken: {done.stderr[-600:]}"


def _run_tests(words: list[str]) -> None:
    """Arguments of tests/run.py are pytest's: they select some test."""
    files = [word for word in words if word.startswith("tests")]
    for name in files:
        assert (ROOT / name.partition("::")[0]).exists(), f"there is no {name}"
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", *words]
    if any(word.startswith("-") for word in words):
        done = subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"pytest {shlex.join(words)}: {done.stdout[-600:]}"


def _numbers(words: list[str]) -> None:
    assert all(word.isdecimal() for word in words), words


def _budget(words: list[str]) -> None:
    assert words in ([], ["--write"]) or (words[0] == "--names" and len(words) == 3), words


#: Programs that do not read their arguments with argparse.
OWN: dict[str, Callable[[list[str]], None]] = {
    "tests/run.py": _run_tests,
    "tests/flood/run_flood.py": _numbers,
    "tests/backends/kvfs/sqlite_kills.py": lambda words: _numbers(words[1:]),
    "tests/docs/record_session.py": _numbers,
    "tests/budget/budget_calls.py": _budget,
    "tests/budget/budget_instructions.py": _budget,
}


def make(words: list[str]) -> None:
    """The target is there, and what it would run is taken."""
    done = subprocess.run(
        ["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"make {shlex.join(words)}: {done.stderr}"
    for line in done.stdout.splitlines():
        check(re.sub(r"^\S*/bin/python\b", "python3", line))


VERBS_OF_INSTALLERS = ("install", "uninstall", "tool", "pip", "venv")


def install(words: list[str]) -> None:
    """What is installed is ours with extras that it has, or a package that is known here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [word for word in words if not word.startswith("-")]
    names = [word for word in names if word not in VERBS_OF_INSTALLERS]
    assert names, words
    for name in names:
        found = re.fullmatch(r"([\w./*-]+?)(?:\[([\w,]+)\])?", name)
        assert found is not None, name
        base, extras = found[1], (found[2] or "").split(",")
        ours = base in (".", project["name"]) or Path(base).name.startswith(f"{project['name']}-")
        assert ours or base in OTHERS, f"nobody knows the package {base}"
        missing = {extra for extra in extras if extra} - set(project["optional-dependencies"])
        assert not missing, f"no such extra: {missing}"


def mount(words: list[str]) -> None:
    """Its options are ones that nfs(5) has."""
    for flag, value in pairwise(words):
        if flag == "-o":
            names = {option.partition("=")[0] for option in value.split(",")}
            unknown = {name for name in names - MOUNT_OPTIONS if "…" not in name}
            assert not unknown, f"no option of mount: {unknown}"


def docker(words: list[str]) -> None:
    """Files that are built or composed are there; what is run in our image is taken by it."""
    verb, *rest = words
    assert verb in DOCKER, f"docker {verb}"
    recipe = (ROOT / "docker" / "Dockerfile").read_text()
    for flag, value in pairwise(rest):
        if flag in ("-f", "--file"):
            assert (ROOT / value).exists(), f"there is no {value}"
        if flag == "--build-arg":
            name = value.partition("=")[0]
            assert re.search(rf"^ARG {name}\b", recipe, re.MULTILINE), f"no build argument {name}"
    if verb == "compose":
        files = [value for flag, value in pairwise(rest) if flag == "-f"]
        for name in files:
            assert re.search(r"^services:", (ROOT / name).read_text(), re.MULTILINE), name
    elif verb in ("run", "exec") and "nfsloop" in rest:
        here = rest.index("nfsloop")
        nfsloop(rest[here + 1 :] or image_command())
        rest = rest[:here]
    if shutil.which("docker") and verb != "compose":
        flags = {word for word in rest if re.fullmatch(r"--[a-z-]+", word)}
        unknown = flags - _docker_flags(verb)
        assert not unknown, f"docker {verb} has no {unknown}"


@functools.cache
def _docker_flags(verb: str) -> frozenset[str]:
    done = subprocess.run(["docker", verb, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {verb}: {done.stderr}"
    return frozenset(re.findall(r"(?<=\s)--[a-z-]+", done.stdout))


def image_command() -> list[str]:
    """The arguments of nfsloop that the image has if none are given."""
    recipe = (ROOT / "docker" / "Dockerfile").read_text()
    found = re.findall(r"^CMD (\[.*\])$", recipe, re.MULTILINE)
    return [str(word) for word in json.loads(found[-1])]


DOCKER = {
    "build",
    "run",
    "exec",
    "stop",
    "start",
    "kill",
    "logs",
    "inspect",
    "compose",
    "volume",
    "rm",
}


def systemctl(words: list[str]) -> None:
    """The units are ours, or a known one of the system."""
    shipped = {path.name for path in (ROOT / "share").rglob("*") if path.is_file()}
    names = [word for word in words[1:] if not word.startswith("-")]
    for name in names:
        full = name if "." in name else f"{name}.service"
        template = re.sub(r"@[^.]*\.", "@.", full)
        assert {full, template} & shipped or name in UNITS, f"there is no unit {name}"


def man(words: list[str]) -> None:
    """The page is there."""
    for name in words:
        assert name.startswith("-") or (ROOT / name).exists(), f"there is no {name}"


def activated(words: list[str]) -> None:
    """What systemd-socket-activate starts."""
    assert "nfsloop" in words, words
    nfsloop(words[words.index("nfsloop") + 1 :])


def kubectl(words: list[str]) -> None:
    """Manifests are there."""
    for flag, value in pairwise(words):
        if flag in ("-f", "--filename", "-k"):
            assert (ROOT / value).exists(), f"there is no {value}"


def curl(words: list[str]) -> None:
    """It asks for something by HTTP."""
    urls = [word for word in words if "://" in word or re.match(r"[\w.]+:\d+/", word)]
    assert urls, words
    for url in urls:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        assert parts.scheme in ("http", "https") and parts.hostname, url


RULES: dict[str, Callable[[list[str]], None]] = {
    "nfsloop": nfsloop,
    "python": python,
    "python3": python,
    "make": make,
    "pip": install,
    "pipx": install,
    "uv": install,
    "mount": mount,
    "docker": docker,
    "systemctl": systemctl,
    "journalctl": lambda words: systemctl(["of", *words[words.index("-u") + 1 :]]),
    "man": man,
    "systemd-socket-activate": activated,
    "kubectl": kubectl,
    "curl": curl,
    "pytest": _nothing,
    "promtool": _nothing,
}
