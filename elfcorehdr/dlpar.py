"""Dynamic LPAR: /sys/kernel/dlpar and what the hypervisor asks. arch/powerpc/platforms/pseries/{dlpar,hotplug-memory,hotplug-cpu}.c (v7.1).

Imports .errors, .machine, .memory.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from .errors import KernelError
from .machine import Lmbs
from .memory import MemoryBlock, OnlineType

if TYPE_CHECKING:
    from .kernel import Kernel

DRC_LMB, DRC_CPU = 0x80000000, 0x10000000
"""First DRC index of memory and of CPU cores, as QEMU and PowerVM number them."""

MEM, CPU = "pseries-hotplug-mem: ", "pseries-hotplug-cpu: "


class Resource(Enum):
    """What a request is about."""

    MEMORY = "memory"
    CPU = "cpu"
    DT = "dt"


class Action(Enum):
    """What is to be done with it."""

    ADD = "add"
    REMOVE = "remove"


class IdType(Enum):
    """How the parts are named."""

    INDEXED_COUNT = "indexed-count"
    INDEX = "index"
    COUNT = "count"


class Request(NamedTuple):
    """struct pseries_hp_errorlog, as far as it is used: number (a count) and drc_index where the id type has them."""

    resource: Resource
    action: Action
    id_type: IdType
    number: int = 0
    drc_index: int = 0


class Lmb(NamedTuple):
    """One logical memory block: its row in the table, base address, DRC index."""

    row: int
    base: int
    drc: int


class LmbTable:
    """drmem_info: the LMBs in table order; one byte each says whether it is assigned or reserved."""

    ASSIGNED, RESERVED = 1, 2

    def __init__(self, runs: tuple[Lmbs, ...], lmb_size: int) -> None:
        self._size = lmb_size
        self._runs: list[tuple[int, Lmbs]] = []
        self._flags = bytearray()
        for run in runs:
            self._runs.append((len(self._flags), run))
            flag = self.RESERVED if run.flags & Lmbs.RESERVED else 0
            self._flags += bytes([flag]) * run.count

    def __len__(self) -> int:
        return len(self._flags)

    def lmb(self, row: int) -> Lmb:
        """The LMB in that row."""
        for first, run in reversed(self._runs):
            if row >= first:
                k = row - first
                drc = run.drc + k if run.drc else 0
                return Lmb(row, run.start + k * self._size, drc)
        raise IndexError(row)

    def by_drc(self, drc: int) -> Lmb | None:
        """The LMB with that DRC index, if there is one."""
        for first, run in self._runs:
            if run.drc and run.drc <= drc < run.drc + run.count:
                return self.lmb(first + drc - run.drc)
        return None

    def by_base(self, base: int) -> Lmb | None:
        """The LMB that begins at a physical address, if there is one."""
        for first, run in self._runs:
            k, rest = divmod(base - run.start, self._size)
            if not rest and 0 <= k < run.count:
                return self.lmb(first + k)
        return None

    def assign(self, row: int, *, assigned: bool) -> None:
        """Set or clear DRCONF_MEM_ASSIGNED."""
        if assigned:
            self._flags[row] |= self.ASSIGNED
        else:
            self._flags[row] &= ~self.ASSIGNED

    def assign_present(self, present: Callable[[int, int], bytes]) -> None:
        """At boot: an LMB that is not reserved is assigned if its memory is there.

        present(base, count) says so for count LMBs from an address on: a byte each, 0 or ASSIGNED.
        """
        for first, run in self._runs:
            if not run.flags & Lmbs.RESERVED:
                self._flags[first : first + run.count] = present(run.start, run.count)

    def assigned(self, row: int) -> bool:
        """DRCONF_MEM_ASSIGNED"""
        return bool(self._flags[row] & self.ASSIGNED)

    def reserved(self, row: int) -> bool:
        """DRCONF_MEM_RESERVED"""
        return bool(self._flags[row] & self.RESERVED)

    def removable(self, row: int) -> bool:
        """lmb_is_removable(): assigned and not reserved."""
        return self._flags[row] == self.ASSIGNED

    def free(self, row: int) -> bool:
        """Neither assigned nor reserved."""
        return not self._flags[row]

    def rows(self, flags: int) -> Iterator[int]:
        """The rows whose flags are exactly these, ascending, as they are when reached."""
        row = self._flags.find(flags)
        while row >= 0:
            yield row
            row = self._flags.find(flags, row + 1)

    def count(self, flags: int) -> int:
        """How many rows have exactly these flags."""
        return self._flags.count(flags)

    def dynamic_memory_v2(self) -> bytes:
        """ibm,dynamic-memory-v2: a count, then sequential LMBs, base, DRC index, associativity, flags a run."""
        sets: list[tuple[int, Lmb, int]] = []
        for first, run in self._runs:
            row = first
            while row < first + run.count:
                flag, end = self._flags[row], row
                while end < first + run.count and self._flags[end] == flag:
                    end += 1
                bits = Lmbs.ASSIGNED if flag & self.ASSIGNED else run.flags & ~Lmbs.ASSIGNED
                sets.append((end - row, self.lmb(row), bits))
                row = end
        rows = b"".join(
            struct.pack(">IQIII", count, lmb.base, lmb.drc, NO_ASSOCIATIVITY, bits)
            for count, lmb, bits in sets
        )
        return struct.pack(">I", len(sets)) + rows


NO_ASSOCIATIVITY = 0xFFFFFFFF


class Dlpar:
    """Requests, from the file or from the hypervisor, and what they do."""

    def __init__(self, kernel: Kernel) -> None:
        machine = kernel.machine
        self._kernel = kernel
        self._lmb_size = machine.memory_block_size
        runs = machine.lmbs or tuple(
            Lmbs(m.size // self._lmb_size, m.start, DRC_LMB + m.start // self._lmb_size)
            for m in machine.memory
        )
        self.lmbs = LmbTable(runs, self._lmb_size)
        self.lmbs.assign_present(
            lambda base, count: kernel.memory.present(base // self._lmb_size, count)
        )
        self.firmware_refuses = False
        """Whether the hypervisor hands out no more: what dlpar_acquire_drc() meets on a real one."""

    def dynamic_memory_v2(self) -> bytes:
        """The table as the device tree has it."""
        return self.lmbs.dynamic_memory_v2()

    def show(self) -> str:
        """dlpar_show()"""
        return "memory,cpu,dt\n"

    def store(self, buf: str) -> None:
        """dlpar_store(): parse and do one request; any KernelError is followed by a line in the log."""
        try:
            self.handle(self.parse(buf))
        except KernelError:
            self._kernel.log.err(f'dlpar: Could not handle DLPAR request "{buf}"')
            raise

    # the grammar, dlpar.c

    def parse(self, buf: str) -> Request:
        """`<memory|cpu|dt> <add|remove> <index N|count N|indexed-count COUNT N>`, single blanks.

        KernelError(EINVAL), with a log line of its own where a word is wrong or a number missing;
        a missing word has none. What follows the last number is ignored.
        """
        from .parse import kstrtou32, sysfs_streq

        words = buf.split(" ")

        def invalid(what: str) -> KernelError:
            self._kernel.log.err(f"dlpar: {what} specified.")
            return KernelError(errno.EINVAL, what)

        def word(enum: type[Enum], what: str) -> Enum:
            if not words:
                raise KernelError(errno.EINVAL, f"no {what}")
            text = words.pop(0)
            for member in enum:
                if sysfs_streq(text, member.value):
                    return member
            raise invalid(f"Invalid {what}")

        def number(what: str) -> int:
            if not words:
                raise invalid(f"No {what}")
            try:
                return kstrtou32(words.pop(0))
            except KernelError:
                raise invalid(f"Invalid {what}") from None

        resource, action = word(Resource, "resource"), word(Action, "action")
        id_type = word(IdType, "id_type")
        assert isinstance(resource, Resource)
        assert isinstance(action, Action)
        match id_type:
            case IdType.INDEX:
                return Request(resource, action, id_type, drc_index=number("DRC Index"))
            case IdType.COUNT:
                return Request(resource, action, id_type, number=number("DRC count"))
            case _:
                count = number("DRC count")
                return Request(resource, action, IdType.INDEXED_COUNT, count, number("DRC Index"))

    def handle(self, request: Request) -> None:
        """handle_dlpar_errorlog(): do a request that is well formed."""
        match request.resource:
            case Resource.MEMORY:
                _MEMORY[request.action, request.id_type](self, request)
            case Resource.CPU:
                if request.id_type is not IdType.INDEX:
                    raise KernelError(errno.EINVAL, "CPUs are named by index only")
                (self.cpu_add if request.action is Action.ADD else self.cpu_remove)(
                    request.drc_index
                )
            case Resource.DT:
                # Golden ppc64/A: adding an unknown connector is EIO, removing one succeeds.
                if request.action is Action.ADD:
                    raise KernelError(errno.EIO, "no such connector")

    # memory, hotplug-memory.c

    def _block(self, lmb: Lmb) -> MemoryBlock | None:
        return self._kernel.memory.block(lmb.base // self._lmb_size)

    def _acquire(self, lmb: Lmb) -> None:
        """dlpar_acquire_drc()"""
        if self.firmware_refuses:
            raise KernelError(errno.EINVAL, f"the hypervisor refuses drc index {lmb.drc:x}")

    def _add(self, lmb: Lmb) -> None:
        """dlpar_add_lmb(): EINVAL if assigned; add the memory, bring it online whatever the policy."""
        if self.lmbs.assigned(lmb.row):
            raise KernelError(errno.EINVAL, "already assigned")
        memory = self._kernel.memory
        memory.add(lmb.base, self._lmb_size, self._kernel.node_for_new(lmb.base))
        block = self._block(lmb)
        assert block is not None
        memory.online(block, OnlineType.ONLINE)
        self.lmbs.assign(lmb.row, assigned=True)

    def _remove(self, lmb: Lmb) -> None:
        """dlpar_remove_lmb(): EINVAL if not removable, else what taking it offline fails with."""
        block = self._block(lmb)
        if not self.lmbs.removable(lmb.row) or block is None:
            raise KernelError(errno.EINVAL, "not removable")
        self._kernel.memory.offline(block)
        self._kernel.memory.remove(lmb.base, self._lmb_size)
        self.lmbs.assign(lmb.row, assigned=False)

    def _range(self, request: Request) -> list[Lmb]:
        """get_lmb_range(): count LMBs in a row from an index; EINVAL past the end, or if one is reserved."""
        first = self.lmbs.by_drc(request.drc_index)
        if first is None or first.row + request.number > len(self.lmbs):
            raise KernelError(errno.EINVAL, "no such run of LMBs")
        return [self.lmbs.lmb(first.row + k) for k in range(request.number)]

    def _undo(self, done: list[Lmb], action: Action) -> None:
        """Take back what a request that failed half-way did."""
        verb = "add LMB back" if action is Action.REMOVE else "remove LMB"
        for lmb in done:
            try:
                (self._add if action is Action.REMOVE else self._remove)(lmb)
            except KernelError:
                self._kernel.log.err(f"{MEM}Failed to {verb}, drc index {lmb.drc:x}")

    def memory_add_by_count(self, request: Request) -> None:
        """The first free LMBs in table order, all or none."""
        log = self._kernel.log
        log.info(f"{MEM}Attempting to hot-add {request.number} LMB(s)")
        if not request.number or self.lmbs.count(0) < request.number:
            raise KernelError(errno.EINVAL, "not enough free LMBs")
        done: list[Lmb] = []
        for row in self.lmbs.rows(0):
            lmb = self.lmbs.lmb(row)
            try:
                self._acquire(lmb)
                self._add(lmb)
            except KernelError:
                continue
            done.append(lmb)
            if len(done) == request.number:
                break
        if len(done) != request.number:
            log.err(f"{MEM}Memory hot-add failed, removing any added LMBs")
            self._undo(done, Action.ADD)
            raise KernelError(errno.EINVAL, "not all could be added")
        for lmb in done:
            self._kernel.debug(
                "hotplug-memory",
                f"{MEM}Memory at {lmb.base:x} (drc index {lmb.drc:x}) was hot-added",
            )

    def memory_add_by_index(self, request: Request) -> None:
        """One LMB; the errno of whatever refused it."""
        log, drc = self._kernel.log, request.drc_index
        log.info(f"{MEM}Attempting to hot-add LMB, drc index {drc:x}")
        lmb = self.lmbs.by_drc(drc)
        try:
            if lmb is None:
                raise KernelError(errno.EINVAL, "no such LMB")
            self._acquire(lmb)
            self._add(lmb)
        except KernelError:
            log.info(f"{MEM}Failed to hot-add memory, drc index {drc:x}")
            raise
        log.info(f"{MEM}Memory at {lmb.base:x} (drc index {drc:x}) was hot-added")

    def memory_add_by_ic(self, request: Request) -> None:
        """A run of LMBs, all or none; those assigned already are passed over."""
        log = self._kernel.log
        log.info(
            f"{MEM}Attempting to hot-add {request.number} LMB(s) at index {request.drc_index:x}"
        )
        if not request.number:
            raise KernelError(errno.EINVAL, "count 0")
        run = self._range(request)
        if any(self.lmbs.reserved(lmb.row) for lmb in run):
            raise KernelError(errno.EINVAL, "a reserved LMB")
        done: list[Lmb] = []
        for lmb in run:
            if self.lmbs.assigned(lmb.row):
                continue
            try:
                self._acquire(lmb)
                self._add(lmb)
            except KernelError:
                log.err(f"{MEM}Memory indexed-count-add failed, removing any added LMBs")
                self._undo(done, Action.ADD)
                raise KernelError(errno.EINVAL, "not all could be added") from None
            done.append(lmb)
        for lmb in done:
            log.info(f"{MEM}Memory at {lmb.base:x} (drc index {lmb.drc:x}) was hot-added")

    def memory_remove_by_count(self, request: Request) -> None:
        """The first LMBs in table order that go offline, all or none."""
        log, count = self._kernel.log, request.number
        log.info(f"{MEM}Attempting to hot-remove {count} LMB(s)")
        if not count:
            raise KernelError(errno.EINVAL, "count 0")
        available = min(self.lmbs.count(LmbTable.ASSIGNED), count)
        if available < count:
            log.info(f"{MEM}Not enough LMBs available ({available} of {count}) to satisfy request")
            raise KernelError(errno.EINVAL, "not enough removable LMBs")
        done: list[Lmb] = []
        for row in self.lmbs.rows(LmbTable.ASSIGNED):
            lmb = self.lmbs.lmb(row)
            try:
                self._remove(lmb)
            except KernelError:
                continue
            done.append(lmb)
            if len(done) == count:
                break
        if len(done) != count:
            log.err(f"{MEM}Memory hot-remove failed, adding LMB's back")
            self._undo(done, Action.REMOVE)
            raise KernelError(errno.EINVAL, "not all could be removed")
        for lmb in done:
            log.info(f"{MEM}Memory at {lmb.base:x} was hot-removed")

    def memory_remove_by_index(self, request: Request) -> None:
        """One LMB; its lines are at debug level."""
        drc = request.drc_index

        def debug(text: str) -> None:
            self._kernel.debug("hotplug-memory", MEM + text)

        debug(f"Attempting to hot-remove LMB, drc index {drc:x}")
        lmb = self.lmbs.by_drc(drc)
        if lmb is None:
            debug(f"Failed to look up LMB for drc index {drc:x}")
            raise KernelError(errno.EINVAL, "no such LMB")
        try:
            self._remove(lmb)
        except KernelError:
            debug(f"Failed to hot-remove memory at {lmb.base:x}")
            raise
        debug(f"Memory at {lmb.base:x} was hot-removed")

    def memory_remove_by_ic(self, request: Request) -> None:
        """A run of LMBs, all or none; those not assigned are passed over."""
        log = self._kernel.log
        log.info(f"{MEM}Attempting to hot-remove {request.number} LMB(s) at {request.drc_index:x}")
        if not request.number:
            raise KernelError(errno.EINVAL, "count 0")
        run = self._range(request)
        for lmb in run:
            if self.lmbs.reserved(lmb.row):
                log.err(f"{MEM}Memory at {lmb.base:x} (drc index {lmb.drc:x}) is reserved")
                raise KernelError(errno.EINVAL, "a reserved LMB")
        done: list[Lmb] = []
        for lmb in run:
            if not self.lmbs.assigned(lmb.row):
                continue
            try:
                self._remove(lmb)
            except KernelError:
                log.err(f"{MEM}Memory indexed-count-remove failed, adding any removed LMBs")
                self._undo(done, Action.REMOVE)
                raise KernelError(errno.EINVAL, "not all could be removed") from None
            done.append(lmb)
        for lmb in done:
            log.info(f"{MEM}Memory at {lmb.base:x} (drc index {lmb.drc:x}) was hot-removed")

    # CPUs, hotplug-cpu.c

    def _core_of_drc(self, drc: int) -> int | None:
        """The core of a DRC index that this machine can have, or None."""
        core = drc - DRC_CPU
        threads = self._kernel.machine.cpus.threads
        return core if 0 <= core < len(self._kernel.cpus.possible) // threads else None

    def cpu_add(self, drc: int) -> list[int]:
        """dlpar_cpu_add(): one core with all its threads, online at once; their numbers. EINVAL."""
        kernel = self._kernel
        kernel.debug("hotplug-cpu", f"{CPU}Attempting to add CPU, drc index: {drc:x}")
        core = self._core_of_drc(drc)
        if core is not None and kernel.cpus.threads_of_core(core):
            kernel.log.warning(f"{CPU}CPU with drc index {drc:x} already exists")
            raise KernelError(errno.EINVAL, "there already")
        if core is None:
            kernel.log.warning(f"{CPU}Cannot find CPU (drc index {drc:x}) to add.")
            raise KernelError(errno.EINVAL, "no such core")
        if self.firmware_refuses:
            raise KernelError(errno.EINVAL, "the hypervisor refuses")
        ids = kernel.cpus.plug(core, kernel.machine.cpus.threads)
        for n in ids:
            kernel.cpus.up(n)
        name = kernel.machine.cpus.type
        kernel.debug("hotplug-cpu", f"{CPU}Successfully added CPU {name}, drc index: {drc:x}")
        return ids

    def cpu_release(self, path: str) -> None:
        """dlpar_cpu_release(): remove the core with this device-tree path. EINVAL if there is none."""
        unit = path.rpartition("@")[2]
        try:
            thread = int(unit, 16)
        except ValueError:
            thread = -1
        threads = self._kernel.machine.cpus.threads
        core = thread // threads
        known = path == f"/cpus/{self._kernel.machine.cpus.type}@{thread:x}"
        if not known or thread % threads or not self._kernel.cpus.threads_of_core(core):
            raise KernelError(errno.EINVAL, "no such node")
        self.cpu_remove(DRC_CPU + core)

    def cpu_remove(self, drc: int) -> None:
        """dlpar_cpu_remove_by_index(): ENODEV if there is no such core, EINVAL if it does not stop."""
        kernel, name = self._kernel, self._kernel.machine.cpus.type
        core = self._core_of_drc(drc)
        ids = kernel.cpus.threads_of_core(core) if core is not None else []
        if not ids:
            kernel.log.warning(f"{CPU}Cannot find CPU (drc index {drc:x}) to remove")
            raise KernelError(errno.ENODEV, "no such core")
        kernel.debug("hotplug-cpu", f"{CPU}Attempting to remove CPU {name}, drc index: {drc:x}")
        try:
            for n in ids:
                kernel.cpus.down(n)
        except KernelError as error:
            kernel.log.warning(f"{CPU}Failed to offline CPU {name}, rc: {-error.errno}")
            raise KernelError(errno.EINVAL, "a thread does not stop") from None
        kernel.cpus.unplug(ids)
        kernel.debug("hotplug-cpu", f"{CPU}Successfully removed CPU, drc index: {drc:x}")


_MEMORY: dict[tuple[Action, IdType], Callable[[Dlpar, Request], None]] = {
    (Action.ADD, IdType.COUNT): Dlpar.memory_add_by_count,
    (Action.ADD, IdType.INDEX): Dlpar.memory_add_by_index,
    (Action.ADD, IdType.INDEXED_COUNT): Dlpar.memory_add_by_ic,
    (Action.REMOVE, IdType.COUNT): Dlpar.memory_remove_by_count,
    (Action.REMOVE, IdType.INDEX): Dlpar.memory_remove_by_index,
    (Action.REMOVE, IdType.INDEXED_COUNT): Dlpar.memory_remove_by_ic,
}
