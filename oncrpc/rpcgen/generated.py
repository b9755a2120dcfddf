"""The .x files of this project and what is generated from them: one place for all who need it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Generated:
    """One .x file; paths are relative to the project's root."""

    source: str
    encoded: tuple[str, ...] = ()

    @property
    def out(self) -> str:
        """The module that is generated from it."""
        return default_out(self.source)


def default_out(source: str) -> str:
    """``nfs3.x`` gives ``nfs3_xdr.py``, in the same folder."""
    path = Path(source)
    return str(path.with_name(f"{path.stem.replace('-', '_')}_xdr.py"))


GENERATED = (
    Generated("nfsloop/nfs3/nfs3.x", ("fattr3", "wcc_attr")),
    Generated("nfsloop/mount3/mount3.x"),
    Generated("nfsloop/nlm4/nlm4.x"),
    Generated("portmap/portmap.x"),
    Generated("oncrpc/session.x"),
    Generated("examples/lock/lock.x"),
)
