"""The emulated kernel: one mutable object, booted from a frozen Machine, that wires everything else.

Imports every module of this package; nothing here imports it but for types.
"""

from __future__ import annotations

import errno
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from enum import Enum

from elfcorehdr import changes
from elfcorehdr.arch import arch_of
from elfcorehdr.arch.powerpc.platforms.pseries.dlpar import Dlpar
from elfcorehdr.changes import Change
from elfcorehdr.drivers.acpi import Dimms
from elfcorehdr.drivers.base.cpu import Cpus
from elfcorehdr.drivers.base.memory import Memory, OnlineType
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.crash_core import CrashHotplug
from elfcorehdr.kernel.kexec_core import Kexec
from elfcorehdr.kernel.kexec_file import FileArg, Segment, align_up
from elfcorehdr.kernel.notifier import MemoryChain, NotifierErrorInject
from elfcorehdr.kernel.printk import Printk, dyndbg_files
from elfcorehdr.kernel.resource import CRASH_KERNEL, SYSTEM_RAM, Iomem, Resource
from elfcorehdr.lib.kobject_uevent import UeventQueue
from elfcorehdr.lib.range_map import RangeMap
from elfcorehdr.lib.ranges import Range, parse_ids
from elfcorehdr.machine import Machine
from elfcorehdr.machine import Region as NamedRegion
from elfcorehdr.mm.memblock import DRV_MNG, Memblock


class PrintMode(Enum):
    """What reading crash_elfcorehdr_print does: return the table, log it, or both."""

    TEXT = "text"
    DMESG = "dmesg"
    BOTH = "both"


UTS_VERSION = "#1 SMP kdumpfs"


class Kernel:
    """A running kernel. Everything in it changes through its parts' methods, one at a time."""

    def __init__(
        self,
        machine: Machine,
        has: frozenset[Change],
        release: str,
        clock: Callable[[], int] = time.monotonic_ns,
        dynamic_debug: Iterable[str] = (),
    ) -> None:
        self.machine = machine
        self.arch = arch_of(machine.arch)
        self.platform = machine.platform or self.arch.platform
        self.release = release
        self.uts_machine = self.arch.uts_machine
        self.uts_version = UTS_VERSION
        self.page_size = machine.page_size
        self.cmdline = machine.cmdline
        self.log = Printk(clock)
        self.uevents = UeventQueue()
        self.names_seq = 0
        self.dynamic_debug = frozenset(dynamic_debug) | dyndbg_files(machine.cmdline)
        """Source files whose pr_debug() is on, without .c; "*" for all."""
        self.kexec_debug = False
        """kexec_file_dbg_print: set for the time of a load with KEXEC_FILE_DEBUG."""
        self.pinned: list[NamedRegion] = list(machine.pinned)
        """Memory that something unmovable sits in."""
        self.hotplug_nodes = RangeMap()
        """Nodes that firmware names for memory that was plugged in."""
        self.print_mode = PrintMode.TEXT
        self.control_error = ""
        """Why the last request through control/ failed."""
        self.profiling = 0
        self.oopses = 0
        self.panic_timeout = 0
        self.panic_on_oops = 0
        self.rcu_expedited = 0
        self.rcu_normal = 0
        self.fadump_enabled = machine.fadump and "fadump=on" in machine.cmdline.split()
        self.fadump_registered = self.fadump_enabled
        self.panicked = ""
        """Why this kernel no longer runs; empty while it does."""
        self._has = has
        self.memblock = Memblock(self.arch.memblock_regions(machine))
        self.iomem = Iomem()
        self.arch.setup_iomem(self)
        self.boot_memory_end = self.memblock.end_of_dram()
        self.boot_crashk_res: Range | None = None
        self.firmware_map = self.arch.boot_firmware_map(machine)
        self.cpu_modalias = machine.cpus.modalias or self.arch.modalias(self)
        self.memory_chain = MemoryChain()
        self.memory = Memory(self)
        self.cpus = Cpus(self)
        self.kexec = Kexec(self)
        self.crash_hp = CrashHotplug(self)
        self.memory_errors = NotifierErrorInject(lambda text: self.log.info(text))
        self.memory_chain.register(self.memory_errors)
        self.dlpar = Dlpar(self) if self.platform == "pseries" else None
        self.pm: dict[str, dict[str, str]] = {}
        """What was written to power/ of a device, by the device's path."""
        self.dimms = Dimms()
        self.acpi = self.arch.acpi_processors(self)

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
    ) -> Kernel:
        """Boot a machine with a kernel release (its own, else the default), single changes on or off.

        ProfileError for an unknown architecture, release or change.
        """
        release = release or machine.kernel or changes.DEFAULT_RELEASE
        has = changes.changes_of(release, also=also, without=without)
        if release.count(".") == 1:
            release += ".0"
        kernel = cls(machine, has, release, clock, dynamic_debug)
        kernel._start()
        return kernel

    def _start(self) -> None:
        self.log.emit(5, f"Linux version {self.release} (kdumpfs) {self.uts_version}")
        self.log.info(f"Kernel command line: {self.cmdline}")
        if self.machine.crashkernel:
            self._take_reservation()
        else:
            self.arch.reserve_crashkernel(self)
        self.boot_crashk_res = self.kexec.crashk_res
        self.arch.insert_crashkernel_resources(self)
        self.arch.booted(self)
        for group in self.machine.blocks:
            self.memory.boot_state(parse_ids(group.blocks), group.state, group.valid_zones)
        policy = self.machine.auto_online_blocks or (
            "online" if self.has(changes.AUTO_ONLINE) else "offline"
        )
        for word in self.cmdline.split():
            if word.startswith("memhp_default_state="):
                policy = word.partition("=")[2]
        if policy in {t.value for t in OnlineType}:
            self.memory.auto_online = OnlineType(policy)

    def _take_reservation(self) -> None:
        """A reservation that the machine pins."""
        for region in self.machine.crashkernel:
            r = Range.sized(region.start, region.size)
            match region.kind:
                case "crashk_low_res":
                    self.kexec.crashk_low_res = r
                case "cma":
                    self.kexec.crashk_cma_ranges.append(r)
                case _:
                    self.kexec.crashk_res = r

    # what this kernel is

    def has(self, change: Change) -> bool:
        """Whether this kernel has a change."""
        return change in self._has

    @property
    def nr_cpus(self) -> int:
        """CONFIG_NR_CPUS"""
        return self.machine.nr_cpus or self.arch.nr_cpus

    def config(self, option: str) -> bool:
        """Whether the kernel was built with CONFIG_<option>; distributions' kernels have it."""
        return self.machine.config.get(option, option not in self.arch.config_off)

    @property
    def has_changes(self) -> frozenset[Change]:
        """All changes it has."""
        return self._has

    @property
    def vmcoreinfo(self) -> tuple[int, int]:
        """Physical address and size in bytes of the vmcoreinfo note; computed: behind the kernel, page aligned."""
        address = self.machine.vmcoreinfo or align_up(self.machine.kernel_end, self.page_size)
        return address, self.arch.vmcoreinfo_bytes(self)

    def names_changed(self) -> None:
        """A name in the tree appeared or went: what caches names must drop them."""
        self.names_seq += 1

    # the log

    def debugging(self, module: str) -> bool:
        """Whether pr_debug() of a source file (named without .c) is on."""
        return module in self.dynamic_debug or "*" in self.dynamic_debug

    def debug(self, module: str, text: str) -> None:
        """pr_debug() of a source file."""
        if self.debugging(module):
            self.log.emit(7, text)

    def hashed_pointer(self, value: int) -> str:
        """What %p prints: sixteen digits that tell nothing, the upper eight zero."""
        return f"{zlib.crc32(value.to_bytes(8, 'little')):016x}"

    def die(self, text: str) -> None:
        """An oops of the emulated kernel: logged; the caller sees EIO where the real writer is killed."""
        self.log.emit(1, text)
        self.oopses += 1
        self.log.emit(1, f"Oops: Kernel access of bad area, sig: 11 [#{self.oopses}]")
        raise KernelError(errno.EIO, text)

    # memory

    def nodes_of(self, start: int, end: int) -> list[int]:
        """NUMA nodes of the RAM in start..end (included), ascending."""
        return sorted({r.node for r in self.memblock.overlapping(start, end)})

    def node_span(self, node: int) -> tuple[int, int]:
        """First and last byte of a node's RAM."""
        return self.memblock.node_span(node) or (0, 0)

    def node_for_new(self, address: int) -> int:
        """What firmware says of memory there: when it was plugged in, at boot, else the first node."""
        node = self.hotplug_nodes.get(address)
        if node is None:
            memory = self.machine.memory
            i = bisect_right(memory, address, key=lambda m: m.start) - 1
            node = memory[i].node if i >= 0 and address <= memory[i].end else self.node_ids()[0]
        return node

    def memory_nodes(self) -> list[int]:
        """Nodes with memory, ascending."""
        return self.memblock.nodes()

    def node_ids(self) -> list[int]:
        """Nodes with memory or CPUs, ascending."""
        return sorted({*self.memblock.nodes(), *self.cpus.boot_nodes, 0})

    def node_block_ids(self, node: int) -> Iterator[int]:
        """The memory blocks with RAM on a node, ascending."""
        size = self.memory.block_size
        last = -1
        for region in self.memblock.node_regions(node):
            for n in range(max(last + 1, region.start // size), region.end // size + 1):
                if self.memory.code(n):
                    yield n
                last = n

    def node_memory(self, node: int) -> tuple[int, int]:
        """Bytes in use by the page allocator on a node, and free ones.

        Total is RAM less what boot took (kernel, reservation); nothing else is ever allocated here.
        """
        total = self.memblock.node_bytes(node)
        taken = [Range(0, self.machine.kernel_end - 1), self.kexec.crashk_res]
        total -= sum(r.size for r in taken if r and self.nodes_of(r.start, r.start) == [node])
        return max(total, 0), max(total, 0)

    def iomem_rows(self) -> Iterator[tuple[int, Range, str]]:
        """/proc/iomem: level, range, name."""
        return self.iomem.rows()

    def ram_covers(self, start: int, end: int) -> bool:
        """Whether every byte of start..end (included) is RAM."""
        return self.memblock.covers(start, end)

    def iomem_busy(self, start: int, end: int) -> bool:
        """Whether start..end (included) is taken."""
        return self.memblock.overlaps(start, end)

    def memory_added(self, start: int, end: int, node: int, name: str = SYSTEM_RAM) -> None:
        """Memory was plugged in: a resource, a memblock region, then the architecture maps it.

        A driver's memory (name has the driver in parentheses) is merged with what it added before.
        """
        driver = name != SYSTEM_RAM
        if not driver:
            self.firmware_map.add_hotplug(start, end)
        self.iomem.add_memory(start, end, name, merge=driver)
        self.memblock.add(start, end, node, DRV_MNG if driver else "")
        self.arch.memory_added(self, Range(start, end))

    def memory_removed(self, start: int, end: int) -> None:
        """Memory was taken out."""
        self.memblock.remove(start, end)
        self.iomem.remove_memory(start, end)
        self.firmware_map.remove(start, end)

    def crash_memory_released(self, before: Range, left: Range | None) -> None:
        """Shrinking cut the reservation `before` down to `left`: the rest is a System RAM row of its own."""
        row = self.iomem.find(before.start, before.end, CRASH_KERNEL)
        if row is not None and left is None:
            self.iomem.release(row)
        elif row is not None and left is not None:
            row.end = left.end
        released = Range(left.end + 1 if left else before.start, before.end)
        self.iomem.insert(Resource(released.start, released.end, SYSTEM_RAM))

    def unmovable(self, start: int, end: int) -> str | None:
        """What keeps start..end (included) from going offline, or None."""
        kexec = self.kexec
        named = [
            ("the running kernel", self.arch.kernel_image(self)),
            ("vmcoreinfo", Range.sized(*self.vmcoreinfo)),
            ("the crash kernel", kexec.crashk_res),
            ("the crash kernel", kexec.crashk_low_res),
            *((f"pinned {p.name}".strip(), p.range) for p in self.pinned),
        ]
        for name, r in named:
            if r is not None and r.overlaps(start, end):
                return name
        cpu = self.arch.crash_note_cpu(self, start, end)
        if cpu is not None:
            return f"the crash note of CPU {cpu}"
        return self.arch.unmovable(self, start, end)

    # what a hypervisor does

    def plug_memory(self, start: int, size: int, node: int = 0, how: str = "dimm") -> None:
        """Memory is plugged in at start, size bytes, and added as the platform does it. KernelError."""
        self.arch.plug_memory(self, start, size, node, how)

    def next_free_memory(self, size: int) -> int:
        """Where a hypervisor would put `size` bytes more: the first free blocks, above everything at boot."""
        block = self.memory.block_size
        start = align_up(self.arch.hotplug_base(self), block)
        while taken := next(self.memblock.overlapping(start, start + size - 1), None):
            start = align_up(taken.end + 1, block)
        return start

    def unplug_memory(
        self, start: int, size: int, how: str = "dimm", order: Iterable[int] = ()
    ) -> None:
        """The memory at start is asked back; KernelError if the kernel does not give it.

        order: the blocks in the sequence that a virtio-mem driver chose; else from the top.
        """
        self.arch.unplug_memory(self, start, size, how, order)

    def plug_cpu(self, slot: int, node: int = 0) -> list[int]:
        """A CPU (ppc64: a core) is plugged into a slot; the numbers of the CPUs that came. KernelError."""
        return self.arch.plug_cpu(self, slot, node)

    def unplug_cpu(self, cpu: int) -> None:
        """CPU number `cpu` (ppc64: its whole core) is asked back. KernelError."""
        self.arch.unplug_cpu(self, cpu)

    def probe_driver(self, bus: str, device: str) -> None:
        """drivers_probe of a bus: KernelError(ENODEV) if it has no such device, else nothing happens."""
        name = device.removesuffix("\n")
        digits = name.removeprefix(bus)
        n = int(digits) if name.startswith(bus) and digits.isdecimal() else -1
        known = {
            "memory": self.memory.block(n) is not None,
            "cpu": self.cpus.device(n) is not None,
            "node": n in self.node_ids(),
        }
        if not known[bus]:
            raise KernelError(errno.ENODEV, f"no device {name!r} on bus {bus}")

    # system calls

    def kexec_load(self, entry: int, segments: list[Segment], flags: int) -> None:
        """kexec_load(2), see Kexec.load()."""
        self.kexec.load(entry, segments, flags)

    def kexec_file_load(
        self,
        kernel_file: FileArg | None,
        initrd: FileArg | None,
        cmdline: bytes,
        flags: int,
    ) -> None:
        """kexec_file_load(2), see Kexec.file_load()."""
        self.kexec.file_load(kernel_file, initrd, cmdline, flags)

    def crash_elfcorehdr(self) -> bytes | None:
        """The loaded crash image's ELF core header as a capture kernel would read it; None without one.

        Trimmed to its last program header.
        """
        image = self.kexec.crash_image
        segment = image.elfcorehdr() if image else None
        if segment is None:
            return None
        phoff = int.from_bytes(segment.content[32:40], "little")
        phnum = int.from_bytes(segment.content[56:58], "little")
        return bytes(segment.content[: phoff + phnum * 56])

    def reboot(self, cmd: str) -> None:
        """reboot(2): recorded in the log, never done."""
        self.log.emit(0, f"reboot: {cmd}")

    def sysrq(self, key: str) -> None:
        """A key written to /proc/sysrq-trigger; `c` is a crash."""
        if key == "c":
            self.log.info("sysrq: Trigger a crash")
            self.panic("sysrq triggered crash")
        else:
            self.log.info(f"sysrq: {key}")

    def panic(self, why: str) -> None:
        """The machine stops: with a crash image the capture kernel would start now."""
        self.panicked = why
        self.log.emit(0, f"Kernel panic - not syncing: {why}")
