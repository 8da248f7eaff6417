"""All that is declared, on a booted machine: what is listed exists, is counted, and can be read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

import pytest

from elfcorehdr.errors import KernelError
from fsmount.cli.boot import BootOptions, boot

STEPS = (
    ("sys/devices/system/memory/memory30/state", "offline"),
    ("sys/kernel/dlpar", "memory remove count 1"),
    ("sys/devices/system/cpu/cpu3/online", "0"),
    ("sys/devices/system/memory/memory30/online", "1"),
)


@pytest.fixture(params=["6.12", "7.1"])
def tree(request):
    _, tree = boot(BootOptions(kernel=request.param, load=True))
    return tree


def walk(tree, path=""):
    """Every node but the root: parents first."""
    directory = tree.lookup(path)
    for name, kind in tree.names(directory):
        node = tree.child(directory, name)
        assert node.type == kind, node.path
        yield node
        if kind == stat.S_IFDIR:
            yield from walk(tree, node.path)


def write(tree, path, text):
    tree.open(tree.lookup(path), os.O_WRONLY).write(text.encode(), 0)


def check(tree):
    """How many nodes are there; every one of them is sound."""
    inodes, count = set(), 0
    for node in walk(tree):
        got = tree.getattr(node)
        count += 1
        inodes.add(got.ino)
        if node.type == stat.S_IFDIR:
            listed = [kind for _, kind in tree.names(node)]
            assert got.nlink == 2 + listed.count(stat.S_IFDIR), node.path
        elif node.type == stat.S_IFLNK:
            target = tree.readlink(node)
            place = os.path.join("/", os.path.dirname(node.path), target)
            tree.lookup(os.path.normpath(place))
        elif got.mode & 0o444:
            with suppress(KernelError):  # a refusal is an answer; a bug is not
                tree.open(node, os.O_NONBLOCK).read(1 << 17, 0)
    assert len(inodes) == count
    return count


def test_tree_is_sound_at_boot_and_after_each_step(tree):
    before = check(tree)
    assert before > 1000
    for path, text in STEPS:
        seq = tree.kernel.names_seq
        names = {node.path for node in walk(tree)}
        write(tree, path, text)
        check(tree)
        changed = names != {node.path for node in walk(tree)}
        assert not changed or tree.kernel.names_seq != seq, f"{path}: names_seq has not moved"
