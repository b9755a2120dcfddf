"""The programs that have vectors, in both forms, with the values that their vectors stand for."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import golden_vectors
import values_mount
import values_nfs3_calls
import values_nfs3_replies
import values_nlm4
from golden_vectors import Vector
from values_rpc import ALPHA, NOBODY, OMEGA, PHILOMEL

from nfsloop.mount3.mount3_xdr import MOUNT_V1, MOUNT_V3
from nfsloop.nfs3.nfs3_xdr import NFS_V3
from nfsloop.nlm4.nlm4_xdr import NLM4_VERS
from oncrpc.message import Credential
from oncrpc.program import Proc, Program
from oncrpc.rpcgen import dynamic

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Subject:
    """One version of one program: its generated table, its vectors and their values."""

    constant: str
    generated: Program
    source: str
    vectors: str
    calls: dict[str, Any]
    replies: dict[str, Any]
    #: The credentials that its calls carry.
    credentials: tuple[Credential, ...]

    @property
    def dynamic(self) -> Program:
        """The same program from its .x file, through xdrlib3."""
        program: Program = _load(self.source).programs[self.constant]
        return program

    def of(self, kind: str) -> list[Vector]:
        """Its vectors of a kind, in the order of the file."""
        vectors = golden_vectors.load(self.vectors).values()
        return [v for v in vectors if v.kind == kind and v.program == self.constant]

    def value(self, vector: Vector) -> Any:
        """The value that a vector stands for. Raises KeyError if the table lacks it."""
        table = self.calls if vector.kind == "call" else self.replies
        return table[vector.title.removeprefix(f"{self.constant}.")]

    def proc(self, program: Program, name: str) -> Proc:
        """A procedure of `program`, this one in either form, by name."""
        return next(proc for proc in program.procs.values() if proc.name == name)


@cache
def _load(source: str) -> dynamic.Module:
    return dynamic.load(ROOT / source)


SUBJECTS: dict[str, Subject] = {
    subject.constant: subject
    for subject in (
        Subject(
            "NFS_V3",
            NFS_V3,
            "nfsloop/nfs3/nfs3.x",
            "nfs3.txt",
            values_nfs3_calls.CALLS,
            values_nfs3_replies.REPLIES,
            (ALPHA,),
        ),
        Subject(
            "MOUNT_V3",
            MOUNT_V3,
            "nfsloop/mount3/mount3.x",
            "mount.txt",
            values_mount.V3_CALLS,
            values_mount.V3_REPLIES,
            (PHILOMEL, NOBODY),
        ),
        Subject(
            "MOUNT_V1",
            MOUNT_V1,
            "nfsloop/mount3/mount3.x",
            "mount.txt",
            values_mount.V1_CALLS,
            values_mount.V1_REPLIES,
            (PHILOMEL, NOBODY),
        ),
        Subject(
            "NLM4_VERS",
            NLM4_VERS,
            "nfsloop/nlm4/nlm4.x",
            "nlm4.txt",
            values_nlm4.CALLS,
            values_nlm4.REPLIES,
            (OMEGA,),
        ),
    )
}


def every(kind: str) -> list[Vector]:
    """The vectors of a kind of all programs."""
    return [vector for subject in SUBJECTS.values() for vector in subject.of(kind)]


def plain(value: Any) -> Any:
    """A value without its classes, so that the two forms of a program can be compared."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return type(value).__name__, fields
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, enum.IntEnum):
        return value.name, int(value)
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value
