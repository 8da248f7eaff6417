"""Whether rows are mapped where a kernel maps memory: virtual addresses, and the kernel's image.

What an architecture's kernels can do is in layout/arches.py; that all rows say the same makes it no truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import add, sub

from printer.inputs.source import Form
from printer.judge.rules import Finding, found
from printer.judge.surroundings import Surroundings
from printer.layout.notes import of_a_hypervisor
from printer.layout.roles import Layout, picked
from printer.layout.sizes import size_text
from printer.layout.spans import U64

KERNEL_HALF = 1 << 63
"""From here on virtual addresses are the kernel's, on every architecture of arches.ARCHES."""


def check_mappings(layout: Layout, machine: Surroundings) -> Iterator[Finding]:
    """Findings about p_vaddr, and about the row of the kernel's image."""
    yield from _image(layout, machine)
    rows = layout.memory_rows
    vaddr = picked(layout.core.phdrs.p_vaddr, rows)
    if layout.arch is None or not _mapped(layout, vaddr):
        return
    paddr = picked(layout.core.phdrs.p_paddr, rows)
    base = layout.direct_map
    if base is not None and set(map(sub, vaddr, paddr)) <= {base, base - U64}:
        return
    odd = [
        (row, v, p) for row, v, p in zip(rows, vaddr, paddr, strict=True) if (v - p) % U64 != base
    ]
    for row, v, p in odd:
        yield _wrong(layout, row, v, p)
    if odd:
        yield from _twice(layout)


def _mapped(layout: Layout, vaddr: Sequence[int]) -> bool:
    """Whether virtual addresses are given at all: a hypervisor's dump leaves them 0, or tells the guest's."""
    if layout.core.form is Form.ELFCOREHDR:
        return True
    return any(vaddr) and not of_a_hypervisor(layout.core)


def _wrong(layout: Layout, row: int, v: int, p: int) -> Finding:
    base = layout.direct_map
    if base is not None:
        expected = f"expected {(p + base) % U64:#x}"
    else:
        ways = layout.arch.maps if layout.arch else ()
        first, last = min(way.first for way in ways), max(way.last for way in ways)
        expected = f"expected the direct map, in {first:#x}-{last:#x}"
    where = "its physical address" if v == p else f"{v:#x}"
    if v < KERNEL_HALF:
        return found("vaddr-in-user-space", f"{p:#x} is mapped at {where}, {expected}", row)
    return found("vaddr-not-direct-map", f"{p:#x} is mapped at {where}, {expected}", row)


def _twice(layout: Layout) -> Iterator[Finding]:
    """Rows that share virtual addresses and are not the same memory."""
    phdrs = layout.core.phdrs
    rows = [*layout.memory_rows, *([] if layout.image is None else [layout.image])]
    starts = picked(phdrs.p_vaddr, rows)
    stops = map(add, starts, picked(phdrs.p_memsz, rows))
    reach, by = 0, -1
    for start, row, stop in sorted(zip(starts, rows, stops, strict=True)):
        if start < reach:
            here, there = phdrs[row], phdrs[by]
            same = (here.p_vaddr - here.p_paddr) % U64 == (there.p_vaddr - there.p_paddr) % U64
            if not same:
                both = size_text(min(stop, reach) - start)
                text = f"{both} at {start:#x} are also those of row {by:#x}"
                yield found("vaddr-twice", text, row)
        if stop > reach:
            reach, by = stop, row


def _image(layout: Layout, machine: Surroundings) -> Iterator[Finding]:
    if layout.image is None:
        return
    row, image = layout.image, layout.core.phdrs[layout.image]
    ways = [layout.way] if layout.way else list(layout.arch.maps if layout.arch else ())
    windows = sorted({way.image for way in ways if way.image})
    last = image.p_vaddr + image.p_memsz - 1
    if windows and not any(a <= image.p_vaddr and last <= b for a, b in windows):
        a, b = windows[0][0], windows[-1][1]
        text = f"{image.p_paddr:#x} is mapped at {image.p_vaddr:#x}, expected {a:#x}-{b:#x}"
        yield found("image-misplaced", text, row)
    elif layout.image_map not in (None, (image.p_vaddr - image.p_paddr) % U64):
        right = (image.p_paddr + (layout.image_map or 0)) % U64
        text = f"{image.p_paddr:#x} is mapped at {image.p_vaddr:#x}, VMCOREINFO says {right:#x}"
        yield found("image-misplaced", text, row)
    kernel = machine.kernel
    if kernel is None:
        return
    stop = image.p_paddr + image.p_memsz
    if stop <= kernel.end:
        text = f"ends at {stop:#x}, {size_text(kernel.end + 1 - stop)} before the kernel does"
        yield found("image-incomplete", text, row)
    if image.p_paddr > kernel.start:
        text = f"begins at {image.p_paddr:#x}, the kernel at {kernel.start:#x}"
        yield found("image-incomplete", text, row)
