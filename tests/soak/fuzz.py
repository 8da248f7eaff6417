"""Every input of ours, fuzzed: none may do worse than a KernelError or one sentence, none may take a second of CPU.

`python -m tests.soak.fuzz FIRST COUNT [SEED]` does the inputs FIRST..FIRST+COUNT-1 and prints what was wrong as JSON;
an input is known by its number, and by those before it since the last multiple of RENEWED.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import socket
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from elfcorehdr import profiles
from elfcorehdr.errors import KernelError, ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import replace
from elfcorehdr.machine.reader import from_toml
from fsmount.cli.boot import BootOptions, tree_of
from fsmount.cli.options import MOUNT_OPTIONS, parse
from fsmount.fuse import proto
from fsmount.fuse.direct import Connection
from fsmount.tree.boundary import OOPS
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import ROOT, Caller
from tests.soak.mutate import mutated, number, written
from tests.soak.printing import one_input
from tests.sysfs.test_inputs import WORDS, files

RENEWED = 2000
"""After so many inputs the machines are booted anew."""
BOUND_S = 1.0
SENTENCE = 4096
MACHINES = ("pseries-4g", "powernv-32g", "pc-2g", "arm64-virt-4g", "riscv64-virt-2g")
REQUESTS = (
    '{"memory": null, "size": 134217728, "node": 0, "as": "dimm"}', '{"cpu": 1, "node": 0}',
    '{"memory": 4294967296, "size": 268435456, "as": "virtio-mem"}', '{"syscall": "kexec_load", "hotplug": true}',
    '{"kernel": 3, "initrd": 4, "cmdline": "root=/dev/sda1 quiet", "debug": true, "flags": 2}', "{}", "[]",
)  # fmt: skip
CMDLINES = (
    "crashkernel=256M", "crashkernel=1G-4G:160M,4G-:256M@16M", "crashkernel=512M,high crashkernel=64M,low",
    "crashkernel=128M,cma", "quiet nosmt=force smt-enabled=2 dyndbg=\"file kexec.c +p\"", "crashkernel=16M@0x1000000",
)  # fmt: skip


class Machines:
    """What the inputs are given to; booted anew now and then."""

    def __init__(self) -> None:
        self.served: list[tuple[Kernel, Tree, list[str]]] = []
        for name in MACHINES:
            kernel = Kernel.boot(profiles.load(name))
            tree = tree_of(kernel, BootOptions())[0]
            self.served.append((kernel, tree, list(files(tree))))
        _, tree, _ = self.served[0]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        self.theirs, self._ours = theirs, ours
        self.connection = Connection(ours.fileno(), tree, lambda u, g, p: Caller(u, g, p))

    def close(self) -> None:
        self.connection.close()
        self._ours.close()
        self.theirs.close()


GOLDEN = Path(__file__).parents[1] / "golden" / "kernel"
HEADERS = [path.read_bytes()[:8192] for path in sorted(GOLDEN.rglob("*elfcorehdr*.bin"))[:40]]
TEXTS = [path.read_bytes()[:8192] for path in sorted(GOLDEN.rglob("crash_elfcorehdr_print.txt"))]
TOML = [profiles.text(name).encode() for name in profiles.names() if "64t" not in name]
OPS = sorted(
    value for name, value in vars(proto).items() if name.isupper() and isinstance(value, int) and 0 < value < 60
)  # fmt: skip


def store(machines: Machines, chance: Random) -> None:
    """A word written to a file of a machine."""
    _, tree, paths = chance.choice(machines.served)
    path = chance.choice(paths)
    word = chance.choice(WORDS).encode(errors="surrogateescape")
    data = chance.choice((written(chance), mutated(word[:200], chance), mutated(word, chance)))
    tree.open(tree.lookup(path), os.O_WRONLY).write(data, 0)


def control(machines: Machines, chance: Random) -> None:
    """A request to control/."""
    _, tree, _ = chance.choice(machines.served)
    name = chance.choice(("plug", "unplug", "load", "unload"))
    data = mutated(chance.choice(REQUESTS).encode(), chance)
    tree.open(tree.lookup(f"control/{name}"), os.O_WRONLY, ROOT).write(data, 0)


def kexec(machines: Machines, chance: Random) -> None:
    """kexec_load(2), its numbers near what is there."""
    kernel, _, _ = chance.choice(machines.served)
    region = kernel.kexec.crashk_res
    near = [0, 4096, region.start if region else 0, region.end + 1 if region else 1 << 30]

    def some() -> int:
        return (chance.choice(near) + chance.choice((0, 0, 4096, -4096, number(chance)))) & (
            1 << 64
        ) - 1

    segments = [
        (mutated(chance.choice(HEADERS)[:512], chance), some(), some(), some()) for _ in range(chance.randrange(19))
    ]  # fmt: skip
    kernel.kexec.load(some(), segments, chance.choice((0, 1, 5, 9, number(chance) & 0xFFFFFFFF)))


def kmsg(machines: Machines, chance: Random) -> None:
    """A record written to /dev/kmsg, and read."""
    _, tree, _ = chance.choice(machines.served)
    file = tree.open(tree.lookup("dev/kmsg"), os.O_RDWR)
    file.write(mutated(b"<13>hello: world\n", chance), 0)
    file.read(number(chance) & 0xFFFF, number(chance) & (1 << 63) - 1)


def name(machines: Machines, chance: Random) -> None:
    """A path looked up, its file read at some place."""
    _, tree, paths = chance.choice(machines.served)
    path = os.fsdecode(mutated(chance.choice(paths).encode(), chance))
    node = tree.lookup(path)
    tree.getattr(node)
    tree.open(node).read(number(chance) & 0x1FFFF, number(chance) & (1 << 63) - 1)


def fuse(machines: Machines, chance: Random) -> None:
    """A message on /dev/fuse: every one is answered, once, but for those that nobody waits for."""
    op = chance.choice(OPS)
    unique, node = (
        chance.randrange(1, 1 << 40),
        chance.choice((1, 1, number(chance) & (1 << 64) - 1)),
    )
    body = chance.choice(
        (
            b"memory\0",
            b"sys\0",
            bytes(64),
            struct.pack("=8Q", *[number(chance) & (1 << 64) - 1] * 8),
        )
    )
    body = mutated(body, chance)[:100_000]
    head = proto.IN_HEADER.pack(
        proto.IN_HEADER.size + len(body), op, unique, node, 0, 0, os.getpid(), 0, 0
    )
    machines.theirs.send(head + body)
    machines.connection.handle()
    answers = []
    while select.select([machines.theirs], [], [], 0)[0]:
        error, answered = struct.unpack_from("=iQ", machines.theirs.recv(1 << 21), 4)
        if answered:  # else a notice
            answers.append((error, answered))
    silent = op in (proto.FORGET, proto.BATCH_FORGET, proto.INTERRUPT)
    if answers != [] if silent else [one[1] for one in answers] != [unique]:
        raise AssertionError(f"opcode {op}: answers {answers} to {unique}")


def machine(machines: Machines, chance: Random) -> None:
    """A machine's file, and what boots if it is one."""
    text = mutated(chance.choice(TOML), chance).decode(errors="replace")
    made = from_toml(text, "fuzz.toml")
    if len(made.possible_cpus) <= 8192 and sum(m.size for m in made.memory) < 1 << 45:
        Kernel.boot(made)


def cmdline(machines: Machines, chance: Random) -> None:
    """A kernel's command line."""
    text = mutated(chance.choice(CMDLINES).encode(), chance).decode(errors="replace")
    Kernel.boot(replace(profiles.load(chance.choice(MACHINES)), cmdline=text))


def header(machines: Machines, chance: Random) -> None:
    """A header, as bytes or as text, for `elfcorehdr`."""
    one_input(mutated(chance.choice(HEADERS if chance.random() < 0.7 else TEXTS), chance))


def words(machines: Machines, chance: Random) -> None:
    """The command line of `kdumpfs mount`, as far as it is parsed without click."""
    line = mutated(b"-m pseries-4g --load --kernel 7.1 --with a mnt", chance).decode(
        errors="replace"
    )
    parse(line.split(" "), MOUNT_OPTIONS, "directory")


KINDS: tuple[tuple[Callable[[Machines, Random], None], int], ...] = (
    (store, 30), (control, 12), (kexec, 10), (kmsg, 6), (name, 14), (fuse, 20), (machine, 2), (cmdline, 1),
    (header, 1), (words, 2),
)  # fmt: skip
"""What is fuzzed, and how much of it."""


class Fuzzed(NamedTuple):
    """How many inputs of each kind, how many were refused, the slowest in seconds, what was wrong."""

    kinds: dict[str, int]
    refused: int
    slowest: float
    wrong: list[str]


def fuzzed(first: int, count: int, seed: int = 1) -> Fuzzed:
    """Give inputs first..first+count-1 to what takes them."""
    kinds: Counter[str] = Counter()
    refused, slowest, wrong = 0, 0.0, []
    acts, weights = zip(*KINDS, strict=True)
    machines: Machines | None = None
    for n in range(first, first + count):
        if machines is None or n % RENEWED == 0:
            if machines is not None:
                machines.close()
            machines = Machines()
        chance = Random(seed << 40 | n)
        (act,) = chance.choices(acts, weights)
        kinds[act.__name__] += 1
        since = time.process_time()
        try:
            act(machines, chance)
        except KernelError as error:
            refused += 1
            if not 0 < error.errno < 4096 or len(str(error)) > SENTENCE:
                wrong.append(f"{n} {act.__name__}: {error.errno} {str(error)[:200]}")
        except ProfileError as error:
            refused += 1
            if len(str(error)) > SENTENCE or "\n" in str(error):
                wrong.append(f"{n} {act.__name__}: {str(error)[:200]!r}")
        except BlockingIOError as error:
            if error.errno != errno.EAGAIN:
                raise
        except Exception as bug:
            where = traceback.extract_tb(bug.__traceback__)[-1]
            wrong.append(f"{n} {act.__name__}: {bug!r:.200} at {where.filename}:{where.lineno}")
        took = time.process_time() - since
        slowest = max(slowest, took)
        if took > BOUND_S:
            wrong.append(f"{n} {act.__name__}: took {took:.1f} s")
    if machines is not None:
        machines.close()
    return Fuzzed(dict(kinds), refused, slowest, wrong)


if __name__ == "__main__":
    logging.getLogger(
        OOPS
    ).disabled = True  # of garbage on /dev/fuse, which the host's kernel never sends
    numbers: list[Any] = [int(word) for word in sys.argv[1:]]
    json.dump(fuzzed(*numbers), sys.stdout)
