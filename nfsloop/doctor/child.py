"""What may hang, in children with a deadline: looking at files, and running programs.

A file system whose server is gone holds whoever touches it, for ever and against SIGKILL too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

_READ_BYTES = 1 << 16
#: More than any answer has: it is about 32 exports, and what is wrong with settings.
ANSWER_BYTES = 16 << 20


def ask(function: Callable[[], T], wait: float) -> T | None:
    """What `function` gives, by JSON, in a child: it may do there with the process what it likes.
    None if it raises, or gives nothing within `wait` seconds."""
    return ask_all([function], wait)[0]


def ask_all(functions: Sequence[Callable[[], T]], wait: float) -> list[T | None]:
    """The same of several, at once."""
    until = time.monotonic() + wait
    children = [_start(function) for function in functions]
    raw = {reader: b"" for _, reader in children}
    going = set(raw)
    while going:
        ready, _, _ = select.select(going, (), (), max(0.0, until - time.monotonic()))
        if not ready:
            break
        for reader in ready:
            part = os.read(reader, _READ_BYTES)
            raw[reader] += part
            if not part:
                going.discard(reader)
            elif len(raw[reader]) > ANSWER_BYTES:
                until = 0.0
    for child, reader in children:
        os.close(reader)
        if reader in going:
            os.kill(child, signal.SIGKILL)
        # One that even SIGKILL does not end is left: waiting for it would hang too.
        os.waitpid(child, os.WNOHANG if reader in going else 0)
    return [json.loads(raw[it]) if raw[it] and it not in going else None for _, it in children]


def _start(function: Callable[[], T]) -> tuple[int, int]:
    """A child's number, and where it writes what the function gives."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nothing, number)
            with open(writer, "wb") as answer:
                answer.write(json.dumps(function()).encode())
        finally:
            os._exit(0)  # whatever was raised: nothing was answered
    os.close(writer)
    return child, reader


def run(command: Sequence[str], seconds: float) -> tuple[int | None, list[str]]:
    """The exit status of a program and what it said, in English; None if it had to be stopped.

    Raises OSError if it cannot be started.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=seconds)
    except BaseException as exc:  # its helpers are stopped too, and none is waited for
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if isinstance(exc, subprocess.TimeoutExpired):
            return None, []
        raise
    said = [line.strip() for line in out.decode("utf-8", "surrogateescape").split("\n")]
    return process.returncode, [line for line in said if line]
