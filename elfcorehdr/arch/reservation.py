"""What an architecture says of the reservation for a crash kernel: asm/crash_reserve.h, and what boot took before."""

from __future__ import annotations

from elfcorehdr.kernel.crash_reserve import ends_of_ram, reserved_rows
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.changes.change import Change
    from elfcorehdr.init.main import Kernel


class Reservation:
    """The defaults of include/linux/crash_reserve.h; a part of Arch."""

    boot_allocations = 2 << 20
    """What early boot has taken from the end of RAM when the reservation is made, in bytes: an upper
    bound seen on real machines (golden riscv64/A: 2 MiB; the x86_64 parameter table: 16 MiB, and
    below 4 GiB more than 19.9 and less than 27.9 MiB)."""
    boot_allocations_low = 0
    """The same at the end of RAM below 4 GiB: there a boot loader puts the initrd of an x86_64."""

    dm_crypt_keys: Change | None = None
    """Since when a load takes keys of encrypted disks along; None: never."""
    init_bytes = 4 << 20
    """What of the kernel's image is __init, in bytes, where no rows of /proc/iomem tell its parts."""

    def percpu_bytes(self, kernel: Kernel) -> int:
        """A CPU's share of the first chunk: what pcpu_embed_first_chunk() logs, of distributions' kernels."""
        return 144 << 10

    def hashes_in_vmalloc(self, kernel: Kernel) -> bool:
        """hashdist: large hash tables come from vmalloc, when the page allocator is there (golden identity x86_64 numa2)."""
        return len(kernel.memblock.nodes()) > 1

    def bounce_buffers(self, kernel: Kernel) -> int:
        """swiotlb_init(), in bytes: 64 MiB where memory is out of devices' reach."""
        return 0

    def boot_tables(self, kernel: Kernel) -> int:
        """Page tables and what else is known of boot's allocations, in bytes."""
        return 0

    def reserve_firmware_dump(self, kernel: Kernel) -> str:
        """Memory for a dump that firmware makes: why there is none left for kdump, or empty."""
        return ""

    def crash_align(self, kernel: Kernel) -> int:
        """CRASH_ALIGN of the reservation, in bytes."""
        return 2 << 20

    def cma_align(self, kernel: Kernel) -> int:
        """CMA_MIN_ALIGNMENT_BYTES: pageblock_order pages."""
        return 2 << 20

    def crash_low_size_default(self, kernel: Kernel) -> int:
        """DEFAULT_CRASH_KERNEL_LOW_SIZE, in bytes: what `,high` takes of low memory by itself."""
        return 128 << 20

    def crash_addr_low_max(self, kernel: Kernel) -> int:
        """CRASH_ADDR_LOW_MAX: where low memory ends (not included)."""
        return 4 << 30

    def crash_addr_high_max(self, kernel: Kernel) -> int:
        """CRASH_ADDR_HIGH_MAX: how far up a reservation may lie (not included)."""
        return kernel.memblock.end_of_dram()

    def reserved_at_boot(self, kernel: Kernel) -> list[Range]:
        """What memblock.reserved has besides the kernel when the reservation is made.

        The rows of /proc/iomem that were seen, where a machine has them: they came to be there later
        in part, but nothing else tells of them. Else what early boot takes from the end of RAM.
        """
        rows = reserved_rows(kernel)
        if any(name.lower() == "reserved" for name, _ in rows):
            return [r for _, r in rows]
        ends = ends_of_ram(kernel, self.boot_allocations, self.boot_allocations_low)
        return [*(r for _, r in rows), *ends, *self.memory_map(kernel)]

    def log_reservation(self, kernel: Kernel) -> None:
        """What the kernel says once it has the reservation: of low memory, then of the rest."""
        low, high = kernel.kexec.crashk_low_res, kernel.kexec.crashk_res
        if low is not None:
            kernel.log.info(
                f"crashkernel low memory reserved: {low.start:#010x} - {low.end + 1:#010x} "
                f"({low.size >> 20} MB)"
            )
        if high is not None:
            kernel.log.info(
                f"crashkernel reserved: {high.start:#018x} - {high.end + 1:#018x} "
                f"({high.size >> 20} MB)"
            )

    def memory_map(self, kernel: Kernel) -> list[Range]:
        """What sparse_init() took for the memory map before the reservation was made; nothing where it comes later."""
        return []
