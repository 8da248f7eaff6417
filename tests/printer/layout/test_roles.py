"""What rows are for, found out from captured headers."""

from __future__ import annotations

import json

import pytest

from printer import (
    Layout,
    Role,
    from_bytes,
    read,
)
from tests.headers import (
    DIRECT,
    GOLDEN,
    SEED,
    SEED_TEXT,
    load,
    packed,
)


def seed_layout() -> Layout:
    return Layout(read(str(SEED_TEXT)))


def test_roles_of_the_cover_letters_rows():
    layout = seed_layout()
    assert layout.roles == (
        *([Role.CPU_NOTE] * 8),
        Role.VMCOREINFO,
        Role.BACKUP,
        *([Role.MEMORY] * 3),
    )
    assert layout.what(7) == "CPU 7 note"


@pytest.mark.parametrize(
    ("arch", "case"),
    [
        ("x86_64", "k7.3-hotplug-file/elfcorehdr/00-load-file.bin"),
        ("arm64", "B-7.3.4-lab-kexec_file_load/elfcorehdr-01.bin"),
        ("riscv64", "A-7.2.13-lab-kexec_file_load/elfcorehdr-01.bin"),
        ("ppc64", "B-seed-7.2.13-lab64k-kexec_file_load/elfcorehdr-01.bin"),
    ],
)
def test_captured_headers_have_cpu_notes_of_the_known_size_and_a_kernel_image(arch, case):
    layout = Layout(read(str(GOLDEN / arch / case)))
    assert layout.arch.name == arch
    machine = json.loads(next((GOLDEN / arch / case.split("/")[0]).glob("replay.json")).read_text())
    size = machine["machine"]["crash_notes_size"]
    assert layout.arch.note_size == size == layout.cpu_note_size
    assert len(layout.cpus) == len(machine["machine"]["crash_notes"])
    assert (Role.KERNEL in layout.roles) == (arch != "ppc64")
    assert layout.roles.count(Role.VMCOREINFO) == 1
    if "direct_map_base" in machine["machine"]:
        assert layout.direct_map == int(machine["machine"]["direct_map_base"], 16) % 2**64


def test_direct_map_of_ppc64_is_its_constant():
    assert Layout(from_bytes(packed(*SEED))).direct_map == DIRECT


def test_what_is_left_before_a_block_that_went_is_no_firmware():
    """The first whole block behind the reservation was removed: 128 MiB stand alone, with a gap on either side."""
    rows = (*SEED[:-1], load(0x58000000, 0x8000000), load(0x70000000, 0x390000000))
    (gap,) = Layout(from_bytes(packed(*rows))).crashkernel_gap
    assert (gap.start, gap.end) == (0x18000000, 0x57FFFFFF)
