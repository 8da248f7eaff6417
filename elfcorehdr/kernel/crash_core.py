"""The ELF core header, and what hotplug does to it: kernel/crash_core.c (v7.1)."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from elfcorehdr.elf import PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_core import U64, HpAction, Kimage
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from elfcorehdr.kernel.printk import hashed_pointer
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.kernel.header_cache import HeaderCache, SplicedHeader


def crash_prepare_elf64_headers(kernel: Kernel, ranges: Iterable[Range]) -> bytearray:
    """The header over these ranges, in their order, zero-padded to whole 4 KiB (elfsz bytes).

    KernelError(ENOMEM) where e_phnum cannot count the program headers (the kernel lets it wrap;
    no real machine gets there).
    """
    # A mount that loads nothing starts without it.
    from elfcorehdr.kernel.phdrs import ehdr_bytes, fixed_rows, header_size, load_rows

    ranges = list(ranges)
    fixed = fixed_rows(kernel)
    phnum = len(fixed) // PHDR_SIZE + len(ranges)
    if phnum > 0xFFFF:
        raise KernelError(errno.ENOMEM, f"{phnum} program headers do not fit e_phnum")
    if kernel.kexec.file_dbg_print:
        _log_loads(kernel, ranges, phnum)
    # Room for all possible CPUs, also where only those present are listed.
    size = header_size(len(kernel.cpus.possible), len(ranges))
    rows = fixed + load_rows(kernel, ranges)
    return bytearray((ehdr_bytes(kernel, phnum) + rows).ljust(size, b"\0"))


def _log_loads(kernel: Kernel, ranges: list[Range], phnum: int) -> None:
    first = phnum - len(ranges) + 1
    for n, r in enumerate(ranges, first):
        pointer = hashed_pointer(n)
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
        kernel.log.debug("crash_core", f"{self.PREFIX}hp_action {int(action)}{what}")
        if not self._locate(image):
            return
        image.hp_action = action
        kernel.arch.crash_handle_hotplug_event(kernel, image, notify)
        image.hp_action = HpAction.NONE
        image.elfcorehdr_updated = True
        kernel.kexec.image_changed()

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
