"""Where a kernel lies whose machine does not say it: where one without KASLR does. Imports .facts, .spans.

head_64.S and setup.c of x86 (CONFIG_PHYSICAL_START), arm64 and riscv (in pages of 2 MiB, behind what firmware has); v7.2.
"""

from __future__ import annotations

from elfcorehdr.lib.ranges import ids_of
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import KernelText, Machine
from elfcorehdr.machine.facts import FACTS

PMD = 2 << 20
SIZE = 16 << 20
"""As large as x86_64's is up to the default of kernel_end."""


def placed(machine: Machine) -> Machine:
    """The machine with a kernel_text; as it is where that is said, follows from kernel_end alone (ppc64), or has no room."""
    facts = FACTS[machine.arch]
    if machine.kernel_text is not None or facts.entry is None:
        return machine
    head, vaddr = facts.entry
    at, size = facts.kernel_at, machine.kernel_end - facts.kernel_at
    if at < 0:
        size = SIZE
        at = _room(machine, size)
    if at < 0 or size <= 0:
        return machine
    text = KernelText(at + head, vaddr, size - head)
    return replace(machine, kernel_text=text, kernel_end=at + size)


def _room(machine: Machine, size: int) -> int:
    """The lowest place behind the first 2 MiB of RAM of which the machine says nothing else; -1: there is none."""
    taken = [(u.start, u.size) for u in machine.use if u.kind != "kernel"]
    taken += [(r.start, r.size) for r in machine.crashkernel]
    taken += [(r.start, r.size) for r in machine.pinned]
    taken += [(at, 4096) for at in (*machine.crash_notes.values(), machine.vmcoreinfo)]
    block = machine.memory_block_size
    for state in machine.blocks:
        if state.state == "offline":
            taken += [(n * block, block) for n in ids_of(state.blocks)]
    taken = sorted((start, start + length) for start, length in taken)
    for m in machine.memory:
        if m.flags == "NOMAP":
            continue
        at = -(-m.start // PMD) * PMD + PMD
        for start, end in taken:
            if start < at + size and at < end:
                at = -(-end // PMD) * PMD
        if at + size <= m.start + m.size:
            return at
    return -1
