"""check on headers that people had: verdicts that were once wrong, and what real kernels got right."""

from __future__ import annotations

import gzip
import shutil

import pytest

from printer import Layout, Role, check, read, read_iomem
from tests.headers import IDENTITY, OURS, name

CORES = sorted(
    p
    for p in IDENTITY.rglob("*.bin")
    if p.name.startswith(("kcore", "vmcore")) and "head" in p.name
)


def found(core, machine=None):
    return [(f.rule.id, f.row) for f in check(core, machine)]


@pytest.mark.parametrize("file", ["arm64-va39-smallest", "arm64-va39"])
def test_arm64_with_39_bits_is_right(file):
    core = read(str(OURS / f"{file}.bin"), notes=True)
    assert found(core) == []
    if file == "arm64-va39":
        assert found(core, read_iomem(str(OURS / "arm64-va39.iomem"))) == []
        assert Layout(core).roles[4:] == (Role.VMCOREINFO, Role.KERNEL, Role.MEMORY, Role.MEMORY)
    else:
        assert Layout(core).roles[2:] == (Role.MEMORY,)


def test_kcore_is_right_with_and_without_its_machine(tmp_path):
    path = tmp_path / "kcore"
    shutil.copyfile(OURS / "kcore-x86.bin", path)
    (tmp_path / "iomem").write_text(
        "00100000-7ffdffff : System RAM\n  6e000000-7dffffff : Crash kernel\n"
    )
    core = read(str(path), notes=True)
    core.size = 0x7FFFFF604000  # as `truncate -s` makes it, which not every file system can
    assert found(core) == []
    assert found(core, read_iomem(str(tmp_path / "iomem"))) == []
    assert Layout(core).direct_map == 0xFFFF888000000000


def test_riscv64_loads_at_user_addresses_are_errors_each():
    machine = read_iomem(str(OURS / "riscv.iomem"))
    assert found(read(str(OURS / "riscv-good.bin"))) == []
    assert found(read(str(OURS / "riscv-good.bin")), machine) == []
    bad = read(str(OURS / "riscv-vaddr.bin"))
    expected = [("vaddr-in-user-space", 4), ("vaddr-in-user-space", 5)]
    assert found(bad) == found(bad, machine) == expected


def test_only_empty_loads_are_no_load():
    assert found(read(str(OURS / "only-empty-loads.bin"))) == [("no-load", None)]


@pytest.mark.parametrize("path", CORES, ids=name)
def test_captured_kcore_and_vmcore_are_right(path):
    """Of the captures only headers and notes are kept: a note. RTAS last is kexec-tools' doing."""
    core = read(str(path), notes=True)
    assert core.live == path.name.startswith("kcore")
    levels = {f.rule.id: f.level.word for f in check(core)}
    assert levels.pop("file-cut-off") == "note"
    if "ppc64" in str(path) and "vmcore" in path.name:
        assert levels.pop("not-ascending") == "warning"
    assert levels == {}


@pytest.mark.parametrize("path", [p for p in CORES if "kcore" in p.name], ids=name)
def test_captured_kcore_is_right_on_its_machine(path, tmp_path):
    if (path.parent / "proc" / "iomem.gz").exists():
        iomem = tmp_path / "iomem"
        iomem.write_bytes(gzip.decompress((path.parent / "proc" / "iomem.gz").read_bytes()))
    else:
        iomem = path.parent / "proc" / "iomem"
    assert found(read(str(path), notes=True), read_iomem(str(iomem))) == [("file-cut-off", None)]
