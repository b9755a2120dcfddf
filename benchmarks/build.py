"""The C programs: where their sources are, and the compiler."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .errors import BenchError, Unavailable

HERE = Path(__file__).resolve().parent
COMPILE_SECONDS = 120


def compiler() -> str:
    """The C compiler: $CC, cc, gcc or clang. Raises `BenchError` if there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (path := shutil.which(name)):
            return path
    raise BenchError(
        "the load generator is a C program and there is no C compiler:"
        " install gcc and libc6-dev (Debian), or name one in $CC"
    )


def cache() -> Path:
    """Where compiled programs lie: a directory of this user alone, beneath the temporary one."""
    path = Path(tempfile.gettempdir()) / f"nfsloop-bench-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022 or path.is_symlink():
        raise BenchError(f"{path} is not ours alone: remove it, or set $TMPDIR")
    return path


def program(source: Path) -> Path:
    """`source`, compiled; what was compiled from the same text before is taken again.

    Raises `BenchError` without a compiler or when it refuses, `Unavailable` without the source.
    """
    try:
        text = source.read_bytes()
    except OSError as exc:
        raise Unavailable(f"{source}: {exc.strerror}") from exc
    cc = compiler()
    name = hashlib.sha256(text + cc.encode()).hexdigest()[:16]
    made = cache() / f"{source.stem}-{name}"
    if made.exists():
        return made
    unfinished = made.with_suffix(f".{os.getpid()}")
    argv = [cc, "-O2", "-o", str(unfinished), str(source)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
    )
    if done.returncode:
        raise BenchError(f"{' '.join(argv)} failed:\n{done.stderr.strip()}")
    unfinished.rename(made)
    return made


def load_source(perf: Path | None) -> Path:
    """The generator: this project's, or the `nfsload.c` of `perf`."""
    return HERE / "load.c" if perf is None else perf / "nfsload.c"


def floor_source(perf: Path | None) -> Path:
    """The floor: this project's, or the `nfslimit.c` of `perf`."""
    return HERE / "floor.c" if perf is None else perf / "nfslimit.c"
