"""What cannot be moved away, so that its memory does not go offline: mm/page_isolation.c (v7.1)."""

from __future__ import annotations

from elfcorehdr.kernel.vmcore_info import vmcoreinfo_note
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class PageIsolation:
    """The pinned memory of a machine, and what the kernel itself sits in."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.pinned = list(kernel.machine.pinned)
        """Memory that something unmovable sits in."""

    def unmovable(self, start: int, end: int) -> str | None:
        """has_unmovable_pages(): what keeps start..end (included) from going offline, or None."""
        kernel = self._kernel
        arch, kexec = kernel.arch, kernel.kexec
        named = [
            ("the running kernel", arch.kernel_image(kernel)),
            ("vmcoreinfo", Range.sized(*vmcoreinfo_note(kernel))),
            ("the crash kernel", kexec.crashk_res),
            ("the crash kernel", kexec.crashk_low_res),
            # Pages of a CMA area are unmovable for all but their own allocation.
            *(("the crash kernel's CMA", r) for r in kexec.crashk_cma_ranges),
            *((f"pinned {p.name}".strip(), p.range) for p in self.pinned),
        ]
        for name, r in named:
            if r is not None and r.overlaps(start, end):
                return name
        cpu = arch.crash_note_cpu(kernel, start, end)
        if cpu is not None:
            return f"the crash note of CPU {cpu}"
        return arch.unmovable(kernel, start, end)
