"""Pages as sessions: what their readers have before they begin, and how each line is run.

A line is run in the page's sandbox, or in a machine that mounts (`play` yields it), or, for a
reason that `CHECKED` gives, only checked by the rule of its program (doc_rules).
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Generator
from dataclasses import dataclass

import doc_rules
from doc_lines import Command, files, session, words_of
from doc_sandbox import Sandbox, SandboxError, Server

CLONE = "cd nfsloop"
DATA = "mkdir -p /srv/data; echo hello > /srv/data/hello"

#: A page -> what its reader has, as a script. Files that a page has written are there too.
_ARCHIVE = "echo hi > one; python -m zipfile -c"
SET_UP = {
    "README.md": f"{DATA}; mkdir dir",
    "docs/commands.md": DATA,
    "docs/installing.md": DATA,
    "docs/writing-a-backend.md": "cp nfsloop/examples/readwrite.py .",
    "docs/configuration.md": (
        f"{DATA}; cp nfsloop/docs/nfsloop.toml /etc\n"
        "printf '[[export]]\\npath = \"/srv/data\"\\n' >> /etc/nfsloop.toml"
    ),
    "docs/fsspec.md": f"{DATA}; {_ARCHIVE} /srv/a.zip one",
    "docs/layers.md": DATA,
    "docs/metrics.md": DATA,
    "docs/tracing.md": DATA,
    "docs/watching.md": DATA,
    "docs/wraps.md": f"{DATA}; mkdir /srv/home; {_ARCHIVE} photos.zip one; cp *.zip manual.zip",
    "docs/mounting.md": "mkdir /EXPORT tree",
    "docker/README.md": "mkdir -p /export /state",
    "docs/workers.md": DATA,
}
#: A page -> what runs beside, by the port of 127.0.0.1 that it listens on.
BESIDE = {
    "docs/fsspec.md": {
        9000: "python nfsloop/tests/backends/objects/s3_server.py 127.0.0.1 9000",
        8000: "python -m http.server --bind 127.0.0.1 --directory /srv 8000",
    },
}
#: A page -> the server that its reader has running when he begins.
RUNNING = {
    "docs/mounting.md": "nfsloop serve --port 12049 /EXPORT /home/me/tree",
    "docs/tracing.md": "nfsloop serve /srv/data",
    "docs/watching.md": "nfsloop serve /srv/data",
}
#: Pages whose lines are typed in the checkout.
IN_CLONE = frozenset(
    [
        "README.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "docs/benchmarks.md",
        "docs/benchmarks-kernel.md",
        "docs/crash.md",
        "docs/fuzzing.md",
        "docs/installing.md",
        "docs/limits.md",
        "docs/scale.md",
        "docs/simulator.md",
        "docker/README.md",
    ]
)
#: A line (a regular expression) that is only checked, and why.
CHECKED = {
    r"(pip|pipx|uv) ": "installs from the net; tests/packaging installs the wheel",
    r"make ": "runs what other lines run",
    r"python3? tests/run\.py": "runs this test",
    r"man ": "is for a reader; tests/packaging formats the page",
    r"systemd-socket-activate ": "waits for a client; tests/packaging hands over sockets",
    r"python3? -m benchmarks": "minutes; tests/benchmarks runs them small",
    r"python3? tests/flood/run_flood\.py": "a minute; tests/flood runs it small",
    r"python3? tests/budget/budget_calls\.py --write": "changes the budgets",
    r"python3? tests/fuzz/fuzz\.py .*--(engine|replay)": "needs atheris, and findings",
    r"docker ": "needs an engine; tests/container runs the image",
    r"kubectl ": "needs a cluster",
    r"(systemctl|journalctl) ": "needs systemd; tests/packaging runs the units in one",
}
#: What takes long with its number, and another number.
LOWERED = (
    (r"(tests/fuzz/fuzz\.py.*) --seconds \d+", r"\1 --seconds 0.5"),
    (r"(tests/sim/simulator\.py.*--seeds) \d+", r"\1 3"),
    (r"(tests/crash/kills\.py.*--kills) \d+", r"\1 1"),
    (r"(nfsloop trace(?!.*--help).*?) --seconds \d+", r"\1"),
    (r"nfsloop trace\b(?!.*--help)", "nfsloop trace --seconds 0.5"),
    (r"(nfsloop top(?!.*--(once|help)).*?) --count \d+", r"\1"),
    (r"(nfsloop top\b.*) --interval \d+", r"\1 --interval 0.1"),
    (r"nfsloop top\b(?!.*--(once|help))", "nfsloop top --interval 0.1 --count 2"),
    (r"(pytest -q test_scratch\.py)", r"\1 -k becomes_free"),  # tests/examples runs all of it
)
#: Lines that are right to fail, and their exit status.
FAILS = {
    r"python3 tests/sim/simulator\.py .*--bug": 1,
    r"nfsloop trace .*\| grep": 1,  # nobody calls meanwhile
    r"nfsloop trace .*lokup": 1,
}
#: Lines that are for storage that nobody serves.
WITHOUT_SERVER = r"nfsloop fsck"


@dataclass(frozen=True, slots=True)
class Ran:
    """A line's exit status and all that it printed."""

    status: int
    printed: str


def is_checked(line: str) -> bool:
    """Whether a line is not run."""
    typed = " ".join(words_of(line))
    return any(re.match(pattern, typed) for pattern in CHECKED)


def is_clients(line: str) -> bool:
    """Whether a line is typed on a machine that mounts: what mounts, and what is done there."""
    words = words_of(line)
    mounts = words[0] in ("mount", "umount") or words[:2] in (
        ["nfsloop", "mount"], ["nfsloop", "umount"],
    )  # fmt: skip
    return mounts or re.search(r"(?<!\S)/mnt\b", line) is not None


def is_server(line: str) -> bool:
    """Whether a line starts a server, and does not end."""
    words = [word for word in words_of(line) if word not in ("python3", "-m")]
    return words[:2] == ["nfsloop", "serve"] and "--help" not in words


def lowered(line: str) -> str:
    """The line with a number that fits a test."""
    for pattern, other in LOWERED:
        line = re.sub(pattern, other, line)
    return line


def matches(shown: tuple[str, ...], printed: list[str]) -> bool:
    """Whether a page shows what was printed: `…` stands for anything, alone for any lines."""
    pattern = "".join(
        "(?:.*\n)*" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
        for line in shown
    )
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in printed)) is not None


def compare(command: Command, ran: Ran) -> None:
    """Raises AssertionError where a line did other than its page says.

    Where the page shows an error and nothing else, the line is to fail.
    """
    error = command.output and all(line.startswith("nfsloop: ") for line in command.output)
    wanted = next((FAILS[line] for line in FAILS if re.match(line, command.line)), int(bool(error)))
    said = f"{command}\nprinted {ran.printed}"
    assert ran.status == wanted, f"{said}exit status {ran.status}, not {wanted}"
    if command.output:
        shown = "\n".join(command.output)
        printed = ran.printed.rstrip("\n").split("\n")
        assert matches(command.output, printed), f"{said}but shown is\n{shown}"


def has_clients(page: str) -> bool:
    """Whether a page needs a machine that mounts."""
    return any(is_clients(command.line) for command in session(page))


def prepare(page: str, sandbox: Sandbox) -> None:
    """What the reader has: files that the page has him write, and those of `SET_UP`."""
    for name, body in files(page).items():
        sandbox.write(name, body)
    if page in SET_UP:
        sandbox.set_up(SET_UP[page])
    for port, line in BESIDE.get(page, {}).items():
        sandbox.background(line, port)
    if page in IN_CLONE:
        sandbox.cwd += "/nfsloop"


def play(page: str, sandbox: Sandbox, address: str = "") -> Generator[str, Ran, None]:
    """Do what the page says. Yields the lines for a machine that mounts, and is sent how they ran.

    A server that listens on 127.0.0.1, and is mounted, listens on `address` instead. It ends when
    the next is started, as if its reader had pressed Ctrl-C. Raises AssertionError or SandboxError.
    """
    prepare(page, sandbox)
    server = sandbox.start(RUNNING[page]) if page in RUNNING else None
    if server is not None:
        server.read_until(prints_a_mount_command)
    try:
        commands = session(page)
        for number, command in enumerate(commands):
            line = lowered(command.line)
            if is_checked(line):
                doc_rules.check(line)
                inside = in_container(line)
                if inside is not None and is_mounted(commands[number + 1 :]):
                    stop(server)
                    server = sandbox.start(inside)
                    server.read_until(prints_a_mount_command)
            elif is_clients(line):
                compare(command, (yield line))
            elif is_server(line):
                stop(server)
                if address and is_mounted(commands[number + 1 :]):
                    line = line.replace("127.0.0.1", address)
                server = sandbox.start(line)
                server.read_until(is_ready(command))
            else:
                if re.match(WITHOUT_SERVER, line):
                    stop(server)
                    server = None
                done = sandbox.run(line)
                compare(command, Ran(done.returncode, done.stdout))
        stop(server)
        server = None
    finally:
        if server is not None:
            server.process.kill()


def is_mounted(rest: list[Command]) -> bool:
    """Whether a client uses a server before the next is started."""
    lines = itertools.takewhile(lambda line: not is_server(line), (one.line for one in rest))
    return any(map(is_clients, lines))


def is_ready(command: Command) -> Callable[[list[str]], bool]:
    """What a server prints last: what the page shows, or a mount command."""
    if command.output:
        return lambda printed: matches(command.output, printed)
    return prints_a_mount_command


def prints_a_mount_command(printed: list[str]) -> bool:
    """Whether a server serves, and has told how its first export is mounted."""
    return any(line.lstrip().startswith("mount -t nfs") for line in printed)


def in_container(line: str) -> str | None:
    """The server that `docker run` starts in our image; tests/container does that in truth."""
    words = shlex.split(line, comments=True)
    if words[:2] != ["docker", "run"] or "nfsloop" not in words:
        return None
    given = words[words.index("nfsloop") + 1 :]
    return shlex.join(["nfsloop", *(given or doc_rules.image_command())])


def stop(server: Server | None) -> None:
    """SIGTERM ends a server in order."""
    if server is not None and (status := server.stop()) != 0:
        raise SandboxError(f"{server.line}: exit {status} after SIGTERM: {server.printed}")
