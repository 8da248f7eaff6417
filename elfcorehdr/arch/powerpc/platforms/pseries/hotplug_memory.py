"""DLPAR of memory: arch/powerpc/platforms/pseries/hotplug-memory.c (v7.1)."""

from __future__ import annotations

import errno
from collections.abc import Callable

from elfcorehdr.arch.powerpc.mm.drmem import Lmb, LmbTable
from elfcorehdr.arch.powerpc.platforms.pseries.firmware import Firmware
from elfcorehdr.drivers.base.memory import MemoryBlock, OnlineType
from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

MEM = "pseries-hotplug-mem: "


class HotplugMemory:
    """Adding and removing LMBs. Every request takes a count and a DRC index, and ignores the one it has no use for."""

    def __init__(self, kernel: Kernel, lmbs: LmbTable, firmware: Firmware) -> None:
        self._kernel = kernel
        self.lmbs = lmbs
        self._firmware = firmware
        self._lmb_size = kernel.machine.memory_block_size

    def _block(self, lmb: Lmb) -> MemoryBlock | None:
        return self._kernel.memory.block(lmb.base // self._lmb_size)

    def _acquire(self, lmb: Lmb) -> None:
        """dlpar_acquire_drc()"""
        if self._firmware.refuses:
            raise KernelError(errno.EINVAL, f"the hypervisor refuses drc index {lmb.drc:x}")

    def _add(self, lmb: Lmb) -> None:
        """dlpar_add_lmb(): EINVAL if assigned; add the memory, bring it online whatever the policy."""
        if self.lmbs.assigned(lmb.row):
            raise KernelError(errno.EINVAL, "already assigned")
        hotplug = self._kernel.memory_hotplug
        hotplug.add(lmb.base, self._lmb_size, self._kernel.nodes.for_new(lmb.base))
        block = self._block(lmb)
        assert block is not None
        hotplug.online(block, OnlineType.ONLINE)
        self.lmbs.assign(lmb.row, assigned=True)

    def _acquire_and_add(self, lmb: Lmb) -> None:
        self._acquire(lmb)
        self._add(lmb)

    def _remove(self, lmb: Lmb) -> None:
        """dlpar_remove_lmb(): EINVAL if not removable, else what taking it offline fails with."""
        block = self._block(lmb)
        if not self._removable(lmb) or block is None:
            raise KernelError(errno.EINVAL, "not removable")
        self._kernel.memory_hotplug.offline(block)
        self._kernel.memory_hotplug.remove(lmb.base, self._lmb_size)
        self.lmbs.assign(lmb.row, assigned=False)

    def _removable(self, lmb: Lmb) -> bool:
        """lmb_is_removable(): assigned, not reserved, and not fadump's."""
        fadump = self._kernel.platform.fadump
        kept = fadump is not None and fadump.keeps(lmb.base, self._lmb_size)
        return not kept and self.lmbs.removable(lmb.row)

    def _range(self, count: int, drc: int) -> list[Lmb]:
        """get_lmb_range(): count LMBs in a row from an index; EINVAL past the end, or if one is reserved."""
        first = self.lmbs.by_drc(drc)
        if first is None or first.row + count > len(self.lmbs):
            raise KernelError(errno.EINVAL, "no such run of LMBs")
        return [self.lmbs.lmb(first.row + k) for k in range(count)]

    def _undo(self, done: list[Lmb], *, added: bool) -> None:
        """Take back what a request that failed half-way did."""
        verb = "remove LMB" if added else "add LMB back"
        for lmb in done:
            try:
                (self._remove if added else self._add)(lmb)
            except KernelError:
                self._kernel.log.err(f"{MEM}Failed to {verb}, drc index {lmb.drc:x}")

    def _first(self, count: int, flags: int, act: Callable[[Lmb], None]) -> list[Lmb]:
        """Act on LMBs with these flags in table order, passing over those that refuse, until count are done."""
        done: list[Lmb] = []
        for row in self.lmbs.rows(flags):
            lmb = self.lmbs.lmb(row)
            try:
                act(lmb)
            except KernelError:
                continue
            done.append(lmb)
            if len(done) == count:
                break
        return done

    def add_by_count(self, count: int, drc: int) -> None:
        """The first free LMBs in table order, all or none."""
        log = self._kernel.log
        log.info(f"{MEM}Attempting to hot-add {count} LMB(s)")
        if not count or self.lmbs.count(0) < count:
            raise KernelError(errno.EINVAL, "not enough free LMBs")
        done = self._first(count, 0, self._acquire_and_add)
        if len(done) != count:
            log.err(f"{MEM}Memory hot-add failed, removing any added LMBs")
            self._undo(done, added=True)
            raise KernelError(errno.EINVAL, "not all could be added")
        for lmb in done:
            self._kernel.log.debug(
                "hotplug-memory",
                f"{MEM}Memory at {lmb.base:x} (drc index {lmb.drc:x}) was hot-added",
            )

    def add_by_index(self, count: int, drc: int) -> None:
        """One LMB; the errno of whatever refused it."""
        log = self._kernel.log
        log.info(f"{MEM}Attempting to hot-add LMB, drc index {drc:x}")
        lmb = self.lmbs.by_drc(drc)
        try:
            if lmb is None:
                raise KernelError(errno.EINVAL, "no such LMB")
            self._acquire_and_add(lmb)
        except KernelError:
            log.info(f"{MEM}Failed to hot-add memory, drc index {drc:x}")
            raise
        log.info(f"{MEM}Memory at {lmb.base:x} (drc index {drc:x}) was hot-added")

    def add_by_ic(self, count: int, drc: int) -> None:
        """A run of LMBs, all or none; those assigned already are passed over."""
        log = self._kernel.log
        log.info(f"{MEM}Attempting to hot-add {count} LMB(s) at index {drc:x}")
        if not count:
            raise KernelError(errno.EINVAL, "count 0")
        run = self._range(count, drc)
        if any(self.lmbs.reserved(lmb.row) for lmb in run):
            raise KernelError(errno.EINVAL, "a reserved LMB")
        done: list[Lmb] = []
        for lmb in run:
            if self.lmbs.assigned(lmb.row):
                continue
            try:
                self._acquire_and_add(lmb)
            except KernelError:
                log.err(f"{MEM}Memory indexed-count-add failed, removing any added LMBs")
                self._undo(done, added=True)
                raise KernelError(errno.EINVAL, "not all could be added") from None
            done.append(lmb)
        for lmb in done:
            log.info(f"{MEM}Memory at {lmb.base:x} (drc index {lmb.drc:x}) was hot-added")

    def remove_by_count(self, count: int, drc: int) -> None:
        """The first LMBs in table order that go offline, all or none."""
        log = self._kernel.log
        log.info(f"{MEM}Attempting to hot-remove {count} LMB(s)")
        if not count:
            raise KernelError(errno.EINVAL, "count 0")
        available = min(self._count_removable(), count)
        if available < count:
            log.info(f"{MEM}Not enough LMBs available ({available} of {count}) to satisfy request")
            raise KernelError(errno.EINVAL, "not enough removable LMBs")
        done = self._first(count, LmbTable.ASSIGNED, self._remove)
        if len(done) != count:
            log.err(f"{MEM}Memory hot-remove failed, adding LMB's back")
            self._undo(done, added=False)
            raise KernelError(errno.EINVAL, "not all could be removed")
        for lmb in done:
            log.info(f"{MEM}Memory at {lmb.base:x} was hot-removed")

    def _count_removable(self) -> int:
        """How many LMBs could go."""
        fadump = self._kernel.platform.fadump
        if fadump is None or not fadump.registered:
            return self.lmbs.count(LmbTable.ASSIGNED)
        return sum(self._removable(self.lmbs.lmb(row)) for row in self.lmbs.rows(LmbTable.ASSIGNED))

    def remove_by_index(self, count: int, drc: int) -> None:
        """One LMB; its lines are at debug level."""

        def debug(text: str) -> None:
            self._kernel.log.debug("hotplug-memory", MEM + text)

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

    def remove_by_ic(self, count: int, drc: int) -> None:
        """A run of LMBs, all or none; those not assigned are passed over."""
        log = self._kernel.log
        log.info(f"{MEM}Attempting to hot-remove {count} LMB(s) at {drc:x}")
        if not count:
            raise KernelError(errno.EINVAL, "count 0")
        run = self._range(count, drc)
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
                self._undo(done, added=False)
                raise KernelError(errno.EINVAL, "not all could be removed") from None
            done.append(lmb)
        for lmb in done:
            log.info(f"{MEM}Memory at {lmb.base:x} (drc index {lmb.drc:x}) was hot-removed")
