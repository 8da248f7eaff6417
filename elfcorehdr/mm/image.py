"""A real kernel's image in memory, and what a running kernel has made of it: per-CPU areas, tasks, masks; mm/percpu.c (v7.2).

Imports kernel.vmlinux; only a machine with a vmlinux imports this.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Mapping

from elfcorehdr.kernel.vmlinux.fork import Tasks, make_tasks
from elfcorehdr.kernel.vmlinux.image import Vmlinux
from elfcorehdr.kernel.vmlinux.objects import Obj, Objects
from elfcorehdr.mm.layout import Layout
from elfcorehdr.mm.physmem import PhysMem, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

Alloc = Callable[[int, int], int]
CACHES = {
    "kmem_cache": "kmem_cache",
    "task_struct_cachep": "task_struct",
    "vm_area_cachep": "vm_area_struct",
    "mm_cachep": "mm_struct",
}
"""Pointers to slab caches, and what is in those, whose name they have (kernel/fork.c): who reads a cache's objects asks it how large they are."""

COUNTERS = {
    ("vm_zone_stat", "NR_FREE_PAGES"): ("free",),
    ("vm_node_stat", "NR_FILE_PAGES"): ("cache", "private-cache"),
    ("vm_node_stat", "NR_ANON_MAPPED"): ("anon",),
    ("vm_node_stat", "NR_SLAB_UNRECLAIMABLE_B"): ("slab",),
}
"""Arrays of counters, their items, and the kinds of pages that are counted there."""


class Image:
    """The image of a machine's kernel. alloc(size, align) gives memory."""

    def __init__(self, kernel: Kernel, vmlinux: Vmlinux, layout: Layout, mem: PhysMem) -> None:
        self._kernel, self._vmlinux, self._layout, self._mem = kernel, vmlinux, layout, mem
        self._text = layout.text
        mem.put(self._text.paddr, vmlinux.size, self._reader())
        self.tasks: Tasks | None = None
        """Who runs, once objects() was called."""

    def _reader(self) -> Reader:
        vmlinux, slide = self._vmlinux, self._text.vaddr - self._vmlinux.link
        return lambda offset, size: vmlinux.moved(vmlinux.link + offset, size, slide)

    def pc(self, *, crashed: bool) -> int:
        """Where a CPU was: in the function that saved its registers, or idle; 0 where the image has no such function."""
        names = ("__crash_kexec", "crash_kexec") if crashed else ("default_idle", "cpu_do_idle", "arch_cpu_idle", "do_idle")  # fmt: skip
        slide = self._text.vaddr - self._vmlinux.link
        found = [self._vmlinux.symbols[n] for n in names if n in self._vmlinux.symbols]
        return found[0] + slide + 0x10 if found else 0

    def objects(self, alloc: Alloc, mem_section: int) -> None:
        """All that a kernel sets up which runs: tasks, per-CPU areas, masks, where its maps are. mem_section: its value."""
        kernel, vmlinux, layout = self._kernel, self._vmlinux, self._layout
        objects = Objects(vmlinux, alloc, layout.va, self._text.vaddr - vmlinux.link)
        crash = kernel.panic.crash
        online = sorted(kernel.cpus.online)
        crashed = (crash.cpu, crash.pid, crash.comm) if crash is not None else (-1, 0, "")
        self.tasks = tasks = make_tasks(objects, online, crashed)
        self._percpu(objects, tasks, alloc)
        self._variables(objects, mem_section)
        self._flush(objects)

    def _flush(self, objects: Objects) -> None:
        for phys, made in objects.made:
            at = phys if phys is not None else self.phys(made.va)
            self._mem.put(at, len(made.bytes), bytes(made.bytes))
        for va, content in objects.words:
            self._mem.put(self.phys(va), len(content), content)

    def phys(self, va: int) -> int:
        """__pa() of an address in the image or in the direct map."""
        text = self._text
        if text.vaddr <= va < text.vaddr + self._vmlinux.size:
            return va - text.vaddr + text.paddr
        return va - self._layout.va(0)

    def _percpu(self, objects: Objects, tasks: Tasks, alloc: Alloc) -> None:
        """setup_per_cpu_areas(): a copy of the image's section a CPU."""
        kernel, vmlinux = self._kernel, self._vmlinux
        start, end = vmlinux.symbols["__per_cpu_start"], vmlinux.symbols["__per_cpu_end"]
        in_image = vmlinux.link <= start < vmlinux.link + vmlinux.size
        first = start + (objects.slide if in_image else 0)
        size = -(-(end - start) // 4096) * 4096
        content = vmlinux.moved(start, end - start, objects.slide)
        offsets = bytearray()
        for cpu in range(kernel.cpus.nr_cpu_ids):
            if cpu not in kernel.cpus.possible:
                offsets += bytes(8)
                continue
            phys = alloc(size, 4096)
            offset = (self._layout.va(phys) - first) % (1 << 64)
            offsets += struct.pack("<Q", offset)
            area = bytearray(content)
            self._per_cpu(area, start, cpu, (self._layout.va(phys), offset), tasks)
            self._lists(area, start, self._layout.va(phys))
            self._mem.put(phys, len(area), bytes(area))
        at = objects.address("__per_cpu_offset")
        if at is not None:
            objects.words.append((at, bytes(offsets)))

    def _per_cpu(
        self, area: bytearray, start: int, cpu: int, at: tuple[int, int], tasks: Tasks
    ) -> None:
        """The variables of one CPU, whose area is at the first of `at`; the other is its __per_cpu_offset."""
        where, offset = at
        symbols, btf = self._vmlinux.symbols, self._vmlinux.btf
        current, idle = tasks.current.get(cpu), tasks.idle.get(cpu)
        task = current.va if current is not None else 0
        stack = tasks.stacks.get(cpu, 0)
        top = stack + tasks.thread_size if stack else 0
        swapper = idle.va if idle is not None else 0
        backing = symbols.get("irq_stack_backing_store")
        irq_stack = where + backing - start + tasks.thread_size - 8 if backing else 0
        values = (
            ("cpu_number", "", 4, cpu),
            ("this_cpu_off", "", 8, offset),
            ("current_task", "", 8, task),
            ("cpu_current_top_of_stack", "", 8, top),
            ("pcpu_hot", "pcpu_hot.current_task", 8, task),
            ("pcpu_hot", "pcpu_hot.cpu_number", 4, cpu),
            ("pcpu_hot", "pcpu_hot.top_of_stack", 8, top),
            ("hardirq_stack_ptr", "", 8, irq_stack),
            ("pcpu_hot", "pcpu_hot.hardirq_stack_ptr", 8, irq_stack),
            ("runqueues", "rq.cpu", 4, cpu),
            ("runqueues", "rq.curr", 8, task),
            ("runqueues", "rq.idle", 8, swapper),
            ("runqueues", "rq.nr_running", 4, int(current is not idle)),
            ("numa_node", "", 4, self._kernel.cpus.node_of(cpu)),
        )
        for symbol, member, size, value in values:
            var = symbols.get(symbol)
            inside = btf.offset(member) if member else 0
            if var is None or inside is None or not start <= var < start + len(area):
                continue
            area[var - start + inside : var - start + inside + size] = value.to_bytes(
                size, "little"
            )

    def _lists(self, area: bytearray, start: int, where: int) -> None:
        """The heads of empty lists: the queues of real-time tasks."""
        at, inside = self._vmlinux.symbols.get("runqueues"), self._vmlinux.btf.offset("rq.rt.active.queue")  # fmt: skip
        if at is None or inside is None:
            return
        for n in range(self._vmlinux.btf.length("rt_prio_array.queue")):
            head = at + inside + 16 * n
            va = where + head - start
            area[head - start : head - start + 16] = struct.pack("<2Q", va, va)

    def _variables(self, objects: Objects, mem_section: int) -> None:
        """Masks of CPUs and nodes, where maps are, the clock, who crashed."""
        kernel, layout, btf = self._kernel, self._layout, self._vmlinux.btf
        cpus, mask = kernel.cpus, max(btf.size("cpumask"), 8)

        def put(symbol: str, content: bytes) -> None:
            at = objects.address(symbol)
            if at is not None:
                objects.words.append((at, content))

        def number(symbol: str, value: int, size: int = 4) -> None:
            put(symbol, (value % (1 << 8 * size)).to_bytes(size, "little"))

        present, online = [*cpus.present], [*cpus.online]
        for name, members in (("possible", [*cpus.possible]), ("present", present), ("online", online), ("active", online), ("dying", [])):  # fmt: skip
            bits = sum(1 << n for n in members)
            put(f"__cpu_{name}_mask", bits.to_bytes(mask, "little"))
        number("__num_online_cpus", len(online))
        number("nr_cpu_ids", cpus.nr_cpu_ids)
        nodes = sorted({*kernel.memblock.nodes(), *cpus.boot_nodes, 0})
        number("arch_task_struct_size", btf.size("task_struct"))
        for symbol, cache in self._caches(objects, nodes).items():
            number(symbol, cache.va, 8)
        if btf.size("super_block"):  # of block devices, of which there are none
            devices = objects.new("super_block")
            objects.ring([(devices, "s_inodes")])
            number("blockdev_superblock", devices.va, 8)
        states, width = objects.address("node_states"), btf.size("nodemask_t")
        if states is not None:
            map_ = sum(1 << n for n in nodes).to_bytes(width, "little")
            for state in range(btf.enumerator("NR_NODE_STATES") or 2):
                objects.words.append((states + state * width, map_))
        number("nr_node_ids", nodes[-1] + 1)
        number("nr_online_nodes", len(nodes))
        crash = kernel.panic.crash
        number("panic_cpu", crash.cpu if crash is not None else -1)
        number("crashing_cpu", crash.cpu if crash is not None else -1)
        page = kernel.page_size
        number("mem_section", mem_section, 8)
        number("max_pfn", kernel.memblock.end_of_dram() // page, 8)
        number("max_low_pfn", kernel.memblock.end_of_dram() // page, 8)
        number("_totalram_pages", kernel.memblock.total() // page, 8)
        number("high_memory", layout.va(kernel.memblock.end_of_dram()), 8)
        for symbol in ("cpu_khz", "tsc_khz"):
            number(symbol, int(float(kernel.machine.cpuinfo.get("cpu MHz", "0")) * 1000))
        since = kernel.timekeeping.uptime_ns() // 1_000_000_000
        at = self._vmlinux.symbols.get("jiffies_64")
        if at is not None:  # it begins as -300 * HZ, of 32 bits
            first = int.from_bytes(self._vmlinux.read(at, 4), "little")
            number("jiffies_64", first + since * ((1 << 32) - first) // 300, 8)
        for symbol, value in layout.variables(kernel).items():
            number(symbol, value, 8)
        self._clock(objects, crash.time if crash is not None and crash.time else int(time.time()))

    def _caches(self, objects: Objects, nodes: Iterable[int]) -> dict[str, Obj]:
        """Slab caches without slabs in the list slab_caches, by the pointers to them: mm/slub.c."""
        btf, made = self._vmlinux.btf, dict[str, Obj]()
        size = btf.size("kmem_cache")
        for symbol, kind in CACHES.items():
            if not size or symbol not in self._vmlinux.symbols:
                continue
            made[symbol] = cache = objects.new("kmem_cache", len(kind) + 1)
            for member in ("object_size", "size", "inuse"):
                cache.set(member, btf.size(kind))
            order = max(0, ((btf.size(kind) - 1) // self._kernel.page_size).bit_length())
            cache.set("oo.x", order << 16 | (self._kernel.page_size << order) // btf.size(kind))
            cache.set("name", cache.va + size)
            cache.write(cache.va + size, kind.encode())
            for nid in nodes if cache.has("node") else ():
                node = objects.new("kmem_cache_node")
                objects.ring([(node, "partial")])
                cache.write(cache.at("node") + 8 * nid, node.va.to_bytes(8, "little"))
        if made and objects.address("slab_caches") is not None:
            head = objects.symbol("slab_caches", "list_head")
            objects.ring([(head, ""), *((cache, "list") for cache in made.values())])
        return made

    def vmstat(self, pages: Mapping[str, int]) -> None:
        """The counters of the whole system, of pages by their kind: mm/vmstat.c."""
        slide = self._text.vaddr - self._vmlinux.link
        for (symbol, word), kinds in COUNTERS.items():
            at, item = self._vmlinux.symbols.get(symbol), self._vmlinux.btf.enumerator(word)
            if at is not None and item is not None:
                count = sum(pages.get(kind, 0) for kind in kinds)
                self._mem.put(self.phys(at + slide + 8 * item), 8, count.to_bytes(8, "little"))

    def _clock(self, objects: Objects, now: int) -> None:
        """timekeeper.xtime_sec: in what begins with a seqcount (a struct tk_data since 6.13), and its shadow."""
        within = objects.btf.offset("tk_data.timekeeper")
        inside = objects.btf.offset("timekeeper.xtime_sec")
        starts = {"timekeeper_data": 8, "tk_core": 8} if within is None else {"timekeeper_data": within, "tk_core": within}  # fmt: skip
        for symbol, before in {**starts, "shadow_timekeeper": 0, "timekeeper": 0}.items():
            at = objects.address(symbol)
            if at is not None and inside is not None:
                objects.words.append((at + before + inside, struct.pack("<Q", now)))
