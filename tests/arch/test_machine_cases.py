"""tests/golden/ours/machines: each does what the project's list of cases says (fadump, SMT: test_fadump.py, identity/)."""

from __future__ import annotations

from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.resource import CRASH_KERNEL
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine
from elfcorehdr.machine.reader import from_toml

MACHINES = Path(__file__).parents[1] / "golden/ours/machines"
VERSIONS = ("6.1", "6.6", "6.7", "6.12", "6.16", "7.2", "7.3")


def machine(name: str) -> Machine:
    file = MACHINES / f"{name}.toml"
    return from_toml(file.read_text(encoding="utf-8"), str(file))


def boot(name: str, cmdline: str, version: str) -> Kernel:
    return Kernel.boot(replace(machine(name), cmdline=cmdline), version)


@pytest.mark.parametrize("version", VERSIONS)
def test_arm64_from_1_tib_on_has_dma_everywhere_and_reserves(version: str) -> None:
    kernel = boot("arm64-1tib", "crashkernel=256M", version)
    region = kernel.kexec.crashk_res
    assert region is not None
    assert region.size == 256 << 20
    for r in kernel.memblock:
        assert kernel.arch.zones_of(kernel, r.start, r.end) == ["DMA"]


ROOM = {
    "arm64-virt-4g-unpinned": ("crashkernel=256M", "crashkernel=256M,high", "crashkernel=1G-:128M"),
    "riscv64-virt-2g-unpinned": (
        "crashkernel=256M",
        "crashkernel=256M@0xa0000000",
        "crashkernel=1G-:128M",
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "cmdline"), [(n, c) for n, given in ROOM.items() for c in given])
def test_without_a_pin_it_lands_on_free_memory_with_a_row(
    name: str, cmdline: str, version: str
) -> None:
    kernel = boot(name, cmdline, version)
    region = kernel.kexec.crashk_res
    assert region is not None, kernel.kexec.nothing
    assert kernel.memblock.covers(region.start, region.end)
    rows = [r for _, r, text in kernel.iomem.rows() if text == CRASH_KERNEL]
    assert region in rows
    for row in kernel.machine.resources:
        end = row.start + row.size - 1
        inside = kernel.memblock.covers(row.start, end)
        assert not inside or end < region.start or row.start > region.end, row


def test_a_leading_slash_is_refused_with_key_and_expectation() -> None:
    with pytest.raises(ProfileError) as caught:
        machine("devicetree-leading-slash")
    assert "devicetree.'/" in str(caught.value)
    assert "without a slash in front" in str(caught.value)
