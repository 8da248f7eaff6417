"""/dev/kmsg and syslog(2) as functions on the kernel log; no FUSE and no system calls here.

Mirrors devkmsg_*() and do_syslog(), kernel/printk/printk.c (v6.12). Nothing here blocks: where the
kernel would wait for a record the answer is None, and Printk.listeners tells when to ask again.
"""

from __future__ import annotations

import errno
import os
import select

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import LOG_USER, PRINTKRB_RECORD_MAX, Devkmsg, Printk, Record
from fsmount.tree.kobject import CAP_SYSLOG, ROOT, AttributeGroup, Caller, Filesystem, singleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_MESSAGE_LOGLEVEL = 4
"""CONFIG_MESSAGE_LOGLEVEL_DEFAULT"""

RATELIMIT_INTERVAL_NS, RATELIMIT_BURST = 5_000_000_000, 10
"""DEFAULT_RATELIMIT_INTERVAL and _BURST, include/linux/ratelimit_types.h"""

KMSG_SIZE = 1 << 40
"""st_size of the emulated device, so that SEEK_END is recognised by the offset of the next read."""

(
    SYSLOG_ACTION_CLOSE,
    SYSLOG_ACTION_OPEN,
    SYSLOG_ACTION_READ,
    SYSLOG_ACTION_READ_ALL,
    SYSLOG_ACTION_READ_CLEAR,
    SYSLOG_ACTION_CLEAR,
    SYSLOG_ACTION_CONSOLE_OFF,
    SYSLOG_ACTION_CONSOLE_ON,
    SYSLOG_ACTION_CONSOLE_LEVEL,
    SYSLOG_ACTION_SIZE_UNREAD,
    SYSLOG_ACTION_SIZE_BUFFER,
) = range(11)


def check_syslog_permissions(log: Printk, action: int, caller: Caller) -> None:
    """KernelError(EPERM) unless the caller may do that syslog(2) action."""
    free = action in (SYSLOG_ACTION_READ_ALL, SYSLOG_ACTION_SIZE_BUFFER)
    if (log.dmesg_restrict or not free) and not caller.capable(CAP_SYSLOG):
        raise KernelError(errno.EPERM)


def _escaped(text: str) -> str:
    data = text.encode(errors="surrogateescape")
    return "".join(chr(c) if 32 <= c < 127 and c != 0x5C else f"\\x{c:02x}" for c in data)


def extended(record: Record) -> bytes:
    """A record as /dev/kmsg gives it: `prio,seq,usec,-;text` and the dictionary lines."""
    lines = [
        f"{record.facility << 3 | record.level},{record.seq},{record.ts_usec},-;"
        f"{_escaped(record.text)}\n"
    ]
    for key, value in (("SUBSYSTEM", record.subsystem), ("DEVICE", record.device)):
        if value:
            lines.append(f" {key}={_escaped(value)}\n")
    return "".join(lines).encode()


def printed(record: Record) -> bytes:
    """A record as syslog(2) gives it: `<prio>[seconds] text`, the prefix on each of its lines."""
    seconds, usec = divmod(record.ts_usec, 1_000_000)
    prefix = f"<{record.facility << 3 | record.level}>[{seconds:5}.{usec:06}] "
    lines = record.text.split("\n")
    return "".join(f"{prefix}{line}\n" for line in lines).encode(errors="surrogateescape")


class KmsgReader:
    """The reading side of an open /dev/kmsg: a cursor over the records, at first on the oldest."""

    def __init__(self, log: Printk, caller: Caller = ROOT) -> None:
        check_syslog_permissions(log, SYSLOG_ACTION_READ_ALL, caller)
        self._log = log
        self.seq = log.first_seq

    def poll(self) -> int:
        """POLLIN | POLLRDNORM if there is a record, and POLLERR | POLLPRI if some were lost."""
        record = self._log.record(self.seq)
        if record is None:
            return 0
        lost = select.POLLERR | select.POLLPRI if record.seq != self.seq else 0
        return select.POLLIN | select.POLLRDNORM | lost

    def read(self, size: int) -> bytes | None:
        """The next record, None if there is none yet.

        KernelError(EPIPE): records were overwritten, the cursor is on the oldest now. EINVAL: the
        record is longer than size, and is consumed. Mirrors devkmsg_read().
        """
        record = self._log.record(self.seq)
        if record is None:
            return None
        if record.seq != self.seq:
            self.seq = record.seq
            raise KernelError(errno.EPIPE)
        self.seq += 1
        text = extended(record)
        if len(text) > size:
            raise KernelError(errno.EINVAL)
        return text

    def seek(self, offset: int, whence: int) -> int:
        """SEEK_SET: the oldest; SEEK_DATA: after the last clear; SEEK_END: after the newest.

        KernelError(ESPIPE) for an offset other than 0, EINVAL for any other whence.
        """
        if offset:
            raise KernelError(errno.ESPIPE)
        match whence:
            case os.SEEK_SET:
                self.seq = self._log.first_seq
            case os.SEEK_DATA:
                self.seq = self._log.clear_seq
            case os.SEEK_END:
                self.seq = self._log.next_seq
            case _:
                raise KernelError(errno.EINVAL)
        return 0


class KmsgWriter:
    """The writing side of an open /dev/kmsg, with its rate limit."""

    def __init__(self, log: Printk, caller: Caller = ROOT) -> None:
        self._log = log
        self._comm = caller.comm
        self._begin: int | None = None
        self._printed = 0
        self._missed = 0

    def write(self, buf: bytes) -> int:
        """Log one record of facility user; returns len(buf), also if it was rate limited.

        A prefix `<N>` gives level and facility. KernelError(EINVAL) for more than 1024 bytes.
        Mirrors devkmsg_write().
        """
        if len(buf) > PRINTKRB_RECORD_MAX:
            raise KernelError(errno.EINVAL)
        if not buf or self._log.devkmsg is Devkmsg.OFF or not self._ratelimit():
            return len(buf)
        level, facility, line = DEFAULT_MESSAGE_LOGLEVEL, LOG_USER, buf
        if buf.startswith(b"<"):
            digits = buf[1 : 1 + _leading_digits(buf, 1)]
            if buf[1 + len(digits) : 2 + len(digits)] == b">":
                number = int(digits or b"0") & (1 << 32) - 1
                level, facility = number & 7, (number >> 3 & 0xFF) or LOG_USER
                line = buf[len(digits) + 2 :]
        text = line.partition(b"\0")[0].decode(errors="surrogateescape")
        self._log.emit(level, text.removesuffix("\n"), facility, newline=text.endswith("\n"))
        return len(buf)

    def close(self) -> None:
        """Say how many lines the rate limit has dropped: ratelimit_state_exit()."""
        if self._missed:
            self._log.warning(
                f"{self._comm}: {self._missed} output lines suppressed due to ratelimiting"
            )

    def _ratelimit(self) -> bool:
        if self._log.devkmsg is Devkmsg.ON:
            return True
        now = self._log.clock()
        if self._begin is None or now > self._begin + RATELIMIT_INTERVAL_NS:
            self._begin, self._printed = now, 0
        if self._printed < RATELIMIT_BURST:
            self._printed += 1
            return True
        self._missed += 1
        return False


def _leading_digits(buf: bytes, start: int) -> int:
    end = start
    while end < len(buf) and buf[end] in b"0123456789":
        end += 1
    return end - start


class KmsgFile:
    """An open /dev/kmsg for a file server: one file offset, two sides.

    A server that sees no lseek(2) finds SEEK_SET and SEEK_END by the offset of the next read; what
    is logged between that lseek and the read is then behind the reader.
    KernelError(EPERM) if writing is switched off, or reading restricted. Mirrors devkmsg_open().
    """

    def __init__(self, log: Printk, caller: Caller = ROOT, flags: int = os.O_RDONLY) -> None:
        if log.devkmsg is Devkmsg.OFF:
            raise KernelError(errno.EPERM)
        access = flags & os.O_ACCMODE
        self._reader = None if access == os.O_WRONLY else KmsgReader(log, caller)
        self._writer = None if access == os.O_RDONLY else KmsgWriter(log, caller)
        self._at = 0

    def poll(self) -> int:
        """As KmsgReader.poll(); while it is 0, a reader that may block has to wait."""
        return self._reader.poll() if self._reader is not None else 0

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """One record. KernelError(EAGAIN) if there is none yet; others as KmsgReader.read()."""
        if self._reader is None:
            raise KernelError(errno.EBADF)
        if offset != self._at and offset in (0, KMSG_SIZE):
            self._reader.seek(0, os.SEEK_SET if offset == 0 else os.SEEK_END)
        self._at = offset
        text = self._reader.read(size)
        if text is None:
            raise KernelError(errno.EAGAIN)
        self._at += len(text)
        return text

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """As KmsgWriter.write()."""
        if self._writer is None:
            raise KernelError(errno.EBADF)
        return self._writer.write(buf)

    def seek(self, offset: int, whence: int) -> int:
        """As KmsgReader.seek(), for a server that sees lseek(2)."""
        if self._reader is None:
            raise KernelError(errno.EBADF)
        at = self._reader.seek(offset, whence)
        self._at = KMSG_SIZE if whence == os.SEEK_END else at
        return at

    def close(self) -> None:
        """The last close."""
        if self._writer is not None:
            self._writer.close()


dev = AttributeGroup("", singleton, fs=Filesystem.DEVTMPFS)


@dev.open(mode=0o644, size=KMSG_SIZE)
def kmsg_open(kernel: Any, caller: Caller, flags: int) -> KmsgFile:
    """The kernel log, one record a read.

    Writing: what is written becomes a record of facility user.
    """
    return KmsgFile(kernel.log, caller, flags)


class Syslog:
    """The one reader and the console levels behind syslog(2): do_syslog()."""

    def __init__(self, log: Printk, console_loglevel: int = 7) -> None:
        self._log = log
        self.console_loglevel = console_loglevel
        self.minimum_console_loglevel = 1
        """CONSOLE_LOGLEVEL_MIN"""
        self._saved: int | None = None
        self._seq = 0
        self._partial = 0

    def action(
        self, action: int, length: int = 0, caller: Caller = ROOT, *, buf: bool = True
    ) -> tuple[int, bytes] | None:
        """Do one syslog(2) action: its result, and the bytes for the caller's buffer.

        buf=False stands for a NULL buffer. None: SYSLOG_ACTION_READ has to wait for a record.
        KernelError(EPERM) without CAP_SYSLOG, EINVAL for a bad action, level, buffer or length.
        """
        check_syslog_permissions(self._log, action, caller)
        match action:
            case 0 | 1:
                return 0, b""
            case 2 | 3 | 4:
                return self._read(action, length, buf=buf)
            case 5:
                self._log.clear_seq = self._log.next_seq
            case 6:
                if self._saved is None:
                    self._saved = self.console_loglevel
                self.console_loglevel = self.minimum_console_loglevel
            case 7:
                if self._saved is not None:
                    self.console_loglevel, self._saved = self._saved, None
            case 8:
                if not 1 <= length <= 8:
                    raise KernelError(errno.EINVAL)
                self.console_loglevel = max(length, self.minimum_console_loglevel)
                self._saved = None
            case 9:
                return self._unread(), b""
            case 10:
                return self._log.size, b""
            case _:
                raise KernelError(errno.EINVAL)
        return 0, b""

    def _read(self, action: int, length: int, *, buf: bool) -> tuple[int, bytes] | None:
        if not buf or length < 0:
            raise KernelError(errno.EINVAL)
        if not length:
            return 0, b""
        if action == SYSLOG_ACTION_READ:
            text = self._next(length)
            return None if text is None else (len(text), text)
        text = self._all(length, clear=action == SYSLOG_ACTION_READ_CLEAR)
        return len(text), text

    def _next(self, size: int) -> bytes | None:
        """Records, and a part of one if it alone does not fit: syslog_print()."""
        out = b""
        while len(out) < size:
            record = self._log.record(self._seq)
            if record is None:
                break
            if record.seq != self._seq:
                self._seq, self._partial = record.seq, 0
            text = printed(record)[self._partial :]
            if len(text) <= size - len(out):
                self._seq, self._partial = record.seq + 1, 0
                out += text
                continue
            if not out:
                self._partial += size
                out = text[:size]
            break
        return out or None

    def _all(self, size: int, *, clear: bool) -> bytes:
        """The newest records since the last clear that fit whole: syslog_print_all()."""
        log = self._log
        texts = [printed(record) for record in log if record.seq >= log.clear_seq]
        surplus = sum(map(len, texts)) - size
        first = 0
        while surplus > 0:
            surplus -= len(texts[first])
            first += 1
        if clear:
            log.clear_seq = log.next_seq
        return b"".join(texts[first:])

    def _unread(self) -> int:
        first = self._log.record(self._seq)
        if first is None:
            return 0
        if first.seq != self._seq:
            self._seq, self._partial = first.seq, 0
        texts = (len(printed(record)) for record in self._log if record.seq >= self._seq)
        return sum(texts) - self._partial
