"""How a kernel ends: kernel/{panic,reboot}.c, drivers/tty/sysrq.c (v7.1)."""

from __future__ import annotations

import errno
import time

from elfcorehdr.changes import in_log
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import KERN_ALERT, KERN_EMERG
from elfcorehdr.lib.record import Record, replace

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


CUT_HERE = "------------[ cut here ]------------"
END_TRACE = "---[ end trace 0000000000000000 ]---"
TAINT_FLAGS = "PFSRMBUDAWCIOELKXTN"
"""taint_flags[], kernel/panic.c: the letters of what taints a kernel, in order."""
TAINTS = {"D": "DIE", "W": "WARN", "L": "SOFTLOCKUP"}
"""Those that happen here, in words."""
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
        self.counts: dict[str, int] = {}
        """warn_count, softlockup_count, hardlockup_count of /sys/kernel."""
        self._taints: set[str] = set()

    def sysctl(self, name: str, default: int) -> int:
        """A switch of sysctls; the default where nobody has set it."""
        return self.sysctls.get(name, default)

    def taint(self, flag: str) -> None:
        """add_taint()"""
        self._taints.add(flag)

    @property
    def taint_bits(self) -> int:
        """tainted_mask"""
        return sum(1 << TAINT_FLAGS.index(flag) for flag in self._taints)

    def tainted(self, *, verbose: bool = False) -> str:
        """print_tainted(), print_tainted_verbose()"""
        if not self._taints:
            return "" if verbose else "Not tainted"
        if verbose:
            words = (f"[{c}]={TAINTS[c]}" for c in TAINT_FLAGS if c in self._taints)
            return "Tainted: " + ", ".join(words)
        flags = TAINT_FLAGS + "J" * self._kernel.has(in_log.TASK_FLAGS)  # TAINT_FWCTL, 6.15
        return "Tainted: G" + "".join(c if c in self._taints else " " for c in flags[1:])

    def panic(self, why: str, crash: Crash | None = None) -> None:
        """The machine stops: with a crash image its capture kernel starts, else it is dead.

        With kernel.panic set and no image it starts anew, as it was first booted, though it is a capture kernel that panics.
        """
        kernel = self._kernel
        crash = self._ends(why, crash or Crash())
        self._log.emit(KERN_EMERG, f"Kernel panic - not syncing: {why}")
        if "D" not in self._taints:
            kernel.dump_stack(crash)
        self._leave(crash)

    def _die(self, crash: Crash) -> None:
        """oops_end() with panic_on_oops: kexec_should_crash(), so with an image there is no word of a panic."""
        why = "Fatal exception"
        crash = self._ends(why, crash)
        if self._kernel.kexec.crash_image is None:
            self._log.emit(KERN_EMERG, f"Kernel panic - not syncing: {why}")
        self._leave(crash)

    def _ends(self, why: str, crash: Crash) -> Crash:
        """From now on it is how this kernel ended."""
        online = sorted(self._kernel.cpus.online)
        crash = replace(
            crash,
            why=why,
            cpu=crash.cpu if crash.cpu in online else online[0],
            time=crash.time or int(time.time()),
        )
        self.why, self.crash = why, crash
        return crash

    def _leave(self, crash: Crash) -> None:
        kernel, why = self._kernel, crash.why
        fadump = kernel.platform.fadump
        if fadump is not None and fadump.takes_crash:
            kernel.crash_fadump(crash)
        elif kernel.kexec.crash_image is not None:
            kernel.crash_kexec(crash)
        elif self.timeout:
            if self.timeout > 0:  # negative: at once
                self._log.emit(KERN_EMERG, f"Rebooting in {self.timeout} seconds..")
            kernel.restart(kernel.production)
        else:
            self._log.emit(KERN_EMERG, f"---[ end Kernel panic - not syncing: {why} ]---")
            kernel.names_changed()

    def die(self, text: str) -> NoReturn:
        """An oops of the emulated kernel: logged; the caller sees EIO where the real writer is killed."""
        self.oops(text)
        raise KernelError(errno.EIO, text)

    def oops(self, text: str = "") -> None:
        """oops_end(): a panic with panic_on_oops, else the kernel goes on. Without a text it is a NULL pointer's."""
        kernel, log = self._kernel, self._log
        self.oopses += 1
        null_pointer, begins = kernel.oops_said(self.oopses)
        log.emit(KERN_ALERT, text or null_pointer)
        log.emit(KERN_ALERT, begins)
        crash = Crash(cpu=min(kernel.cpus.online))
        kernel.dump_stack(crash)
        if self.on_oops:
            self._die(crash)
        else:
            log.warning(END_TRACE)
            self.taint("D")

    def warn(self, text: str) -> None:
        """__warn(), as of a driver's WARN(): a panic with kernel.panic_on_warn, or the kernel.warn_limit-th time."""
        crash = Crash()
        cpu = min(self._kernel.cpus.online)
        self._log.warning(CUT_HERE)
        if self._kernel.has(in_log.WARNING_NAMES_TASK):
            where = f"WARNING: at kdumpfs_warn, CPU#{cpu}: {crash.comm}/{crash.pid}"
        else:
            where = f"WARNING: CPU: {cpu} PID: {crash.pid} at kdumpfs_warn"
        self._log.warning(where)
        if text:
            self._log.warning(text)
        self._log.warning("Modules linked in:")
        self._kernel.dump_stack(replace(crash, cpu=cpu))
        self.counts["warn_count"] = count = self.counts.get("warn_count", 0) + 1
        limit = self.sysctl("warn_limit", 0)
        if self.sysctl("panic_on_warn", 0):
            self.panic("kernel: panic_on_warn set ...", crash)
        elif limit and count >= limit:
            self.panic(f"kernel: system warned too often (kernel.warn_limit is {limit})", crash)
        else:
            self._log.warning(END_TRACE)
            self.taint("W")

    def reboot(self, cmd: str) -> None:
        """reboot(2): recorded in the log, never done."""
        self._log.emit(KERN_EMERG, f"reboot: {cmd}")

    def sysrq(self, key: str, crash: Crash | None = None) -> None:
        """A key written to /proc/sysrq-trigger; `c` is a crash."""
        if key == "c":
            self._log.info("sysrq: Trigger a crash")
            self.panic("sysrq triggered crash", replace(crash or Crash(), path=SYSRQ_PATH))
        else:
            self._log.info(f"sysrq: {key}")
