"""CPUs: which are possible, present and online, and how they come and go. drivers/base/cpu.c, kernel/cpu.c (v7.1)."""

from __future__ import annotations

import errno
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, MutableSet, Sequence

from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class Cpu:
    """One possible CPU, by its logical number."""

    __slots__ = ("id", "kernel")

    def __init__(self, kernel: Kernel, id: int) -> None:
        self.kernel = kernel
        self.id = id

    @property
    def present(self) -> bool:
        """Whether the hardware is there."""
        return self.id in self.kernel.cpus.present

    @property
    def online(self) -> bool:
        """Whether it runs."""
        return self.id in self.kernel.cpus.online

    @property
    def core(self) -> int:
        """Hardware number of the core it is a thread of (logical number / threads until replugged)."""
        return self.kernel.cpus.core_of(self.id)

    @property
    def hard_id(self) -> int:
        """Hardware number of the thread: of an x86_64 its APIC id."""
        return self.kernel.platform.hard_id(self)

    @property
    def node(self) -> int:
        """Its NUMA node."""
        return self.kernel.cpus.node_of(self.id)

    @property
    def package(self) -> int:
        """topology/physical_package_id: by the number of cores in one, else one package a node."""
        return self.kernel.cpus.package_of(self.id)

    def uevent_env(self) -> tuple[tuple[str, str], ...]:
        """Its uevent variables, in order."""
        return self.kernel.arch.cpu_uevent(self.kernel, self)

    @property
    def devpath(self) -> str:
        """The device's path below /sys."""
        return f"/devices/system/cpu/cpu{self.id}"


class CpuMask(MutableSet[int]):
    """struct cpumask: some of the possible CPUs, ascending. It keeps those it has not: all of them take no room."""

    __slots__ = ("_ascending", "_possible", "missing")

    def __init__(self, possible: Sequence[int], members: Iterable[int] | None = None) -> None:
        self._ascending = possible
        self._possible = possible if isinstance(possible, range) else frozenset(possible)
        self.missing = set() if members is None else {*possible}.difference(members)
        """The possible CPUs that are not in it."""

    def __contains__(self, n: object) -> bool:
        return n not in self.missing and n in self._possible

    def __iter__(self) -> Iterator[int]:
        if not self.missing:
            return iter(self._ascending)
        return (n for n in self._ascending if n not in self.missing)

    def __len__(self) -> int:
        return len(self._possible) - len(self.missing)

    def add(self, n: int) -> None:
        """Put in a CPU, which must be possible."""
        self.missing.discard(n)

    def discard(self, n: int) -> None:
        """Take out a CPU, if it is in."""
        if n in self._possible:
            self.missing.add(n)

    def among(self, ids: set[int]) -> list[int]:
        """Those of some possible CPUs that are in it, ascending."""
        return sorted(ids - self.missing)


class Cpus:
    """The masks, and the transitions between them. crash hotplug listens through `on_online`, `on_offline`."""

    def __init__(self, kernel: Kernel) -> None:
        machine = kernel.machine
        self._kernel = kernel
        self.possible = machine.possible_cpus
        """Numbers of the possible CPUs, ascending."""
        self._possible = CpuMask(self.possible)
        self.modalias = machine.cpus.modalias or kernel.arch.modalias(kernel)
        """What cpu/modalias reads."""
        self.nr_cpus = machine.nr_cpus or kernel.arch.nr_cpus
        """CONFIG_NR_CPUS"""
        self.boot_nodes = frozenset(machine.cpus.node.values())
        """Nodes that the machine names for its CPUs."""
        said = machine.cpus
        present = machine.present_cpus if said.present else None
        self.present_at_boot = CpuMask(self.possible, present)
        self.present = CpuMask(self.possible, present)
        """Numbers of the CPUs that are plugged in, a set, ascending."""
        self._free = bytearray(self.nr_cpu_ids)
        """A byte for each number: 1 where a CPU is possible but not present."""
        for n in self.present.missing:
            self._free[n] = 1
        self.online = CpuMask(self.possible, machine.online_cpus if said.online else present)
        """Numbers of the CPUs that run, a set, ascending."""
        if kernel.smt.limits_boot:
            self.online -= {n for n in self.online if not kernel.smt.allowed_at_boot(n)}
        self.refuses = {n: getattr(errno, word) for n, word in said.refuse.items()}
        """What stopping a CPU fails with, by its number."""
        self._cores: dict[int, int] = {}
        self._moved: dict[int, set[int]] = {}
        """The same the other way round: the CPUs that a core was given when it was plugged in."""
        self._nodes = dict(machine.cpus.node)
        self._packages: dict[int, int] | None = None
        """A mask of the running CPUs of each package, from the first time somebody asks."""
        self._of_node: dict[int, set[int]] | None = None
        """The possible CPUs of each node, likewise."""
        self._stopped_below: set[int] = set()
        """CPUs that hotplug/target stopped: their devices still say online."""
        self.plugged: set[int] = set()
        """CPUs whose devices came after boot."""
        self.unplugged: set[int] = set()
        """CPUs that were present and no longer are: their hardware number is -1."""
        self.node_dropped: set[int] = set()
        """CPUs that let go of their device-tree node, as each does when it stops (ppc64)."""
        self.node_regained: set[int] = set()
        """CPUs that found their node again when they started: then it is their core's own."""
        self.on_online: list[Callable[[int], None]] = [self._regain_node]
        self.on_offline: list[Callable[[int], None]] = [self._drop_node]

    def cpu(self, n: int) -> Cpu | None:
        """CPU n if it is possible, else None."""
        return Cpu(self._kernel, n) if n in self._possible else None

    def device(self, n: int) -> Cpu | None:
        """CPU n if it has a device (a cpuN directory), else None."""
        return Cpu(self._kernel, n) if n in self._with_device() else None

    def with_device(self) -> Iterator[int]:
        """The CPUs that have a device, ascending."""
        if self._kernel.arch.cpu_dirs_for_possible:
            return iter(self.possible)
        return iter(self.present)

    def _with_device(self) -> CpuMask:
        return self._possible if self._kernel.arch.cpu_dirs_for_possible else self.present

    def device_count(self) -> int:
        """How many CPUs have a device."""
        return len(self._with_device())

    def index(self, n: int) -> int:
        """Which of the possible CPUs n is, from 0."""
        return bisect_left(self.possible, n)

    @property
    def nr_cpu_ids(self) -> int:
        """One more than the highest possible number."""
        return self.possible[-1] + 1

    def node_of(self, n: int) -> int:
        """CPU n's NUMA node."""
        return self._nodes.get(n, 0)

    def of_node(self, node: int) -> list[int]:
        """The CPUs of a node that have a device, ascending."""
        if self._of_node is None:
            self._of_node = {}
            for n in self.possible:
                self._of_node.setdefault(self.node_of(n), set()).add(n)
        return self._with_device().among(self._of_node.get(node, set()))

    def package_of(self, n: int) -> int:
        """The package of CPU n; a CPU that runs keeps its own."""
        cores = self._kernel.machine.cpus.cores_per_package
        return self.core_of(n) // cores if cores else self.node_of(n)

    def online_threads(self, cpu: Cpu) -> list[int]:
        """The running CPUs of cpu's core, ascending."""
        return self.online.among({*self.threads_of_core(cpu.core)})

    def core_mask(self, cpu: Cpu) -> int:
        """The running CPUs of cpu's core: bit n is CPU n."""
        return sum(1 << n for n in self.online_threads(cpu))

    def package_mask(self, cpu: Cpu) -> int:
        """The running CPUs of cpu's package: bit n is CPU n."""
        if self._packages is None:
            self._packages = {}
            for n in self.online:
                self._flip(n)
        return self._packages.get(cpu.package, 0)

    def _flip(self, n: int) -> None:
        """CPU n of a package begins to run, or stops."""
        if self._packages is not None:
            package = self.package_of(n)
            self._packages[package] = self._packages.get(package, 0) ^ 1 << n

    def _regain_node(self, n: int) -> None:
        """register_cpu_online(), arch/powerpc/kernel/sysfs.c: of_get_cpu_node() where there is none."""
        if n in self.node_dropped:
            self.node_dropped.discard(n)
            self.node_regained.add(n)

    def _drop_node(self, n: int) -> None:
        """unregister_cpu_online(), arch/powerpc/kernel/sysfs.c."""
        self.node_dropped.add(n)
        self.node_regained.discard(n)

    def smt_active(self) -> bool:
        """cpu_smt_active(): whether a core runs more than one thread."""
        if self._kernel.machine.cpus.threads == 1:
            return False
        cores = [self.core_of(n) for n in self.online]
        return len(set(cores)) < len(cores)

    def core_of(self, n: int) -> int:
        """Hardware number of CPU n's core."""
        return self._cores.get(n, n // self._kernel.machine.cpus.threads)

    def threads_of_core(self, core: int) -> list[int]:
        """The present CPUs of a core, ascending; none if no such core is present."""
        threads = self._kernel.machine.cpus.threads
        usual = range(core * threads, core * threads + threads)
        moved = self._moved.get(core, ())
        return sorted(
            {n for n in (*usual, *moved) if n in self.present and self.core_of(n) == core}
        )

    def up(self, n: int) -> bool:
        """cpu_device_up(): start a CPU; False if it runs already. KernelError(EINVAL) if it is not there, or as Smt."""
        self._kernel.cond_resched()
        if n in self.online or n in self._stopped_below:
            return False
        if n not in self._possible:
            self._kernel.log.err(
                f"can't online cpu {n} because it is not configured as may-hotadd at boot time"
            )
            raise KernelError(errno.EINVAL, "not possible")
        if n not in self.present:
            raise KernelError(errno.EINVAL, "not present")
        self._kernel.smt.may_start(n)
        self._start(n)
        self._changed(n, "online")
        return True

    def _start(self, n: int) -> None:
        if n not in self.online:
            self._flip(n)
        self.online.add(n)
        for callback in self.on_online:
            callback(n)
        self._kernel.arch.cpu_started(self._kernel, n)

    def down(self, n: int) -> bool:
        """cpu_device_down(): stop a CPU; False if it is stopped. KernelError(EBUSY) for the last one, or as declared."""
        self._kernel.cond_resched()
        if n not in self.online and n not in self._stopped_below:
            return False
        self._stop(n)
        self._changed(n, "offline")
        return True

    def _stop(self, n: int) -> None:
        """_cpu_down(): KernelError(EBUSY) if one CPU is left, whichever that is."""
        if len(self.online) == 1:
            raise KernelError(errno.EBUSY, "the last online CPU")
        if n in self.refuses:
            raise KernelError(self.refuses[n], "the machine says so")
        if n in self.online:
            self._kernel.arch.cpu_stopped(self._kernel, n)
            for callback in self.on_offline:
                callback(n)
            self.online.discard(n)
            self._flip(n)
        self._stopped_below.discard(n)

    def device_online(self, n: int) -> bool:
        """What cpuN/online says: a CPU stopped through hotplug/target still counts."""
        return n in self.online or n in self._stopped_below

    def set_target(self, n: int, *, online: bool) -> None:
        """target_store(), kernel/cpu.c: start or stop a CPU behind its device's back, without a uevent.

        KernelError: as up() and down().
        """
        if online and n not in self.online:
            self._kernel.smt.may_start(n)
            self._start(n)
            self._stopped_below.discard(n)
        elif not online and n in self.online:
            self._stop(n)
            self._stopped_below.add(n)
        self._kernel.names_changed()

    def add(self, n: int, node: int) -> None:
        """A possible CPU becomes present, not online, on a node."""
        if self._of_node is not None:
            self._of_node[self.node_of(n)].discard(n)
            self._of_node.setdefault(node, set()).add(n)
        self.present.add(n)
        self._free[n] = 0
        self.plugged.add(n)
        self._nodes[n] = node
        self._kernel.names_changed()

    def remove(self, n: int) -> None:
        """A CPU that is not online stops being present."""
        self.present.discard(n)
        self._free[n] = 1
        self._stopped_below.discard(n)
        self._kernel.names_changed()

    def plug(self, core: int, threads: int) -> list[int]:
        """pseries_add_processor(): make a core's threads present under the lowest free numbers, in a row.

        The CPUs' numbers. KernelError(ENOSPC) if there is no room among the possible ones.
        """
        first = self._lowest_free(threads)
        if first < 0:
            raise KernelError(errno.ENOSPC, "no possible CPU number is free")
        ids = list(range(first, first + threads))
        self._moved[core] = set(ids)
        for n in ids:
            self._cores[n] = core
            self.present.add(n)
            self._free[n] = 0
            self.unplugged.discard(n)
        self._kernel.names_changed()
        return ids

    def _lowest_free(self, count: int) -> int:
        """The first of so many possible CPUs in a row of which none is present; -1 if there are none."""
        return self._free.find(bytes([1]) * count)

    def unplug(self, ids: list[int]) -> None:
        """pseries_remove_processor(): stopped CPUs stop being present."""
        for n in ids:
            self.present.discard(n)
            self._free[n] = 1
            self._moved.pop(self._cores.pop(n, -1), None)
            self.unplugged.add(n)
        self._kernel.names_changed()

    def _changed(self, n: int, action: str) -> None:
        cpu = Cpu(self._kernel, n)
        self._kernel.names_changed()  # topology/, cache/ come and go with it
        self._kernel.uevents.send(action, cpu.devpath, "cpu", cpu.uevent_env())
