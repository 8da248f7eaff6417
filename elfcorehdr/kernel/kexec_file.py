"""Where the parts of a crash image go: struct kexec_buf and the search for holes, kernel/kexec_file.c (v7.1)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from enum import Enum

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.ranges import Range
from elfcorehdr.lib.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

KEXEC_ON_CRASH = 0x1
KEXEC_PRESERVE_CONTEXT = 0x2
KEXEC_UPDATE_ELFCOREHDR = 0x4
KEXEC_CRASH_HOTPLUG_SUPPORT = 0x8
KEXEC_ARCH_MASK = 0xFFFF0000

KEXEC_FILE_UNLOAD = 0x1
KEXEC_FILE_ON_CRASH = 0x2
KEXEC_FILE_NO_INITRAMFS = 0x4
KEXEC_FILE_DEBUG = 0x8
KEXEC_FILE_NO_CMA = 0x10
KEXEC_FILE_FORCE_DTB = 0x20

KEXEC_SEGMENT_MAX = 16

Segment = tuple[bytes, int, int, int]
"""struct kexec_segment of kexec_load: buf, bufsz, mem, memsz; sizes and the address in bytes."""
LazySegment = tuple[Callable[[], bytes], int, int, int]
"""A Segment whose content is copied once all segments are checked; as much of it as anybody will look at."""


def copied(buf: bytes | Callable[[], bytes], bufsz: int) -> bytearray:
    """The content of a segment."""
    return bytearray((buf() if callable(buf) else buf)[:bufsz])


class NoKernel(KernelError):
    """A file is no kernel for a loader; line is what its probe() logs of it, if it does."""

    def __init__(self, errno: int, reason: str, line: str = "") -> None:
        super().__init__(errno, reason)
        self.line = line


class FileKind(Enum):
    """What a file descriptor given to kexec_file_load turned out to be."""

    REGULAR = "regular"
    DIRECTORY = "directory"
    BAD = "bad"


class FileArg(Record):
    """A kernel or initrd as kexec_file_load gets it: its kind, and its content, or of an initrd the size alone."""

    kind: FileKind
    data: bytes = b""
    size: int = -1
    name: str = ""
    """What the user called it."""
    why: str = ""
    """Why it is no file that can be read."""

    @property
    def length(self) -> int:
        """Bytes in the file."""
        return self.size if self.size >= 0 else len(self.data)

    def check(self) -> None:
        """kernel_read_file_from_fd(): EBADF, or EINVAL for a directory or an empty file."""
        if self.kind is FileKind.BAD:
            raise KernelError(errno.EBADF, self.why or "bad file descriptor")
        if self.kind is FileKind.DIRECTORY or not self.length:
            what = "a directory" if self.kind is FileKind.DIRECTORY else "empty"
            raise KernelError(
                errno.EINVAL, f"{self.name or 'the file'} is {what}, expected a file with content"
            )


def regular(data: bytes) -> FileArg:
    """A regular file with this content."""
    return FileArg(FileKind.REGULAR, data)


def probe(kernel: Kernel, kernel_file: FileArg) -> None:
    """Would a loader take the file? NoKernel if not, and nothing is logged."""
    try:
        kernel.arch.kexec_file_probe(kernel, kernel_file)
    except NoKernel as error:
        name = kernel_file.name or "the file"
        reason = f"{name} is no kernel that {kernel.arch.uts_machine} loads: {error.reason}"
        raise NoKernel(error.errno, reason, error.line) from None


class or_say:  # noqa: N801
    """What pr_err says of a step that fails, `with or_say(...)`; `{ret}` is the errno, negative."""

    def __init__(self, kernel: Kernel, text: str) -> None:
        self._kernel, self._text = kernel, text

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if isinstance(error, KernelError):
            self._kernel.log.err(self._text.format(ret=-error.errno))


def align_up(value: int, alignment: int) -> int:
    """ALIGN(): the next multiple of alignment, a power of two."""
    return (value + alignment - 1) & ~(alignment - 1)


def align_down(value: int, alignment: int) -> int:
    """ALIGN_DOWN()"""
    return value & ~(alignment - 1)


class KexecBuf:
    """struct kexec_buf: what is to be placed, and the constraints on where; limits included, in bytes."""

    __slots__ = ("align", "buf_max", "buf_min", "bufsz", "content", "memsz", "top_down")

    def __init__(
        self,
        memsz: int,
        bufsz: int = 0,
        align: int = 1,
        buf_min: int = 0,
        buf_max: int = (1 << 64) - 1,
        top_down: bool = False,
        content: bytes = b"",
    ) -> None:
        self.memsz = memsz
        self.bufsz = bufsz
        self.align = align
        self.buf_min = buf_min
        self.buf_max = buf_max
        self.top_down = top_down
        self.content = content


def locate_mem_hole(
    buf: KexecBuf,
    window: Range,
    page_size: int,
    placed: Sequence[Range],
    excluded: Sequence[Range] = (),
    *,
    inclusive: bool = True,
) -> int:
    """kexec_locate_mem_hole(): the address for buf in window, or KernelError(EADDRNOTAVAIL).

    placed are the segments so far, excluded what the architecture keeps free
    (ppc64's, sorted; whether their last byte counts). buf.memsz is rounded up to pages.
    KernelError(EINVAL) if there are KEXEC_SEGMENT_MAX segments: kexec_add_buffer().
    """
    if len(placed) >= KEXEC_SEGMENT_MAX:
        raise KernelError(errno.EINVAL, f"more than {KEXEC_SEGMENT_MAX} segments")
    memsz = buf.memsz = align_up(buf.memsz, page_size)
    align = max(buf.align, page_size)
    low, high = max(window.start, buf.buf_min), min(window.end, buf.buf_max)
    start = align_down(high - memsz + 1, align) if buf.top_down else align_up(low, align)
    while low <= start and start + memsz - 1 <= high:
        end = start + memsz - 1
        taken = next((r for r in placed if r.overlaps(start, end)), None) or next(
            (r for r in excluded if start < r.end + inclusive and end + 1 > r.start), None
        )
        if taken is None:
            return start
        # The kernel goes on by a page; what begins before the end of the taken range is taken too.
        if buf.top_down:
            start = align_down(min(start - page_size, taken.start - memsz), align)
        else:
            start = align_up(max(start + page_size, taken.end), align)
    raise KernelError(errno.EADDRNOTAVAIL, "no hole of that size in the crash kernel region")
