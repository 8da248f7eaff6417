"""The kernel log: records with level, facility and time, as kernel/printk/printk.c keeps them.

The engine speaks through Printk.emit() and its named levels; /dev/kmsg and syslog(2) read it.
"""

from __future__ import annotations

import enum
import re
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator

KERN_EMERG, KERN_ALERT, KERN_CRIT, KERN_ERR = 0, 1, 2, 3
KERN_WARNING, KERN_NOTICE, KERN_INFO, KERN_DEBUG = 4, 5, 6, 7

LOG_KERN, LOG_USER = 0, 1
"""Syslog facilities: the kernel's own records, and what was written to /dev/kmsg."""

PRINTKRB_RECORD_MAX = 1024
"""Bytes of a record's text with its NUL, kernel/printk/internal.h (v6.12)."""

PRB_AVGBITS = 5
"""log2 of the text bytes for which the ring buffer has one descriptor, kernel/printk/printk.c."""


LOG_BUF_LEN_MAX = 1 << 26
"""What log_buf_len= gives at most: here, where the kernel has 2 GiB and as much as there is room for."""


class Devkmsg(enum.Enum):
    """What writing to /dev/kmsg does: the words of printk.devkmsg= (__control_devkmsg())."""

    ON = "on"
    OFF = "off"
    RATELIMIT = "ratelimit"


class Record:
    """One log record; time in microseconds since boot, text without the final newline.

    subsystem and device are what dev_printk() adds: `memory`, `+memory:memory30`.
    """

    __slots__ = ("device", "facility", "level", "seq", "subsystem", "text", "ts_usec")

    def __init__(
        self,
        seq: int,
        level: int,
        facility: int,
        ts_usec: int,
        text: str,
        subsystem: str = "",
        device: str = "",
    ) -> None:
        self.seq = seq
        self.level = level
        self.facility = facility
        self.ts_usec = ts_usec
        self.text = text
        self.subsystem = subsystem
        self.device = device


def hashed_pointer(value: int) -> str:
    """What %p prints: sixteen digits that tell nothing, the upper eight zero."""
    return f"{zlib.crc32(value.to_bytes(8, 'little')):016x}"


def dyndbg_files(cmdline: str) -> frozenset[str]:
    """The source files, without path and .c, whose messages dyndbg= on a command line switches on.

    Of Documentation/admin-guide/dynamic-debug-howto.rst the form `file PATH +p; ...`.
    """
    files: set[str] = set()
    if "dyndbg=" not in cmdline:
        return frozenset(files)
    for quoted, plain in re.findall(r'(?:^|\s)dyndbg=(?:"([^"]*)"|(\S+))', cmdline):
        for query in (quoted or plain).split(";"):
            words = query.split()
            if words[:1] == ["file"] and len(words) > 2 and re.fullmatch(r"[+=]\w*p\w*", words[-1]):
                files.add(words[1].rpartition("/")[2].removesuffix(".c"))
    return frozenset(files)


class Printk:
    """The ring buffer: `size` bytes (a power of two) of text blocks, size / 32 descriptors.

    The oldest records go first. clock gives nanoseconds; the log's times count from its making.
    dynamic_debug: the source files, without .c, whose pr_debug() is on (CONFIG_DYNAMIC_DEBUG); "*" for all.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.monotonic_ns,
        size: int = 1 << 18,
        *,
        dynamic_debug: Iterable[str] = (),
    ) -> None:
        self.clock = clock
        self.size = self._usual = size
        self.listeners: list[Callable[[], None]] = []
        """Called after a record has become visible to readers."""
        self.fits_exactly = False
        """Whether a block that ends with the ring does not wrap."""
        self.restart(dynamic_debug)

    def restart(self, dynamic_debug: Iterable[str] = ()) -> None:
        """A kernel starts: an empty log, its time at zero; who listens still does."""
        self.dynamic_debug = frozenset(dynamic_debug)
        self.devkmsg = Devkmsg.RATELIMIT
        self.dmesg_restrict = False
        self.clear_seq = 0
        """Where SYSLOG_ACTION_CLEAR has put the start of what dmesg shows."""
        self.boot_ns = self.clock()
        """The clock's value that times count from."""
        self._head = 0
        self._records: deque[Record] = deque()
        self._begins: deque[int] = deque()
        self._open: Record | None = None
        self._next_seq = 0

    def setup(self, cmdline: str) -> None:
        """printk.devkmsg= (control_devkmsg()) and log_buf_len= (log_buf_len_update()): a larger buffer alone is made."""
        self.size = self._usual
        for word in cmdline.split():
            name, _, value = word.partition("=")
            if name == "printk.devkmsg":
                found = [one for one in Devkmsg if value.startswith(one.value)]
                self.devkmsg = found[0] if found else self.devkmsg
            elif name == "log_buf_len" and (
                m := re.match(r"(0[xX][0-9a-fA-F]+|\d+)([kKmMgG]?)", value)
            ):
                asked = (
                    int(m[1], 16 if m[1][:2] in ("0x", "0X") else 10)
                    << {"": 0, "k": 10, "m": 20, "g": 30}[m[2].lower()]
                )
                if asked:
                    made = 1 << (min(asked, LOG_BUF_LEN_MAX) - 1).bit_length()
                    self.size = max(made, self._usual)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @property
    def first_seq(self) -> int:
        """The number of the oldest record that is there: prb_first_valid_seq()."""
        return self._records[0].seq if self._records else self.next_seq

    @property
    def next_seq(self) -> int:
        """The number of the first record that readers cannot see yet: prb_next_seq()."""
        return self._next_seq if self._open is None else self._open.seq

    @property
    def head(self) -> int:
        """data_ring.head_lpos, counted from the log's making."""
        return self._head

    def blocks(self) -> Iterator[tuple[Record, int, int, bool]]:
        """What is in the ring: a record, where its block begins and where the next one does, whether it is still open."""
        records = [*self._records, *([self._open] if self._open is not None else [])]
        begins = [*self._begins, self._head]
        for record, begin, end in zip(records, begins, begins[1:], strict=False):
            yield record, begin, end, record is self._open

    def wraps(self, begin: int, end: int) -> bool:
        """is_blk_wrapped(): whether a block begin..end-1 would cross the end of the ring."""
        return begin // self.size != (end - self.fits_exactly) // self.size

    def record(self, seq: int) -> Record | None:
        """The record of that number, or the oldest later one; None if there is none yet."""
        if seq >= self.next_seq or not self._records:
            return None
        return self._records[max(0, seq - self._records[0].seq)]

    def emit(
        self,
        level: int,
        text: str,
        facility: int = LOG_KERN,
        *,
        newline: bool = True,
        subsystem: str = "",
        device: str = "",
    ) -> None:
        """Append a record; level 0..7, text without its final newline (inner newlines stay).

        Without the newline readers see it only when the next record comes. Text is cut at 1023
        bytes, and loses its newline then. Mirrors vprintk_store(), kernel/printk/printk.c (v6.12).
        """
        try:
            length = len(text.encode(errors="surrogateescape"))
        except UnicodeEncodeError:  # a lone surrogate that stands for no byte
            text = text.encode(errors="backslashreplace").decode()
            length = len(text)
        if length >= PRINTKRB_RECORD_MAX - 1:
            line = (text + "\n" * newline).encode(errors="surrogateescape")
            line = line[: PRINTKRB_RECORD_MAX - 1]
            newline = newline and line.endswith(b"\n")
            length = len(line) - newline
            text = line[:length].decode(errors="surrogateescape")
        if self._open is not None:
            self._records.append(self._open)
            self._open = None
        ts_usec = (self.clock() - self.boot_ns) // 1000
        record = Record(self._next_seq, level, facility, ts_usec, text, subsystem, device)
        self._reserve(length + newline + 1)
        self._next_seq += 1
        if newline:
            self._records.append(record)
        else:
            self._open = record
        for listener in tuple(self.listeners):
            listener()

    def _reserve(self, length: int) -> None:
        """Make room for a text block: data_alloc() and desc_reserve(), printk_ringbuffer.c."""
        block = (length + 8 + 7) & ~7  # struct prb_data_block: an id before the text, aligned
        begin, end = self._head, self._head + block
        if self.wraps(begin, end):
            end = end // self.size * self.size + block
        self._head = end
        self._begins.append(begin)
        descriptors = self.size >> PRB_AVGBITS
        while self._records and (
            self._begins[0] < end - self.size or len(self._begins) > descriptors
        ):
            self._begins.popleft()
            self._records.popleft()

    def err(self, text: str) -> None:
        """pr_err()"""
        self.emit(KERN_ERR, text)

    def warning(self, text: str) -> None:
        """pr_warn()"""
        self.emit(KERN_WARNING, text)

    def info(self, text: str) -> None:
        """pr_info()"""
        self.emit(KERN_INFO, text)

    def debugging(self, file: str) -> bool:
        """Whether pr_debug() of a source file (named without .c) is on."""
        return file in self.dynamic_debug or "*" in self.dynamic_debug

    def debug(self, file: str, text: str) -> None:
        """pr_debug() of a source file."""
        if self.debugging(file):
            self.emit(KERN_DEBUG, text)
