"""The reservation at boot: that which a machine pins for these inputs, else as the architecture makes it."""

from __future__ import annotations

from collections.abc import Iterable

from elfcorehdr.changes.change import parse_version
from elfcorehdr.kernel.crashkernel import Invalid, crashkernel_words
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import CrashRegion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def reserve(kernel: Kernel) -> None:
    """Set the kernel's crashk_res, crashk_low_res and crashk_cma_ranges; kexec.nothing says why there is none."""
    kexec, said = kernel.kexec, kernel.log.next_seq
    if why := kernel.arch.reserve_firmware_dump(kernel):
        kexec.nothing = why
    elif pins_hold(kernel):
        _take(kernel, kernel.machine.crashkernel)
    else:
        try:
            kernel.arch.reserve_crashkernel(kernel)
        except Invalid as why:
            kexec.nothing = str(why)
        _move_notes(kernel)
    kexec.reserve_said = tuple(r.text for r in kernel.log if r.seq >= said)
    kexec.crashk_res_at_boot = kexec.crashk_res


def pins_hold(kernel: Kernel) -> bool:
    """Whether the machine pins a reservation, and this boot has the inputs that it was captured with."""
    machine = kernel.machine
    words = crashkernel_words(machine.pinned_for or machine.cmdline)
    same_series = not machine.kernel or (
        parse_version(machine.kernel)[:2] == parse_version(kernel.release)[:2]
    )
    return bool(machine.crashkernel) and same_series and words == crashkernel_words(kernel.cmdline)


def _take(kernel: Kernel, regions: Iterable[CrashRegion]) -> None:
    """A reservation that is known."""
    kexec = kernel.kexec
    for region in regions:
        r = Range.sized(region.start, region.size)
        match region.kind:
            case "crashk_low_res":
                kexec.crashk_low_res = r
            case "cma":
                kexec.crashk_cma_ranges.append(r)
            case _:
                kexec.crashk_res = r
    kernel.arch.log_reservation(kernel)
    if areas := kexec.crashk_cma_ranges:
        size = sum(r.size for r in areas) >> 20
        kernel.log.info(f"crashkernel CMA reserved: {size} MB in {len(areas)} ranges")


def _move_notes(kernel: Kernel) -> None:
    """Notes that a capture with other inputs has where the reservation now lies are elsewhere."""
    kexec, machine, size = kernel.kexec, kernel.machine, kernel.arch.crash_note_bytes
    notes = [*machine.crash_notes.values(), machine.crash_notes_first, machine.vmcoreinfo]
    for region in (kexec.crashk_res, kexec.crashk_low_res, *kexec.crashk_cma_ranges):
        if region and any(at and region.overlaps(at, at + size) for at in notes):
            kernel.machine = replace(machine, crash_notes={}, crash_notes_first=0, vmcoreinfo=0)
