"""How a kernel ends: kernel/{panic,reboot}.c, drivers/tty/sysrq.c (v7.1)."""

from __future__ import annotations

import errno
import time

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import KERN_ALERT, KERN_EMERG
from elfcorehdr.lib.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from elfcorehdr.init.main import Kernel


class Crash(Record):
    """How it came to it: what was said, who ran where, when, and which CPUs did not stop."""

    why: str = ""
    cpu: int = -1
    """The CPU that crashed; -1: the first that runs."""
    pid: int = 1
    comm: str = "init"
    time: int = 0
    """Seconds since 1970; 0: now."""
    stuck: frozenset[int] = frozenset()
    """CPUs that never answered: they have no note."""
    path: tuple[str, ...] = ()
    """The functions that led to panic(), the innermost first."""


SYSRQ_PATH = ("sysrq_handle_crash", "__handle_sysrq", "write_sysrq_trigger", "proc_reg_write")
"""From panic() to vfs_write(): a `c` written to /proc/sysrq-trigger."""


class Panic:
    """What has gone wrong so far, and what is to happen then."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._log = kernel.log
        self.why = ""
        """Why this kernel no longer runs; empty while it does."""
        self.crash: Crash | None = None
        """How it ended."""
        self.oopses = 0
        words = dict(word.partition("=")[::2] for word in kernel.cmdline.split())
        said = words.get("panic", "")
        self.timeout = int(said) if said.removeprefix("-").isdecimal() else 0
        """kernel.panic: seconds until the machine starts anew; 0 is never."""
        self.on_oops = int(words.get("oops") == "panic")
        """kernel.panic_on_oops"""
        self.sysctls: dict[str, int] = {}
        """The other switches of kernel/panic.c, watchdog.c and hung_task.c that were set."""

    def panic(self, why: str, crash: Crash | None = None) -> None:
        """The machine stops: with a crash image its capture kernel starts, else it is dead.

        With kernel.panic set and no image it starts anew.
        """
        from elfcorehdr.lib.record import replace

        kernel = self._kernel
        crash = crash or Crash()
        online = sorted(kernel.cpus.online)
        crash = replace(
            crash,
            why=why,
            cpu=crash.cpu if crash.cpu in kernel.cpus.online else online[0],
            time=crash.time or int(time.time()),
        )
        self.why, self.crash = why, crash
        self._log.emit(KERN_EMERG, f"Kernel panic - not syncing: {why}")
        kernel.dump_stack(crash)
        fadump = kernel.platform.fadump
        if fadump is not None and fadump.takes_crash:
            kernel.crash_fadump(crash)
        elif kernel.kexec.crash_image is not None:
            kernel.crash_kexec(crash)
        elif self.timeout:
            self._log.emit(KERN_EMERG, f"Rebooting in {self.timeout} seconds..")
            kernel.restart(kernel.machine)
        else:
            self._log.emit(KERN_EMERG, f"---[ end Kernel panic - not syncing: {why} ]---")
            kernel.names_changed()

    def die(self, text: str) -> NoReturn:
        """An oops of the emulated kernel: logged; the caller sees EIO where the real writer is killed."""
        self.oops(text)
        raise KernelError(errno.EIO, text)

    def oops(self, text: str) -> None:
        """oops_end(): a panic with panic_on_oops, else the kernel goes on."""
        self._log.emit(KERN_ALERT, text)
        self.oopses += 1
        self._log.emit(KERN_ALERT, f"Oops: Kernel access of bad area, sig: 11 [#{self.oopses}]")
        if self.on_oops:
            self.panic("Fatal exception")

    def reboot(self, cmd: str) -> None:
        """reboot(2): recorded in the log, never done."""
        self._log.emit(KERN_EMERG, f"reboot: {cmd}")

    def sysrq(self, key: str, crash: Crash | None = None) -> None:
        """A key written to /proc/sysrq-trigger; `c` is a crash."""
        if key == "c":
            from elfcorehdr.lib.record import replace

            self._log.info("sysrq: Trigger a crash")
            self.panic("sysrq triggered crash", replace(crash or Crash(), path=SYSRQ_PATH))
        else:
            self._log.info(f"sysrq: {key}")
