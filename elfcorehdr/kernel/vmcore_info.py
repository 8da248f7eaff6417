"""Where the vmcoreinfo note is: kernel/vmcore_info.c (v7.1)."""

from __future__ import annotations

from elfcorehdr.kernel.kexec_file import align_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

NOTE_HEADS = 2 * 12
"""Two struct elf_note: namesz, descsz, type."""
NAME_BYTES = 12
""""VMCOREINFO", padded."""


def vmcoreinfo_note(kernel: Kernel) -> tuple[int, int]:
    """Physical address and bytes of the note: paddr_vmcoreinfo_note(), VMCOREINFO_NOTE_SIZE with one page of text.

    Where the machine does not say it: behind the kernel, page aligned.
    """
    machine, text = kernel.machine, kernel.machine.kernel_text
    end = machine.kernel_end if text is None else text.paddr + text.size
    address = machine.vmcoreinfo or align_up(end, kernel.page_size)
    return address, NOTE_HEADS + NAME_BYTES + kernel.page_size
