"""Random hotplug through a mount, and whether every name, absence, content and listing is the present one.

`python -m benchmarks.staleness DIR announced|stale ROUNDS [direct|libfuse]` prints how many answers were
stale. The server is in this process's child, so that the host's kernel caches as it does for anybody.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from benchmarks import machines
from benchmarks.mounts import MEMORY

FIRST, BLOCKS = machines.RESERVED, 48
DRC = 0x80000000


def serve(point: str, names: str, via: str, ready: int) -> None:
    """Mount a small machine with a way of caching names, and answer until it is unmounted."""
    from fsmount.cli.boot import BootOptions, boot
    from fsmount.cli.mount import mount_at
    from fsmount.fuse.nodes import NameCache

    machine = Path(point + ".toml")
    machine.write_text(machines.toml(BLOCKS, 16))
    _, tree = boot(BootOptions(machine=str(machine)))
    mount = mount_at(tree, point, names=NameCache(names), **{via: True})
    mount.serve(lambda: os.close(ready))
    mount.close()


def stale_answers(root: str, rounds: int) -> int:
    """Unplug and plug blocks, look at some of them and at all names; how many answers were not so."""
    rng, wrong = random.Random(1), 0
    memory = Path(root, MEMORY)
    there, online = set(range(BLOCKS)), set(range(BLOCKS))
    base = os.stat(memory).st_nlink - BLOCKS
    for _ in range(rounds):
        n = rng.randrange(FIRST, BLOCKS)
        if n not in there:
            _store(root, f"memory add index {DRC + n:#x}")
            there.add(n)
            online.add(n)
        elif rng.random() < 0.5:
            _store(root, f"memory remove index {DRC + n:#x}")
            there.discard(n)
            online.discard(n)
        else:
            try:
                (memory / f"memory{n}/online").write_text("0" if n in online else "1")
                online ^= {n}
            except OSError:
                wrong += 1
        for block in {n, *rng.sample(range(FIRST, BLOCKS), 4)}:
            state = "online\n" if block in online else "offline\n"
            wrong += _content(memory / f"memory{block}/state") != (
                state if block in there else None
            )
            wrong += os.path.exists(memory / f"memory{block}") != (block in there)
        listed = {int(name[6:]) for name in os.listdir(memory) if name[6:].isdigit()}
        wrong += listed != there
        wrong += os.stat(memory).st_nlink != base + len(there)
    return wrong


def _store(root: str, text: str) -> None:
    fd = os.open(f"{root}/sys/kernel/dlpar", os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _content(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:  # a stale directory's file: neither there nor absent
        return error.strerror or ""


def main(point: str, names: str, rounds: int, via: str = "direct") -> None:
    """Serve, look, unmount, say."""
    import subprocess

    ready, told = os.pipe()
    server = os.fork()
    if not server:
        os.close(ready)
        try:
            serve(point, names, via, told)
        finally:
            os._exit(0)
    os.close(told)
    os.read(ready, 1)
    try:
        print(stale_answers(point, rounds))
    finally:
        subprocess.run(["umount", "-l", point], check=True)
        os.waitpid(server, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
