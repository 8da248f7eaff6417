"""Serve the counters' tree on a directory until it is unmounted or SIGTERM comes."""

from __future__ import annotations

import os
import signal
import sys

from fsmount.cli.mount import mount_at
from fsmount.devfs.kmsg import dev
from fsmount.fuse.nodes import NameCache
from fsmount.tree.kernfs import Tree
from tests.counters import DECLARATIONS, Machine
from tests.mounted import hostile


def main(directory: str, server: str, names: NameCache, page_size: int, more: str) -> None:
    machine = Machine(page_size=page_size)
    machine.log.info("booted")
    declarations = [*DECLARATIONS, *(hostile.DECLARATIONS if more == "hostile" else ()), dev]
    tree = Tree(machine, declarations, owner=(os.geteuid(), os.getegid()))
    mount = mount_at(tree, directory, names=names, **{server: True})
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
    directory, server, names, page_size, more = sys.argv[1:]
    main(directory, server, NameCache(names), int(page_size), more)
