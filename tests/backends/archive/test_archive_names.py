"""Which names an archive's entries get, which are left out, and which of two holds."""

from __future__ import annotations

import logging
import stat
import tarfile
from pathlib import Path

import pytest
from archive_kit import (
    DOS,
    ROOT,
    UNIX,
    Archive,
    Entry,
    find,
    member,
    refused,
    served,
    snapshot,
    tar_bytes,
    tar_file,
    walk,
    zip_bytes,
    zip_file,
)

from backends.archive import TarBackend, ZipBackend
from backends.base import FileType, Key, Status


def names(tmp_path: Path, *paths: bytes) -> dict[bytes, bytes | None]:
    """What a zip file with these entries serves; each holds its own name."""
    entries = [Entry(path, b"" if path.endswith(b"/") else path) for path in paths]
    return served(zip_file(tmp_path / "a.zip", *entries), snapshot)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/etc/passwd", b"etc/passwd"),
        (b"//a", b"a"),
        (b"./a", b"a"),
        (b"a//b", b"a/b"),
        (b"a/./b", b"a/b"),
        (b"back\\slash", b"back\\slash"),
        (b"x" * 255, b"x" * 255),
        (b"\xc3\xa4 \xff", b"\xc3\xa4 \xff"),
        (b"line\nbreak", b"line\nbreak"),
        (b"..a/...", b"..a/..."),
    ],
)
def test_names_as_they_are_served(tmp_path: Path, path: bytes, expected: bytes) -> None:
    found = names(tmp_path, path)
    assert found[expected] == path
    parents = expected.count(b"/")
    assert len(found) == 1 + parents, "more than the file and the directories above it"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (b"../evil", "with .. in their names"),
        (b"a/../../evil", "with .. in their names"),
        (b"..", "with .. in their names"),
        (b"/..", "with .. in their names"),
        (b"a/../", "with .. in their names"),
        (b"nul\0.txt", "with NUL in their names"),
        (b"nul\0dir/a", "with NUL in their names"),
        (b"y" * 256, "with names over 255 bytes"),
        (b"y" * 256 + b"/a", "with names over 255 bytes"),
        (b"", "without a name"),
    ],
)
def test_names_that_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: bytes, why: str
) -> None:
    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        found = names(tmp_path, path, b"good", path)
    assert set(found) == {b"good"}
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/a.zip: left out 2 entries {why}"
    ]


def test_directories_that_no_entry_names(tmp_path: Path) -> None:
    async def look(backend: Archive) -> None:
        dir = await find(backend, b"a/b")
        assert (dir.type, dir.mode, dir.nlink) == (FileType.DIR, 0o755, 3)
        assert (await backend.parent(ROOT, dir.key)).key == (await find(backend, b"a")).key

    served(zip_file(tmp_path / "a.zip", Entry(b"a/b/c/d", b"x")), look)


def test_a_directory_entry_after_its_files_gives_the_attributes(tmp_path: Path) -> None:
    async def look(backend: Archive) -> None:
        assert (await find(backend, b"a")).mode == 0o2750
        assert await snapshot(backend) == {b"a": None, b"a/b": b"x"}

    dir = Entry(b"a/", b"", 0, stat.S_IFDIR | 0o2750)
    served(zip_file(tmp_path / "a.zip", Entry(b"a/b", b"x"), dir), look)


def test_the_roots_own_entry(tmp_path: Path) -> None:
    info = member("./", tarfile.DIRTYPE)
    info.mode, info.uid, info.mtime = 0o700, 77, 12345
    backend = tar_file(tmp_path / "a.tar", tar_bytes(info, (member("./a"), b"x")))

    async def look(backend: Archive) -> None:
        root = await backend.root(ROOT)
        assert (root.mode, root.uid, root.mtime, root.key) == (0o700, 77, 12345 * 10**9, (1, 0))
        assert await snapshot(backend) == {b"a": b"x"}

    served(backend, look)


def test_of_two_entries_with_one_name_the_later_holds(tmp_path: Path) -> None:
    entries = [Entry(b"d/a", b"old"), Entry(b"d/b", b"between"), Entry(b"./d//a", b"new!")]

    async def look(backend: Archive) -> None:
        assert await snapshot(backend) == {b"d": None, b"d/a": b"new!", b"d/b": b"between"}
        dir = await find(backend, b"d")
        listed = list((await backend.readdir(ROOT, dir.key, 0, 4096, True)).entries)
        assert [(entry.name, entry.ino) for entry in listed] == [(b"a", 5), (b"b", 4)]
        await refused(backend.getattr(ROOT, Key(3, dir.generation)), Status.STALE)

    served(zip_file(tmp_path / "a.zip", *entries), look)


@pytest.mark.parametrize("turned", [False, True])
def test_a_directory_wins_over_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, turned: bool
) -> None:
    entries = [Entry(b"a", b"a file"), Entry(b"a/b", b"x"), Entry(b"c", b"y")]
    with caplog.at_level(logging.WARNING, "nfsloop.archive"):
        found = served(
            zip_file(tmp_path / "a.zip", *(reversed(entries) if turned else entries)), snapshot
        )
    assert found == {b"a": None, b"a/b": b"x", b"c": b"y"}
    assert "left out 1 entries in whose place there is a directory" in caplog.text


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    """What an entry puts below a link goes into a directory of the archive's own."""
    data = tar_bytes(member("etc", tarfile.SYMTYPE, "/etc"), (member("etc/passwd"), b"evil"))
    found = served(tar_file(tmp_path / "a.tar", data), snapshot)
    assert found == {b"etc": None, b"etc/passwd": b"evil"}


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        (DOS, b"dir\\file", b"dir/file"),
        (DOS, b"dir\\..\\..\\file", None),
        (DOS, b"a/b\\c", b"a/b\\c"),
        (UNIX, b"dir\\file", b"dir\\file"),
    ],
)
def test_backslashes_of_dos_are_slashes(
    tmp_path: Path, host: int, path: bytes, expected: bytes | None
) -> None:
    entry = Entry(path, b"x", mode=0, host=host)
    found = served(zip_file(tmp_path / "a.zip", entry), snapshot)
    assert {name for name, data in found.items() if data} == ({expected} - {None})


@pytest.mark.parametrize(
    ("host", "flags", "expected"),
    [(UNIX, 0, b"\x81.txt"), (DOS, 0, "ü.txt".encode()), (DOS, 0x800, b"\x81.txt")],
)
def test_encodings_of_names(tmp_path: Path, host: int, flags: int, expected: bytes) -> None:
    entry = Entry(b"\x81.txt", b"x", mode=0, host=host, flags=flags)
    assert served(zip_file(tmp_path / "a.zip", entry), snapshot) == {expected: b"x"}


def test_numbers_stay_over_a_restart_and_are_stale_for_another_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    first = [Entry(b"a/b", b"x"), Entry(b"c", b"y")]
    keys = {name: attr.key for name, attr in served(zip_file(path, *first), walk).items()}
    path.rename(tmp_path / "moved.zip")
    again = served(ZipBackend(tmp_path / "moved.zip"), walk)
    assert {name: attr.key for name, attr in again.items()} == keys

    async def look(backend: Archive) -> None:
        assert (await backend.getattr(ROOT, Key(1))).type is FileType.DIR
        for key in keys.values():
            await refused(backend.getattr(ROOT, key), Status.STALE)

    for others in ([Entry(b"a/b", b"x"), Entry(b"c", b"z")], first[:1], [*first, Entry(b"d")]):
        served(zip_file(path, *others), look)


def test_a_tars_numbers_depend_on_its_headers(tmp_path: Path) -> None:
    path, data = tmp_path / "a.tar", tar_bytes((member("a"), b"x"), (member("b"), b"y"))
    keys = {attr.key for attr in served(tar_file(path, data), walk).values()}
    assert {attr.key for attr in served(TarBackend(path), walk).values()} == keys
    info = member("b")
    info.mtime = 1
    other = tar_bytes((member("a"), b"x"), (info, b"y"))
    assert not {attr.key for attr in served(tar_file(path, other), walk).values()} & keys


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_bytes([Entry(b"/".join([b"d"] * 1500), b"x")]))
    with pytest.raises(
        ValueError, match=r"a.zip: it has more than 1000 files \(option max_files\)"
    ):
        served(ZipBackend(path, max_files=1000), snapshot)


@pytest.mark.parametrize(
    "options", [{"uid": -1}, {"gid": 2**32}, {"max_files": 0}, {"cache_bytes": -1}]
)
def test_options_that_make_no_sense(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} is "):
        ZipBackend(Path("a.zip"), **options)


def test_owners_by_option(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_bytes([Entry(b"d/a", b"x")]))
    found = served(ZipBackend(path, uid=5, gid=6), walk)
    assert {(attr.uid, attr.gid) for attr in found.values()} == {(5, 6)}
