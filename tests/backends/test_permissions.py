"""The permission rules as pure functions: tables of who, mode and outcome."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends import permissions as p
from backends.base import NOW, Attr, Context, FileType, FsError, SetAttr, Status

OWNER = Context(1000, 100)
MEMBER = Context(1001, 200)
SUPPLEMENTARY = Context(1002, 100, (7, 200))
OTHER = Context(1003, 100, (7,))
ROOT = Context()


def owned(mode: int, uid: int = 1000, gid: int = 200) -> Attr:
    return Attr(1, FileType.REG, mode, 1, uid, gid, 0, 0, 0, 0, 0)


def outcome(check: Callable[[], None]) -> Status:
    try:
        check()
    except FsError as error:
        return error.status
    return Status.OK


@pytest.mark.parametrize(
    ("ctx", "mode", "bits"),
    [
        (OWNER, 0o421, 4),
        (MEMBER, 0o421, 2),
        (SUPPLEMENTARY, 0o421, 2),
        (OTHER, 0o421, 1),
        (OWNER, 0o077, 0),
        (MEMBER, 0o707, 0),
        (SUPPLEMENTARY, 0o707, 0),
        (OTHER, 0o770, 0),
        (ROOT, 0o000, 7),
        (OTHER, 0o7770, 0),
    ],
)
def test_only_one_class_counts(ctx: Context, mode: int, bits: int) -> None:
    assert p.mode_bits(ctx, owned(mode)) == bits
    for want in range(8):
        expected = Status.ACCES if want & ~bits else Status.OK
        assert outcome(lambda want=want: p.check(ctx, owned(mode), want)) is expected  # type: ignore[misc]


@pytest.mark.parametrize("bits", range(8))
def test_checks_by_bits(bits: int) -> None:
    file = owned(bits)

    def may(check: Callable[[Context, Attr], None]) -> bool:
        return outcome(lambda: check(OTHER, file)) is Status.OK

    assert may(p.check_search) == bool(bits & 1)
    assert may(p.check_list) == bool(bits & 4)
    assert may(p.check_change) == (bits & 3 == 3)
    assert may(p.check_write) == bool(bits & 2)
    assert may(p.check_read) == bool(bits & 5), "to execute is to read"


def test_the_owner_reads_and_writes_whatever_the_mode() -> None:
    p.check_read(OWNER, owned(0))
    p.check_write(OWNER, owned(0))
    assert outcome(lambda: p.check_list(OWNER, owned(0))) is Status.ACCES


@pytest.mark.parametrize(
    ("ctx", "victim_uid", "dir_uid", "expected"),
    [
        (OTHER, 1003, 1000, Status.OK),
        (OTHER, 1000, 1003, Status.OK),
        (OTHER, 1000, 1000, Status.PERM),
        (MEMBER, 1000, 1002, Status.PERM),
        (ROOT, 1000, 1000, Status.OK),
    ],
)
def test_sticky(ctx: Context, victim_uid: int, dir_uid: int, expected: Status) -> None:
    dir, victim = owned(0o1777, dir_uid), owned(0o777, victim_uid)
    assert outcome(lambda: p.check_delete(ctx, dir, victim)) is expected
    dir.mode = 0o777
    assert outcome(lambda: p.check_delete(ctx, dir, victim)) is Status.OK
    dir.mode = 0o1000
    expected = Status.OK if ctx is ROOT else Status.ACCES
    assert outcome(lambda: p.check_delete(ctx, dir, victim)) is expected


@pytest.mark.parametrize(
    ("ctx", "attr", "expected"),
    [
        (OTHER, SetAttr(), Status.OK),
        (OWNER, SetAttr(mode=0o600), Status.OK),
        (MEMBER, SetAttr(mode=0o600), Status.PERM),
        (OWNER, SetAttr(uid=1000), Status.OK),
        (OWNER, SetAttr(uid=1001), Status.PERM),
        (OTHER, SetAttr(uid=1003), Status.PERM),
        (OTHER, SetAttr(uid=1000), Status.PERM),
        (ROOT, SetAttr(uid=5, gid=6), Status.OK),
        (OWNER, SetAttr(gid=100), Status.OK),
        (OWNER, SetAttr(gid=200), Status.OK),
        (OWNER, SetAttr(gid=300), Status.PERM),
        (MEMBER, SetAttr(gid=200), Status.PERM),
        (OWNER, SetAttr(size=0), Status.OK),
        (MEMBER, SetAttr(size=0), Status.OK),
        (OTHER, SetAttr(size=0), Status.ACCES),
        (OWNER, SetAttr(mtime=5), Status.OK),
        (MEMBER, SetAttr(mtime=5), Status.PERM),
        (MEMBER, SetAttr(mtime=NOW), Status.OK),
        (MEMBER, SetAttr(mtime=NOW, atime=NOW), Status.OK),
        (MEMBER, SetAttr(mtime=NOW, atime=0), Status.PERM),
        (OTHER, SetAttr(mtime=NOW), Status.ACCES),
        (OTHER, SetAttr(mtime=0), Status.PERM),
    ],
)
def test_setattr(ctx: Context, attr: SetAttr, expected: Status) -> None:
    assert outcome(lambda: p.check_setattr(ctx, owned(0o020), attr)) is expected


@pytest.mark.parametrize(
    ("ctx", "mode", "attr", "expected"),
    [
        (OWNER, 0o644, SetAttr(mode=0o104755), 0o4755),
        (OWNER, 0o644, SetAttr(mode=0o2755), 0o755),
        (Context(1000, 200), 0o644, SetAttr(mode=0o2755), 0o2755),
        (OWNER, 0o644, SetAttr(mode=0o2755, gid=100), 0o2755),
        (ROOT, 0o644, SetAttr(mode=0o2755), 0o2755),
        (ROOT, 0o6755, SetAttr(uid=5), 0o755),
        (ROOT, 0o6745, SetAttr(gid=5), 0o2745),
        (OWNER, 0o6755, SetAttr(size=0), 0o755),
        (ROOT, 0o6755, SetAttr(size=0), 0o6755),
        (OWNER, 0o6755, SetAttr(mtime=5), 0o6755),
    ],
)
def test_mode_after_setattr(ctx: Context, mode: int, attr: SetAttr, expected: int) -> None:
    assert p.mode_after_setattr(ctx, owned(mode), FileType.REG, attr) == expected


def test_chown_leaves_directories_their_setgid() -> None:
    attr = SetAttr(gid=5)
    assert p.mode_after_setattr(ROOT, owned(0o2775), FileType.DIR, attr) == 0o2775


@pytest.mark.parametrize(
    ("ctx", "mode", "expected"),
    [
        (OTHER, 0o6777, 0o777),
        (OTHER, 0o6767, 0o2767),
        (OWNER, 0o4755, 0o755),
        (ROOT, 0o6755, 0o6755),
        (OTHER, 0o1644, 0o1644),
    ],
)
def test_mode_after_write(ctx: Context, mode: int, expected: int) -> None:
    assert p.mode_after_write(ctx, mode) == expected


@pytest.mark.parametrize(
    ("ctx", "dir_mode", "attr", "expected"),
    [
        (OTHER, 0o777, SetAttr(), (1003, 100)),
        (OTHER, 0o2777, SetAttr(), (1003, 200)),
        (OTHER, 0o777, SetAttr(uid=1003, gid=7), (1003, 7)),
        (OTHER, 0o2777, SetAttr(gid=200), (1003, 200)),
        (OTHER, 0o777, SetAttr(gid=200), None),
        (OTHER, 0o777, SetAttr(uid=0), None),
        (ROOT, 0o777, SetAttr(uid=5, gid=6), (5, 6)),
        (ROOT, 0o2777, SetAttr(), (0, 200)),
    ],
)
def test_new_owner(
    ctx: Context, dir_mode: int, attr: SetAttr, expected: tuple[int, int] | None
) -> None:
    if expected is None:
        with pytest.raises(FsError) as caught:
            p.new_owner(ctx, owned(dir_mode), attr)
        assert caught.value.status is Status.PERM
    else:
        assert p.new_owner(ctx, owned(dir_mode), attr) == expected


@pytest.mark.parametrize(
    ("ctx", "dir_mode", "type", "mode", "gid", "expected"),
    [
        (OTHER, 0o2777, FileType.DIR, 0o755, 200, 0o2755),
        (OTHER, 0o777, FileType.DIR, 0o755, 100, 0o755),
        (OTHER, 0o2777, FileType.REG, 0o644, 200, 0o644),
        (OTHER, 0o2777, FileType.REG, 0o2755, 200, 0o755),
        (MEMBER, 0o2777, FileType.REG, 0o2755, 200, 0o2755),
        (ROOT, 0o2777, FileType.REG, 0o106755, 200, 0o6755),
    ],
)
def test_new_mode(
    ctx: Context, dir_mode: int, type: FileType, mode: int, gid: int, expected: int
) -> None:
    assert p.new_mode(ctx, owned(dir_mode), type, mode, gid) == expected
