"""The header of ppc64: the mail's machine, its variants in numbers, and the quirks of each kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import ElfCoreHdr, Phdr
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine
from printer.forms import kernel_text

GOLDEN = Path(__file__).parents[1] / "golden/kernel"
SEED_TEXT = (GOLDEN / "seed/crash_elfcorehdr_print.txt").read_text()
BACKUP = 0x1AF40000

# What each row needs: (start, size) of the PT_LOADs behind the notes.
SEED_LOADS = [
    (0, 0x10000),
    (0x10000, 0x17FF0000),
    (0x2EC70000, 0x1390000),
    (0x58000000, 0x3A8000000),
]


def seed(**changed: object) -> Machine:
    return replace(profiles.load("pseries-16g"), **changed)  # type: ignore[arg-type]


def loaded(machine: Machine, release: str = "7.1", **options: object) -> Kernel:
    kernel = Kernel.boot(machine, release, **options)  # type: ignore[arg-type]
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    return kernel


def rows(kernel: Kernel) -> tuple[Phdr, ...]:
    header = kernel.kexec.elfcorehdr()
    assert header is not None
    return ElfCoreHdr.unpack(header).phdrs


def loads(kernel: Kernel) -> list[tuple[int, int]]:
    return [(p.p_paddr, p.p_memsz) for p in rows(kernel) if p.p_type == 1]


def offline(kernel: Kernel, n: int) -> None:
    block = kernel.memory.block(n)
    assert block is not None
    kernel.memory_hotplug.offline(block)


def test_the_mail_s_table_comes_out_of_its_machine_byte_for_byte() -> None:
    header = loaded(seed()).kexec.elfcorehdr()
    assert header is not None
    assert kernel_text.render(header) == SEED_TEXT
    assert len(SEED_TEXT) == 1946


@pytest.mark.parametrize(
    ("release", "also", "at_load", "after_event"),
    [
        ("6.12", (), 0, 0),
        ("6.18", (), 0, 0),
        ("7.0", (), 0, 0),
        ("7.0", ("backup-offset-at-load",), BACKUP, 0),
        ("7.1", (), BACKUP, BACKUP),
        ("6.12.107", (), BACKUP, BACKUP),
        ("7.3", (), BACKUP, BACKUP),
    ],
)
def test_offset_of_the_first_64k_is_as_each_kernel_sets_it(
    release: str, also: tuple[str, ...], at_load: int, after_event: int
) -> None:
    kernel = loaded(seed(), release, also=also)
    assert rows(kernel)[9].p_offset == at_load
    offline(kernel, 30)
    assert rows(kernel)[9].p_offset == after_event


@pytest.mark.parametrize(
    ("release", "also", "tail"),
    [
        ("6.18", (), (0x3F0000000, 0xFFFFFFFFF0000000)),
        ("6.18.2", (), (0x3F0000000, 0x10000001)),
        ("7.1", (), (0x3F0000000, 0x10000001)),
        ("7.1", ("generic-exclude-ppc64",), (0x3F0000000, 0x10000000)),
    ],
)
def test_tail_behind_an_offlined_block_has_each_generation_s_size(
    release: str, also: tuple[str, ...], tail: tuple[int, int]
) -> None:
    # kernel.md 7.4: the block before the last; the notes live elsewhere on this copy
    kernel = loaded(seed(crash_notes_first=0x100000000), release, also=also)
    offline(kernel, 62)
    assert loads(kernel)[3:] == [(0x58000000, 0x388000000), tail]


@pytest.mark.parametrize("release", ["6.18", "7.1"])
def test_the_last_block_is_cut_exactly_by_every_generation(release: str) -> None:
    kernel = loaded(seed(crash_notes_first=0x100000000), release)
    offline(kernel, 63)
    assert loads(kernel) == [*SEED_LOADS[:3], (0x58000000, 0x398000000)]


def test_an_offlined_block_is_back_at_the_next_event() -> None:
    kernel = loaded(seed())
    offline(kernel, 30)
    offline(kernel, 40)
    assert loads(kernel)[3:] == [(0x58000000, 0x228000000), (0x290000000, 0x170000001)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0x20000000, [*SEED_LOADS[:3], (0x38000000, 0x3C8000000)]),
        (0x10000000, [*SEED_LOADS[:2], (0x28000000, 0x3D8000000)]),
    ],
)
def test_a_shrunken_reservation_gives_its_tail_to_the_header(
    size: int, expected: list[tuple[int, int]]
) -> None:
    kernel = Kernel.boot(seed())
    kernel.kexec.crash_shrink_memory(size)
    ranges = kernel.arch.crash_ranges(kernel)
    assert [(r.start, r.size) for r in ranges] == expected


def test_adjacent_memory_of_two_nodes_stays_two_rows() -> None:
    kernel = loaded(profiles.load("pseries-numa2"))
    assert loads(kernel)[-2:] == [(0x40000000, 0xC0000000), (0x100000000, 0x100000000)]


def test_opal_inside_the_reservation_is_a_row_of_its_own() -> None:
    kernel = loaded(profiles.load("powernv-32g"))
    assert (0x30000000, 0x1C10000) in loads(kernel)


def test_a_note_for_every_possible_cpu_since_6_6_and_for_present_ones_before() -> None:
    machine = seed()
    machine = replace(machine, cpus=replace(machine.cpus, present="0-3", threads=1))
    for release, notes in (("6.1", 4), ("6.12", 8)):
        kernel = loaded(machine, release)
        assert sum(p.p_type == 4 for p in rows(kernel)) == notes + 1


def test_cpu_events_never_touch_the_header() -> None:
    kernel = loaded(seed())
    before = kernel.kexec.elfcorehdr()
    kernel.cpus.down(3)
    kernel.cpus.up(3)
    assert kernel.kexec.elfcorehdr() == before
    assert kernel.crash_hp.rebuilds == 0


def test_before_6_10_the_header_never_follows_hotplug() -> None:
    kernel = loaded(seed(), "6.1")
    before = kernel.kexec.elfcorehdr()
    offline(kernel, 30)
    assert kernel.kexec.elfcorehdr() == before
    assert not kernel.kexec.crash_hotplug()


@pytest.mark.parametrize(("release", "memsz"), [("7.1", 0x80000), ("6.1", 0x10000)])
def test_segment_has_room_for_hotplug_only_where_there_is_crash_hotplug(
    release: str, memsz: int
) -> None:
    image = loaded(seed(), release).kexec.crash_image
    assert image is not None
    segment = image.elfcorehdr()
    assert segment is not None
    assert (segment.mem, segment.memsz) == (0x1AF50000, memsz)


def test_default_base_of_an_lpar_is_half_the_rma_but_not_above_512m() -> None:
    for rma, base in ((0x30000000, 0x18000000), (0, 0x20000000)):
        region = Kernel.boot(seed(rma_size=rma, rtas=None)).kexec.crashk_res
        assert region is not None
        assert region.start == base


@pytest.mark.parametrize(
    ("case", "header"),
    [
        ("A-seed-7.2.13-64k-kexec_load", "elfcorehdr-01.bin"),
        ("D-6.12.107-64k-kexec_load", "elfcorehdr-01.bin"),
        ("D-6.12.107-64k-kexec_load", "elfcorehdr-11.bin"),
    ],
)
def test_header_of_kexec_tools_is_the_captured_one(case: str, header: str) -> None:
    import json

    from elfcorehdr.kexec_tools import ppc64 as ppc64_kexec_tools
    from tests.replay.machine import build, number

    data = json.loads((GOLDEN / "ppc64" / case / "replay.json").read_text())
    kernel = Kernel.boot(build(data), data["kernel"]["release"])
    backup = number(data["steps"][0]["do"]["backup"])
    expected = (GOLDEN / "ppc64" / case / header).read_bytes()
    assert ppc64_kexec_tools.header(kernel, backup) == expected


def _without_memory_at_zero() -> Machine:
    machine = seed()
    first = machine.memory[0]
    return replace(machine, memory=(replace(first, start=0x100000, size=first.size - 0x100000),))


@pytest.mark.parametrize("make", [seed, _without_memory_at_zero])
def test_the_backup_row_is_there_even_without_memory_at_zero(make: Callable[[], Machine]) -> None:
    assert loads(loaded(make()))[0] == (0, 0x10000)
