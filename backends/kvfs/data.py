"""The data of regular files, in blocks. A block may be short or missing: what it lacks is zero.

No block reaches behind the size of its file, but for doomed ones, which no longer count.
"""

from __future__ import annotations

from collections.abc import Iterator

from backends.base import Buffer
from backends.kvfs.records import Inode
from backends.kvfs.store import View


def read(view: View, node: Inode, block: int, offset: int, length: int) -> Buffer:
    """Exactly `length` bytes (1 or more) from `offset`; both are within the size."""
    first, last = offset // block, (offset + length - 1) // block
    blocks = view.tx.blocks.read(node.data, first, last + 1)
    start = offset - first * block
    if first == last:
        piece = next((data for _, data in blocks), b"")
        if start or len(piece) != length:
            piece = piece[start : start + length].ljust(length, b"\0")
        return piece
    end = offset + length
    at, pieces = offset, []
    for number, found in blocks:
        begin = number * block
        if begin > at:  # a hole
            pieces.append(bytes(begin - at))
            at = begin
        piece = found[at - begin : end - begin]
        pieces.append(piece)
        at += len(piece)
    pieces.append(bytes(end - at))
    return b"".join(pieces)


def write(view: View, node: Inode, block: int, offset: int, data: Buffer) -> int:
    """Write `data` (1 byte or more): the bytes of storage that this adds. `node` is a copy to
    change."""
    blocks = view.tx.blocks
    added = 0
    length = len(data)
    lengths = _lengths(view, node, block, offset, length)
    with memoryview(data) as whole:
        for number, start, stop, at in _pieces(block, offset, length):
            piece: Buffer = whole[at : at + stop - start]
            old = lengths.get(number, 0)
            if start or stop < old:
                found = blocks.read(node.data, number, number + 1) if old else iter(())
                kept = next((data for _, data in found), b"")
                piece = b"".join((kept[:start].ljust(start, b"\0"), piece, kept[stop:]))
            blocks.write(node.data, number, piece)
            added += len(piece) - old
    node.used += added
    view.state.used += added
    node.size = max(node.size, offset + length)
    return added


def truncate(view: View, node: Inode, block: int, size: int) -> None:
    """Set the size; `node` is a copy to change. Blocks behind it go, many of them later."""
    if size < node.size:
        _cut(view, node, block, size)
    node.size = size


def _cut(view: View, node: Inode, block: int, size: int) -> None:
    if not node.used:
        return
    if size == 0:
        if not view.doom(node.data, 0, owner=0):
            node.data = view.number()  # it can be written at once, with the old blocks in no way
        view.state.used -= node.used
        node.used = 0
        return
    number, rest = divmod(size, block)
    if rest:
        for _, data in view.tx.blocks.read(node.data, number, number + 1):
            if len(data) > rest:
                view.tx.blocks.write(node.data, number, data[:rest])
                node.used -= len(data) - rest
                view.state.used -= len(data) - rest
    view.doom(node.data, number + (rest > 0), owner=node.ino)


def _lengths(view: View, node: Inode, block: int, offset: int, length: int) -> dict[int, int]:
    """Number -> length of the blocks that are there in a range."""
    first = offset // block
    last = min((offset + length - 1) // block + 1, -(-node.size // block))
    if first >= last:
        return {}
    return {found.number: found.length for found in view.tx.blocks.scan(node.data, first, last)}


def _pieces(block: int, offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
    """(block number, start and stop in the block, position in the data) of each block touched."""
    at = 0
    while at < length:
        number, start = divmod(offset + at, block)
        stop = min(block, start + length - at)
        yield number, start, stop, at
        at += stop - start
