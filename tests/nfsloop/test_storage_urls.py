"""Storages by name: what a URL makes, and the one line that says what is wrong with it."""

from __future__ import annotations

import asyncio
import enum
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from backends.base import Attr, Backend, Context
from backends.memory import MemoryBackend
from backends.posix import PosixBackend
from nfsloop.construct import (
    ConstructError,
    Named,
    Option,
    arguments,
    convert,
    load,
    look_here,
    signature,
)
from nfsloop.storage import FRESH, Storage, escaped, known_backends, known_wraps

CTX = Context()

MODULE = '''
"""A module of a user's."""
from pathlib import Path
from backends.base import Backend, Limits
from backends.wrap import Wrap

class Mine(Backend):
    """What is mine."""
    limits = Limits(read_only=False, symlinks=True)
    def __init__(self, *, depth: int = 3, where: Path | None = None, state: Path | None = None):
        super().__init__()
        if depth > 9:
            raise ValueError(f"depth is {depth}, and 9 is the most")
        self.depth, self.where, self.state = depth, where, state

class NotOne:
    pass

INSTANCE = Mine()

class Odd(Backend):
    def __init__(self, hook: type[int]): ...

class Raising(Mine):
    def __init__(self, *, depth: "int" = 1, other: "OnlyForCheckers" = None):
        raise RuntimeError("planted")

class Half(Mine):
    """Some annotations exist for type checkers alone."""
    def __init__(self, *, depth: "int" = 1, other: "OnlyForCheckers" = None):
        super().__init__(depth=depth)

class Wrapped(Wrap):
    """Wraps."""
    def __init__(self, below: Backend, *, times: int = 1):
        super().__init__(below)
        self.times = times

def factory(name: str = "x") -> Backend:
    return Mine(depth=len(name))
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with a user's module in it, and looked at as by the command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    look_here()
    (tmp_path / "usersmodule.py").write_text(MODULE)
    (tmp_path / "brokenmodule.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "oddmodule.py").write_text("1/0\n")
    (tmp_path / "data").mkdir()
    yield tmp_path
    for name in ("usersmodule", "brokenmodule", "oddmodule"):
        sys.modules.pop(name, None)


def make(text: str, here: Path) -> Any:
    (here / "state").mkdir(exist_ok=True)
    return Storage.parse(text).make(here / "state")


# What is made


@pytest.mark.parametrize("text", ["data", "./data", "posix:data", "posix:./data/", "{here}/data"])
def test_a_directory(here: Path, text: str) -> None:
    storage = Storage.parse(text.format(here=here))
    assert str(storage) == storage.path == str(here / "data")
    assert storage.places == {str(here / "data")}
    assert isinstance(storage.make(here), PosixBackend)
    assert storage == Storage.parse("data")


def test_a_directory_with_an_odd_name(here: Path) -> None:
    """Of a plain path nothing is special; behind `posix:` percent escapes are."""
    for name in ("a?b=c", "50%", "x|y", "mine:data", "fsspec"):
        (here / name).mkdir()
        assert Storage.parse(str(here / name)).path == str(here / name)
    assert Storage.parse("posix:a%3Fb=c").path == str(here / "a?b=c")
    assert Storage.parse("mine:data").path == str(here / "mine:data")


def test_posix_takes_options(here: Path) -> None:
    backend = make("posix:data?nodes=100&descriptors=16", here)
    assert (backend._node_limit, backend._descriptor_limit) == (100, 16)
    assert str(Storage.parse("posix:data?nodes=100")) == f"posix:{here}/data?nodes=100"


def test_memory(here: Path) -> None:
    backend = make("memory:", here)
    assert isinstance(backend, MemoryBackend)
    assert asyncio.run(backend.root(CTX)).mode == FRESH["mode"]
    limited = make("memory:?max_bytes=64K&mode=700&uid=1000", here)
    root: Attr = asyncio.run(limited.root(CTX))
    assert (limited.max_bytes, root.mode, root.uid) == (64 << 10, 0o700, 1000)
    assert Storage.parse("memory:").path == "/"
    assert not Storage.parse("memory:").places, "any number of them may be exported"


def test_a_class_of_ones_own(here: Path) -> None:
    """From the current directory; with what it may keep, of which others get nothing."""
    mine = make("usersmodule:Mine?depth=7&where=data", here)
    assert (type(mine).__name__, mine.depth, mine.where) == ("Mine", 7, here / "data")
    assert mine.state.is_relative_to(here / "state") and mine.state.is_dir()
    assert mine.state.stat().st_mode & 0o777 == 0o700
    same = make("usersmodule:Mine?where=data&depth=7", here)
    assert same.state == mine.state, "the order of options moves no state"
    assert make("usersmodule:Mine?depth=8", here).state != mine.state, "it is another storage"
    assert make("usersmodule:factory?name=four", here).depth == 4
    assert Storage.parse("usersmodule:Mine").path == "/Mine"


def test_wraps_stand_before(here: Path) -> None:
    storage = Storage.parse("usersmodule:Wrapped?times=3|readonly|data")
    assert storage.path == str(here / "data")
    assert storage.places == {str(here / "data")}
    outer: Any = storage.make(here)
    assert (type(outer).__name__, outer.times) == ("Wrapped", 3)
    assert type(outer.below).__name__ == "ReadOnly"
    assert isinstance(outer.below.below, PosixBackend)


def test_an_entry_point(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed package has them: its metadata on the path is enough."""
    info = here / "installed" / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nfsloop.backends]\ntheirs = usersmodule:Mine\nbroken = usersmodule:Gone\n"
    )
    monkeypatch.syspath_prepend(str(here / "installed"))
    monkeypatch.syspath_prepend(str(here))
    assert make("theirs:?depth=2", here).depth == 2
    with pytest.raises(ConstructError, match=r"broken:: .*Gone"):
        Storage.parse("broken:")
    listed = {known.usage: known for known in known_backends()}
    assert listed["theirs:"].about == "What is mine."
    assert not listed["broken:"].usable


def test_a_name_for_type_checkers_hides_no_other_type(here: Path) -> None:
    assert make("usersmodule:Half?depth=5", here).depth == 5
    assert [*signature(load("usersmodule:Half")).options] == ["depth"]


def test_the_current_directory_is_asked_by_the_command_line_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And after all else: what lies there must not come before what is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    (tmp_path / "lyinghere.py").write_text(MODULE)
    with pytest.raises(ConstructError, match="no module lyinghere"):
        Storage.parse("lyinghere:Mine", whole=True)
    assert str(tmp_path) not in sys.path
    look_here()
    assert sys.path[-1] == str(tmp_path)


def test_two_of_one_class_are_one_storage_only_with_one_state(here: Path) -> None:
    """So that no two servers keep their things in one place."""
    one, other = (
        Storage.parse("usersmodule:Mine?depth=1"),
        Storage.parse("usersmodule:Mine?depth=2"),
    )
    assert one.places and other.places and not one.places & other.places
    assert Storage.parse("usersmodule:Mine?depth=1").places == one.places
    assert not Storage.parse("usersmodule:factory").places


def test_a_file_has_one_place_whatever_its_name(here: Path) -> None:
    (here / "link.db").symlink_to(here / "files.db")
    places = [Storage.parse(text).places for text in ("sqlite:files.db", "sqlite:link.db",
                                                      "sqlite:data/../files.db")]  # fmt: skip
    assert places[0] == places[1] == places[2]


def test_secrets_are_not_shown(here: Path) -> None:
    storage = Storage.parse("fsspec+memory://x?key=abc&secret_key=d%20e&listing_seconds=1")
    assert str(storage) == "fsspec+memory://x?key=***&secret_key=***&listing_seconds=1"
    assert "abc" in storage.text and not any("abc" in place for place in storage.places)


def test_a_tree_of_names_with_anything_in_them(here: Path) -> None:
    (here / "semi;colon").mkdir()
    text = f"demux:{escaped('a=b;c%')}={here}/semi%3Bcolon;plain=memory:"
    storage = Storage.parse(text)
    assert storage.places == {str(here / "semi;colon")}
    assert Storage.parse(storage.text) == storage
    assert isinstance(storage.make(here / "state"), Backend)


# What is wrong


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("none", ["none: no such directory"]),
        ("", ["no directory is named"]),
        ("usersmodule.py", ["not a directory"]),
        ("sqllite:x", ["'sqllite'", "sqlite", "memory"]),
        ("nomodule.at.all:Class", ["no module nomodule"]),
        ("usersmodule:Nothing", ["has no Nothing"]),
        ("usersmodule:NotOne", ["NotOne", "no Backend"]),
        ("brokenmodule:X", ["nothing_of_this_name"]),
        ("oddmodule:X", ["ZeroDivisionError"]),
        ("usersmodule:Mine?dept=1", ["'dept'", "depth=3", "where="]),
        ("usersmodule:Mine?depth=much", ["depth takes a whole number", "'much'"]),
        ("usersmodule:Mine?depth=10", ["9 is the most"]),
        ("usersmodule:Mine?depth=1&depth=2", ["twice"]),
        ("usersmodule:Mine?state=/etc", ["'state'"]),
        ("memory:?mode=9", ["mode takes an octal number", "'9'"]),
        ("memory:lots", ["max_bytes takes", "'lots'"]),
        ("memory:?clock=x", ["'clock'"]),
        ("posix:", ["posix", "path"]),
        ("sqlite:", ["sqlite", "path"]),
        ("demux:", ["demux"]),
        ("demux:a", ["NAME=STORAGE"]),
        ("demux:a=data;b=data", ["two names"]),
        ("demux:a=none", ["no such directory"]),
        ("readonly|none", ["no such directory"]),
        ("readonyl|memory:", ["no wrap is called 'readonyl'", "readonly"]),
        ("demux:a=memory:;a=data", ["a is given twice"]),
        ("demux:a=demux:b=data", ["no demux within"]),
        ("slow?seconds=nan|memory:", ["seconds takes a number"]),
        ("usersmodule:INSTANCE", ["a Mine makes no backend"]),
        ("usersmodule:Odd", ["its hook cannot be given"]),
        ("usersmodule:Raising", ["RuntimeError: planted"]),
        ("backends.wraps.readonly:ReadOnly", ["its below cannot be given"]),
        ("attrcache?second=1|memory:", ["'second'", "seconds="]),
    ],
)
def test_what_cannot_be_is_said_in_one_line(here: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ConstructError) as caught:
        make(text, here)
    line = str(caught.value)
    assert "\n" not in line
    for word in said:
        assert word in line, line


@pytest.mark.parametrize("text", ["data", "posix:data", "sqlite:files.db", "zip:x.zip"])
def test_files_of_settings_name_whole_paths(here: Path, text: str) -> None:
    with pytest.raises(ConstructError, match="whole path"):
        Storage.parse(text, whole=True)


# Text to values


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "x=1", "x=1"),
        (bytes, "x", b"x"),
        (int, "12", 12),
        (int, "0x10", 16),
        (int, "-1", -1),
        (int, "64K", 65536),
        (int, "2 GiB", 2 << 30),
        (int, "1m", 1 << 20),
        (float, "1.5", 1.5),
        (bool, "true", True),
        (bool, "", True),
        (bool, "No", False),
        (Path, "/x", Path("/x")),
        (Colour, "red", Colour.RED),
        (Literal["a", 2], "2", 2),
        (int | None, "5", 5),
        (str | int | None, "5", 5),
        (str | int | None, "five", "five"),
    ],
)
def test_text_becomes_a_value_of_its_type(annotation: Any, text: str, value: Any) -> None:
    found = convert(Option("x", annotation, None, False), text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "takes"),
    [
        (int, "", "a whole number"),
        (int, "1.5", "a whole number"),
        (int, "3 apples", "a whole number"),
        (float, "much", "a number"),
        (bool, "maybe", "true or false"),
        (Path, "", "a path"),
        (Colour, "green", "one of red, blue"),
        (Literal["a", 2], "b", "one of a, 2"),
        (int | None, "x", "a whole number"),
    ],
)
def test_other_text_is_refused(annotation: Any, text: str, takes: str) -> None:
    with pytest.raises(ConstructError, match=f"x takes {takes}"):
        convert(Option("x", annotation, None, False), text)


def test_names_are_taken_apart() -> None:
    assert Named.parse("a:b?c=d&e&f=%26%3D") == Named(
        "a", "b", (("c", "d"), ("e", ""), ("f", "&="))
    )
    assert Named.parse("a:%C3%A9%FF").rest == "é\udcff"
    assert Named.parse("s3://b/p?x=1", "fsspec") == Named("fsspec", "s3://b/p", (("x", "1"),))


def test_parameters_that_take_no_text_are_no_options() -> None:
    def maker(below: Backend, *, seconds: float = 1.0, hook: type[int] = int) -> None: ...

    assert list(signature(maker, 1).options) == ["seconds"]
    assert arguments(maker, Named("x", "", (("seconds", "2"),)), 1) == {"seconds": 2.0}

    def missing(path: Path, *, must: int) -> None: ...

    with pytest.raises(ConstructError, match="needs must"):
        arguments(missing, Named("x", "/p"))


def test_a_target_is_loaded_once_it_is_named(here: Path) -> None:
    assert "usersmodule" not in sys.modules
    assert load("usersmodule:Mine").__name__ == "Mine"


# The list


def test_all_that_is_listed_can_be_used() -> None:
    for known in (*known_backends(), *known_wraps()):
        assert known.usable, known
        assert known.about, known
    assert {known.usage.partition(":")[0] for known in known_backends()} >= {
        "posix", "memory", "sqlite", "zip", "tar", "git", "demux",
    }  # fmt: skip
    memory = next(known for known in known_backends() if known.usage == "memory:")
    assert "mode=0o1777" in memory.options and "clock=" not in " ".join(memory.options)
    assert memory.abilities[0] == "read and write"
