"""What the vectors of mount.txt say, as typed values. Written by hand, as the vectors are."""

from __future__ import annotations

from typing import Any

from nfsloop.mount3.mount3_xdr import (
    MNT3_OK,
    MNT3ERR_ACCES,
    MNT3ERR_NOTSUPP,
    MNT3ERR_SERVERFAULT,
    exportnode,
    fhstatus,
    groupnode,
    mountbody,
    mountres3,
    mountres3_ok,
)

MOUNTS = [mountbody(b"alpha", b"/srv"), mountbody(b"localhost", b"/")]
EXPORTS = [
    exportnode(b"/srv", [groupnode(b"@staff"), groupnode(b"*.d")]),
    exportnode(b"/data", []),
]

V3_CALLS: dict[str, Any] = {
    "NULL none": None,
    "MNT path": b"/srv/export",
    "MNT empty path": b"",
    "DUMP none": None,
    "UMNT path": b"/srv",
    "UMNTALL none": None,
    "EXPORT none": None,
}
V3_REPLIES: dict[str, Any] = {
    "NULL none": None,
    "MNT ok": mountres3(MNT3_OK, mountres3_ok(bytes(range(26)), [1, 0])),
    "MNT ok with gss flavors": mountres3(
        MNT3_OK, mountres3_ok(b"\xca\xfe\xba\xbe", [390003, 1, -2])
    ),
    "MNT ok without flavors": mountres3(MNT3_OK, mountres3_ok(b"\xca\xfe\xba\xbe", [])),
    "MNT access denied": mountres3(MNT3ERR_ACCES),
    "MNT not supported": mountres3(MNT3ERR_NOTSUPP),
    "MNT server fault": mountres3(MNT3ERR_SERVERFAULT),
    "DUMP two": MOUNTS,
    "DUMP empty": [],
    "UMNT void": None,
    "UMNTALL void": None,
    "EXPORT two": EXPORTS,
    "EXPORT empty": [],
}
V1_CALLS: dict[str, Any] = {
    "NULL none": None,
    "MNT path": b"/a",
    "DUMP none": None,
    "UMNT path": b"/ab",
    "UMNTALL none": None,
    "EXPORT none": None,
    "EXPORTALL none": None,
}
V1_REPLIES: dict[str, Any] = {
    "NULL none": None,
    "MNT ok": fhstatus(0, bytes(range(32))),
    "MNT access denied": fhstatus(13),
    "MNT status beyond the signed numbers": fhstatus(0xFFFFFFFF),
    "DUMP two": MOUNTS,
    "UMNT void": None,
    "UMNTALL void": None,
    "EXPORT two": EXPORTS,
    "EXPORTALL one with a group": [exportnode(b"/ab", [groupnode(b"g")])],
}
