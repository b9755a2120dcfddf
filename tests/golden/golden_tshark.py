"""What tshark ought to show of a typed value: every leaf, under the name of tshark's field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from nfsloop.nfs3.nfs3_xdr import nfstime3

#: tshark's field of a leaf, by the leaf's class and field, or by its field alone.
FIELDS: dict[str, str] = {
    **dict.fromkeys(("object", "file", "dir", "symlink", "fsroot"), "nfs.fhandle"),
    **dict.fromkeys(("obj", "name_handle", "fh", "fhandle"), "nfs.fhandle"),
    "name": "nfs.name",
    "status": "nfs.status3",
    "offset": "nfs.offset3",
    "count": "nfs.count3",
    "stable": "nfs.write.stable",
    "committed": "nfs.write.committed",
    "data": "nfs.data",
    "READLINK3resok.data": "nfs.readlink.data",
    **dict.fromkeys(("verf", "cookieverf", "createhow3.value"), "nfs.verifier"),
    "createhow3.mode": "nfs.createmode",
    "mknoddata3.type": "nfs.type",
    "symlink_data": "nfs.symlink.to",
    **{f"specdata3.{name}": f"nfs.{name}" for name in ("specdata1", "specdata2")},
    "READDIR3args.cookie": "nfs.cookie3",
    "READDIRPLUS3args.cookie": "nfs.cookie3",
    **{f"entry3.{name}": f"nfs.readdir.entry3.{name}" for name in ("fileid", "name", "cookie")},
    **{
        f"entryplus3.{name}": f"nfs.readdirplus.entry.{name}"
        for name in ("fileid", "name", "cookie")
    },
    "dircount": "nfs.count3_dircount",
    "maxcount": "nfs.count3_maxcount",
    "READ3resok.eof": "nfs.read.eof",
    "eof": "nfs.readdir.eof",
    "ACCESS3args.access": "nfs.access_check",
    "ACCESS3resok.access": "nfs.access_rights",
    **{
        f"fattr3.{name}": f"nfs.fattr3.{name}"
        for name in ("type", "nlink", "uid", "gid", "size", "used", "fsid", "fileid")
    },
    "fattr3.mode": "nfs.mode3",
    "sattr3.mode": "nfs.mode3",
    "sattr3.uid": "nfs.uid3",
    "sattr3.gid": "nfs.gid3",
    "sattr3.size": "nfs.set_size",
    "set_it": "nfs.set_it",
    "wcc_attr.size": "nfs.wcc_attr.size",
    **{
        name: f"nfs.fsstat3_resok.{name}"
        for name in ("tbytes", "fbytes", "abytes", "tfiles", "ffiles", "afiles")
    },
    "invarsec": "nfs.fsstat.invarsec",
    **{
        name: f"nfs.fsinfo.{name}"
        for name in ("rtmax", "rtpref", "rtmult", "wtmax", "wtpref", "wtmult", "dtpref")
    },
    "maxfilesize": "nfs.fsinfo.maxfilesize",
    "properties": "nfs.fsinfo.properties",
    **{
        name: f"nfs.pathconf.{name}"
        for name in (
            "linkmax",
            "name_max",
            "no_trunc",
            "chown_restricted",
            "case_insensitive",
            "case_preserving",
        )
    },
    "dirpath": "mount.path",
    "fhs_status": "mount.status",
    "fhstatus.value": "nfs.fhandle",
    "auth_flavors": "mount.flavor",
    "ml_hostname": "mount.dump.hostname",
    "ml_directory": "mount.dump.directory",
    "ex_dir": "mount.export.directory",
    "gr_name": "mount.export.group",
    **{name: f"nlm.{name}" for name in ("cookie", "block", "exclusive", "reclaim", "state")},
    **{name: f"nlm.lock.{name}" for name in ("caller_name", "svid")},
    **{name: f"nlm.lock.{name}64" for name in ("l_offset", "l_len")},
    "oh": "nlm.lock.owner",
    "nlm4_testrply.stat": "nlm.test_stat.stat",
    "stat": "nlm.stat",
    "sequence": "nlm.sequence",
    "nlm4_share.mode": "nlm.share.mode",
    "nlm4_share.access": "nlm.share.access",
    "nlm4_notify.name": "nlm.share.name",
}

#: The same for times, which tshark shows as seconds and nanoseconds. It calls all of sattr3 atime.
TIMES: dict[str, str] = {
    **{f"fattr3.{name}": f"nfs.{name}" for name in ("atime", "mtime", "ctime")},
    **{f"wcc_attr.{name}": f"nfs.{name}" for name in ("mtime", "ctime")},
    "set_atime.value": "nfs.atime",
    "set_mtime.value": "nfs.atime",
    "SETATTR3args.guard": "nfs.ctime",
    "FSINFO3resok.time_delta": "nfs.dtime",
}

#: All fields to ask tshark for.
NAMES = sorted(
    {*FIELDS.values()} | {f"{name}.{part}" for name in TIMES.values() for part in ("sec", "nsec")}
)

#: What tshark shows as text; other opaque data it shows in hex.
_TEXT = {
    *(name for name in NAMES if name.endswith((".name", ".path", ".to", "_name", "hostname"))),
    "nfs.readlink.data",
    "mount.dump.directory",
    "mount.export.directory",
    "mount.export.group",
}

#: Structs that set attributes by optional fields; tshark shows a set_it for each of them.
_SETTERS = ("mode", "uid", "gid", "size")


def leaves(value: Any, owner: str = "", field: str = "dirpath") -> Iterator[tuple[str, Any]]:
    """tshark's field and the value of each leaf, in the order of the wire.

    Raises KeyError for a leaf that has no field in the tables above.
    """
    qualified = f"{owner}.{field}"
    if isinstance(value, nfstime3):
        yield f"{TIMES[qualified]}.sec", value.seconds
        yield f"{TIMES[qualified]}.nsec", value.nseconds
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, owner, field)
    elif dataclasses.is_dataclass(value):
        name = type(value).__name__
        for part in dataclasses.fields(value):
            item = getattr(value, part.name)
            if name == "sattr3" and part.name in _SETTERS:
                yield FIELDS["set_it"], int(item is not None)
            yield from leaves(item, name, part.name)
    elif value is not None:
        yield FIELDS.get(qualified) or FIELDS[field], value


def expected(value: Any) -> dict[str, list[object]]:
    """What tshark ought to show of arguments or a result."""
    shown: dict[str, list[object]] = {name: [] for name in NAMES}
    for name, leaf in leaves(value):
        if isinstance(leaf, (bytes, memoryview)):
            text = bytes(leaf).decode("ascii") if name in _TEXT else bytes(leaf).hex()
            if text:  # an empty one cannot be told from none
                shown[name].append(text)
        else:
            shown[name].append(int(leaf) % (1 << 32) if leaf < 0 else int(leaf))
    return shown


def shown(
    reading: dict[str, list[str]], wanted: dict[str, list[object]]
) -> dict[str, list[object]]:
    """What tshark shows, in the types of what it ought to show."""
    result: dict[str, list[object]] = {}
    for name in NAMES:
        texts = [text for text in reading[name] if text not in {"", "<MISSING>"}]
        if any(isinstance(item, str) for item in wanted[name]):
            result[name] = [text if name in _TEXT else text.replace(":", "") for text in texts]
        else:
            result[name] = [_number(text) for text in texts]
    return result


def _number(text: str) -> object:
    if text in ("True", "False"):
        return int(text == "True")
    try:
        number = int(text, 0)
    except ValueError:
        return text
    return number % (1 << 32) if number < 0 else number
