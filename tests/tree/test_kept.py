"""Open files keep what they showed; all of them together keep no more than the server can bear."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel
from fsmount import procfs
from fsmount.tree.kept import KEPT_MAX
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, Filesystem, singleton

LINES = [f"{n:07}\n" for n in range(1 << 17)]
"""A MiB."""

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


@proc.show
def long_show(kernel: Kernel) -> str:
    """A MiB, anew each time."""
    return "".join(LINES)


@contextmanager
def without_collector() -> Iterator[None]:
    """Nothing is freed but by its last reference."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
        gc.enable()


@pytest.fixture
def tree() -> Tree:
    return Tree(Kernel.boot(profiles.load("pc-2g")), [proc, *procfs.GROUPS])


def test_many_open_files_keep_a_bounded_amount_and_each_goes_on_where_it_was(tree: Tree):
    node = tree.lookup("proc/long")
    with without_collector():
        files = [tree.open(node, os.O_RDONLY) for _ in range(100)]
        begun = [file.read(4096, 0) for file in files]
        assert tracemalloc.get_traced_memory()[0] < KEPT_MAX + (4 << 20)
        text = "".join(LINES).encode()
        for file, first in zip(files, begun, strict=True):
            assert first + file.read(1 << 21, 4096) == text
        for file in files:
            file.close()
        del begun, first, text, file, files
        assert tracemalloc.get_traced_memory()[0] < 1 << 20


def test_kcore_leaves_nothing_and_many_open_ones_are_bounded(tree: Tree):
    node = tree.lookup("proc/kcore")
    tree.open(node, os.O_RDONLY).close()  # what it imports
    with without_collector():
        for _ in range(20):
            tree.getattr(node)
            file = tree.open(node, os.O_RDONLY)
            file.read(4096, 0)
            file.close()
        del file
        once = tracemalloc.get_traced_memory()[0]
        assert once < 1 << 17
        files = [tree.open(node, os.O_RDONLY) for _ in range(40)]
        assert {file.read(4, 0) for file in files} == {b"\x7fELF"}
        bound = tracemalloc.get_traced_memory()[0]
        files += [tree.open(node, os.O_RDONLY) for _ in range(40)]
        assert tracemalloc.get_traced_memory()[0] < bound + (1 << 17)
