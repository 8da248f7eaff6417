"""The ELF core header, and what hotplug does to it: kernel/crash_core.c (v7.1).

Imports .elf, .errors, .kexec_core, .notifier, .ranges.
"""

from __future__ import annotations

import errno
import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.elf import EHDR_SIZE, PF_R, PF_W, PF_X, PHDR, PHDR_SIZE, PT_LOAD, PT_NOTE, Ehdr
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_core import U64, HpAction, Kimage
from elfcorehdr.kernel.kexec_file import align_up
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from elfcorehdr.lib.ranges import Range

if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.header_cache import HeaderCache, SplicedHeader

ELF_CORE_HEADER_ALIGN = 4096
RWX = PF_R | PF_W | PF_X


def header_size(nr_cpus: int, nr_ranges: int) -> int:
    """Bytes of the buffer for so many CPUs and ranges.

    One program header more is always counted for the kernel's text, used or not.
    """
    phdrs = nr_cpus + 1 + nr_ranges + 1
    return align_up(EHDR_SIZE + phdrs * PHDR_SIZE, ELF_CORE_HEADER_ALIGN)


def note_cpus(kernel: Kernel) -> Sequence[int]:
    """The CPUs that get a PT_NOTE, ascending: possible ones, before 6.6 present ones."""
    if kernel.has(changes.POSSIBLE_CPUS):
        return kernel.cpus.possible
    return tuple(sorted(kernel.cpus.present))


def note_rows(kernel: Kernel) -> bytes:
    """The PT_NOTEs: one a CPU, then vmcoreinfo. flags 0, vaddr 0, paddr = offset, align 0."""
    pack, arch = PHDR.pack, kernel.arch
    size = arch.crash_note_bytes
    rows = []
    for cpu in note_cpus(kernel):
        address = arch.crash_note(kernel, cpu)
        rows.append(pack(PT_NOTE, 0, address, 0, address, size, size, 0))
    address, size = kernel.vmcoreinfo
    rows.append(pack(PT_NOTE, 0, address, 0, address, size, size, 0))
    return b"".join(rows)


def fixed_rows(kernel: Kernel) -> bytes:
    """What stands before the memory: the PT_NOTEs, and a PT_LOAD of the kernel's text where it has one."""
    text = kernel.machine.kernel_text
    if not kernel.arch.need_kernel_map or text is None:
        return note_rows(kernel)
    return note_rows(kernel) + PHDR.pack(
        PT_LOAD, RWX, text.paddr, text.vaddr, text.paddr, text.size, text.size, 0
    )


def load_rows(kernel: Kernel, ranges: Sequence[Range]) -> bytes:
    """The PT_LOADs of ranges; one that wraps (ppc64's G1) gets the wrapped size."""
    at_once = (ranges[at : at + ROWS_AT_ONCE] for at in range(0, len(ranges), ROWS_AT_ONCE))
    return b"".join(_some_load_rows(kernel, some) for some in at_once)


def _some_load_rows(kernel: Kernel, ranges: Sequence[Range]) -> bytes:
    # Field by field over all rows, and each sum over all rows at once: less than half the time of a
    # pack() a row. Every direct map is linear, so va(pa) is pa + va(0).
    lanes = _Lanes.of(len(ranges))
    starts, ends = (array("Q", list(map(itemgetter(n), ranges))) for n in (0, 1))
    start = lanes.packed(starts)
    size = lanes.sum(lanes.sum(lanes.packed(ends), start ^ lanes.all), lanes.each(2))
    sizes = lanes.unpacked(size)
    vas = lanes.unpacked(lanes.sum(start, lanes.each(kernel.arch.va(kernel, 0))))
    rows = _BLANK_ROW * len(ranges)
    for n, field in enumerate((starts, vas, starts, sizes, sizes), 1):
        rows[n::7] = field
    if sys.byteorder == "big":
        rows.byteswap()
    return rows.tobytes()


_BLANK_ROW = array("Q", [RWX << 32 | PT_LOAD, 0, 0, 0, 0, 0, 0])
ROWS_AT_ONCE = 2048
"""So many that nothing is allocated by the page: 128 KiB, the C library's M_MMAP_THRESHOLD."""


class _Lanes:
    """Arithmetic modulo 2^64 on `count` numbers at once, side by side in one large integer."""

    @classmethod
    @lru_cache(4)
    def of(cls, count: int) -> _Lanes:
        """That for so many numbers."""
        return cls(count)

    def __init__(self, count: int) -> None:
        self._bytes = 8 * count
        self.all = (1 << 64 * count) - 1
        self._high = self.each(1 << 63)
        self._low = self.all ^ self._high

    def each(self, value: int) -> int:
        """The same number in every lane."""
        return int.from_bytes(value.to_bytes(8, "little") * (self._bytes // 8), "little")

    def sum(self, a: int, b: int) -> int:
        """a + b in each lane: no carry leaves a lane, its top bits are added without one."""
        return (a & self._low) + (b & self._low) ^ ((a ^ b) & self._high)

    @staticmethod
    def packed(numbers: array[int]) -> int:
        """The numbers, one a lane."""
        if sys.byteorder == "big":
            numbers = numbers[:]
            numbers.byteswap()
        return int.from_bytes(numbers.tobytes(), "little")

    def unpacked(self, lanes: int) -> array[int]:
        """The numbers of the lanes."""
        numbers = array("Q", lanes.to_bytes(self._bytes, "little"))
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers


def ehdr_bytes(kernel: Kernel, phnum: int) -> bytes:
    """The ELF header; EI_DATA is little endian whatever the machine."""
    return Ehdr(e_machine=kernel.arch.e_machine, e_phnum=phnum).pack()


def crash_prepare_elf64_headers(kernel: Kernel, ranges: Iterable[Range]) -> bytearray:
    """The header over these ranges, in their order, zero-padded to whole 4 KiB (elfsz bytes).

    KernelError(ENOMEM) where e_phnum cannot count the program headers (the kernel lets it wrap;
    no real machine gets there).
    """
    ranges = list(ranges)
    fixed = fixed_rows(kernel)
    phnum = len(fixed) // PHDR_SIZE + len(ranges)
    if phnum > 0xFFFF:
        raise KernelError(errno.ENOMEM, f"{phnum} program headers do not fit e_phnum")
    if kernel.kexec_debug:
        _log_loads(kernel, ranges, phnum)
    # Room for all possible CPUs, also where only those present are listed.
    size = header_size(len(kernel.cpus.possible), len(ranges))
    rows = fixed + load_rows(kernel, ranges)
    return bytearray((ehdr_bytes(kernel, phnum) + rows).ljust(size, b"\0"))


def _log_loads(kernel: Kernel, ranges: list[Range], phnum: int) -> None:
    first = phnum - len(ranges) + 1
    for n, r in enumerate(ranges, first):
        pointer = kernel.hashed_pointer(n)
        kernel.log.info(
            f"crash_core: Crash PT_LOAD ELF header. phdr={pointer} vaddr={kernel.arch.va(kernel, r.start):#x}, "
            f"paddr={r.start:#x}, sz={r.size & U64:#x} e_phnum={n} p_offset={r.start:#x}"
        )


class CrashHotplug:
    """The crash notifier on memory_chain and on the CPU hotplug states."""

    PREFIX = "crash hp: "

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.rebuilds = 0
        """How often a header was written anew since boot."""
        self.kept: HeaderCache | None = None
        """The header of the last event, for kept_header() to bring up to date."""
        kernel.memory_chain.register(self._memory)
        kernel.cpus.on_online.append(lambda cpu: self._handle(HpAction.ADD_CPU, cpu=cpu))
        kernel.cpus.on_offline.append(lambda cpu: self._handle(HpAction.REMOVE_CPU, cpu=cpu))

    def err(self, text: str) -> None:
        """pr_err() of this file."""
        self._kernel.log.err(self.PREFIX + text)

    def _memory(self, action: MemAction, notify: MemoryNotify) -> None:
        """crash_memhp_notifier()"""
        match action:
            case MemAction.ONLINE:
                self._handle(HpAction.ADD_MEMORY, notify=notify)
            case MemAction.OFFLINE:
                self._handle(HpAction.REMOVE_MEMORY, notify=notify)
            case _:
                pass

    def _handle(
        self, action: HpAction, *, cpu: int = -1, notify: MemoryNotify | None = None
    ) -> None:
        """crash_handle_hotplug_event(): nothing here ever fails the hotplug itself."""
        kernel = self._kernel
        if kernel.kexec.locked:
            kernel.log.info(self.PREFIX + "kexec_trylock() failed, kdump image may be inaccurate")
            return
        image = kernel.kexec.crash_image
        if image is None or not image.hotplug_support:
            return
        what = f", cpu {cpu}" if cpu >= 0 else ""
        kernel.debug("crash_core", f"{self.PREFIX}hp_action {int(action)}{what}")
        if not self._locate(image):
            return
        image.hp_action = action
        kernel.arch.crash_handle_hotplug_event(kernel, image, notify)
        image.hp_action = HpAction.NONE
        image.elfcorehdr_updated = True

    def _locate(self, image: Kimage) -> bool:
        """Find the elfcorehdr segment once, by its magic; the last match wins."""
        if image.elfcorehdr_index >= 0:
            return True
        segment = image.elfcorehdr()
        if segment is None:
            self.err("unable to locate elfcorehdr segment")
            return False
        image.elfcorehdr_index = next(i for i, s in enumerate(image.segments) if s is segment)
        return True

    def replace(self, image: Kimage, header: bytearray | SplicedHeader) -> None:
        """Copy a header over the old one; bytes behind it stay, as memcpy leaves them."""
        content = image.segments[image.elfcorehdr_index].content
        if isinstance(header, bytearray):
            content[: len(header)] = header
        else:
            header.copy_to(content)
        self.rebuilds += 1
