"""nfsloop.toml, files and directories of exports, and what counts more: settings from anywhere."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from nfsloop.config import DrcSettings
from nfsloop.errors import ConfigError
from nfsloop.limits import CONFIG_FILE_BYTES
from nfsloop.options import FILE_DEFAULTS, Options
from nfsloop.sources import Sources, gather, line_of, settings
from oncrpc.limits import ServerLimits

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "nfsloop.toml"


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    path = tmp_path / "srv"
    path.mkdir()
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def errors(**sources: Any) -> list[str]:
    """What is wrong, with the test's directory left out."""
    return gather(Sources(**sources)).errors


def test_config_nothing_said_is_memory_for_all() -> None:
    found = settings(Sources())
    (spec,) = found.exports
    assert (str(spec.storage), spec.path, spec.clients) == ("memory:", "/", None)
    assert (found.host, found.port, found.rpcbind, found.udp) == (None, 2049, "auto", True)
    assert found.limits == ServerLimits() and found.drc == DrcSettings()


def test_config_all_settings(tmp_path: Path, srv: Path) -> None:
    toml = write(
        tmp_path / "n.toml",
        f"""
        host = "[::1]"
        port = 12049
        rpcbind = "none"
        udp = false
        state = "here"
        log_level = "debug"
        loop = "asyncio"
        exports = ["e"]

        [limits]
        connections = 7
        idle_seconds = 1.5

        [drc]
        enabled = false
        bytes = 1048576
        entries = 10
        retention_seconds = 60

        [[export]]
        path = "/x"
        storage = "memory:"
        clients = ["10.0.0.0/8(rw)", "::1"]
        options = "all_squash"

        [[export]]
        path = "{srv}"
        """,
    )
    write(tmp_path / "e", "/y *(rw,storage=memory:)")
    found = settings(Sources(config=toml))
    assert (found.host, found.port, found.rpcbind, found.udp) == ("::1", 12049, "none", False)
    assert (found.state, found.log_level, found.loop) == (tmp_path / "here", "debug", "asyncio")
    assert (found.limits.connections, found.limits.idle_seconds) == (7, 1.5)
    assert found.drc == DrcSettings(False, 1 << 20, 10, 60.0)
    assert {spec.path: str(spec.storage) for spec in found.exports} == {
        "/x": "memory:", str(srv): str(srv), "/y": "memory:",
    }  # fmt: skip
    clients = {spec.path: spec.clients for spec in found.exports}
    squashed = Options(True, True, True, secure=True)
    assert [(c.host.text, c.options) for c in clients["/x"] or ()] == [
        ("10.0.0.0/8", Options(False, True, True, secure=True)),
        ("::1", squashed),
    ]
    assert [(c.host.text, c.options) for c in clients[str(srv)] or ()] == [("*", FILE_DEFAULTS)]


def test_config_the_command_line_counts_more(tmp_path: Path, srv: Path) -> None:
    toml = write(tmp_path / "n.toml", 'port = 1\nudp = false\nexports = ["e"]')
    write(tmp_path / "e", "/y *(storage=memory:)")
    other = write(tmp_path / "other", "/z *(storage=memory:)")
    found = settings(Sources(config=toml, settings={"port": 2}))
    assert (found.port, found.udp, [spec.path for spec in found.exports]) == (2, False, ["/y"])
    found = settings(Sources(exports=(str(srv),), files=(other,), config=toml, options="ro"))
    assert [spec.path for spec in found.exports] == [str(srv), "/z"]
    assert found.exports[0].clients is None and found.options.read_only


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("port = 2049\nprot = 1", "n.toml:2", "unknown key prot"),
        ("\nport = '2049'", "n.toml:2", "port takes a port"),
        ("port = 70000", "n.toml:1", "70000"),
        ("port = true", "n.toml:1", "True"),
        ("udp = 1", "n.toml:1", "true or false"),
        ("host = 5", "n.toml:1", "text"),
        ("rpcbind = 'maybe'", "n.toml:1", "builtin"),
        ("log_level = 'loud'", "n.toml:1", "debug"),
        ("loop = []", "n.toml:1", "uvloop"),
        ("exports = 5", "n.toml:1", "list"),
        ("exports = [5]", "n.toml:1", "list"),
        ("drc = 5", "n.toml:1", "table"),
        ("limits = []", "n.toml:1", "table"),
        ("export = 5", "n.toml:1", "[[export]]"),
        ("[export]\npath = '/x'", "n.toml:1", "[[export]]"),
        ("[drc]\nenabled = 'yes'", "n.toml:2", "drc.enabled"),
        ("[drc]\nbytes = 0", "n.toml:2", "above 0"),
        ("[drc]\nretention_seconds = inf", "n.toml:2", "above 0"),
        ("[limits]\nconections = 5", "n.toml:2", "limits.conections"),
        ("[limits]\nconnections = 1.5", "n.toml:2", "whole"),
        ("[limits]\nconnections = -1", "n.toml:2", "above 0"),
        ("[limits]\nidle_seconds = nan", "n.toml:2", "above 0"),
        ("[[export]]\npath = 'x'", "n.toml:2", "starts with /"),
        ("[[export]]\nstorage = 'memory:'", "n.toml:1", "path"),
        ("[[export]]\npath = '/x'\nclient = '*'\nstorage='memory:'", "n.toml:3", "export.client"),
        ("[[export]]\npath='/a'\nstorage='memory:'\n[[export]]\npath='/x'\nstorage='memory:'\n"
         "clients = ['*(rx)']", "n.toml:7", "'rx'"),
        ("[[export]]\npath = '/no/such/place'", "n.toml:2", "no such directory"),
        ("[[export]]\npath = '/a/../b'\nstorage='memory:'", "n.toml:2", "NUL or .."),
        ("[[export]]\npath = \"/a\\u0000\"\nstorage='memory:'", "n.toml:2", "NUL or .."),
        (f"[[export]]\npath = '/{'a' * 1024}'\nstorage='memory:'", "n.toml:2", "1024 bytes"),
        # what would be read as a comment, and leave everybody
        ("[[export]]\npath='/x'\nstorage='memory:'\nclients=['# my friends', '10.1.2.3']",
         "n.toml:4", "everybody is '*'"),
        ("[[export]]\npath='/x'\nstorage='memory:'\nclients=[]", "n.toml:4", "everybody is '*'"),
        ("[[export]]\npath='/x'\nstorage='memory:'\nclients='  '", "n.toml:4", "everybody is '*'"),
        ("[[export]]\npath='/x'\nstorage='memory:'\noptions='ro # all'\nclients='10.1.2.3'",
         "n.toml:4", "commas"),
        # what would be read as a client
        ("[[export]]\npath='/x'\nstorage='memory:'\noptions='rw sync'", "n.toml:4", "commas"),
        ("[[export]]\npath = '/x'\nstorage = 'relative'", "n.toml:2", "whole path"),
        ("port = x", "n.toml:1:8", "nvalid"),
        ("a = 1\na = 2", "n.toml", "a"),
        ("x = " + "[" * 5000, "n.toml", ""),
    ],
)  # fmt: skip
def test_config_errors_name_file_line_and_key(
    tmp_path: Path, text: str, place: str, what: str
) -> None:
    found = errors(config=write(tmp_path / "n.toml", text))
    assert len(found) == 1, found
    assert found[0].startswith(f"{tmp_path / place}"), found
    assert what in found[0]


def test_config_all_errors_are_told(tmp_path: Path) -> None:
    toml = write(tmp_path / "n.toml", 'port = "x"\nudp = 3\nexports = ["gone", "e"]\nbad = 1')
    write(tmp_path / "e", "/y *(storage=memory:,bad)\nz *")
    found = errors(config=toml, options="rot")
    assert len(found) == 7 and found == sorted(set(found), key=found.index)
    with pytest.raises(ConfigError) as raised:
        settings(Sources(config=toml, options="rot"))
    assert raised.value.problems == found


def test_config_files_that_cannot_be_read(tmp_path: Path) -> None:
    (missing,) = errors(config=tmp_path / "none")
    assert missing == f"{tmp_path / 'none'}: No such file or directory"
    (missing,) = errors(files=(tmp_path / "none",))
    assert missing == f"{tmp_path / 'none'}: No such file or directory"
    (directory,) = errors(config=tmp_path)
    assert "directory" in directory
    (endless,) = errors(files=(Path("/dev/zero"),))
    assert str(CONFIG_FILE_BYTES) in endless
    (binary,) = errors(config=_bytes(tmp_path / "b", b'host = "\xff"'))
    assert binary.startswith(str(tmp_path / "b"))


def test_config_files_that_the_user_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even whether they are directories."""

    def refuse(path: object, *args: object, **more: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    file = tmp_path / "e"
    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    found = errors(files=(file,))
    monkeypatch.undo()
    assert found == [f"{file}: Permission denied"]


def _bytes(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def test_config_a_directory_of_exports(tmp_path: Path) -> None:
    """Its files called *.exports, by name; others, hidden ones and directories are left alone."""
    place = tmp_path / "exports.d"
    place.mkdir()
    (place / "c.exports").mkdir()
    for name, path in (("b.exports", "/b"), ("a.exports", "/a"), ("a.bak", "/x"), (".h.exports",
                       "/h")):  # fmt: skip
        write(place / name, f"{path} *(storage=memory:)")
    found = settings(Sources(files=(place,)))
    assert [spec.path for spec in found.exports] == ["/a", "/b"]
    write(place / "b.exports", "/b *(storage=memory:,bad)")
    (error,) = errors(files=(place,))
    assert error.startswith(f"{place / 'b.exports'}:1:22: ")


def test_config_files_that_export_nothing_are_a_mistake(tmp_path: Path) -> None:
    """Such as one that an editor has just emptied, and above all at a reload."""
    assert errors(files=(write(tmp_path / "e", "# nothing yet\n"),)) == ["nothing is exported"]
    assert errors(config=write(tmp_path / "c", "port = 1\n")) == ["nothing is exported"]
    assert settings(Sources(config=tmp_path / "c", exports=("memory:",))).exports


def test_config_exports_beside_each_other(tmp_path: Path, srv: Path) -> None:
    """One path, one directory: once. Two backends would write one index."""
    link = tmp_path / "link"
    link.symlink_to(srv)
    text = (
        f"/a *(storage={srv})\n/b *(storage={link})\n/c *(storage=memory:)\n/d *(storage=memory:)"
    )
    (error,) = errors(files=(write(tmp_path / "e", text),))
    assert "/b" in error and "exported already, as /a" in error
    (error,) = errors(
        exports=("/c=memory:",), files=(write(tmp_path / "e", "/c *(storage=memory:)"),)
    )
    assert error == "/c is exported twice"


def test_config_a_state_directory_within_an_export(
    tmp_path: Path, srv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads the key in it makes handles. Root keeps it from all but root."""

    def warned(user: int, options: str, state: Path) -> bool:
        monkeypatch.setattr(os, "geteuid", lambda: user)
        found = settings(Sources(exports=(str(srv),), options=options, settings={"state": state}))
        return any("the state directory" in warning for warning in found.warnings)

    assert warned(1000, "ro", srv / "state")
    assert not warned(1000, "ro", tmp_path / "srv2")
    assert not warned(0, "ro", srv / "state")
    assert warned(0, "no_root_squash", srv / "state")
    (tmp_path / "link").symlink_to(srv)
    assert warned(0, "anonuid=0", tmp_path / "link" / "state")


def test_config_options_that_are_for_nobody(tmp_path: Path, srv: Path) -> None:
    file = write(tmp_path / "e", f"{srv} *(rw)")
    (warning,) = gather(Sources(files=(file,), options="ro")).warnings
    assert "-o is for each EXPORT" in warning
    assert not gather(Sources(options="ro")).warnings


def test_config_paths_of_the_command_line() -> None:
    """As those of files: what `check` says is right can be served."""
    assert errors(exports=("/a=memory:", "/a/=memory:")) == ["/a is exported twice"]
    for path, what in (("/a/../b", ".."), ("/" + "a" * 1024, "1024 bytes"), ("/a\0", "NUL")):
        (error,) = errors(exports=(f"{path}=memory:",))
        assert what in error


def test_config_paths_that_cannot_be(tmp_path: Path, srv: Path) -> None:
    file = write(tmp_path / "file", "")
    text = f"{file} *\n/none\\040such *\n{srv} *(mountpoint)\n/x *(storage=./y)\n"
    exports = write(tmp_path / "e", text)
    found = errors(files=(exports,))
    assert [error.split(": ", 1)[0] for error in found] == [f"{exports}:{n}:1" for n in range(1, 5)]
    for error, what in zip(
        found, ["not a directory", "no such", "nothing is mounted", "whole path"], strict=True
    ):
        assert what in error
    text = f"{srv} *(mountpoint=/proc)\n"
    assert not errors(files=(write(tmp_path / "e", text),))


def test_config_sync_for_one_is_sync_for_all(tmp_path: Path) -> None:
    """A backend cannot know for whom it writes; the safer of both holds, and that is said."""
    text = "/x 10.0.0.1(async,storage=memory:) 10.0.0.2(sync)"
    found = settings(Sources(files=(write(tmp_path / "e", text),)))
    assert any("sync for all" in warning for warning in found.warnings)


def test_config_where_a_key_stands() -> None:
    text = "a = 1\n'b' = 2\n[t]\na = 3\n[[e]]\nx = 1\n[[e]] # second\nx = 2\nt.a = 5\n"
    assert [line_of(text, "", key) for key in ("a", "b", "t", "z")] == [1, 2, 3, 0]
    assert line_of(text, "t", "a") == 4
    assert [line_of(text, "e", "x", n) for n in (0, 1)] == [6, 8]
    assert [line_of(text, "e", "missing", n) for n in (0, 1)] == [5, 7]


def test_config_the_example_is_right_and_shows_every_key() -> None:
    """docs/nfsloop.toml as it is, and with every key that it shows as a comment."""
    text = EXAMPLE.read_text()
    found = gather(Sources(config=EXAMPLE, exports=("memory:",)))
    assert not found.errors, found.errors
    for field in ServerLimits.__slots__:
        assert f"# {field} = " in text, field
        assert f"# {field} = {getattr(ServerLimits(), field)}\n" in text, field
    for field in DrcSettings.__slots__:
        assert f"# {field} = " in text, field


@pytest.mark.parametrize(
    "form", ["{}", "posix:{}", "fsspec+file://{}", "readonly|fsspec+local://{}"]
)
def test_config_a_state_directory_that_clients_can_reach(tmp_path: Path, form: str) -> None:
    """Whoever has the key in it can make handles."""
    (tmp_path / "srv").mkdir()
    storage = f"/x={form.format(tmp_path / 'srv')}"
    for state, warned in ((tmp_path / "srv" / "state", True), (tmp_path / "srv2", False)):
        found = settings(
            Sources(exports=(storage,), options="no_root_squash", settings={"state": state})
        )
        assert any("has the state directory" in line for line in found.warnings) is warned
