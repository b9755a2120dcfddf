"""The words of exports(5) that stand for what a client may do, and as whom it acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from oncrpc.message import AUTH_SYS, Credential

#: What Unix takes for "no such id" wherever it stands.
NO_ID = 0xFFFFFFFF
MAX_ID = NO_ID - 1


@dataclass(frozen=True, slots=True)
class Options:
    """What exports(5) lets one say of an export; the defaults are those of the command line."""

    read_only: bool = False
    root_squash: bool = True
    all_squash: bool = False
    anonuid: int = 65534
    anongid: int = 65534
    #: Stable data is on disk before the reply; False acknowledges before (and may lose) it.
    sync: bool = True
    #: Calls must come from a port below 1024. None: from this machine itself, the loopback rule
    #: of `nfsloop.access.Guard` holds instead; from others, any port will do.
    secure: bool | None = None

    @classmethod
    def parse(cls, text: str) -> Options:
        """From ``ro,all_squash,anonuid=1000``. Raises ValueError that names the wrong word."""
        options = cls()
        for word in filter(None, (part.strip() for part in text.split(","))):
            read = read_word(word, options)
            if read.name is not None:
                raise ValueError(f"{word!r} belongs into an exports file")
            options = read.options
        return options

    def __str__(self) -> str:
        words = [
            word
            for word, (name, value) in WORDS.items()
            if getattr(self, name) is value and word not in _UNSAID
        ]
        words += [f"{name}={getattr(self, name)}" for name in NUMBERS if self._differs(name)]
        return ",".join(words)

    def _differs(self, name: str) -> bool:
        return bool(getattr(self, name) != getattr(PLAIN, name))


#: Words that set one option to one value.
WORDS: dict[str, tuple[str, bool]] = {
    "ro": ("read_only", True),
    "rw": ("read_only", False),
    "root_squash": ("root_squash", True),
    "no_root_squash": ("root_squash", False),
    "all_squash": ("all_squash", True),
    "no_all_squash": ("all_squash", False),
    "sync": ("sync", True),
    "async": ("sync", False),
    "secure": ("secure", True),
    "insecure": ("secure", False),
}
NUMBERS = ("anonuid", "anongid")
#: What is not worth a word, as it is so everywhere where nothing else is said.
_UNSAID = {"no_all_squash", "sync"}
assert {name for name, _ in WORDS.values()} | {*NUMBERS} == {
    field.name for field in fields(Options)
}

PLAIN = Options()

#: What holds in a file where nothing else is said: exports(5)'s defaults.
FILE_DEFAULTS = Options(read_only=True, secure=True)

#: Words of other servers' files that make no difference here, and why.
_HANDLES = "handles need no such check here"
_ONE = "an export is one tree; what is mounted in it is not entered"
IGNORED: dict[str, str] = {
    "subtree_check": _HANDLES,
    "no_subtree_check": _HANDLES,
    "hide": _ONE,
    "nohide": _ONE,
    "crossmnt": _ONE,
    "nocrossmnt": _ONE,
    "wdelay": "writes are gathered by the clients alone",
    "no_wdelay": "writes are gathered by the clients alone",
    "fsid": "the number follows from the path",
    "secure_locks": "there are no locks yet",
    "insecure_locks": "there are no locks yet",
    "auth_nlm": "there are no locks yet",
    "no_auth_nlm": "there are no locks yet",
    "acl": "the ACL protocol is not served",
    "no_acl": "the ACL protocol is not served",
    "pnfs": "it is NFS version 4's",
    "no_pnfs": "it is NFS version 4's",
    "refer": "it is NFS version 4's",
    "replicas": "it is NFS version 4's",
    "security_label": "it is NFS version 4's",
    "nordirplus": "READDIRPLUS is served; clients may mount with nordirplus",
}

#: Our own: the storage, where it is not the directory at the export's path.
STORAGE = "storage"

#: Not exported unless a file system is mounted there (or at the path that is given).
MOUNTPOINT = ("mountpoint", "mp")


@dataclass(frozen=True, slots=True)
class Word:
    """What one word does: the options with it, or a name and a value for the export itself."""

    options: Options
    name: str | None = None
    value: str = ""
    #: A word that is accepted and does nothing says so.
    note: str = ""


def read_word(word: str, options: Options) -> Word:
    """`options` with one more word of exports(5). Raises ValueError that names the word."""
    name, equals, value = word.partition("=")
    if name in WORDS and not equals:
        field, setting = WORDS[name]
        changes: dict[str, Any] = {field: setting}
        return Word(replace(options, **changes))
    if name in NUMBERS:
        if not (value.isascii() and value.isdecimal() and len(value) < 11 and int(value) <= MAX_ID):
            raise ValueError(f"{name} takes a number up to {MAX_ID}, not {value!r}")
        changes = {name: int(value)}
        return Word(replace(options, **changes))
    if name in IGNORED:
        return Word(options, note=f"{word!r} is ignored: {IGNORED[name]}")
    if name == STORAGE:
        if not value:
            raise ValueError("storage= takes a directory or memory:")
        return Word(options, STORAGE, value)
    if name in MOUNTPOINT:
        return Word(options, MOUNTPOINT[0], value)
    if name in _FLAVORS:
        return Word(options, note=_FLAVORS[name](word, value.split(":")))
    known = ", ".join([*WORDS, *(f"{number}=" for number in NUMBERS), f"{STORAGE}="])
    raise ValueError(f"unknown export option {word!r}; there are {known}")


def _sec(word: str, flavors: list[str]) -> str:
    if "sys" not in flavors:
        raise ValueError(
            f"{word!r} is not served: clients authenticate with sec=sys (none: write all_squash)"
        )
    others = [flavor for flavor in flavors if flavor not in {"sys", "none", "null"}]
    return f"of {word!r} only sec=sys is served" if others else ""


def _xprtsec(word: str, layers: list[str]) -> str:
    if "none" not in layers:
        raise ValueError(f"{word!r} is not served: there is no TLS")
    return f"of {word!r} only xprtsec=none is served" if len(layers) > 1 else ""


_FLAVORS: dict[str, Callable[[str, list[str]], str]] = {"sec": _sec, "xprtsec": _xprtsec}


def squash(options: Options, credential: Credential) -> tuple[int, int, tuple[int, ...]]:
    """uid, gid and groups that a credential acts with, as exports(5) says.

    AUTH_NONE is always the anonymous user, and so is the id that is none (2**32 - 1).
    """
    if options.all_squash or credential.flavor != AUTH_SYS:
        return options.anonuid, options.anongid, ()
    squashed = {NO_ID, 0} if options.root_squash else {NO_ID}
    return (
        options.anonuid if credential.uid in squashed else credential.uid,
        options.anongid if credential.gid in squashed else credential.gid,
        tuple(options.anongid if g in squashed else g for g in credential.groups),
    )
