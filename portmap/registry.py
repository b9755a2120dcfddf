"""The table behind the portmapper and rpcbind: who listens where (RFC 1833). No I/O.

Where the RFC is silent this table does what Debian's rpcbind 1.2.6 does (`map_set`, `map_unset` and
`find_service` of its rpcb_svc_com.c, and seen on the wire):

* SET of what is registered already at the same address succeeds, so that a retransmitted SET gets
  the first one's answer; at another address it fails.
* UNSET of what is not registered succeeds; of what another owner registered it fails.
* A lookup of a program in a version that is not registered finds another version of it on the
  same transport, the one registered last: a call there is answered PROG_MISMATCH with the versions
  that there are, which tells the caller more than silence.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from portmap.portmap_xdr import RPCBSTAT_HIGHPROC, RPCBVERS_STAT
from portmap.uaddr import NETIDS, from_uaddr

#: Registrations; one more is refused. A DUMP of so many (at most 96 bytes each) fits a datagram.
REGISTRATIONS = 512

#: Programs asked for, and indirect calls refused, that GETSTAT tells apart, for each version.
STATISTICS_ENTRIES = 128

#: The owner who may take back anybody's registration.
SUPERUSER = "superuser"

#: The owner of what came from a process that cannot be told.
UNKNOWN = "unknown"

_INT_MAX = 0x7FFFFFFF


class Registration(NamedTuple):
    """A program's version on one transport: RFC 1833's `rpcb`."""

    program: int
    version: int
    netid: str
    uaddr: str
    owner: str = SUPERUSER

    @property
    def key(self) -> tuple[int, int, str]:
        """What is registered at most once (RFC 1833 section 2.2.1, RPCBPROC_SET)."""
        return self.program, self.version, self.netid

    @property
    def address(self) -> tuple[str, int]:
        """Host and port. Raises AddressError."""
        return from_uaddr(self.netid, self.uaddr)

    def __str__(self) -> str:
        return f"program {self.program} version {self.version} at {self.netid} {self.uaddr}"


class Registry:
    """Registrations in the order of their coming."""

    def __init__(self, limit: int = REGISTRATIONS) -> None:
        self._limit = limit
        self._table: dict[tuple[int, int, str], Registration] = {}

    def __len__(self) -> int:
        return len(self._table)

    def set(self, new: Registration) -> bool:
        """Register; False if it is taken at another address, or the table is full.

        Raises AddressError if the netid is none of ours or the address none of its.
        """
        from_uaddr(new.netid, new.uaddr)
        old = self._table.get(new.key)
        if old is not None:
            return old.uaddr == new.uaddr
        if len(self._table) >= self._limit:
            return False
        self._table[new.key] = new
        return True

    def unset(
        self,
        program: int,
        version: int,
        netids: Collection[str] = tuple(NETIDS),
        owner: str = SUPERUSER,
    ) -> bool:
        """Take registrations back, on behalf of `owner`; True also if there were none.

        False, and nothing is taken back, if one of them is another owner's.
        """
        keys = [(program, version, netid) for netid in netids]
        found = [self._table[key] for key in keys if key in self._table]
        if owner != SUPERUSER and any(entry.owner != owner for entry in found):
            return False
        for entry in found:
            del self._table[entry.key]
        return True

    def find(self, program: int, version: int, netid: str) -> Registration | None:
        """Where `program` listens on `netid`: in `version`, or else in the one registered last."""
        exact = self._table.get((program, version, netid))
        if exact is not None:
            return exact
        for entry in reversed(self._table.values()):
            if entry.program == program and entry.netid == netid:
                return entry
        return None

    def find_version(self, program: int, version: int, netid: str) -> Registration | None:
        """Where exactly this version listens on `netid` (RPCBPROC_GETVERSADDR)."""
        return self._table.get((program, version, netid))

    def family(self, program: int, version: int, family: str) -> list[Registration]:
        """All transports of one protocol family that have this version (RPCBPROC_GETADDRLIST)."""
        return [
            entry
            for netid in NETIDS.values()
            if netid.family == family
            and (entry := self._table.get((program, version, netid.name))) is not None
        ]

    def dump(self) -> list[Registration]:
        """All of them."""
        return list(self._table.values())


class Lookups:
    """How often lookups of one key succeeded and failed."""

    __slots__ = ("failure", "success")

    def __init__(self) -> None:
        self.success = 0
        self.failure = 0


class Statistics:
    """What GETSTAT tells of one version (RFC 1833 section 2.1, `rpcb_stat`); counts stay ints."""

    def __init__(self) -> None:
        self.calls = [0] * RPCBSTAT_HIGHPROC
        self.sets = 0
        self.unsets = 0
        #: (program, version, netid) -> lookups of its address.
        self.lookups: dict[tuple[int, int, str], Lookups] = {}
        #: (program, version, procedure, whether by INDIRECT, netid) -> calls refused.
        self.refused: dict[tuple[int, int, int, bool, str], int] = {}

    def called(self, proc: int) -> None:
        """A call of procedure `proc` came in."""
        self.calls[proc] = min(self.calls[proc] + 1, _INT_MAX)

    def was_set(self) -> None:
        """A SET succeeded."""
        self.sets = min(self.sets + 1, _INT_MAX)

    def was_unset(self) -> None:
        """An UNSET succeeded."""
        self.unsets = min(self.unsets + 1, _INT_MAX)

    def looked_up(self, program: int, version: int, netid: str, found: bool) -> None:
        """An address was asked for; forgotten if too many different ones were."""
        key = program, version, netid
        entry = self.lookups.get(key)
        if entry is None:
            if len(self.lookups) >= STATISTICS_ENTRIES:
                return
            entry = self.lookups[key] = Lookups()
        if found:
            entry.success = min(entry.success + 1, _INT_MAX)
        else:
            entry.failure = min(entry.failure + 1, _INT_MAX)

    def was_refused(
        self, program: int, version: int, proc: int, indirect: bool, netid: str
    ) -> None:
        """An indirect call was refused; forgotten if too many different ones were."""
        key = program, version, proc, indirect, netid
        if key in self.refused or len(self.refused) < STATISTICS_ENTRIES:
            self.refused[key] = min(self.refused.get(key, 0) + 1, _INT_MAX)


def statistics() -> list[Statistics]:
    """One for each of the versions 2, 3 and 4, in GETSTAT's order."""
    return [Statistics() for _ in range(RPCBVERS_STAT)]
