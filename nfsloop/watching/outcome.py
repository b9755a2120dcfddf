"""How a call has ended, by its reply; and where that, and its export, stand on the wire.

Who counts calls (`nfsloop.watching.meter`) and who tells of them (`nfsloop.watching.trace`) ask
here, so that they agree on what fails. No state, no I/O.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nfsloop.mount3 import mount3_xdr as m
from nfsloop.nfs3.nfs3_xdr import NFS_V3, nfsstat3
from nfsloop.nlm4 import nlm4_xdr as n
from nfsloop.watching.snapshot import OTHERS
from oncrpc.errors import AuthError, MessageError, ProgMismatch, Refusal, RpcMismatch, SystemErr
from oncrpc.message import read_reply
from oncrpc.program import Proc, Program
from oncrpc.xdr import Buffer
from portmap import portmap_xdr as p

#: The header of an accepted reply whose verifier is empty: results begin there.
ACCEPTED_BYTES = 24

#: The header of a call whose credential is empty, and whose verifier is, as it has to be.
CALL_BYTES = 40

#: Where the export's number (see `nfsloop.handle`) stands in such a call of NFS, all of whose
#: arguments begin with a handle: behind the handle's length and its first word.
EXPORT_AT = CALL_BYTES + 4 + 4

#: The word that says "well" where a status is expected, and "accepted" in a header.
OK_WORD = bytes(4)

_word = struct.Struct(">I").unpack_from


def arguments_at(record: Buffer) -> int:
    """Where a call's arguments begin."""
    size = _word(record, 28)[0] if len(record) >= 32 else 0
    return CALL_BYTES + (size + 3 & ~3)


def export_number(record: Buffer) -> int | None:
    """The number of the export that a call of NFS is about, if it says one."""
    at = arguments_at(record) + EXPORT_AT - CALL_BYTES
    word = bytes(record[at : at + 4])
    return int(_word(word)[0]) if len(word) == 4 else None


class Outcome(NamedTuple):
    """How a call ended: its status as the protocol calls it; the same without a prefix, as it is
    counted, empty where nothing failed; whether it was refused, before any procedure."""

    status: str
    label: str = ""
    refused: bool = False


OK = Outcome("OK")

#: Of results that end before their status.
NO_STATUS = Outcome("no status", OTHERS)


class Statuses:
    """What the results of a procedure begin with: by that word, or by the one behind a cookie
    (`behind`), the outcome. Other words have `other`; if that is None, they are no status."""

    __slots__ = ("behind", "ok", "other", "outcomes")

    def __init__(
        self, outcomes: Mapping[int, Outcome], other: Outcome | None = None, behind: bool = False
    ) -> None:
        self.outcomes = outcomes
        self.other = other
        self.behind = behind
        #: Results that begin so are well, for who is in a hurry; no result does where it is empty.
        self.ok = OK_WORD if outcomes.get(0) is OK and not behind else b""

    def outcome(self, parts: list[Buffer]) -> Outcome:
        """Of an accepted reply."""
        head, at = parts[0], ACCEPTED_BYTES
        if self.behind:
            head = b"".join(parts)
        elif len(head) <= ACCEPTED_BYTES and len(parts) > 1:  # not all in one, as replies are kept
            head, at = parts[1], 0
        try:
            if self.behind:
                at += 4 + (_word(head, at)[0] + 3 & ~3)
            number = _word(head, at)[0]
        except struct.error:
            return NO_STATUS
        return self.outcomes.get(number) or self.other or Outcome(f"status {number}", OTHERS)


def _outcomes(names: Iterable[tuple[int, str]], prefix: str) -> dict[int, Outcome]:
    return {0: OK} | {
        number: Outcome(name, name.removeprefix(prefix)) for number, name in names if number
    }


_NFS = Statuses(_outcomes(((int(s), s.name) for s in nfsstat3), "NFS3ERR_"))
_MOUNT = Statuses(_outcomes(((int(s), s.name) for s in m.mountstat3), "MNT3ERR_"))
_ERRNO = Statuses(_outcomes(errno.errorcode.items(), "E"))
_LOCK = Statuses(_outcomes(((int(s), s.name) for s in n.nlm4_stats), "NLM4_"), behind=True)

#: A port that is 0, or an address that is empty, says that there is none; that is no failure.
_PLACE = Statuses({0: Outcome("not registered")}, OK)
_PLACES = {"GETPORT", "GETADDR", "GETVERSADDR"}

#: Of NLM, those whose status is behind a cookie.
_LOCK_RESULTS = (n.decode_nlm4_res, n.decode_nlm4_testres, n.decode_nlm4_shareres)


def statuses_of(program: Program, proc: Proc) -> Statuses | None:
    """Those of a procedure's results, if they have any."""
    if program.number == NFS_V3.number:
        return _NFS if proc.number else None
    if program.number == m.MOUNT_V3.number and proc.name == "MNT":
        return _MOUNT if program.version == m.MOUNT_V3.version else _ERRNO
    if program.number == n.NLM4_VERS.number and proc.decode_result in _LOCK_RESULTS:
        return _LOCK
    if program.number == p.PMAP_VERS.number and proc.name in _PLACES:
        return _PLACE
    return None


def outcome(parts: list[Buffer], statuses: Statuses | None) -> Outcome:
    """How the call ended that is answered with `parts`, and whose results have `statuses`."""
    head = parts[0]
    if bytes(head[8:12]) != OK_WORD or bytes(head[20:ACCEPTED_BYTES]) != OK_WORD:
        return _refusal(parts)
    return OK if statuses is None else statuses.outcome(parts)


def _refusal(parts: list[Buffer]) -> Outcome:
    try:
        read_reply(b"".join(parts))
    except AuthError as exc:
        return Outcome(f"AUTH_ERROR {getattr(exc.stat, 'name', exc.stat)}", "DENIED", True)
    except RpcMismatch as exc:
        return Outcome(f"RPC_MISMATCH {exc.low}-{exc.high}", "DENIED", True)
    except ProgMismatch as exc:
        return Outcome(f"PROG_MISMATCH {exc.low}-{exc.high}", "PROG_MISMATCH", True)
    except Refusal as exc:
        name = getattr(getattr(exc, "stat", None), "name", type(exc).__name__)
        return Outcome(name, name, not isinstance(exc, SystemErr))
    except MessageError as exc:
        return Outcome(f"a reply that is none: {exc}", OTHERS)
    return OK
