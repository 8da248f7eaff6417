"""Where things lie in a machine's memory: the kernel, firmware, notes, the reservation; none over another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from elfcorehdr.machine import Machine, Region
from elfcorehdr.machine.facts import CRASH_KINDS, CRASHK_CMA_RANGES_MAX, FACTS
from elfcorehdr.machine.faults import Faults
from elfcorehdr.machine.sizes import U64, parse_size, shown
from elfcorehdr.machine.spans import Spans

VMCOREINFO_HEAD = 36
"""Bytes of vmcoreinfo's note besides a page: VMCOREINFO_NOTE_SIZE, include/linux/crash_core.h."""
PAPR_PAGE = 4096
LEAST_KERNEL = 1 << 20
MOST_KERNEL = 1 << 30
"""KERNEL_IMAGE_SIZE of x86, with which the others' are compared."""


def check_places(machine: Machine, ram: Spans, faults: Faults) -> None:
    """What lies in memory does."""
    facts = FACTS[machine.arch]
    in_memory: list[tuple[str, int, int]] = []
    for key in ("rtas", "opal"):
        region: Region | None = getattr(machine, key)
        if region is None:
            continue
        if not facts.powerpc:
            continue  # .owners says it
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
        low, high = facts.text
        if not low <= text.vaddr < high or text.vaddr % machine.page_size:
            upto = "" if high == U64 else f", below {high:#x}"
            faults.say(
                f"kernel_text.vaddr: {text.vaddr:#x}, expected whole pages from {low:#x} on{upto}"
            )
        elif facts.powerpc and text.vaddr != low + text.paddr:
            faults.say(
                f"kernel_text.vaddr: {text.vaddr:#x}, expected {low + text.paddr:#x}: it is mapped linearly"
            )
        if facts.powerpc and text.paddr:
            faults.say(f"kernel_text.paddr: {text.paddr:#x}, expected 0: it copies itself there")
        if text.paddr % PAPR_PAGE:
            faults.say(f"kernel_text.paddr: {text.paddr:#x}, expected whole pages")
        if 0 < text.size < machine.page_size or text.size > MOST_KERNEL:
            faults.say(f"kernel_text.size: {text.size:#x}, expected a page or more, at most 1G")
    elif facts.kernel_at >= 0:
        size = max(machine.kernel_end - facts.kernel_at, 0)
        if 0 < size < LEAST_KERNEL or machine.kernel_end % 16 or size > MOST_KERNEL:
            faults.say(
                f"kernel_end: {machine.kernel_end:#x}, expected a kernel of 1M to 1G from "
                f"{facts.kernel_at:#x} on"
            )
        in_memory.append(("kernel_end", facts.kernel_at, size))
    base = machine.direct_map_base
    if base and (base < 1 << 63 or base % machine.page_size):
        faults.say(
            f"direct_map_base: {base:#x}, expected whole pages in the upper half, from 2^63 on"
        )
    if base and facts.nr_cpus_default and base + ram.end > facts.text[0]:
        faults.say(
            f"direct_map_base: {base:#x}, expected room for the memory up to {ram.end:#x} "
            f"below {facts.text[0]:#x}"
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
    if machine.fadump_dump not in ("", "complete", "incomplete"):
        faults.say(f"fadump_dump: {machine.fadump_dump!r:.60}, expected complete or incomplete")
    elif machine.fadump_dump and not machine.fadump:
        faults.say("fadump_dump: expected with fadump = true")
    if machine.fadump_reserved and not machine.fadump:
        faults.say("fadump_reserved: expected with fadump = true")
    elif machine.fadump_reserved >= ram.end or machine.fadump_reserved % machine.page_size:
        faults.say(
            f"fadump_reserved: {machine.fadump_reserved:#x}, expected whole pages, less than memory"
        )


def kernel_place(machine: Machine) -> tuple[int, int]:
    """Where the running kernel lies, and its size; 0 where a file does not say it."""
    text, at = machine.kernel_text, FACTS[machine.arch].kernel_at
    if text is not None:
        return text.paddr, text.size
    return (at, max(machine.kernel_end - at, 0)) if at >= 0 else (0, 0)


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
    if machine.crashkernel:
        _check_words(machine, count, faults)


def _check_words(machine: Machine, count: dict[str, int], faults: Faults) -> None:
    """A reservation is pinned for crashkernel= words, and a part of it for those that ask for it."""
    key = "pinned_for" if machine.pinned_for else "cmdline"
    words = [w for w in getattr(machine, key).split() if w.startswith("crashkernel=")]
    if not getattr(machine, key).strip():
        return  # a header alone, or a recording, does not say what was asked for
    if not words:
        faults.say(
            f"crashkernel: pinned, but {key} has no crashkernel=, expected what it was reserved for"
        )
        return
    if count["cma"] and not any(w.endswith(",cma") for w in words):
        faults.say(f"crashkernel: one is of kind cma, expected a crashkernel=SIZE,cma in {key}")
    if count["crashk_low_res"] and FACTS[machine.arch].powerpc:
        faults.say("crashkernel: one is of kind crashk_low_res, expected none on ppc64")
    if len(words) != 1:
        return
    size = parse_size(words[0].removeprefix("crashkernel=").partition("@")[0].partition(",high")[0])
    main = next((r for r in machine.crashkernel if r.kind == "crashk_res"), None)
    slack = 16 << 20  # ppc64 rounds to 16 MiB for a hash page table, others to less
    if size and main and not size <= main.size < size + slack and main.size != size:
        faults.say(
            f"crashkernel: {main.size:#x} bytes pinned, but {shown(words[0])} in {key} asks for {size:#x}"
        )


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
