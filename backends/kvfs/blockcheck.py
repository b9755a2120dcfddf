"""The part of the consistency check that looks at data blocks, and at what they are of."""

from __future__ import annotations

from backends.base import FileType
from backends.kvfs.engine import Engine
from backends.kvfs.records import Doomed, Inode, number_key
from backends.kvfs.tree import Tree

_MOST = 2**63 - 1


def check_blocks(tree: Tree, engine: Engine) -> None:
    """That each block is in the size of a file or doomed, and that `used` is what there is."""
    view, doomed, say, dirty = tree.view, tree.doomed, tree.say, tree.dirty
    owners = _owners(tree, engine)
    for object, what in sorted(doomed.items()):
        node = owners.get(object)
        if what.owner != (node.ino if node else 0):
            say(f"object {object}: is to be deleted for inode {what.owner}, which has it not")
            doomed[object] = Doomed(what.first, node.ino if node else 0)
        if node is not None and what.first < -(-node.size // engine.block_bytes):
            say(f"inode {node.ino}: some of its data is to be deleted")
            doomed[object] = Doomed(-(-node.size // engine.block_bytes), node.ino)
        if doomed[object] != what:
            view.tx.put(number_key(b"O", object), doomed[object].encode())
    stored = set(view.tx.blocks.objects(0))
    for object in sorted(stored - owners.keys() - doomed.keys()):
        say(f"object {object}: no file has it")
        doomed[object] = Doomed(0, 0)
        view.tx.put(number_key(b"O", object), doomed[object].encode())
    for object, node in sorted(owners.items()):
        used = _check_object(tree, node, engine) if object in stored else 0
        if node.used != used:
            say(f"inode {node.ino}: counts {node.used} bytes as used, {used} are")
            node.used = used
            dirty.add(node.ino)
    for node in tree.inodes.values():
        if node.type is not FileType.REG and node.used != len(node.target):
            say(f"inode {node.ino}: counts {node.used} bytes as used, {len(node.target)} are")
            node.used = len(node.target)
            dirty.add(node.ino)


def _owners(tree: Tree, engine: Engine) -> dict[int, Inode]:
    """Object -> the inode that has it. Of two, the second gets a copy."""
    blocks = tree.view.tx.blocks
    owners: dict[int, Inode] = {}
    for ino, node in sorted(tree.inodes.items()):
        if node.type is not FileType.REG:
            continue
        if node.data in owners:
            tree.say(f"inode {ino}: its data is that of inode {owners[node.data].ino}")
            new = tree.number()
            end = -(-node.size // engine.block_bytes)
            for number, data in blocks.read(node.data, 0, end):
                blocks.write(new, number, data)
            node.data = new
            tree.dirty.add(ino)
        owners[node.data] = node
    return owners


def _check_object(tree: Tree, node: Inode, engine: Engine) -> int:
    """Check the blocks of a file; gives their bytes."""
    view, doomed, say = tree.view, tree.doomed, tree.say
    block = engine.block_bytes
    end = -(-node.size // block)
    used = 0
    for _, number, length in list(view.tx.blocks.scan(node.data, 0, end)):
        most = min(block, node.size - number * block)
        if length > most:
            say(f"inode {node.ino}: block {number} has {length} bytes, {most} at most are right")
            for _, data in view.tx.blocks.read(node.data, number, number + 1):
                view.tx.blocks.write(node.data, number, data[:most])
        used += min(length, most)
    behind = sum(length for _, _, length in view.tx.blocks.scan(node.data, end, _MOST))
    what = doomed.get(node.data)
    if behind and what is None:
        say(f"inode {node.ino}: has data behind its end")
        doomed[node.data] = Doomed(end, node.ino)
        view.tx.put(number_key(b"O", node.data), doomed[node.data].encode())
    return used + behind
