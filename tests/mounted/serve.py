"""Serve the counters' tree on a directory until it is unmounted or SIGTERM comes."""

from __future__ import annotations

import os
import signal
import sys

from fsmount.fuse_adapter import Mount, NameCache
from fsmount.kernfs import Tree
from fsmount.kmsg import dev
from tests.counters import DECLARATIONS, Machine


def main(directory: str, names: NameCache) -> None:
    machine = Machine()
    machine.log.info("booted")
    mount = Mount(Tree(machine, [*DECLARATIONS, dev]), directory, names=names)
    signal.signal(signal.SIGTERM, lambda *_: mount.stop())

    def plug() -> None:
        """A hypervisor of a kind: each number on stdin is plugged, and said on stdout."""
        numbers = os.read(0, 4096).split()
        if not numbers:
            mount.device.unwatch(0)
        for number in numbers:
            machine.plug(int(number))
        mount.device.announce_names()
        os.write(1, b"plugged\n")

    mount.device.watch(0, plug)
    try:
        mount.serve(lambda: os.write(1, b"ready\n"))
    finally:
        mount.close()


if __name__ == "__main__":
    main(sys.argv[1], NameCache(sys.argv[2]))
