"""The emulated kernel: one mutable object, booted from a frozen Machine; start_kernel() of init/main.c.

It is a list of its parts, and what it was built and started with. Start reading here, then at the part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from elfcorehdr import changes
from elfcorehdr.arch import arch_of, check_cpuinfo, platform_of
from elfcorehdr.changes.change import DEFAULT_RELEASE, Change, uts_release
from elfcorehdr.drivers.base.cpu import Cpus
from elfcorehdr.drivers.base.memory import Memory
from elfcorehdr.drivers.base.node import Nodes
from elfcorehdr.drivers.base.power import DevicePm
from elfcorehdr.kernel import crashk_res
from elfcorehdr.kernel.cpu import Smt
from elfcorehdr.kernel.crash_core import CrashHotplug
from elfcorehdr.kernel.crash_dump_dm_crypt import DmCryptKeys
from elfcorehdr.kernel.kexec_core import Kexec
from elfcorehdr.kernel.ksysfs import Ksysfs
from elfcorehdr.kernel.module.main import Modules
from elfcorehdr.kernel.notifier import MemoryChain, NotifierErrorInject
from elfcorehdr.kernel.panic import Crash, Panic
from elfcorehdr.kernel.printk import Printk, dyndbg_files
from elfcorehdr.kernel.resource import Iomem
from elfcorehdr.kernel.time.timekeeping import Timekeeping
from elfcorehdr.lib.kobject_uevent import UeventQueue
from elfcorehdr.machine import Machine
from elfcorehdr.mm.hugetlb import Hugetlb
from elfcorehdr.mm.memblock import Memblock
from elfcorehdr.mm.memory_hotplug import MemoryHotplug
from elfcorehdr.mm.page_isolation import PageIsolation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.arch.powerpc.kernel.fadump_crash import Dump
    from elfcorehdr.fs.proc.kcore import ProcKcore
    from elfcorehdr.fs.proc.vmcore import ProcVmcore
    from elfcorehdr.kernel.vmlinux.image import Vmlinux
    from elfcorehdr.lib.ranges import Range
    from elfcorehdr.mm.mm_init import MemoryImage


class Kernel:
    """A running kernel. Everything in it changes through its parts' methods, one at a time."""

    uts_version = "#1 SMP kdumpfs"

    def __init__(
        self,
        machine: Machine,
        has: frozenset[Change],
        release: str,
        clock: Callable[[], int] = time.monotonic_ns,
        dynamic_debug: Iterable[str] = (),
        vmlinux: Vmlinux | None = None,
    ) -> None:
        self.vmlinux = vmlinux
        """The real image that is in memory, if there is one."""
        if vmlinux is not None:
            self.uts_version = vmlinux.version
        self.boots = 0
        """How often it has started anew: what belonged to the kernel before answers no more."""
        self.vmcore: ProcVmcore | None = None
        """/proc/vmcore, of a capture kernel."""
        self.memory_image: MemoryImage | None = None
        """The memory of the kernel that crashed."""
        self.firmware_dump: Dump | None = None
        """ppc64: what firmware has of the kernel that crashed, until its memory is released."""
        self.vmcoreinfo_edits: tuple[str, ...] = ()
        """What a tester wants of VMCOREINFO: see VmcoreInfo.edit()."""
        self.read_file: Callable[[str, int, int], bytes] = lambda path, offset, size: b""
        """Bytes of a file that a [[use]] has in memory: path, offset, at most so many."""
        self.cond_resched: Callable[[], None] = lambda: None
        """Called in the midst of long work: who serves the machine lets others look at it meanwhile."""
        self._clock, self._dynamic_debug = clock, tuple(dynamic_debug)
        self.log = Printk(clock)
        self.uevents = UeventQueue()
        self.names_seq = 0
        """Counts the times that a name in the tree appeared or went."""
        self._build(machine, has, release)
        self.production = self.machine
        """What its boot loader boots, whatever kernel ran last."""

    def _build(self, machine: Machine, has: frozenset[Change], release: str) -> None:
        """Make the parts, for a machine that starts."""
        if machine.kernel_text is None:
            from elfcorehdr.machine.image import placed

            machine = placed(machine)
        self.machine = machine
        self.release = release
        self.changes = has
        """All changes it has."""
        self.arch = arch_of(machine.arch)
        if machine.cpuinfo:
            check_cpuinfo(self.arch, machine)
        platform = platform_of(self.arch, machine.platform)
        self.page_size = machine.page_size
        self.cmdline = machine.cmdline
        self.log.restart({*self._dynamic_debug, *dyndbg_files(machine.cmdline)})
        self.log.setup(machine.cmdline)
        self.log.fits_exactly = self.has(changes.PRINTK_FITS_EXACTLY)
        self.uevents.restart()
        self.timekeeping = Timekeeping(self._clock)
        self.panic = Panic(self)
        self.ksysfs = Ksysfs()
        self.pm = DevicePm()

        self.memblock = Memblock(self.arch.memblock_regions(machine))
        self.iomem = Iomem()
        self.arch.setup_iomem(self)
        self.firmware_map = self.arch.boot_firmware_map(machine)
        self.memory_chain = MemoryChain()
        self.memory = Memory(self)
        self.memory_hotplug = MemoryHotplug(self, self.memory)
        self.page_isolation = PageIsolation(self)
        self.nodes = Nodes(self)
        self.hugetlb = Hugetlb(self)
        self.mm_settings: dict[str, str] = {}
        """What was written to files of /sys/kernel/mm, by path."""
        self.sysctls: dict[str, str] = {}
        """What was written to files of /proc/sys that do no more than keep it, by dotted name."""
        self.modules = Modules(self)
        self.smt = Smt(self)
        self.cpus = Cpus(self)

        self.kexec = Kexec(self)
        self.dm_crypt_keys = DmCryptKeys(self)
        self.crash_hp = CrashHotplug(self)
        self.memory_errors = NotifierErrorInject(self.log.info)
        self.memory_chain.register(self.memory_errors)
        self.platform = platform(self)

    @classmethod
    def boot(
        cls,
        machine: Machine,
        release: str = "",
        *,
        also: Iterable[str] = (),
        without: Iterable[str] = (),
        clock: Callable[[], int] = time.monotonic_ns,
        dynamic_debug: Iterable[str] = (),
        vmlinux: Vmlinux | None = None,
    ) -> Kernel:
        """Boot a machine with a kernel release (its own, else the default), single changes on or off.

        dynamic_debug: source files, without .c, whose pr_debug() is on; "*" for all. vmlinux: the image of the kernel that
        it is; fits() has judged it.
        ProfileError for an unknown architecture, platform, release or change.
        """
        uts = None
        if vmlinux is not None:
            release, uts = vmlinux.upstream, vmlinux.release
        release = release or machine.kernel or DEFAULT_RELEASE
        has = changes.changes_of(release, also=also, without=(*machine.without, *without))
        kernel = cls(machine, has, uts or uts_release(release), clock, dynamic_debug, vmlinux)
        kernel._start()
        return kernel

    def _start(self) -> None:
        """start_kernel()"""
        self.log.emit(5, f"Linux version {self.release} (kdumpfs) {self.uts_version}")
        self.log.info(f"Kernel command line: {self.cmdline}")
        crashk_res.reserve(self)
        self.arch.insert_crashkernel_resources(self)
        self.arch.booted(self)
        self.memory_hotplug.boot()
        self.hugetlb.boot()

    def switched_on(self, ns: int) -> None:
        """The machine was switched on at this value of its clock, before its kernel ran: all its clocks count from there."""
        self.timekeeping.began(ns)
        self.log.boot_ns = ns

    # how it ends

    @property
    def dead(self) -> bool:
        """Whether it has panicked, and no other kernel has started: nothing answers any more."""
        return bool(self.panic.why)

    @property
    def after_crash(self) -> bool:
        """Whether it was booted because one crashed: a capture kernel, or one that found a dump of firmware's."""
        fadump = self.platform.fadump
        return self.vmcore is not None or (fadump is not None and fadump.had_dump)

    def restart(self, machine: Machine, dump: Dump | None = None) -> None:
        """The machine starts anew, with the same kernel: nothing of before is left but who listens to it.

        dump: what firmware has of the kernel that crashed.
        """
        self.boots += 1
        self.vmcore = self.memory_image = None
        self.firmware_dump = dump
        self._build(machine, self.changes, self.release)
        self._start()
        self.names_changed()

    def boot_reserved(self) -> list[Range]:
        """What boot keeps of memory, besides the reservation; ends included."""
        from elfcorehdr.mm.boot_reserved import boot_reserved

        return boot_reserved(self)

    def kcore(self) -> ProcKcore:
        """/proc/kcore as it is now."""
        from elfcorehdr.init.capture import kcore

        return kcore(self)

    def dump_stack(self, crash: Crash) -> None:
        """dump_stack(), into the log."""
        from elfcorehdr.init.capture import dump_stack

        dump_stack(self, crash)

    def oops_said(self, count: int) -> tuple[str, str]:
        """What a read through a NULL pointer is called here, and how the count-th oops begins."""
        from elfcorehdr.arch.dumpstack import oops

        return oops(self, count)

    def crash_kexec(self, crash: Crash) -> None:
        """__crash_kexec(): the capture kernel of the loaded image starts from this one's memory."""
        from elfcorehdr.init.capture import crash_kexec

        crash_kexec(self, crash)

    def crash_fadump(self, crash: Crash) -> None:
        """crash_fadump(): firmware keeps memory and boots the same kernel."""
        from elfcorehdr.init.capture import crash_fadump

        crash_fadump(self, crash)

    def vmcore_init(self, header: bytes, read: Callable[[int, int], bytes]) -> None:
        """vmcore_init(): /proc/vmcore of an ELF core header and the memory that it speaks of."""
        from elfcorehdr.init.capture import vmcore_init

        vmcore_init(self, header, read)

    # what this kernel is

    def has(self, change: Change) -> bool:
        """Whether this kernel has a change."""
        return change in self.changes

    def config(self, option: str) -> bool:
        """Whether the kernel was built with CONFIG_<option>; distributions' kernels have it."""
        return self.machine.config.get(option, self.arch.config_default(self, option))

    def names_changed(self) -> None:
        """A name in the tree appeared or went: what caches names must drop them."""
        self.names_seq += 1
