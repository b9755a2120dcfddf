"""Permissions: who may do what, as a matrix, and the rules around ownership."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from backends.base import (
    NOW,
    Access,
    CreateMode,
    FileType,
    Key,
    SetAttr,
    Stable,
    Status,
)
from backends.conformance.kit import Fs, Kit, case, refused

_OWNER, _GROUP = 1000, 2000

#: uid, gid, supplementary groups of each class of caller, and where its bits are in the mode.
_WHO: dict[str, tuple[int, int, tuple[int, ...], int]] = {
    "owner": (_OWNER, 3000, (), 6),
    "group": (1001, _GROUP, (), 3),
    "supplementary group": (1002, 3000, (3001, _GROUP), 3),
    "other": (1003, 3000, (3001,), 0),
}


@dataclass(frozen=True)
class _Act:
    """Something that needs `bits` on a directory that holds ``f``, or on a file."""

    on: FileType
    bits: int
    call: Callable[[Fs, Key], Awaitable[object]]
    #: The owner may do it without them.
    owner_may: bool = False


_ACTS = {
    "read": _Act(FileType.REG, 4, lambda fs, key: fs.read(key), True),
    "read to execute": _Act(FileType.REG, 1, lambda fs, key: fs.read(key), True),
    "write": _Act(FileType.REG, 2, lambda fs, key: fs.write(key, 0, b"x"), True),
    "truncate": _Act(FileType.REG, 2, lambda fs, key: fs.setattr(key, SetAttr(size=1)), True),
    "lookup": _Act(FileType.DIR, 1, lambda fs, key: fs.lookup(key, b"f")),
    "list": _Act(FileType.DIR, 4, lambda fs, key: fs.entries(key)),
    "create": _Act(FileType.DIR, 3, lambda fs, key: fs.create(key, b"new")),
    "mkdir": _Act(FileType.DIR, 3, lambda fs, key: fs.mkdir(b"new", key)),
    "symlink": _Act(FileType.DIR, 3, lambda fs, key: fs.symlink(b"new", b"target", key)),
    "remove": _Act(FileType.DIR, 3, lambda fs, key: fs.remove(key, b"f")),
    "rmdir": _Act(FileType.DIR, 3, lambda fs, key: fs.rmdir(key, b"d")),
    "rename": _Act(FileType.DIR, 3, lambda fs, key: fs.rename(key, b"f", key, b"new")),
}


class Rights(Kit):
    """Skipped as a whole where `checks_permissions` is off."""

    def _caller(self, fs: Fs, who: str) -> Fs:
        uid, gid, groups, _ = _WHO[who]
        return fs.as_user(uid, gid, *groups)

    async def _place(self, fs: Fs, mode: int, uid: int = _OWNER, gid: int = _GROUP) -> Key:
        """A directory for all the rest, reachable for everybody."""
        await fs.chmod(fs.root, 0o755)
        key = await fs.mkdir(b"place")
        await fs.chown(key, uid, gid)
        await fs.chmod(key, mode)
        return key

    async def _thing(self, fs: Fs, type: FileType, mode: int) -> Key:
        """A file, or a directory with a file and a directory in it, that `_OWNER` owns."""
        await fs.chmod(fs.root, 0o755)
        if type is FileType.DIR:
            key = await fs.mkdir(b"thing")
            await fs.file(b"f", b"data", key, 0o666)
            await fs.mkdir(b"d", key, 0o777)
        else:
            key = await fs.file(b"thing", b"data")
        await fs.chown(key, _OWNER, _GROUP)
        await fs.chmod(key, mode)
        return key

    @pytest.mark.parametrize("act", _ACTS)
    @pytest.mark.parametrize("who", _WHO)
    @case("write", "checks_permissions")
    async def test_what_the_bits_allow(self, fs: Fs, who: str, act: str) -> None:
        if act == "symlink" and not fs.limits.symlinks:
            pytest.skip("limits.symlinks is not declared")
        key = await self._thing(fs, _ACTS[act].on, _ACTS[act].bits << _WHO[who][3])
        await _ACTS[act].call(self._caller(fs, who), key)

    @pytest.mark.parametrize("act", _ACTS)
    @pytest.mark.parametrize("who", _WHO)
    @case("write", "checks_permissions")
    async def test_what_the_bits_refuse(self, fs: Fs, who: str, act: str) -> None:
        if act == "symlink" and not fs.limits.symlinks:
            pytest.skip("limits.symlinks is not declared")
        # Everybody else has all bits, and this caller all but the ones that are needed.
        rule, shift = _ACTS[act], _WHO[who][3]
        without = 7 & ~(5 if act in ("read", "read to execute") else rule.bits)
        key = await self._thing(fs, rule.on, 0o777 & ~(7 << shift) | without << shift)
        user = self._caller(fs, who)
        if who == "owner" and rule.owner_may:
            await rule.call(user, key)
        else:
            before = sorted(await fs.names(key)) if rule.on is FileType.DIR else []
            await refused(rule.call(user, key), Status.ACCES)
            if rule.on is FileType.DIR:
                assert sorted(await fs.names(key)) == before
            else:
                assert await fs.read(key) == b"data"

    @pytest.mark.parametrize("missing", [2, 1])
    @pytest.mark.parametrize("act", ["create", "remove", "rename", "mkdir", "rmdir"])
    @case("write", "checks_permissions")
    async def test_changing_needs_write_and_search(self, fs: Fs, act: str, missing: int) -> None:
        key = await self._thing(fs, FileType.DIR, (7 & ~missing) * 0o111)
        await refused(_ACTS[act].call(self._caller(fs, "other"), key), Status.ACCES)

    @pytest.mark.parametrize("act", _ACTS)
    @case("write", "checks_permissions")
    async def test_the_superuser_may_do_all(self, fs: Fs, act: str) -> None:
        if act == "symlink" and not fs.limits.symlinks:
            pytest.skip("limits.symlinks is not declared")
        key = await self._thing(fs, _ACTS[act].on, 0)
        await _ACTS[act].call(fs, key)

    @pytest.mark.parametrize("mode", [0o000, 0o751, 0o640, 0o426, 0o777])
    @pytest.mark.parametrize("type", [FileType.REG, FileType.DIR])
    @pytest.mark.parametrize("who", _WHO)
    @case("write", "checks_permissions")
    async def test_access_follows_the_bits(
        self, fs: Fs, who: str, type: FileType, mode: int
    ) -> None:
        key = await self._thing(fs, type, mode)
        user, bits = self._caller(fs, who), mode >> _WHO[who][3] & 7
        granted = (await user.backend.access(user.ctx, key, 0x3F)).access
        if type is FileType.DIR:
            expected = Access.LOOKUP if bits & 1 else Access(0)
        else:
            expected = Access.EXECUTE if bits & 1 else Access(0)
        assert granted & (Access.LOOKUP | Access.EXECUTE) == expected
        assert bool(granted & Access.READ) == bool(bits & 4)
        # For a directory, changing it takes search as well, so its bits may be withheld then.
        if type is FileType.REG or bits & 3 != 2:
            assert bool(granted & Access.MODIFY) == bool(bits & 2)
            assert bool(granted & Access.EXTEND) == bool(bits & 2)

    @case("write", "checks_permissions")
    async def test_rename_needs_both_directories(self, fs: Fs) -> None:
        theirs, place = await self._thing(fs, FileType.DIR, 0o755), await self._place(fs, 0o777)
        user = self._caller(fs, "other")
        await refused(user.rename(theirs, b"f", place, b"f"), Status.ACCES)
        await user.file(b"mine", b"", place)
        await refused(user.rename(place, b"mine", theirs, b"mine"), Status.ACCES)
        assert sorted(await fs.names(theirs)) == [b"d", b"f"]
        assert await fs.names(place) == [b"mine"]

    @case("write", "checks_permissions", "links")
    async def test_link_needs_the_directory(self, fs: Fs) -> None:
        theirs, place = await self._thing(fs, FileType.DIR, 0o755), await self._place(fs, 0o777)
        user = self._caller(fs, "other")
        key = await user.file(b"mine", b"", place)
        await refused(user.link(key, theirs, b"mine"), Status.ACCES)
        await user.link(key, place, b"second name")

    # Ownership

    @case("write", "checks_permissions")
    async def test_new_files_are_the_callers(self, fs: Fs) -> None:
        place = await self._place(fs, 0o777)
        user = fs.as_user(1003, 3000, 3001)
        keys = [await user.file(b"f", b"", place), await user.mkdir(b"d", place)]
        made = await user.create(place, b"x", CreateMode.EXCLUSIVE, SetAttr(), b"12345678")
        keys.append(made.attr.key)
        if fs.limits.symlinks:
            keys.append(await user.symlink(b"l", b"target", place))
        for key in keys:
            attr = await fs.attr(key)
            assert (attr.uid, attr.gid) == (1003, 3000)
        # EXCLUSIVE names no mode, and yet its maker must be able to go on.
        await user.setattr(made.attr.key, SetAttr(mode=0o400))
        await user.write(made.attr.key, 0, b"the owner may write whatever the mode says")

    @case("write", "checks_permissions")
    async def test_a_setgid_directory_gives_its_group(self, fs: Fs) -> None:
        place = await self._place(fs, 0o2777)
        user = fs.as_user(1003, 3000)
        file, dir = await user.file(b"f", b"", place), await user.mkdir(b"d", place)
        assert (await fs.attr(file)).gid == _GROUP
        attr = await fs.attr(dir)
        assert (attr.gid, attr.mode) == (_GROUP, 0o2755)

    @case("write", "checks_permissions")
    async def test_making_files_for_others(self, fs: Fs) -> None:
        place = await self._place(fs, 0o777)
        user = fs.as_user(1003, 3000, 3001)
        for attr in (SetAttr(mode=0o644, uid=_OWNER), SetAttr(mode=0o644, gid=_GROUP)):
            await refused(user.create(place, b"f", attr=attr), Status.PERM, Status.ACCES)
        assert await fs.names(place) == []
        made = await user.create(place, b"f", attr=SetAttr(mode=0o644, uid=1003, gid=3001))
        assert (made.attr.uid, made.attr.gid) == (1003, 3001)
        made = await fs.create(place, b"g", attr=SetAttr(mode=0o644, uid=5, gid=6))
        assert (made.attr.uid, made.attr.gid) == (5, 6)

    @pytest.mark.parametrize(
        ("who", "allowed"), [("owner", True), ("group", False), ("other", False)]
    )
    @case("write", "checks_permissions")
    async def test_chmod(self, fs: Fs, who: str, allowed: bool) -> None:
        key = await self._thing(fs, FileType.REG, 0o666)
        change = self._caller(fs, who).chmod(key, 0o606)
        await (change if allowed else refused(change, Status.PERM))
        assert (await fs.attr(key)).mode == (0o606 if allowed else 0o666)

    @pytest.mark.parametrize("who", _WHO)
    @case("write", "checks_permissions", "chown_restricted")
    async def test_only_the_superuser_gives_files_away(self, fs: Fs, who: str) -> None:
        key = await self._thing(fs, FileType.REG, 0o666)
        user = self._caller(fs, who)
        await refused(user.setattr(key, SetAttr(uid=1003)), Status.PERM)
        await refused(user.setattr(key, SetAttr(mode=0o600, uid=1003)), Status.PERM)
        attr = await fs.attr(key)
        assert (attr.uid, attr.gid, attr.mode) == (_OWNER, _GROUP, 0o666)
        await fs.setattr(key, SetAttr(uid=1003))
        assert (await fs.attr(key)).uid == 1003

    @pytest.mark.parametrize(
        ("uid", "gid", "allowed"),
        [(_OWNER, 3001, True), (_OWNER, 3000, True), (_OWNER, 4000, False), (1003, 3001, False)],
    )
    @case("write", "checks_permissions")
    async def test_chgrp(self, fs: Fs, uid: int, gid: int, allowed: bool) -> None:
        key = await self._thing(fs, FileType.REG, 0o666)
        change = fs.as_user(uid, 3000, 3001).setattr(key, SetAttr(gid=gid))
        await (change if allowed else refused(change, Status.PERM))
        assert (await fs.attr(key)).gid == (gid if allowed else _GROUP)

    @case("write", "checks_permissions", "set_times")
    async def test_explicit_times_are_the_owners(self, fs: Fs) -> None:
        key = await self._thing(fs, FileType.REG, 0o666)
        before = await fs.attr(key)
        for attr in (SetAttr(mtime=10**9), SetAttr(atime=10**9), SetAttr(atime=NOW, mtime=10**9)):
            await refused(self._caller(fs, "other").setattr(key, attr), Status.PERM, Status.ACCES)
        assert (await fs.attr(key)).mtime == before.mtime
        await self._caller(fs, "owner").setattr(key, SetAttr(mtime=10**9))
        assert (await fs.attr(key)).mtime == 10**9

    @pytest.mark.parametrize(("mode", "allowed"), [(0o666, True), (0o664, False)])
    @case("write", "checks_permissions", "set_times")
    async def test_times_of_now_are_the_writers(self, fs: Fs, mode: int, allowed: bool) -> None:
        key = await self._thing(fs, FileType.REG, mode)
        await fs.setattr(key, SetAttr(atime=10**9, mtime=10**9))
        touch = self._caller(fs, "other").setattr(key, SetAttr(atime=NOW, mtime=NOW))
        await (touch if allowed else refused(touch, Status.ACCES, Status.PERM))
        assert ((await fs.attr(key)).mtime > 10**9) is allowed

    @pytest.mark.parametrize("how", ["write", "truncate"])
    @case("write", "checks_permissions")
    async def test_writing_takes_away_setuid(self, fs: Fs, how: str) -> None:
        key = await self._thing(fs, FileType.REG, 0o6777)
        await _ACTS[how].call(self._caller(fs, "other"), key)
        assert (await fs.attr(key)).mode == 0o777

    @case("write", "checks_permissions")
    async def test_setgid_is_for_members(self, fs: Fs) -> None:
        key = await self._thing(fs, FileType.REG, 0o755)
        await self._caller(fs, "owner").chmod(key, 0o2755)
        assert (await fs.attr(key)).mode == 0o755
        await fs.as_user(_OWNER, 3000, _GROUP).chmod(key, 0o2755)
        assert (await fs.attr(key)).mode == 0o2755

    # The sticky bit

    @pytest.mark.parametrize("how", ["remove", "rename", "rename over", "rmdir"])
    @pytest.mark.parametrize(
        ("uid", "allowed"), [(1001, True), (1002, False), (_OWNER, True), (0, True)]
    )
    @case("write", "checks_permissions")
    async def test_sticky_directory(self, fs: Fs, how: str, uid: int, allowed: bool) -> None:
        place = await self._place(fs, 0o1777)
        maker, user = fs.as_user(1001, 3000), fs.as_user(uid, 3000)
        await (maker.mkdir(b"x", place) if how == "rmdir" else maker.file(b"x", b"", place))
        await user.file(b"own", b"", place)
        if how == "remove":
            call = user.remove(place, b"x")
        elif how == "rmdir":
            call = user.rmdir(place, b"x")
        else:
            names = (b"x", b"new") if how == "rename" else (b"own", b"x")
            call = user.backend.rename(user.ctx, place, names[0], place, names[1])  # type: ignore[assignment]
        if allowed:
            await call
        else:
            await refused(call, Status.ACCES, Status.PERM)
            assert sorted(await fs.names(place)) == [b"own", b"x"]

    @case("write", "checks_permissions", "special_files")
    async def test_device_nodes_are_the_superusers(self, fs: Fs) -> None:
        place = await self._place(fs, 0o777)
        user = self._caller(fs, "other")
        attr = SetAttr(mode=0o600)
        for type in (FileType.CHR, FileType.BLK):
            await refused(
                user.backend.mknod(user.ctx, place, b"n", type, (1, 3), attr),
                Status.PERM,
                Status.ACCES,
            )
        await user.backend.mknod(user.ctx, place, b"n", FileType.FIFO, (0, 0), attr)

    @case("write", "checks_permissions")
    async def test_getattr_needs_no_permission(self, fs: Fs) -> None:
        place = await self._place(fs, 0o700)
        key = await fs.file(b"f", b"", place, 0o000)
        assert (await self._caller(fs, "other").attr(key)).key == key

    @case("write", "checks_permissions")
    async def test_a_name_cannot_be_probed_without_search(self, fs: Fs) -> None:
        key = await self._thing(fs, FileType.DIR, 0o666)
        user = self._caller(fs, "other")
        for name in (b"f", b"no such name"):
            await refused(user.lookup(key, name), Status.ACCES)
            await refused(user.create(key, name), Status.ACCES)
            await refused(user.remove(key, name), Status.ACCES)

    @case("write", "checks_permissions")
    async def test_unchecked_create_respects_the_file(self, fs: Fs) -> None:
        place = await self._place(fs, 0o777)
        key = await fs.file(b"f", b"data", place, 0o644)
        user = self._caller(fs, "other")
        await refused(user.create(place, b"f", CreateMode.UNCHECKED, SetAttr(size=0)), Status.ACCES)
        assert await fs.read(key) == b"data"

    @case("write", "checks_permissions")
    async def test_commit_by_the_writer(self, fs: Fs) -> None:
        place = await self._place(fs, 0o777)
        user = self._caller(fs, "other")
        key = await user.file(b"f", b"", place, 0o400)
        await user.write(key, 0, b"data", Stable.UNSTABLE)
        await user.backend.commit(user.ctx, key, 0, 0)
