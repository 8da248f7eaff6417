"""Thousands of hotplug events on a mounted tree: by the real chmem, and one by one with the header after each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import machines
from elfcorehdr.elf import PT_LOAD, ElfCoreHdr
from fsmount.host.mounting import mounted_at
from tests.conftest import lack_of_namespaces
from tests.mounted.test_shell import Shell, kdumpfs
from tests.mounted.test_tools import in_place

pytestmark = pytest.mark.fuse

BLOCK, FIRST = machines.BLOCK, machines.RESERVED
TIB = 1 << 40
BLOCKS = TIB // BLOCK + FIRST
MEMORY = "sys/devices/system/memory"


@pytest.fixture(params=["--libfuse", ""])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A machine with 1 TiB of memory and 3 GiB more, kdump loaded."""
    root = tmp_path / "mnt"
    root.mkdir()
    machine = machines.write(tmp_path, BLOCKS)
    done = kdumpfs("mount", "--load", *request.param.split(), "-m", machine, root)
    assert (done.returncode, done.stderr) == (0, "")
    yield root
    assert kdumpfs("umount", root).returncode == 0
    assert mounted_at(str(root)) is None


def listed(root: Path) -> set[int]:
    """The blocks that the loaded header lists, but for those in the first 3 GiB."""
    header = ElfCoreHdr.unpack((root / "control/elfcorehdr").read_bytes())
    return {
        n
        for p in header.phdrs
        if p.p_type == PT_LOAD
        for n in range(max(FIRST, p.p_paddr // BLOCK), (p.p_paddr + p.p_memsz) // BLOCK)
    }


@pytest.mark.namespaces
def test_chmem_takes_a_tib_off_line_and_brings_it_back(mounted: Path) -> None:
    """4,096 writes each; on ppc64 the header leaves out the block that went last alone (crash.c)."""
    assert lack_of_namespaces() == ""
    shell = Shell(mounted)
    every = set(range(FIRST, BLOCKS))
    assert in_place(mounted, "chmem -d 1T") == ""
    assert shell(f"cat {MEMORY}/memory*/state | sort | uniq -c").split() == [
        *("4096", "offline"),
        *(str(FIRST), "online"),
    ]
    (left_out,) = every - listed(mounted)
    assert left_out == FIRST  # chmem goes from the highest block down
    assert in_place(mounted, "chmem -e 1T") == ""
    assert shell(f"cat {MEMORY}/memory*/state | sort | uniq -c").split() == [str(BLOCKS), "online"]
    assert listed(mounted) == every
    # The log is a ring of 256 KiB, and its readers find its oldest record.
    assert 1 < int(shell("dd if=dev/kmsg iflag=nonblock bs=8192 2>/dev/null | wc -l")) <= 1 << 13


def test_header_read_right_after_each_of_600_requests_is_the_new_one(mounted: Path) -> None:
    dlpar = mounted / "sys/kernel/dlpar"
    text = mounted / "sys/kernel/kexec/crash_elfcorehdr_print"
    there = set(range(FIRST, BLOCKS))
    order = [FIRST + k * 991 % (BLOCKS - FIRST) for k in range(300)]
    for n in order:
        dlpar.write_text(f"memory remove index {0x80000000 + n:#x}")
        there.discard(n)
        assert listed(mounted) == there
        assert f" {n * BLOCK:#x} " not in text.read_text()
        assert not (mounted / MEMORY / f"memory{n}").exists()
    for n in reversed(order):
        dlpar.write_text(f"memory add index {0x80000000 + n:#x}")
        there.add(n)
        assert listed(mounted) == there
        assert (mounted / MEMORY / f"memory{n}/state").read_text() == "online\n"
