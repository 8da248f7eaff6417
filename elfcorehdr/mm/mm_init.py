"""The memory of a kernel, built from its state: what a dump of it, or its /proc/kcore, reads. mm/mm_init.c.

A snapshot: it asks the kernel while it is made and never again, so it outlives it. Imports all of mm,
kernel.vmcoreinfo.text and kernel.printk_ringbuffer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

from elfcorehdr.kernel.ksysfs import build_id
from elfcorehdr.kernel.vmcore_info import vmcoreinfo_note
from elfcorehdr.kernel.vmcoreinfo.printk_ringbuffer import ring, ringbuffer
from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo, release_of, vmcoreinfo_of
from elfcorehdr.lib.ranges import Range
from elfcorehdr.mm.boot_alloc import BootAlloc
from elfcorehdr.mm.layout import Ground, Layout
from elfcorehdr.mm.memblock import NOMAP
from elfcorehdr.mm.page_use import ISOLATED, KERNEL, PageUse, Use
from elfcorehdr.mm.physmem import PhysMem
from elfcorehdr.mm.sparse import Sections, mem_section, populate
from elfcorehdr.mm.struct_page import StructPage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.mm.image import Image

LayoutOf = Callable[["Kernel", VmcoreInfo], Layout]
NEW_UTS_LEN = 65
NOTE_CORE, NOTE_VMCOREINFO = b"CORE\0\0\0\0", b"VMCOREINFO\0\0"


class MemoryImage:
    """Physical memory as it is now. layout_of: the architecture's, see ArchDump; edits: to VMCOREINFO, by a tester."""

    def __init__(self, kernel: Kernel, layout_of: LayoutOf, edits: Iterable[str] = ()) -> None:
        self._kernel = kernel
        self.page_size = kernel.page_size
        self.info = vmcoreinfo_of(kernel.arch.name, kernel.page_size, kernel.release)
        self.info.lines["BUILD-ID"] = build_id(kernel)
        vmlinux = kernel.vmlinux
        if vmlinux is None:
            failure = kernel.config("MEMORY_FAILURE")
            self.info.memory_failure(kernel.arch.name, release_of(kernel.release), on=failure)
        else:
            from elfcorehdr.kernel.vmlinux.describe import describe

            describe(self.info, vmlinux)
        self.layout = layout_of(kernel, self.info)
        info, layout = self.info, self.layout
        regions = [(r.start, r.end + 1) for r in kernel.memblock if r.flags != NOMAP]
        boot = [
            (r.start, min(r.end + 1, kernel.memory.boot_end))
            for r in kernel.memblock
            if not r.flags and r.start < kernel.memory.boot_end
        ]
        self.use = PageUse(regions, self.page_size, (info.length("zone.free_area") or 11) - 1)
        self.mem = PhysMem(self.use)
        self.mem.read_file = kernel.read_file
        taken = list(self._taken(kernel))
        declared = [(u.start, u.start + u.size) for u in kernel.machine.use]
        self._alloc = BootAlloc(boot, [*taken, *declared, (0, layout.low_memory)])
        for start, end in regions:
            if start < layout.low_memory:
                self.use.put(start, min(end, layout.low_memory), KERNEL)
        for u in kernel.machine.use:
            # memory_failure() and __SetPageOffline() are about a page, whatever it was a part of.
            order = 0 if u.kind in ("hwpoison", "offline") else u.order
            if u.kind == "free":  # larger ones the buddy allocator has none
                order = min(order, self.use.max_order)
            self.use.put(u.start, u.start + u.size, Use(u.kind, order, u.content))
        for start, end in taken:
            self.use.put(start, end, KERNEL)
        offline = list(_offline(kernel))
        for start, end in offline:
            self.use.put(start, end, ISOLATED)
        self._place_symbols(kernel)
        for key, value in layout.lines(kernel, info).items():
            if key in info.lines:
                info.put(key, value)
        self.image: Image | None = None
        """The real image, if there is one."""
        if vmlinux is not None:
            from elfcorehdr.mm.image import Image

            self.image = Image(kernel, vmlinux, layout, self.mem)
        self._structures(kernel, regions, offline)
        if self.image is not None:
            self.image.objects(self._alloc.alloc, info.symbol("mem_section") or 0)
        self._edits = tuple(edits)
        for start, end in self._alloc.given:
            self.use.put(start, end, KERNEL)
        if self.image is not None:
            self.image.vmstat(counts(self, regions))
        del self._kernel

    # where things are

    def va(self, phys: int) -> int:
        """__va()"""
        return self.layout.va(phys)

    def phys(self, name: str) -> int | None:
        """The physical address of a symbol of the image; None if the kernel tells no such symbol."""
        address = self.info.symbol(name)
        if address is None:
            return None
        return address - self.layout.text.vaddr + self.layout.text.paddr

    def _taken(self, kernel: Kernel) -> Iterator[tuple[int, int]]:
        """What boot has taken or left alone: image, notes, reservations, firmware."""
        machine, page = kernel.machine, self.page_size
        image = kernel.arch.kernel_image(kernel)
        yield image.start, -(-(image.end + 1) // page) * page
        for r in (kernel.kexec.crashk_res, kernel.kexec.crashk_low_res):
            if r is not None:
                yield r.start, r.end + 1
        if kernel.platform.fadump is not None and kernel.platform.fadump.area is not None:
            yield kernel.platform.fadump.area.start, kernel.platform.fadump.area.end + 1
        start, size = vmcoreinfo_note(kernel)
        yield start, start + size
        for region in (machine.rtas, machine.opal):
            if region is not None:
                yield region.start, region.range.end + 1
        for region in kernel.page_isolation.pinned:
            yield region.start, region.range.end + 1
        for region in machine.resources:
            if region.name.lower() == "reserved":
                yield region.start, region.range.end + 1
        yield from kernel.arch.crash_note_areas(kernel)

    def _place_symbols(self, kernel: Kernel) -> None:
        """Move the captured addresses to where this machine's image is; into its end, if it is smaller."""
        info, text, link = self.info, self.layout.text, self.layout.link
        sizes = {
            "init_uts_ns": 512,
            "node_online_map": max(info.size("nodemask_t"), 8),
            "prb": 8,
            "printk_rb_static": info.size("printk_ringbuffer"),
            "clear_seq": 24,
            "node_data": 8 * max(info.length("node_data"), 1),
            "vmap_area_list": 16,
            **dict(self.layout.symbols),
        }
        own = {n: s for n, s in sizes.items() if info.symbol(n) is not None}
        root = self.layout.root_bytes
        fits = all((info.symbol(n) or 0) - link + s <= text.size for n, s in own.items())
        fits = fits and (info.symbol("swapper_pg_dir") or 0) - link + root <= text.size
        at = (text.size - sum(-(-s // 64) * 64 for s in own.values()) - root) // root * root
        packed = {"swapper_pg_dir": at, "init_top_pgt": at}
        at += root
        for name, size in own.items():
            packed[name] = at
            at += -(-size // 64) * 64

        def moved(name: str, address: int) -> int:
            if name in ("vmemmap", "mem_section"):
                return address
            if (
                name == "vmap_area_list" and address == link
            ):  # of a kernel that was not captured: its place is not known
                return text.vaddr + text.size - 64
            offset = packed.get(name, (address - link) % text.size) if not fits else address - link
            return text.vaddr + offset

        info.replace_symbols(moved)

    # what is there

    def _structures(
        self, kernel: Kernel, regions: list[tuple[int, int]], offline: list[tuple[int, int]]
    ) -> None:
        info, layout, mem, alloc = self.info, self.layout, self.mem, self._alloc.alloc
        sections = Sections(
            regions,
            info.number("SECTION_SIZE_BITS") or 27,
            boot_end=kernel.memory.boot_end,
            offline=offline,
        )
        roots = info.length("mem_section")
        if roots:  # NR_SECTION_ROOTS follows from what memory can be
            bits = (info.number("MAX_PHYSMEM_BITS") or 46) - sections.bits
            per_root = self.page_size // info.size("mem_section")
            info.put("LENGTH(mem_section)", str(-(-(1 << bits) // per_root)))
        pages = StructPage(
            info,
            lambda pfn: layout.vmemmap + pfn * info.size("page"),
            layout.va(regions[0][0] + (16 << 20)),
            masks=layout.hvo,
        )
        self.pages = pages
        self._chunks = chunks = populate(
            mem, sections, pages, layout.vmemmap, layout.granule, alloc
        )
        where = mem_section(mem, sections, info, layout.vmemmap, layout.va, alloc)
        info.put("SYMBOL(mem_section)", f"{layout.va(where):x}")
        ground = Ground(mem, alloc, self.phys("swapper_pg_dir") or 0, chunks, regions)
        layout.tables(ground)
        layout.image(self._put_symbol, ground)
        self._put_symbol("init_uts_ns", self._utsname(kernel))
        self._vmap_areas(kernel)
        self._nodes(kernel)
        self._log(kernel)

    def _vmap_areas(self, kernel: Kernel) -> None:
        """vmap_area_list with one area, which begins where vmalloc space does: how tools found that before 6.9."""
        info, head = self.info, self.info.symbol("vmap_area_list")
        told = self.layout.lines(kernel, info).get("NUMBER(VMALLOC_START)")
        start = int(told, 0) if told else info.number("VMALLOC_START")
        link, first = info.offset("vmap_area.list"), info.offset("vmap_area.va_start")
        if head is None or link is None or first is None or not start:
            return
        area = bytearray(max(link + 16, first + 16, 64))
        at = self._alloc.alloc(len(area), 64)
        struct.pack_into("<2Q", area, first, start, start + self.page_size)
        struct.pack_into("<2Q", area, link, head, head)
        self.mem.put(at, len(area), bytes(area))
        entry = self.va(at) + link
        self._put_symbol("vmap_area_list", struct.pack("<2Q", entry, entry))

    def vmemmap_bytes(self, vaddr: int, size: int) -> bytes:
        """Struct pages by their virtual address; zeros where none is."""
        parts: list[bytes] = []
        end = vaddr + size
        for chunk in self._chunks:
            if chunk.end <= vaddr or chunk.start >= end:
                continue
            if chunk.start > vaddr:
                parts.append(bytes(chunk.start - vaddr))
                vaddr = chunk.start
            stop = min(end, chunk.end)
            parts.append(self.mem.read(chunk.phys + vaddr - chunk.start, stop - vaddr))
            vaddr = stop
        return b"".join([*parts, bytes(end - vaddr)])

    def _put_symbol(self, name: str, content: bytes) -> None:
        at = self.phys(name)
        if at is not None:
            self.mem.put(at, len(content), content)

    def _utsname(self, kernel: Kernel) -> bytes:
        fields = (
            "Linux",
            "(none)",
            kernel.release,
            kernel.uts_version,
            kernel.arch.uts_machine,
            "(none)",
        )
        packed = b"".join(f.encode()[: NEW_UTS_LEN - 1].ljust(NEW_UTS_LEN, b"\0") for f in fields)
        return bytes(self.info.offset("uts_namespace.name") or 0) + packed

    def _nodes(self, kernel: Kernel) -> None:
        """node_online_map, node_data and each node's pglist_data with one zone whose free lists are empty."""
        info = self.info
        nodes = sorted({*kernel.memblock.nodes(), *kernel.cpus.boot_nodes, 0})
        mask = sum(1 << n for n in nodes)
        self._put_symbol(
            "node_online_map", mask.to_bytes(max(info.size("nodemask_t"), 8), "little")
        )
        pointers = bytearray(8 * max(info.length("node_data"), 1))
        size = info.size("pglist_data")
        for node in nodes:
            at = self._alloc.alloc(-(-size // 64) * 64, 64)
            if 8 * node < len(pointers):
                struct.pack_into("<Q", pointers, 8 * node, self.va(at))
            span = kernel.memblock.node_span(node) or Range(0, -1)
            self.mem.put(at, size, self._pglist_data(at, node, span))
        self._put_symbol("node_data", bytes(pointers))

    def _pglist_data(self, at: int, node: int, span: Range) -> bytes:
        info, page = self.info, self.page_size
        made = bytearray(info.size("pglist_data"))

        def put(form: str, member: str, value: int, base: int = 0) -> None:
            where = info.offset(member)
            if where is not None:
                struct.pack_into(form, made, base + where, value)

        first, behind = span.start // page, (span.end + 1) // page
        put("<I", "pglist_data.nr_zones", 1)
        put("<Q", "pglist_data.node_start_pfn", first)
        put("<Q", "pglist_data.node_spanned_pages", behind - first)
        put("<I", "pglist_data.node_id", node)
        zone = info.offset("pglist_data.node_zones") or 0
        put("<Q", "zone.spanned_pages", behind - first, zone)
        lists, area = info.offset("zone.free_area") or 0, info.size("free_area")
        for order in range(info.length("zone.free_area")):
            for kind in range(info.length("free_area.free_list")):
                head = zone + lists + order * area + 16 * kind
                struct.pack_into("<QQ", made, head, self.va(at + head), self.va(at + head))
        return bytes(made)

    def _log(self, kernel: Kernel) -> None:
        """prb: the ring in memory of its own, as setup_log_buf() makes one."""
        info, alloc = self.info, self._alloc.alloc
        made = ring(kernel.log, info)
        places = []
        for content in (made.descs, made.infos, made.text):
            at = alloc(len(content), 64)
            self.mem.put(at, len(content), content)
            places.append(self.va(at))
        static = self.phys("printk_rb_static")
        if static is None:
            static = alloc(info.size("printk_ringbuffer"), 64)
        content = ringbuffer(made, info, *places)
        self.mem.put(static, len(content), content)
        address = info.symbol("printk_rb_static") or self.va(static)
        self._put_symbol("prb", struct.pack("<Q", address))

    # notes

    def save_vmcoreinfo(self, where: tuple[int, int], crash_time: int | None) -> bytes:
        """update_vmcoreinfo_note(): the note, also put into memory; CRASHTIME is its last line."""
        if crash_time is not None:
            self.info.put("CRASHTIME", str(crash_time))
        told = VmcoreInfo(self.info.lines)  # memory stays what it is, whatever a tester has it say
        told.edit(self._edits)
        text = told.text().encode()[: where[1] - 36]
        note = struct.pack("<3I", 11, len(text), 0) + NOTE_VMCOREINFO + text
        note = note.ljust(-(-len(note) // 4) * 4, b"\0") + bytes(12)
        self.mem.put(where[0], where[1], note[: where[1]].ljust(where[1], b"\0"))
        return note


def core_note(desc: bytes) -> bytes:
    """append_elf_note() of an NT_PRSTATUS, and the empty note that ends a CPU's."""
    return struct.pack("<3I", 5, len(desc), 1) + NOTE_CORE + desc + bytes(12)


def _offline(kernel: Kernel) -> Iterator[tuple[int, int]]:
    """The memory of offline blocks: start, end."""
    size = kernel.memory.block_size
    for n in kernel.memory.offline_ids():
        yield n * size, (n + 1) * size


def counts(image: MemoryImage, loads: Iterable[tuple[int, int]]) -> Mapping[str, int]:
    """How many pages of the loads (start, end) are what, by kind; a page that is RAM in part counts."""
    page, made = image.page_size, dict[str, int]()
    for start, end in loads:
        for run in image.use.runs(start, end):
            pages = (
                -(-run.end // page) - -(-run.start // page)
                if run.start % page
                else -(-(run.end - run.start) // page)
            )
            made[run.use.kind] = made.get(run.use.kind, 0) + pages
    return made


def folios(image: MemoryImage, loads: Iterable[tuple[int, int]]) -> Mapping[str, int]:
    """How many compound pages of each kind the loads hold, of two pages and more."""
    made = dict[str, int]()
    for start, end in loads:
        for run in image.use.runs(start, end):
            if run.use.order and run.use.kind != "free":
                count = sum(n for _, order, n in image.use.blocks(run) if order)
                made[run.use.kind] = made.get(run.use.kind, 0) + count
    return made


__all__ = ["MemoryImage", "VmcoreInfo", "core_note", "counts", "folios"]
