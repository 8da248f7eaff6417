"""How a kernel ends: kernel/{panic,reboot}.c, drivers/tty/sysrq.c (v7.1)."""

from __future__ import annotations

import errno
from typing import NoReturn

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import KERN_ALERT, KERN_EMERG, Printk


class Panic:
    """What has gone wrong so far, and what is to happen then."""

    def __init__(self, log: Printk) -> None:
        self._log = log
        self.why = ""
        """Why this kernel no longer runs; empty while it does."""
        self.oopses = 0
        self.timeout = 0
        """kernel.panic: seconds until the machine starts anew; 0 is never."""
        self.on_oops = 0
        """kernel.panic_on_oops"""

    def panic(self, why: str) -> None:
        """The machine stops: with a crash image the capture kernel would start now."""
        self.why = why
        self._log.emit(KERN_EMERG, f"Kernel panic - not syncing: {why}")

    def die(self, text: str) -> NoReturn:
        """An oops of the emulated kernel: logged; the caller sees EIO where the real writer is killed."""
        self._log.emit(KERN_ALERT, text)
        self.oopses += 1
        self._log.emit(KERN_ALERT, f"Oops: Kernel access of bad area, sig: 11 [#{self.oopses}]")
        raise KernelError(errno.EIO, text)

    def reboot(self, cmd: str) -> None:
        """reboot(2): recorded in the log, never done."""
        self._log.emit(KERN_EMERG, f"reboot: {cmd}")

    def sysrq(self, key: str) -> None:
        """A key written to /proc/sysrq-trigger; `c` is a crash."""
        if key == "c":
            self._log.info("sysrq: Trigger a crash")
            self.panic("sysrq triggered crash")
        else:
            self._log.info(f"sysrq: {key}")
