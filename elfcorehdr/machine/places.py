"""Where things lie in a machine's memory: the kernel, firmware, notes, the reservation; none over another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from elfcorehdr.machine import Machine, Region
from elfcorehdr.machine.facts import CRASH_KINDS, CRASHK_CMA_RANGES_MAX, FACTS
from elfcorehdr.machine.faults import Faults
from elfcorehdr.machine.sizes import U64
from elfcorehdr.machine.spans import Spans

VMCOREINFO_HEAD = 36
"""Bytes of vmcoreinfo's note besides a page: VMCOREINFO_NOTE_SIZE, include/linux/crash_core.h."""
PAPR_PAGE = 4096
LEAST_KERNEL = 1 << 20


def check_places(machine: Machine, ram: Spans, faults: Faults) -> None:
    """What lies in memory does."""
    facts = FACTS[machine.arch]
    in_memory: list[tuple[str, int, int]] = []
    for key in ("rtas", "opal"):
        region: Region | None = getattr(machine, key)
        if region is None:
            continue
        if not facts.powerpc:
            faults.say(f"{key}: only ppc64 has it")
            continue
        in_memory.append((key, region.start, region.size))
        if region.start % PAPR_PAGE:
            faults.say(f"{key}.start: {region.start:#x}, expected a multiple of 4096")
        if key == "rtas" and region.start + region.size > 1 << 32:
            faults.say(f"rtas: {region.start:#x} + {region.size:#x}, expected below 4G")
    if machine.vmcoreinfo:
        in_memory.append(("vmcoreinfo", machine.vmcoreinfo, machine.page_size + VMCOREINFO_HEAD))
        if machine.vmcoreinfo % machine.page_size:
            faults.say(f"vmcoreinfo: {machine.vmcoreinfo:#x}, expected whole pages")
    for cpu, address in machine.crash_notes.items():
        in_memory.append((f"crash_notes.{cpu}", address, facts.note_bytes))
        _check_note(f"crash_notes.{cpu}", address, faults)
    if machine.crash_notes_first:
        in_memory.append(("crash_notes_first", machine.crash_notes_first, facts.note_bytes))
        _check_note("crash_notes_first", machine.crash_notes_first, faults)
    for i, region in enumerate(machine.pinned):
        in_memory.append((f"pinned[{i}]", region.start, region.size))
    if machine.kernel_text is not None:
        text = machine.kernel_text
        in_memory.append(("kernel_text", text.paddr, text.size))
        if text.vaddr + text.size > U64:
            faults.say(f"kernel_text.vaddr: {text.vaddr:#x} + {text.size:#x}, expected below 2^64")
        if text.vaddr < 1 << 63 or text.vaddr % machine.page_size:
            faults.say(
                f"kernel_text.vaddr: {text.vaddr:#x}, expected whole pages in the upper half, from 2^63 on"
            )
        if 0 < text.size < machine.page_size:
            faults.say(f"kernel_text.size: {text.size:#x}, expected a page or more")
    elif facts.kernel_at >= 0:
        size = max(machine.kernel_end - facts.kernel_at, 0)
        if 0 < size < LEAST_KERNEL or machine.kernel_end % 16:
            faults.say(
                f"kernel_end: {machine.kernel_end:#x}, expected a kernel of 1M or more from "
                f"{facts.kernel_at:#x} on"
            )
        in_memory.append(("kernel_end", facts.kernel_at, size))
    base = machine.direct_map_base
    if base and (base < 1 << 63 or base % machine.page_size):
        faults.say(
            f"direct_map_base: {base:#x}, expected whole pages in the upper half, from 2^63 on"
        )
    in_memory += _check_reservation(machine, faults)
    for at, start, size in in_memory:
        if not size:
            faults.say(f"{at}: {start:#x} + 0x0, expected more than nothing")
        elif not ram.covers(start, size):
            faults.say(f"{at}: {start:#x} + {size:#x}, expected a place in memory")
    _check_apart(in_memory, faults)
    if machine.rma_size and not ram.covers(0, machine.rma_size):
        faults.say(f"rma_size: {machine.rma_size:#x}, expected at most the memory from 0 on")
    if machine.rma_size % LEAST_KERNEL:
        faults.say(f"rma_size: {machine.rma_size:#x}, expected a multiple of 1M")
    if machine.fadump and not facts.powerpc:
        faults.say("fadump: true, expected false: only ppc64 has it")
    if machine.fadump_reserved and not machine.fadump:
        faults.say("fadump_reserved: expected with fadump = true")
    elif machine.fadump_reserved >= ram.end:
        faults.say(f"fadump_reserved: {machine.fadump_reserved:#x}, expected less than memory")


def _check_note(at: str, address: int, faults: Faults) -> None:
    """A per-CPU buffer of words."""
    if address % 4:
        faults.say(f"{at}: {address:#x}, expected a multiple of 4")


def _check_reservation(machine: Machine, faults: Faults) -> Iterator[tuple[str, int, int]]:
    """The pinned reservation: known kinds, each once, none over another."""
    count = dict.fromkeys(CRASH_KINDS, 0)
    taken: list[tuple[int, int, str]] = []
    for i, region in enumerate(machine.crashkernel):
        at = f"crashkernel[{i}]"
        if region.kind not in count:
            faults.word(f"{at}.kind", region.kind, CRASH_KINDS)
        else:
            count[region.kind] += 1
        if (region.start | region.size) % machine.page_size:
            faults.say(f"{at}: {region.start:#x} + {region.size:#x}, expected whole pages")
        end = region.start + region.size - 1
        over = next((name for lo, hi, name in taken if region.start <= hi and lo <= end), "")
        if over:
            faults.say(f"{at}: {region.start:#x} + {region.size:#x}, overlaps {over}")
        taken.append((region.start, end, at))
        yield at, region.start, region.size
    for kind, most in (("crashk_res", 1), ("crashk_low_res", 1), ("cma", CRASHK_CMA_RANGES_MAX)):
        if count[kind] > most:
            faults.say(f"crashkernel: {count[kind]} of kind {kind}, expected at most {most}")
    if (
        machine.crashkernel
        and not count["crashk_res"]
        and not any(r.kind not in CRASH_KINDS for r in machine.crashkernel)
    ):
        faults.say("crashkernel: none of kind crashk_res, expected one")


def _check_apart(places: list[tuple[str, int, int]], faults: Faults) -> None:
    """What the kernel keeps lies at places of its own; `pinned` says no more than that something is there."""
    spans = sorted(
        (start, start + size - 1, at)
        for at, start, size in places
        if size and not at.startswith(("pinned", "crashkernel"))
    )
    reserved = [(s, s + n - 1, at) for at, s, n in places if n and at.startswith("crashkernel")]
    for (_, end, one), (start, _, other) in pairwise(spans):
        if start <= end and not (one[:12] == other[:12] == "crash_notes."):
            faults.say(f"{other}: {start:#x} is in {one} too, expected a place of its own")
    for start, end, at in spans:
        if at in (
            "rtas",
            "opal",
        ):  # which the reservation does not spare: golden ppc64/B has RTAS in it
            continue
        over = next((name for lo, hi, name in reserved if start <= hi and lo <= end), "")
        if over:
            faults.say(f"{over}: expected not to lie over {at}, {start:#x} to {end:#x}")
