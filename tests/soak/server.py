"""A mounted machine that notes every store in the order in which it was done, and judges itself at the end.

`python -m tests.soak.server DIR MACHINE`: serves until a line comes on stdin, then writes what happened as JSON.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import suppress
from typing import Any, NamedTuple

from benchmarks import machines
from elfcorehdr.arch.powerpc.kexec.crash import rebuilt_header
from elfcorehdr.drivers.base.memory import OnlineType
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.machine.reader import from_toml
from fsmount.cli.boot import BootOptions, tree_of
from fsmount.cli.mount import mount_at
from fsmount.tree.kernfs import Node, Tree
from fsmount.tree.kobject import ROOT, Caller, File

BLOCKS, CPUS = 512, 64


class Store(NamedTuple):
    """One write to an open file, and what came of it: the bytes taken, or -errno. Without text: the open itself."""

    file: int
    path: str
    text: str | None
    result: int


class Outcome(NamedTuple):
    """What a storm leaves."""

    header: str
    rebuilt: bool
    """Whether the header is that which is built anew."""
    log: list[str]
    uevents: list[str]
    blocks: list[int]
    cpus: list[int]


class NotingFile:
    """An open file whose stores are noted, from its open on: what was opened may be another's by the time of a write."""

    def __init__(self, file: File, path: str, stores: list[Store]) -> None:
        self._file = file
        self._path = path
        self._stores = stores
        self._number = len(stores)
        stores.append(Store(self._number, path, None, 0))
        self.read = file.read

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        at = len(self._stores)  # who is let in meanwhile comes after it
        self._stores.append(Store(self._number, self._path, buf.decode(), 0))
        try:
            result = self._file.write(buf, offset, flags)
        except KernelError as refused:
            self._stores[at] = self._stores[at]._replace(result=-refused.errno)
            raise
        self._stores[at] = self._stores[at]._replace(result=result)
        return result


class NotingTree(Tree):
    """A tree that notes the stores to its files below sys/."""

    stores: list[Store]

    def open(self, node: Node, flags: int = os.O_RDONLY, caller: Caller = ROOT) -> File:
        file = super().open(node, flags, caller)
        if flags & os.O_ACCMODE == os.O_RDONLY or not node.path.startswith("sys/"):
            return file
        return NotingFile(file, node.path, self.stores)


def booted() -> tuple[Kernel, NotingTree]:
    """The machine of the storms, kdump loaded."""
    kernel = Kernel.boot(from_toml(machines.toml(BLOCKS, CPUS), "soak.toml"))
    kernel.kexec.file_load(None, None, b"", 2)
    declarations = tree_of(kernel, BootOptions())[0].declarations
    tree = NotingTree(kernel, declarations)
    tree.stores = []
    return kernel, tree


def outcome(kernel: Kernel) -> Outcome:
    """After one block more has come online: an offline block is left out of a header until the next event."""
    hotplug, memory = kernel.memory_hotplug, kernel.memory
    for n in reversed(list(memory.block_ids())):
        block = memory.block(n)
        assert block is not None
        with suppress(KernelError):
            hotplug.offline(block)
            hotplug.online(block, OnlineType.ONLINE)
            break
    image = kernel.kexec.crash_image
    assert image is not None
    header = kernel.kexec.elfcorehdr()
    assert header is not None
    return Outcome(
        header.hex(),
        bytes(image.segments[image.elfcorehdr_index].content).startswith(
            bytes(rebuilt_header(kernel, image, None))
        ),
        [record.text for record in kernel.log],
        [f"{event}" for event in kernel.uevents.kept],
        list(kernel.memory.block_ids()),
        sorted(kernel.cpus.online),
    )


def replayed(stores: list[Store]) -> tuple[Outcome, list[Store]]:
    """The same stores one after the other on a machine that nobody else uses; those that end otherwise."""
    kernel, tree = booted()
    other: list[Store] = []
    files: dict[int, File] = {}
    for number, path, text, result in stores:
        done = 0
        try:
            if text is None:
                files[number] = tree.open(tree.lookup(path), os.O_WRONLY)
            elif number in files:
                done = files[number].write(text.encode(), 0)
            else:  # it was opened in the midst of what removed it
                done = -errno.ENODEV
        except KernelError as refused:
            done = -refused.errno
        if text is not None and done != result:
            other.append(Store(number, path, text, done))
    return outcome(kernel), other


def main(directory: str) -> None:
    kernel, tree = booted()
    mount = mount_at(tree, directory)
    mount.watch(0, mount.stop)
    try:
        mount.serve(lambda: os.write(1, b"ready\n"))
    finally:
        mount.close()
    told: dict[str, Any] = {"outcome": outcome(kernel), "stores": tree.stores}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
