"""Serve the counters' tree on a directory until it is unmounted or SIGTERM comes."""

from __future__ import annotations

import os
import signal
import sys

from fsmount.cli.mount import mount_at
from fsmount.devfs.kmsg import dev
from fsmount.fuse.nodes import NameCache
from fsmount.host import mountns
from fsmount.tree.kernfs import Tree
from tests.counters import DECLARATIONS, Machine


def mounted_by_hand(directory: str) -> int:
    """A /dev/fuse descriptor that is mounted on directory with mount(2), no libfuse."""
    fd = mountns.open_fuse()
    mountns.mount_fuse(fd, directory)
    return fd


def main(directory: str, server: str, names: NameCache, page_size: int, *, by_hand: bool) -> None:
    machine = Machine(page_size=page_size)
    machine.log.info("booted")
    fd = mounted_by_hand(directory) if by_hand else None
    tree = Tree(machine, [*DECLARATIONS, dev])
    mount = mount_at(tree, directory, fd=fd, names=names, **{server: True})
    signal.signal(signal.SIGTERM, lambda *_: mount.stop())

    def plug() -> None:
        """A hypervisor of a kind: each number on stdin is plugged, and said on stdout."""
        numbers = os.read(0, 4096).split()
        if not numbers:
            mount.unwatch(0)
        for number in numbers:
            machine.plug(int(number))
        mount.announce_names()
        os.write(1, b"plugged\n")

    mount.watch(0, plug)
    try:
        mount.serve(lambda: os.write(1, b"ready\n"))
    finally:
        mount.close()


if __name__ == "__main__":
    directory, server, names, page_size, *rest = sys.argv[1:]
    main(directory, server, NameCache(names), int(page_size), by_hand=rest == ["by-hand"])
