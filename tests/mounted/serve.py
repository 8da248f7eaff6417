"""Serve the counters' tree on a directory until it is unmounted or SIGTERM comes."""

from __future__ import annotations

import signal
import sys

from fsmount.fuse_adapter import Mount
from fsmount.kernfs import Tree
from fsmount.kmsg import dev
from tests.counters import DECLARATIONS, Machine


def main(directory: str, *, invalidate: bool) -> None:
    machine = Machine()
    machine.log.info("booted")
    mount = Mount(Tree(machine, [*DECLARATIONS, dev]), directory, invalidate=invalidate)
    signal.signal(signal.SIGTERM, lambda *_: mount.stop())
    try:
        mount.serve(lambda: (sys.stdout.write("ready\n"), sys.stdout.flush()))
    finally:
        mount.close()


if __name__ == "__main__":
    main(sys.argv[1], invalidate="stale" not in sys.argv[2:])
