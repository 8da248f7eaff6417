"""Dynamic LPAR, the requests: /sys/kernel/dlpar and what the hypervisor asks. arch/powerpc/platforms/pseries/dlpar.c (v7.1)."""

from __future__ import annotations

import errno
from enum import Enum

from elfcorehdr.arch.powerpc.mm.drmem import LmbTable
from elfcorehdr.arch.powerpc.platforms.pseries.firmware import Firmware
from elfcorehdr.arch.powerpc.platforms.pseries.hotplug_cpu import HotplugCpu
from elfcorehdr.arch.powerpc.platforms.pseries.hotplug_memory import HotplugMemory
from elfcorehdr.errors import KernelError
from elfcorehdr.lib.kstrtox import kstrtou32, sysfs_streq
from elfcorehdr.lib.record import NamedTuple
from elfcorehdr.machine import Lmbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

DRC_LMB = 0x80000000
"""DRC index of the first LMB, as QEMU and PowerVM number them."""


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


class Dlpar:
    """Requests, from the file or from the hypervisor, and what they do."""

    def __init__(self, kernel: Kernel) -> None:
        machine = kernel.machine
        self._kernel = kernel
        lmb_size = machine.memory_block_size
        runs = machine.lmbs or tuple(
            Lmbs(m.size // lmb_size, m.start, DRC_LMB + m.start // lmb_size) for m in machine.memory
        )
        self.lmbs = LmbTable(runs, lmb_size)
        self.lmbs.assign_present(lambda base, n: kernel.memory.present(base // lmb_size, n))
        self.firmware = Firmware()
        self.memory = HotplugMemory(kernel, self.lmbs, self.firmware)
        self.cpu = HotplugCpu(kernel, self.firmware)

    def dynamic_memory_v2(self, rma_size: int = 0) -> bytes:
        """The table as the device tree has it."""
        return self.lmbs.dynamic_memory_v2(rma_size)

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
                self._memory(request)
            case Resource.CPU:
                if request.id_type is not IdType.INDEX:
                    raise KernelError(errno.EINVAL, "CPUs are named by index only")
                (self.cpu.add if request.action is Action.ADD else self.cpu.remove)(
                    request.drc_index
                )
            case Resource.DT:
                # Golden ppc64/A: adding an unknown connector is EIO, removing one succeeds.
                if request.action is Action.ADD:
                    raise KernelError(errno.EIO, "no such connector")

    def _memory(self, request: Request) -> None:
        """dlpar_memory(): which function does it."""
        memory = self.memory
        {
            (Action.ADD, IdType.COUNT): memory.add_by_count,
            (Action.ADD, IdType.INDEX): memory.add_by_index,
            (Action.ADD, IdType.INDEXED_COUNT): memory.add_by_ic,
            (Action.REMOVE, IdType.COUNT): memory.remove_by_count,
            (Action.REMOVE, IdType.INDEX): memory.remove_by_index,
            (Action.REMOVE, IdType.INDEXED_COUNT): memory.remove_by_ic,
        }[request.action, request.id_type](request.number, request.drc_index)
