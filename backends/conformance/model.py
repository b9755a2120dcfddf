"""A file system small enough to be seen to be right: what a random walk compares a backend with.

It knows names, types, modes, link counts and contents; not times, owners or permissions. Nodes have
numbers of the walk's own, so that a step means the same in every backend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from backends.base import CreateMode, FileType, Key, Limits, Stable, Status

#: The number of the root.
ROOT = 0

_NO_FILE = frozenset({Status.ISDIR, Status.INVAL})
_FULL = frozenset({Status.NOSPC, Status.DQUOT})


@dataclass(frozen=True, slots=True)
class Step:
    """One call: the operation and its arguments, with node numbers where it has keys.

    `makes` is the number of what it makes, if it makes something.
    """

    op: str
    args: tuple[Any, ...]
    makes: int | None = None

    def __str__(self) -> str:
        shown = ", ".join(_short(arg) for arg in self.args)
        return f"{self.op}({shown})" + (f" makes {self.makes}" if self.makes is not None else "")


@dataclass(slots=True, eq=False)
class Node:
    """A file. `key` is what the backend calls it."""

    number: int
    type: FileType
    mode: int
    key: Key
    nlink: int = 1
    #: A regular file's content, a link's target.
    data: bytearray = field(default_factory=bytearray)
    children: dict[bytes, Node] = field(default_factory=dict)
    parent: Node | None = None
    #: Of an EXCLUSIVE create; `sure` as long as nothing was done that may have ended it.
    verifier: bytes | None = None
    sure: bool = False
    #: Ranges of data that may be lost in a crash, and the size that is left then at least.
    dirty: list[tuple[int, int]] = field(default_factory=list)
    safe_size: int = 0

    @property
    def gone(self) -> bool:
        """Whether it has no name any more."""
        return not self.nlink


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may come of a step: refusals, and whether it may succeed."""

    refusals: frozenset[Status]
    may_succeed: bool


class Model:
    """The tree; `judge` says what may come of a step, `apply` does it."""

    def __init__(self, root: Key, limits: Limits) -> None:
        self.limits = limits
        self.nodes: dict[int, Node] = {ROOT: Node(ROOT, FileType.DIR, 0o755, root, nlink=2)}
        #: Nodes whose attributes the last step may have changed.
        self.touched: set[Node] = set()

    @property
    def root(self) -> Node:
        return self.nodes[ROOT]

    def knows(self, step: Step) -> bool:
        """Whether all nodes that the step names were made."""
        return all(arg.number in self.nodes for arg in step.args if isinstance(arg, Ref))

    def node(self, ref: Ref) -> Node:
        return self.nodes[ref.number]

    # What may come of it

    def judge(self, step: Step) -> Verdict:
        """What a backend may answer."""
        judged: frozenset[Status] | Verdict = getattr(self, f"_judge_{step.op}")(*step.args)
        if isinstance(judged, Verdict):
            return judged
        return Verdict(judged, not judged)

    def _stale(self, ref: Ref) -> frozenset[Status]:
        return frozenset({Status.STALE}) if self.node(ref).gone else frozenset()

    def _dir(self, ref: Ref) -> frozenset[Status]:
        if stale := self._stale(ref):
            return stale
        return frozenset() if self.node(ref).type is FileType.DIR else _one(Status.NOTDIR)

    def _in(self, ref: Ref, name: bytes) -> frozenset[Status]:
        """What is wrong with looking a name up."""
        wrong = self._dir(ref)
        return wrong or (frozenset() if name in self.node(ref).children else _one(Status.NOENT))

    def _free(self, ref: Ref, name: bytes) -> frozenset[Status]:
        """What is wrong with making a name."""
        wrong = self._dir(ref)
        return wrong or (_one(Status.EXIST) if name in self.node(ref).children else frozenset())

    def _file(self, ref: Ref) -> frozenset[Status]:
        wrong = self._stale(ref)
        return wrong or (frozenset() if self.node(ref).type is FileType.REG else _NO_FILE)

    def _judge_getattr(self, ref: Ref) -> frozenset[Status]:
        return self._stale(ref)

    def _judge_lookup(self, ref: Ref, name: bytes) -> frozenset[Status]:
        return self._in(ref, name)

    def _judge_peek(self, ref: Ref, name: bytes) -> frozenset[Status]:
        return self._dir(ref)

    def _judge_readdir(self, ref: Ref) -> frozenset[Status]:
        return self._dir(ref)

    def _judge_read(self, ref: Ref, offset: int, count: int) -> frozenset[Status]:
        return self._file(ref)

    def _judge_readlink(self, ref: Ref) -> frozenset[Status]:
        wrong = self._stale(ref)
        return wrong or (frozenset() if self.node(ref).type is FileType.LNK else _one(Status.INVAL))

    def _judge_write(self, ref: Ref, offset: int, data: bytes, stable: Stable) -> Any:
        wrong = self._file(ref)
        return wrong or Verdict(_FULL, True)

    def _judge_commit(self, ref: Ref) -> Any:
        # Of what is no file there is nothing to commit: neither answer is wrong.
        return self._stale(ref) or Verdict(self._file(ref), True)

    def _judge_setattr(
        self, ref: Ref, mode: int | None, size: int | None, guard: bool | None
    ) -> Any:
        if wrong := self._stale(ref):
            return wrong
        if guard is False:
            wrong |= _one(Status.NOT_SYNC)
        if size is not None:
            wrong |= self._file(ref)
        return wrong or Verdict(_FULL if size else frozenset(), True)

    def _judge_create(
        self, ref: Ref, name: bytes, how: CreateMode, mode: int, size: int | None, verifier: bytes
    ) -> Any:
        if wrong := self._dir(ref):
            return wrong
        found = self.node(ref).children.get(name)
        if found is None:
            return Verdict(_FULL, True)
        if found.type is not FileType.REG:
            unchecked = how is CreateMode.UNCHECKED and found.type is FileType.DIR
            return _one(Status.EXIST) | (_one(Status.ISDIR) if unchecked else frozenset())
        if how is CreateMode.UNCHECKED:
            return Verdict(_FULL if size else frozenset(), True)
        if how is CreateMode.EXCLUSIVE and found.verifier == verifier:
            return Verdict(frozenset() if found.sure else _one(Status.EXIST), True)
        return _one(Status.EXIST)

    def _judge_mkdir(self, ref: Ref, name: bytes, mode: int) -> Any:
        return self._free(ref, name) or Verdict(_FULL | self._full_of_dirs(ref), True)

    def _full_of_dirs(self, ref: Ref) -> frozenset[Status]:
        full = self.node(ref).nlink >= self.limits.link_max
        return _one(Status.MLINK) if full else frozenset()

    def _judge_symlink(self, ref: Ref, name: bytes, target: bytes) -> Any:
        return self._free(ref, name) or Verdict(_FULL, True)

    def _judge_mknod(self, ref: Ref, name: bytes, mode: int) -> Any:
        return self._free(ref, name) or Verdict(_FULL, True)

    def _judge_link(self, ref: Ref, dir: Ref, name: bytes) -> frozenset[Status]:
        wrong = self._stale(ref) | self._free(dir, name)
        if self.node(ref).type is FileType.DIR:
            wrong |= _one(Status.ISDIR)
        elif self.node(ref).nlink >= self.limits.link_max:
            wrong |= _one(Status.MLINK)
        return wrong

    def _judge_remove(self, ref: Ref, name: bytes) -> frozenset[Status]:
        if wrong := self._in(ref, name):
            return wrong
        is_dir = self.node(ref).children[name].type is FileType.DIR
        return _one(Status.ISDIR) if is_dir else frozenset()

    def _judge_rmdir(self, ref: Ref, name: bytes) -> frozenset[Status]:
        if wrong := self._in(ref, name):
            return wrong
        found = self.node(ref).children[name]
        if found.type is not FileType.DIR:
            return _one(Status.NOTDIR)
        return frozenset({Status.NOTEMPTY, Status.EXIST}) if found.children else frozenset()

    def _judge_rename(self, source: Ref, old: bytes, target: Ref, new: bytes) -> Any:
        if wrong := self._in(source, old) | self._dir(target):
            return wrong
        node, victim = self.node(source).children[old], self.node(target).children.get(new)
        if node is victim:
            return frozenset()
        is_dir = node.type is FileType.DIR
        if is_dir and _beneath(self.node(target), node):
            wrong |= _one(Status.INVAL)
        if victim is not None:
            wrong |= _one(Status.EXIST) if is_dir != (victim.type is FileType.DIR) else frozenset()
            if is_dir and victim.type is not FileType.DIR:
                wrong |= _one(Status.NOTDIR)
            elif not is_dir and victim.type is FileType.DIR:
                wrong |= _one(Status.ISDIR)
            if victim.children:
                wrong |= {Status.NOTEMPTY, Status.EXIST}
        elif is_dir and source != target:
            return wrong or Verdict(self._full_of_dirs(target), True)
        return wrong

    # What it does

    def apply(self, step: Step, key: Key | None = None) -> Node | None:
        """Do it, in a tree where it may succeed; `key` is that of what was made.

        Gives what the step made or found.
        """
        self.touched = set()
        effect = getattr(self, f"_apply_{step.op}", None)
        if effect is None:
            return self._find(step)
        found: Node | None = effect(step, key, *step.args)
        return found

    def _find(self, step: Step) -> Node | None:
        """What a step that changes nothing is about; reading may end an EXCLUSIVE create."""
        node = self.node(step.args[0])
        if step.op == "read":
            node.sure = False
        if step.op in ("lookup", "peek"):
            return node.children.get(step.args[1])
        return node

    def _make(self, step: Step, key: Key | None, type: FileType, mode: int) -> Node:
        assert key is not None
        assert step.makes is not None
        parent, name = self.node(step.args[0]), step.args[1]
        node = self.nodes[step.makes] = Node(step.makes, type, mode, key)
        self._enter(parent, name, node)
        return node

    def _enter(self, parent: Node, name: bytes, node: Node) -> None:
        parent.children[name] = node
        if node.type is FileType.DIR:
            node.parent = parent
            parent.nlink += 1
        self.touched |= {parent, node}

    def _leave(self, parent: Node, name: bytes) -> Node:
        node = parent.children.pop(name)
        if node.type is FileType.DIR:
            parent.nlink -= 1
        self.touched |= {parent, node}
        return node

    def _unlink(self, parent: Node, name: bytes) -> None:
        node = self._leave(parent, name)
        node.nlink = 0 if node.type is FileType.DIR else node.nlink - 1

    def _apply_create(
        self, step: Step, key: Key | None, ref: Ref, name: bytes, how: CreateMode, mode: int,
        size: int | None, verifier: bytes,
    ) -> Node:  # fmt: skip
        found = self.node(ref).children.get(name)
        if found is None:
            found = self._make(step, key, FileType.REG, mode)
            if how is CreateMode.EXCLUSIVE:
                found.verifier, found.sure = verifier, True
                found.mode = -1
            elif size:
                _resize(found, size)
        elif how is CreateMode.UNCHECKED and size is not None:
            _resize(found, size)
            found.sure = False
            self.touched = {found}
        return found

    def _apply_mkdir(self, step: Step, key: Key | None, ref: Ref, name: bytes, mode: int) -> Node:
        node = self._make(step, key, FileType.DIR, mode)
        node.nlink = 2
        return node

    def _apply_symlink(
        self, step: Step, key: Key | None, ref: Ref, name: bytes, target: bytes
    ) -> Node:
        node = self._make(step, key, FileType.LNK, -1)
        node.data[:] = target
        return node

    def _apply_mknod(self, step: Step, key: Key | None, ref: Ref, name: bytes, mode: int) -> Node:
        return self._make(step, key, FileType.FIFO, mode)

    def _apply_link(self, step: Step, key: Key | None, ref: Ref, dir: Ref, name: bytes) -> Node:
        node = self.node(ref)
        node.nlink += 1
        self._enter(self.node(dir), name, node)
        return node

    def _apply_remove(self, step: Step, key: Key | None, ref: Ref, name: bytes) -> None:
        self._unlink(self.node(ref), name)

    _apply_rmdir = _apply_remove

    def _apply_rename(
        self, step: Step, key: Key | None, source: Ref, old: bytes, target: Ref, new: bytes
    ) -> Node:
        parent, onto = self.node(source), self.node(target)
        node = parent.children[old]
        if onto.children.get(new) is node:
            return node
        if new in onto.children:
            self._unlink(onto, new)
        self._leave(parent, old)
        self._enter(onto, new, node)
        return node

    def _apply_setattr(
        self, step: Step, key: Key | None, ref: Ref, mode: int | None, size: int | None,
        guard: bool | None,
    ) -> Node:  # fmt: skip
        node = self.node(ref)
        node.sure = False
        if mode is not None:
            node.mode = mode
        if size is not None:
            _resize(node, size)
        self.touched = {node}
        return node

    def _apply_write(
        self, step: Step, key: Key | None, ref: Ref, offset: int, data: bytes, stable: Stable
    ) -> Node:
        node, end = self.node(ref), offset + len(data)
        if data:
            node.sure = False
            node.data.extend(bytes(max(0, offset - len(node.data))))
            node.data[offset:end] = data
            if stable is Stable.UNSTABLE:
                node.dirty.append((min(offset, node.safe_size), end))
            else:
                node.safe_size = max(node.safe_size, end)
        self.touched = {node}
        return node

    def _apply_commit(self, step: Step, key: Key | None, ref: Ref) -> Node:
        node = self.node(ref)
        node.dirty.clear()
        node.safe_size = len(node.data)
        return node


@dataclass(frozen=True, slots=True)
class Ref:
    """A node, by its number, in the arguments of a `Step`."""

    number: int

    def __str__(self) -> str:
        return f"#{self.number}"


def _one(status: Status) -> frozenset[Status]:
    return frozenset({status})


def _beneath(node: Node | None, other: Node) -> bool:
    while node is not None and node is not other:
        node = node.parent
    return node is other


def _resize(node: Node, size: int) -> None:
    del node.data[size:]
    node.data.extend(bytes(size - len(node.data)))
    node.safe_size = size


def _short(value: Any) -> str:
    if isinstance(value, bytes) and len(value) > 20:
        return f"{value[:8]!r}... ({len(value)} bytes)"
    if isinstance(value, Stable | CreateMode):
        return value.name
    return str(value) if isinstance(value, Ref) else repr(value)
