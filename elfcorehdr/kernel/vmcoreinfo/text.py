"""VMCOREINFO's text: what a dump tool is told of the kernel that crashed: kernel/vmcore_info.c (v7.2), kernel/crash_core.c before.

The text of a kernel is data (vmcoreinfo/ARCH-PAGESIZE-RELEASE.txt, as captured from crashed kernels); lines that
depend on the machine are computed, and a release that was not captured gets the nearest one's text with the lines
that changed in between. Imports nothing of ours but .errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.package_data import package_data
from elfcorehdr.lib.record import NamedTuple

CAPTURED = (
    *("x86_64-4k-6.1.176", "x86_64-4k-6.12.107", "x86_64-4k-6.18.15", "x86_64-4k-7.3.4"),
    *(
        "ppc64-64k-7.1.13",
        "ppc64-64k-7.2.13",
        "ppc64-4k-7.2.13",
        "arm64-4k-7.3.4",
        "riscv64-4k-7.2.13",
    ),
)
"""The texts there are; ppc64-64k-7.2.13 and riscv64's are of small configurations, the others of Debian's."""

Release = tuple[int, ...]


def release_of(text: str) -> Release:
    """The numbers that a release begins with: 7.3.4 of "7.3.4+deb13-amd64"."""
    return tuple(int(n) for n in re.findall(r"\d+", re.split(r"[-+~]", text, maxsplit=1)[0]))


class _Change(NamedTuple):
    """Lines that a release changed: key to value, None where there is no such line."""

    since: Release
    before: Mapping[str, str | None]
    now: Mapping[str, str | None]
    arch: str = ""
    """Of one architecture alone."""


_SLAB, _BUDDY = str(-(0x0B << 24)), str(-(0x10 << 24))
_HUGETLB, _OFFLINE = str(-(0x0C << 24)), str(-(0x0F << 24))


def _types(slab: int, buddy: int, hugetlb: int, offline: int) -> dict[str, str]:
    """Page types that take a bit of _mapcount away: include/linux/page-flags.h, up to 6.11."""
    kinds = {"SLAB": slab, "BUDDY": buddy, "HUGETLB": hugetlb, "OFFLINE": offline}
    return {f"NUMBER(PAGE_{kind}_MAPCOUNT_VALUE)": str(~bit) for kind, bit in kinds.items()}


_CHANGES: tuple[_Change, ...] = (
    # 6.9: vmap_area_list is gone, where vmalloc begins is a number (55c49fee57af).
    _Change(
        (6, 9),
        {
            "SYMBOL(vmap_area_list)": "",
            "OFFSET(vmap_area.va_start)": "0",
            "OFFSET(vmap_area.list)": "40",
            "NUMBER(VMALLOC_START)": None,
            "SYMBOL(vmemmap)": None,
        },
        {
            "SYMBOL(vmap_area_list)": None,
            "OFFSET(vmap_area.va_start)": None,
            "OFFSET(vmap_area.list)": None,
            "NUMBER(VMALLOC_START)": "",
            "SYMBOL(vmemmap)": "",
        },
    ),
    # 6.6: the order is in the second page's flags; 6.9: hugetlb is a page type (d99e3140a4d3).
    _Change(
        (6, 6),
        {
            "OFFSET(page.compound_dtor)": "16",
            "OFFSET(page.compound_order)": "17",
            "NUMBER(HUGETLB_PAGE_DTOR)": "2",
            "NUMBER(PG_hugetlb)": None,
            "NUMBER(PG_head_mask)": "65536",
            "NUMBER(PG_lru)": "4",
            "NUMBER(PG_private)": "13",
            "NUMBER(PG_slab)": "9",
            "NUMBER(PG_swapcache)": "10",
        },
        {
            "OFFSET(page.compound_dtor)": None,
            "OFFSET(page.compound_order)": None,
            "NUMBER(HUGETLB_PAGE_DTOR)": None,
            "NUMBER(PG_hugetlb)": "8",
            "NUMBER(PG_head_mask)": "64",
            "NUMBER(PG_lru)": "5",
            "NUMBER(PG_private)": "15",
            "NUMBER(PG_slab)": "11",
            "NUMBER(PG_swapcache)": "12",
        },
    ),
    _Change(
        (6, 9),
        {"NUMBER(PG_hugetlb)": "8", "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)": None},
        {"NUMBER(PG_hugetlb)": None, "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)": str(~0x800)},
    ),
    # 6.10: slab is a page type and PG_slab is gone (46df8e73a4a3); 6.11: types have the upper half (8db00ad56461);
    # 6.12: the top byte (4ffca5a96678), PG_error is gone (09022bc19630) and x86's PG_uncached (7a87225ae2c6).
    _Change(
        (6, 10),
        {
            "NUMBER(PG_slab)": "11",
            "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)": None,
            "NUMBER(PG_private)": "15",
            "NUMBER(PG_swapbacked)": "19",
            "NUMBER(PG_swapcache)": "12",
        },
        {
            "NUMBER(PG_slab)": None,
            "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)": str(~0x1000),
            "NUMBER(PG_private)": "14",
            "NUMBER(PG_swapbacked)": "18",
            "NUMBER(PG_swapcache)": "11",
        },
    ),
    _Change(
        (6, 11), _types(0x1000, 0x80, 0x800, 0x100), _types(2 << 24, 64 << 24, 4 << 24, 32 << 24)
    ),
    _Change(
        (6, 12),
        {
            **_types(2 << 24, 64 << 24, 4 << 24, 32 << 24),
            "NUMBER(PG_swapbacked)": "18",
            "NUMBER(PG_swapcache)": "11",
        },
        {
            "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)": _SLAB,
            "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)": _BUDDY,
            "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)": _HUGETLB,
            "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)": _OFFLINE,
            "NUMBER(PG_swapbacked)": "17",
            "NUMBER(PG_swapcache)": "10",
        },
    ),
    # 7.1: a tail page's word may be a mask; one migrate type more; kallsyms needs no base.
    _Change(
        (7, 1),
        {
            "OFFSET(page.compound_head)": "8",
            "OFFSET(page.compound_info)": None,
            "LENGTH(free_area.free_list)": "5",
            "SYMBOL(kallsyms_relative_base)": "",
        },
        {
            "OFFSET(page.compound_head)": None,
            "OFFSET(page.compound_info)": "8",
            "LENGTH(free_area.free_list)": "6",
            "SYMBOL(kallsyms_relative_base)": None,
        },
    ),
)
_CHANGES += (
    # riscv64 says nothing of its memory in 6.1 (arch_crash_save_vmcoreinfo() came with 6.2, 649d6b1019a2), and neither
    # KASLR nor satp in 6.12.
    _Change(
        (6, 2),
        {
            f"NUMBER({name})": None
            for name in [
                "phys_ram_base",
                "PAGE_OFFSET",
                "VMALLOC_START",
                "VMALLOC_END",
                "VA_BITS",
                "VMEMMAP_START",
                "VMEMMAP_END",
                "MODULES_VADDR",
                "MODULES_END",
                "KERNEL_LINK_ADDR",
                "va_kernel_pa_offset",
            ]
        },
        {},
        "riscv64",
    ),
    _Change((7, 2), {"KERNELOFFSET": None, "NUMBER(satp)": None}, {}, "riscv64"),
)
"""The kernel's history as its releases' VMCOREINFO shows it (captures of 6.1, 6.12, 6.18, 7.1, 7.2, 7.3)."""

_HWPOISON = "NUMBER(PG_hwpoison)"


def _hwpoison(arch: str, release: Release) -> int:
    """Which flag it is: the last but few, so each that came or went moved it."""
    # 6.10 has no PG_slab; 6.12 neither PG_error (09022bc19630) nor x86's PG_uncached (7a87225ae2c6), which stood before it.
    if release < (6, 12):
        return (22 if release < (6, 10) else 21) + (arch == "x86_64")
    return 20 if release < (6, 14) else 21  # PG_dropbehind (cceba6f7e46c)


_OWN_VMALLOC = ("arm64", "riscv64")
"""Architectures that told VMALLOC_START themselves before 6.9, in front of VMALLOC_END."""

_AFTER = {
    "SYMBOL(vmap_area_list)": "SYMBOL(_stext)",
    "NUMBER(VMALLOC_START)": "SYMBOL(_stext)",
    "SYMBOL(vmemmap)": "NUMBER(VMALLOC_START)",
    "OFFSET(vmap_area.va_start)": "OFFSET(list_head.prev)",
    "OFFSET(vmap_area.list)": "OFFSET(vmap_area.va_start)",
    "OFFSET(page.compound_dtor)": "OFFSET(page.private)",
    "OFFSET(page.compound_order)": "OFFSET(page.compound_dtor)",
    "OFFSET(page.compound_head)": "OFFSET(page.private)",
    "OFFSET(page.compound_info)": "OFFSET(page.private)",
    "NUMBER(PG_slab)": "NUMBER(PG_swapbacked)",
    "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)": "NUMBER(PG_swapbacked)",
    "NUMBER(HUGETLB_PAGE_DTOR)": "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)",
    "NUMBER(PG_hugetlb)": "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)",
    "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)": "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)",
    "SYMBOL(kallsyms_relative_base)": "SYMBOL(kallsyms_offsets)",
}
"""Behind which line a line stands."""


class VmcoreInfo:
    """The lines in order, by key: `SYMBOL(prb)`; values are texts as they stand."""

    def __init__(self, lines: Mapping[str, str]) -> None:
        self.lines = dict(lines)

    @classmethod
    def parse(cls, text: str) -> VmcoreInfo:
        """Of a VMCOREINFO text."""
        return cls(dict(line.split("=", 1) for line in text.splitlines() if "=" in line))

    def text(self) -> str:
        """The text: a line each, `key=value`."""
        return "".join(f"{key}={value}\n" for key, value in self.lines.items())

    def number(self, name: str) -> int | None:
        """NUMBER(name); None without such a line."""
        return self._int(f"NUMBER({name})", 10)

    def size(self, name: str) -> int:
        """SIZE(name), in bytes; 0 without such a line."""
        return self._int(f"SIZE({name})", 10) or 0

    def length(self, name: str) -> int:
        """LENGTH(name); 0 without such a line."""
        return self._int(f"LENGTH({name})", 10) or 0

    def offset(self, name: str) -> int | None:
        """OFFSET(struct.member), in bytes; None without such a line."""
        return self._int(f"OFFSET({name})", 10)

    def symbol(self, name: str) -> int | None:
        """SYMBOL(name): a virtual address; None without such a line."""
        return self._int(f"SYMBOL({name})", 16)

    def _int(self, key: str, base: int) -> int | None:
        value = self.lines.get(key)
        if value is None:
            return None
        return int(value, 16 if value.startswith("0x") else base)

    def put(self, key: str, value: str | None) -> None:
        """Set a line, where the kernel has it; None takes it away."""
        if value is None:
            self.lines.pop(key, None)
        elif key in self.lines:
            self.lines[key] = value
        else:
            keys = list(self.lines)
            after = _AFTER.get(key, "")
            at = keys.index(after) + 1 if after in self.lines else len(keys)
            items = list(self.lines.items())
            items.insert(at, (key, value))
            self.lines = dict(items)

    def move(self, key: str, to: str) -> None:
        """Put a line in front of VMALLOC_END, or behind _stext, if both are there."""
        if key in self.lines and to in self.lines:
            items = [(k, v) for k, v in self.lines.items() if k != key]
            at = [k for k, _ in items].index(to) + (to == "SYMBOL(_stext)")
            items.insert(at, (key, self.lines[key]))
            self.lines = dict(items)

    def memory_failure(self, arch: str, release: Release, *, on: bool) -> None:
        """Have a line PG_hwpoison or none: CONFIG_MEMORY_FAILURE."""
        self.put(_HWPOISON, str(_hwpoison(arch, release)) if on else None)
        if on and [*self.lines][-1] == _HWPOISON:
            self.move(_HWPOISON, "NUMBER(PG_head_mask)")

    def replace_symbols(self, moved: Callable[[str, int], int]) -> None:
        """Give each SYMBOL that has an address the one that moved(name, address) says."""
        for key, value in self.lines.items():
            if key.startswith("SYMBOL(") and value:
                name = key[7:-1]
                self.lines[key] = f"{moved(name, int(value, 16)):x}"

    def edit(self, edits: Iterable[str]) -> None:
        """What a tester asks for: `-KEY` takes a line away, `KEY=VALUE` changes or adds one.

        ProfileError for an edit that names no line or is no edit.
        """
        for edit in edits:
            key, is_set, value = edit.partition("=")
            if edit.startswith("-"):
                if edit[1:] not in self.lines:
                    raise ProfileError(f"vmcoreinfo: {edit[1:]!r} is no line of this kernel's")
                del self.lines[edit[1:]]
            elif is_set and re.fullmatch(r"(?:[A-Z]+\([\w.]+\)|[A-Z-]+)", key):
                self.put(key, value)
            else:
                raise ProfileError(
                    f"vmcoreinfo: {edit!r}, expected -KEY or KEY=VALUE, as in -SYMBOL(prb)"
                )


def captured(arch: str, page_size: int, release: str) -> tuple[VmcoreInfo, Release]:
    """The captured text nearest to a release, and the release it is of.

    The same major.minor first, else the nearest below, else the lowest. ProfileError if none of the architecture is known.
    """
    wanted = release_of(release)
    found: list[tuple[int, Release, str]] = []
    for name in CAPTURED:
        known, pages, version = name.split("-")
        if known == arch:
            found.append((int(pages.removesuffix("k")) << 10, release_of(version), f"{name}.txt"))
    if not found:
        raise ProfileError(f"no VMCOREINFO of an {arch} kernel is known here")

    def distance(one: tuple[int, Release, str]) -> tuple[bool, bool, bool, Release]:
        pages, version, _ = one
        below = version <= wanted
        return (
            pages != page_size,
            version[:2] != wanted[:2],
            not below,
            tuple(
                (w - v) if below else (v - w)
                for w, v in zip((*wanted, 0, 0), (*version, 0, 0), strict=False)
            ),
        )

    _, nearest, file_name = min(found, key=distance)
    return VmcoreInfo.parse(package_data(__package__, file_name).decode("ascii")), nearest


def vmcoreinfo_of(arch: str, page_size: int, release: str) -> VmcoreInfo:
    """The text of a kernel of that release, the machine's lines as they were where it was captured.

    OSRELEASE and PAGESIZE are the kernel's own, BUILD-ID is ksysfs.build_id()'s to say; there is no CRASHTIME yet.
    """
    info, version = captured(arch, page_size, release)
    wanted = release_of(release)
    symbols = next((v for k, v in info.lines.items() if k == "SYMBOL(_stext)"), "0")
    moving = wanted > version
    for change in _CHANGES if moving else reversed(_CHANGES):
        if change.arch in ("", arch) and min(version, wanted) < change.since <= max(
            version, wanted
        ):
            for key, value in (change.now if moving else change.before).items():
                if arch in _OWN_VMALLOC and key == "NUMBER(VMALLOC_START)" and not change.arch:
                    info.move(key, "NUMBER(VMALLOC_END)" if value is None else "SYMBOL(_stext)")
                    continue
                made = symbols if value == "" and key.startswith("SYMBOL") else value
                if key in info.lines or made is None or key in _AFTER:
                    info.put(key, made)
    info.memory_failure(arch, wanted, on=_HWPOISON in info.lines)
    info.lines["OSRELEASE"] = release
    info.lines["PAGESIZE"] = str(page_size)
    info.lines.pop("CRASHTIME", None)
    return info
