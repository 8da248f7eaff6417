"""SMT as a state: which threads of a core may start. kernel/cpu.c (v7.3; 6.1 where a change says so).

What it says is smt/control; who obeys is Cpus. Imports errors, lib, changes.
"""

from __future__ import annotations

import errno
from enum import Enum

from elfcorehdr.changes import of_cpus
from elfcorehdr.errors import KernelError
from elfcorehdr.lib.kstrtox import kstrtoint, sysfs_streq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class SmtControl(Enum):
    """enum cpuhp_smt_control, by the words of smt_states[]."""

    ENABLED = "on"
    DISABLED = "off"
    FORCE_DISABLED = "forceoff"
    NOT_SUPPORTED = "notsupported"
    NOT_IMPLEMENTED = "notimplemented"


WORDS = (SmtControl.ENABLED, SmtControl.DISABLED, SmtControl.FORCE_DISABLED)
"""What can be written."""


class Smt:
    """cpu_smt_control, cpu_smt_num_threads, cpus_booted_once_mask."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.max_threads = min(kernel.machine.cpus.threads, len(kernel.machine.possible_cpus))
        """cpu_smt_max_threads"""
        self.num_threads = self.max_threads
        """cpu_smt_num_threads: how many threads of a core may run."""
        self.control = SmtControl.ENABLED
        self._booted: set[int] = set()
        """Threads that were started since boot, if only to be stopped at once."""
        if not kernel.arch.hotplug_smt(kernel):
            self.control = SmtControl.NOT_IMPLEMENTED
        elif self.max_threads == 1:
            self.control = SmtControl.NOT_SUPPORTED
        else:
            self._cmdline()
        self._boot_threads = self.num_threads
        self._nosmt = self.control in (SmtControl.DISABLED, SmtControl.FORCE_DISABLED)
        """Each present thread is started once all the same."""

    def _cmdline(self) -> None:
        """smt_cmdline_disable(), cpu_smt_set_num_threads(): nosmt, and what the architecture starts at boot."""
        for word in self._kernel.cmdline.split():
            name, _, value = word.partition("=")
            if name == "nosmt" and self.control is not SmtControl.FORCE_DISABLED:
                forced = value == "force"
                self._kernel.log.info(f"SMT: {'Force disabled' if forced else 'disabled'}")
                self.control = SmtControl.FORCE_DISABLED if forced else SmtControl.DISABLED
                self.num_threads = 1
        if self.control is SmtControl.ENABLED:
            self.num_threads = max(1, self._kernel.arch.smt_enabled_at_boot(self._kernel))

    def allowed_at_boot(self, n: int) -> bool:
        """Whether CPU n stays up in a boot."""
        return self._kernel.arch.thread_in_core(self._kernel, n) < self._boot_threads

    @property
    def limits_boot(self) -> bool:
        """Whether the boot leaves threads out."""
        return self._boot_threads < self.max_threads

    def bootable(self, n: int) -> bool:
        """cpu_bootable(), but for a thread that was never started."""
        if self.control in (SmtControl.NOT_SUPPORTED, SmtControl.NOT_IMPLEMENTED):
            return True
        if self.control is SmtControl.ENABLED and self.thread_allowed(n):
            return True
        return self._primary(n)

    def thread_allowed(self, n: int) -> bool:
        """cpu_smt_thread_allowed(): always, but where a core may run some of its threads."""
        arch = self._kernel.arch
        return not arch.smt_num_threads_dynamic or (
            arch.thread_in_core(self._kernel, n) < self.num_threads
        )

    def _primary(self, n: int) -> bool:
        """topology_is_primary_thread()"""
        return not self._kernel.arch.thread_in_core(self._kernel, n)

    def may_start(self, n: int) -> None:
        """KernelError(EPERM) for a thread above the limit; ECANCELED the first time, when it is started and stopped."""
        if self.bootable(n):
            self._booted.add(n)
            return
        if n in self._booted or self._ran_at_boot(n):
            raise KernelError(errno.EPERM, "SMT is limited")
        self._booted.add(n)
        raise KernelError(errno.ECANCELED, "SMT is limited: started once, and stopped")

    def _ran_at_boot(self, n: int) -> bool:
        """Whether the boot started CPU n, if only to stop it."""
        started = self._nosmt or self.allowed_at_boot(n)
        return started and n in self._kernel.machine.online_cpus

    def dlpar_starts(self, n: int) -> bool:
        """dlpar_online_cpu(): whether a thread of a core that was added is started."""
        if self.control is SmtControl.NOT_IMPLEMENTED or self._primary(n):
            return True
        return self.control is not SmtControl.DISABLED and (
            self.control is not SmtControl.FORCE_DISABLED and self.thread_allowed(n)
        )

    def show(self) -> str:
        """control_show(): the state's word, or how many threads run if not all of them."""
        if self.control is SmtControl.ENABLED and self.num_threads != self.max_threads:
            return str(self.num_threads)
        return self.control.value

    def store(self, buf: str) -> None:
        """__store_smt_control(). KernelError: EINVAL, EPERM after forceoff, ENODEV without threads, or as Cpus.down()."""
        if self.control is SmtControl.NOT_IMPLEMENTED:
            raise KernelError(errno.ENODEV, "CONFIG_HOTPLUG_SMT is off")
        numbers = self._kernel.has(of_cpus.SMT_NUMBERS)
        if numbers:
            self._check_state()
        control, threads = self._parse(buf, numbers=numbers)
        if not numbers:
            self._check_state()
        before, forced = self.num_threads, self.control is not control
        self.num_threads = threads
        if threads > before:
            self._enable()
        elif threads < before or (forced and control is SmtControl.FORCE_DISABLED):
            self._disable(control)

    def _check_state(self) -> None:
        if self.control is SmtControl.FORCE_DISABLED:
            raise KernelError(errno.EPERM, "forceoff is for good")
        if self.control is SmtControl.NOT_SUPPORTED:
            raise KernelError(errno.ENODEV, "no SMT")

    def _parse(self, buf: str, *, numbers: bool) -> tuple[SmtControl, int]:
        """The state and the number of threads that a write asks for. KernelError(EINVAL)."""
        for control in WORDS:
            if sysfs_streq(buf, control.value):
                return control, self.max_threads if control is SmtControl.ENABLED else 1
        try:
            threads = kstrtoint(buf, 10)
        except KernelError:
            threads = 0
        some = self._kernel.arch.smt_num_threads_dynamic
        valid = 1 <= threads <= self.max_threads if some else threads in (1, self.max_threads)
        if not numbers or not valid:
            raise KernelError(errno.EINVAL, "no state, no number of threads")
        return SmtControl.DISABLED if threads == 1 else SmtControl.ENABLED, threads

    def _enable(self) -> None:
        """cpuhp_smt_enable(): every present thread that may run, but not of a core that is wholly offline (powerpc)."""
        kernel, cpus = self._kernel, self._kernel.cpus
        self.control = SmtControl.ENABLED
        skips = kernel.has(of_cpus.SMT_SKIPS_OFFLINE_CORES) and kernel.arch.smt_num_threads_dynamic
        running = {cpus.core_of(n) for n in cpus.online} if skips else frozenset()
        for n in list(cpus.present):
            if n in cpus.online or not self.thread_allowed(n):
                continue
            if skips and cpus.core_of(n) not in running:
                continue
            self._booted.add(n)
            cpus.up(n)

    def _disable(self, control: SmtControl) -> None:
        """cpuhp_smt_disable(): the state is what was asked for only once every thread has stopped."""
        for n in list(self._kernel.cpus.online):
            if self._primary(n) or (control is SmtControl.ENABLED and self.thread_allowed(n)):
                continue
            self._kernel.cpus.down(n)
        self.control = control
