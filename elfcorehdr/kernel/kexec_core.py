"""kexec images: loading, unloading, and the crash kernel's memory. kernel/kexec.c, kexec_file.c, kexec_core.c (v7.1)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from enum import Enum, IntEnum

from elfcorehdr import changes
from elfcorehdr.elf import EHDR_SIZE, ELFMAG, PHDR_SIZE
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_file import (
    KEXEC_ARCH_MASK,
    KEXEC_CRASH_HOTPLUG_SUPPORT,
    KEXEC_FILE_DEBUG,
    KEXEC_FILE_FORCE_DTB,
    KEXEC_FILE_NO_CMA,
    KEXEC_FILE_NO_INITRAMFS,
    KEXEC_FILE_ON_CRASH,
    KEXEC_FILE_UNLOAD,
    KEXEC_ON_CRASH,
    KEXEC_PRESERVE_CONTEXT,
    KEXEC_SEGMENT_MAX,
    KEXEC_UPDATE_ELFCOREHDR,
    FileArg,
    FileKind,
    LazySegment,
    NoKernel,
    Segment,
    align_up,
    copied,
    probe,
)
from elfcorehdr.kernel.printk import hashed_pointer
from elfcorehdr.kernel.resource import CRASH_KERNEL, SYSTEM_RAM, Resource
from elfcorehdr.lib.ranges import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

U64 = (1 << 64) - 1


class PrintMode(Enum):
    """What reading crash_elfcorehdr_print does: return the table, log it, or both."""

    TEXT = "text"
    DMESG = "dmesg"
    BOTH = "both"


class HpAction(IntEnum):
    """KEXEC_CRASH_HP_*: what a hotplug event is, include/linux/crash_core.h."""

    NONE = 0
    ADD_CPU = 1
    REMOVE_CPU = 2
    ADD_MEMORY = 3
    REMOVE_MEMORY = 4


class KexecSegment:
    """A stretch of an image in physical memory: mem..mem+memsz-1; content is what was written so far."""

    __slots__ = ("bufsz", "content", "mem", "memsz")

    def __init__(self, mem: int, memsz: int, content: bytearray, bufsz: int = 0) -> None:
        self.mem = mem
        self.memsz = memsz
        self.content = content
        self.bufsz = bufsz

    @property
    def range(self) -> Range:
        """The segment's bytes, end included."""
        return Range.sized(self.mem, self.memsz)


class Kimage:
    """struct kimage: a loaded image."""

    def __init__(
        self,
        segments: list[KexecSegment] | None = None,
        *,
        entry: int = 0,
        crash: bool = True,
        file_mode: bool = False,
        update_elfcorehdr: bool = False,
        cmdline: bytes = b"",
    ) -> None:
        self.segments = [] if segments is None else segments
        self.entry = entry
        self.crash = crash
        self.file_mode = file_mode
        self.hotplug_support = False
        self.update_elfcorehdr = update_elfcorehdr
        self.elfcorehdr_index = -1
        self.elfcorehdr_updated = False
        self.hp_action = HpAction.NONE
        self.backup_start = 0
        """ppc64: where purgatory copies the first 64 KiB to; 0 if not known."""
        self.backup_by_user = 0
        """The same by the header that kexec-tools brought: its purgatory knows it, whatever the kernel does."""
        self.cmdline = cmdline
        self.elf_headers_sz = 0
        """x86_64: bytes kept for the header."""

    def to_load(self) -> list[Segment]:
        """The segments' sizes and places, as sanity_check_segment_list() looks at them."""
        return [(b"", s.bufsz, s.mem, s.memsz) for s in self.segments]

    def elfcorehdr(self) -> KexecSegment | None:
        """The segment with the ELF core header: the known one, else the last that begins with ELF's magic."""
        if self.elfcorehdr_index >= 0:
            return self.segments[self.elfcorehdr_index]
        found = None
        for segment in self.segments:
            if segment.content[:4] == ELFMAG:
                found = segment
        return found


class LoadLimit:
    """kexec_load_limit_panic or _reboot: -1 for no limit, else how many loads are left."""

    def __init__(self) -> None:
        self.limit = -1

    def set(self, value: int) -> None:
        """Lower the limit; KernelError(EINVAL) if value is negative or not below the limit."""
        if value < 0 or (self.limit != -1 and value >= self.limit):
            raise KernelError(errno.EINVAL, "a limit can only be lowered")
        self.limit = value

    def take(self) -> bool:
        """Count one load down; False if none was left."""
        if self.limit == 0:
            return False
        if self.limit > 0:
            self.limit -= 1
        return True


class Kexec:
    """The images of a kernel, and the memory that is kept for the crash image."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.image: Kimage | None = None
        self._crash_image: Kimage | None = None
        self.on_image: list[Callable[[], None]] = []
        """Called when the crash image was loaded or dropped, or an event has changed its header."""
        self.crashk_res: Range | None = None
        self.crashk_low_res: Range | None = None
        self.crashk_cma_ranges: list[Range] = []
        self.crashk_res_at_boot: Range | None = None
        self.nothing = ""
        """Why nothing is reserved, in words; empty while something is, or was."""
        self.reserve_said: tuple[str, ...] = ()
        """The log lines of the reservation."""
        self.print_mode = PrintMode.TEXT
        self.file_dbg_print = False
        """kexec_file_dbg_print: set for the time of a load with KEXEC_FILE_DEBUG."""
        self.locked = False
        """The kexec lock; it is held across calls only by a kernel bug."""
        self.load_disabled = False
        self.limit_panic = LoadLimit()
        self.limit_reboot = LoadLimit()

    def dprintk(self, text: str) -> None:
        """kexec_dprintk(): said in a load with KEXEC_FILE_DEBUG."""
        if self.file_dbg_print:
            self._kernel.log.info(text)

    def reserved(self) -> Range:
        """crashk_res; KernelError(EADDRNOTAVAIL) says why there is none."""
        if self.crashk_res is None:
            why = f": {self.nothing}" if self.nothing else ""
            raise KernelError(errno.EADDRNOTAVAIL, f"nothing is reserved for a crash kernel{why}")
        return self.crashk_res

    @property
    def crash_image(self) -> Kimage | None:
        """The loaded crash image."""
        return self._crash_image

    @crash_image.setter
    def crash_image(self, image: Kimage | None) -> None:
        changed = image is not self._crash_image
        self._crash_image = image
        if changed:
            self.image_changed()

    def image_changed(self) -> None:
        """Tell who listens that there is another crash image, or header."""
        for listener in self.on_image:
            listener()

    # what sysfs asks

    def trylock(self) -> None:
        """kexec_trylock(): KernelError(EBUSY) if somebody holds it."""
        if self.locked:
            raise KernelError(errno.EBUSY, "the kexec lock is held")

    def crash_size(self) -> int:
        """crash_get_memory_size(): bytes reserved; KernelError(EBUSY) while the lock is held."""
        self.trylock()
        return sum(r.size for r in (self.crashk_res, self._low()) if r)

    def _low(self) -> Range | None:
        """The low region, where crash_size knows of it."""
        return self.crashk_low_res if self._kernel.has(changes.SHRINK_LOW) else None

    def crash_hotplug(self) -> bool:
        """crash_check_hotplug_support(): whether the loaded image follows hotplug by itself."""
        if self.locked:
            self._kernel.log.info("crash hp: kexec_trylock() failed, kdump image may be inaccurate")
            return False
        return self.crash_image is not None and self.crash_image.hotplug_support

    def elfcorehdr(self) -> bytes | None:
        """The loaded crash image's ELF core header as a capture kernel would read it; None without one.

        Trimmed to its last program header.
        """
        segment = self.crash_image.elfcorehdr() if self.crash_image else None
        if segment is None:
            return None
        phnum = int.from_bytes(segment.content[56:58], "little")
        return bytes(segment.content[: EHDR_SIZE + phnum * PHDR_SIZE])

    # loading

    def capture_cmdline(self) -> str:
        """The command line that a kdump service gives the capture kernel: this one's, less crashkernel=."""
        words = self._kernel.cmdline.split(" ")
        return " ".join(word for word in words if not word.startswith("crashkernel="))

    def _permit(self, *, crash: bool) -> None:
        """kexec_load_permitted(): KernelError(EPERM) when switched off or used up; counts down."""
        limit = self.limit_panic if crash else self.limit_reboot
        if self.load_disabled:
            raise KernelError(errno.EPERM, "kexec_load_disabled")
        if not limit.take():
            raise KernelError(errno.EPERM, "the load limit is used up")

    def load(self, entry: int, segments: Sequence[Segment | LazySegment], flags: int) -> None:
        """kexec_load(2), CAP_SYS_BOOT checked by the caller; no segments unloads.

        KernelError: EPERM not allowed any more, EINVAL flags, sizes or overlaps, EBUSY the lock,
        EADDRNOTAVAIL a segment outside the reservation or not on pages. A failing load of a crash
        image has already dropped the one before it. Mirrors kernel/kexec.c do_kexec_load().
        """
        kernel, crash = self._kernel, bool(flags & KEXEC_ON_CRASH)
        self._permit(crash=crash)
        known = KEXEC_ON_CRASH | KEXEC_PRESERVE_CONTEXT | KEXEC_UPDATE_ELFCOREHDR
        if kernel.has(changes.KEXEC_CRASH_HOTPLUG_FLAG):
            known |= KEXEC_CRASH_HOTPLUG_SUPPORT
        machine_arch = (flags & KEXEC_ARCH_MASK) >> 16
        if (
            flags & ~KEXEC_ARCH_MASK & ~known
            or machine_arch not in (0, kernel.arch.e_machine)
            or len(segments) > KEXEC_SEGMENT_MAX
        ):
            raise KernelError(errno.EINVAL, "flags or number of segments")
        self.trylock()
        if not segments:
            self._install(None, crash=crash)
            return
        if crash:
            self.crash_image = None
            if self.crashk_res is None or not (
                self.crashk_res.start <= entry <= self.crashk_res.end
            ):
                raise KernelError(errno.EADDRNOTAVAIL, "entry outside the crash kernel region")
        self._check_segments(segments, crash=crash)
        self.locked = True  # others go on meanwhile
        try:
            loaded = [
                KexecSegment(mem, memsz, copied(buf, bufsz), bufsz)
                for buf, bufsz, mem, memsz in segments
            ]
        finally:
            self.locked = False
        image = Kimage(
            segments=loaded,
            entry=entry,
            crash=crash,
            update_elfcorehdr=bool(flags & KEXEC_UPDATE_ELFCOREHDR),
        )
        image.hotplug_support = crash and kernel.arch.hotplug_flag_given(kernel, flags)
        kernel.arch.machine_kexec_post_load(kernel, image)
        self._install(image, crash=crash)

    def _check_segments(self, segments: Sequence[Segment | LazySegment], *, crash: bool) -> None:
        """sanity_check_segment_list()"""
        page = self._kernel.page_size
        for _, _, mem, memsz in segments:
            if mem % page or memsz % page or mem + memsz > U64:
                raise KernelError(errno.EADDRNOTAVAIL, "a segment that is not made of pages")
        placed: list[Range] = []
        for _, _, mem, memsz in segments:
            if memsz and any(r.overlaps(mem, mem + memsz - 1) for r in placed):
                raise KernelError(errno.EINVAL, "segments overlap")
            placed.append(Range.sized(mem, memsz))
        half = self._kernel.memblock.total() // 2
        for _, bufsz, _, memsz in segments:
            if bufsz > memsz:
                raise KernelError(errno.EINVAL, "a segment larger than its place")
            if memsz > half:
                raise KernelError(errno.EINVAL, "a segment larger than half of memory")
        if sum(memsz for _, _, _, memsz in segments) > half:
            raise KernelError(errno.EINVAL, "segments larger than half of memory")
        region = self.crashk_res
        if crash and any(
            region is None or r.start < region.start or r.end > region.end for r in placed
        ):
            raise KernelError(errno.EADDRNOTAVAIL, "a segment outside the crash kernel region")

    def file_load(
        self, kernel_file: FileArg | None, initrd: FileArg | None, cmdline: bytes, flags: int
    ) -> None:
        """kexec_file_load(2), CAP_SYS_BOOT checked by the caller; cmdline without its final NUL.

        No kernel_file loads what the machine describes (its `kdump` table).
        KernelError: ENOSYS without CONFIG_KEXEC_FILE, EPERM, EINVAL flags or files, EBUSY, EBADF,
        ENOEXEC, EADDRNOTAVAIL. After the checks of flags and lock a crash image loaded before is
        gone, whatever happens. Mirrors kernel/kexec_file.c.
        """
        kernel, crash = self._kernel, bool(flags & KEXEC_FILE_ON_CRASH)
        if not kernel.machine.kexec_file:
            raise KernelError(errno.ENOSYS, "CONFIG_KEXEC_FILE is not set")
        self._permit(crash=crash)
        known = KEXEC_FILE_UNLOAD | KEXEC_FILE_ON_CRASH | KEXEC_FILE_NO_INITRAMFS
        if kernel.has(changes.FILE_DEBUG_FLAG):
            known |= KEXEC_FILE_DEBUG
        if kernel.has(changes.FILE_NO_CMA_FLAG):
            known |= KEXEC_FILE_NO_CMA
        if kernel.has(changes.FILE_FORCE_DTB_FLAG):
            known |= KEXEC_FILE_FORCE_DTB
        if flags & ~known:
            raise KernelError(errno.EINVAL, "flags")
        self.trylock()
        if flags & KEXEC_FILE_UNLOAD:
            self._install(None, crash=crash)
            return
        if crash:
            self.crash_image = None
        if flags & KEXEC_FILE_NO_INITRAMFS:
            initrd = FileArg(FileKind.REGULAR, size=0)
        image = Kimage(crash=crash, file_mode=True, cmdline=cmdline)
        self.file_dbg_print = bool(flags & KEXEC_FILE_DEBUG)
        try:
            self._prepare(kernel_file)
            if initrd is not None and not flags & KEXEC_FILE_NO_INITRAMFS:
                initrd.check()
            kernel.arch.kexec_file_load(kernel, image, kernel_file, initrd)
            self._check_segments(image.to_load(), crash=crash)
            if self.file_dbg_print:
                self._log_segments(image, crash=crash, flags=flags)
        finally:
            self.file_dbg_print = False
        image.hotplug_support = crash and kernel.arch.crash_hotplug(kernel)
        self._install(image, crash=crash)

    def _prepare(self, kernel_file: FileArg | None) -> None:
        """kimage_file_prepare_segments(): the kernel is read and probed before an initrd is."""
        kernel = self._kernel
        size = kernel.arch.kernel_size(kernel) if kernel_file is None else 0
        if kernel_file is not None:
            kernel_file.check()
            size = kernel_file.length
        self.dprintk(f"kexec_file: kernel: {hashed_pointer(size)} kernel_size: {size:#x}")
        if kernel_file is None:
            return
        try:
            probe(kernel, kernel_file)
        except NoKernel as error:
            if error.line:
                kernel.log.err(error.line)
            raise

    def _log_segments(self, image: Kimage, *, crash: bool, flags: int) -> None:
        """What a load with KEXEC_FILE_DEBUG ends with; pointers are hashed, as %p prints them."""
        info = self._kernel.log.info
        info(f"kexec_file: nr_segments = {len(image.segments)}")
        for i, s in enumerate(image.segments):
            pointer = hashed_pointer(s.mem)
            info(
                f"kexec_file: segment[{i}]: buf=0x{pointer} bufsz={s.bufsz:#x} mem={s.mem:#x} memsz={s.memsz:#x}"
            )
        info(
            f"kexec_file: kexec_file_load: type:{int(crash)}, start:{image.entry:#x} head:0x4 flags:{flags:#x}"
        )

    def _install(self, image: Kimage | None, *, crash: bool) -> None:
        if crash:
            self.crash_image = image
        else:
            self.image = image

    # shrinking

    def crash_shrink_memory(self, new_size: int) -> None:
        """Give back the tail of the reservation; new_size in bytes, rounded up to whole pages.

        KernelError: EBUSY the lock, ENOENT a crash image is loaded, EINVAL larger than now.
        Mirrors crash_shrink_memory(), kernel/crash_core.c: the high part goes first, and what is
        left of the low part then becomes crashk_res. A size whose rounding wraps at 2^64 is 0.
        """
        kernel = self._kernel
        self.trylock()
        if self.crash_image is not None:
            raise KernelError(errno.ENOENT, "a crash image is loaded")
        low = region.size if (region := self._low()) else 0
        old = low + (self.crashk_res.size if self.crashk_res else 0)
        new_size = align_up(new_size, kernel.arch.crash_mem_align(kernel)) & U64
        if new_size > old:
            raise KernelError(errno.EINVAL, "larger than the reservation")
        if new_size == old:
            return
        if not new_size and kernel.has(changes.SHRINK_TO_ZERO_OOPS) and kernel.arch.shrink_oopses:
            self.locked = True
            kernel.panic.die("BUG: Kernel NULL pointer dereference on read at 0x00000038")
        if new_size >= low:
            self.crashk_res = self._shrink(self.crashk_res, new_size - low)
            if self.crashk_res is None and self._low() is not None:
                self.crashk_res, self.crashk_low_res = self.crashk_low_res, None
            return
        self._shrink(self.crashk_res, 0)
        self.crashk_res = self._shrink(self.crashk_low_res, new_size)
        self.crashk_low_res = None

    def _shrink(self, region: Range | None, new_size: int) -> Range | None:
        """__crash_shrink_memory(): the region's first new_size bytes; the rest goes back as System RAM."""
        if region is None or region.size == new_size:
            return region
        left = Range.sized(region.start, new_size) if new_size else None
        iomem = self._kernel.iomem
        row = iomem.find(region.start, region.end, CRASH_KERNEL)
        if row is not None and left is None:
            iomem.release(row)
        elif row is not None and left is not None:
            row.end = left.end
        released = Range(left.end + 1 if left else region.start, region.end)
        iomem.insert(Resource(released.start, released.end, SYSTEM_RAM))
        return left
