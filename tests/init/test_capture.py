"""The way from a kernel that crashes into its capture kernel, beside what real ones showed."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import ElfCoreHdr
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.machine import BlockState, CpuTopology, Machine, MemoryRange, MemoryUse
from fsmount.procfs import proc
from fsmount.tree.kobject import ROOT
from tests.crashed import crashed
from tests.replay.run import replay

GIB = 1 << 30
GOLDEN = Path(__file__).parent.parent / "golden/kernel"
B = GOLDEN / "ppc64/B-seed-7.2.13-lab64k-kexec_file_load"


def test_capture_kernel_of_a_pc_has_the_iomem_that_was_seen():
    kernel = crashed("pc-2g")
    seen = (GOLDEN / "crash/x86_64.7.3.4+deb13-amd64.pc-2g/capture-iomem").read_text()
    assert proc.iomem_show(kernel, ROOT) == seen
    assert kernel.vmcore.size == 1932599296  # vmcore.ls.txt


def test_capture_kernel_of_ppc64_case_b():
    *_, last = replay(B)
    assert not last.differs
    import json

    from tests.replay.run import Run

    case = json.loads((B / "replay.json").read_text())
    run = Run(case, B)
    for i, step in enumerate(case["steps"]):
        run.step(i, step)
    kernel = run.kernel
    ram = re.findall(r"^(\w+)-(\w+) : System RAM", (B / "crash/iomem").read_text(), re.M)
    assert [(f"{r.start:08x}", f"{r.end:08x}") for r in kernel.iomem.system_ram()] == ram
    size = int((B / "crash/vmcore-ls.txt").read_text().split()[4])
    assert kernel.vmcore.size == size
    head = gzip.decompress((B / "crash/vmcore-first-128K.bin.gz").read_bytes())
    seen, made = ElfCoreHdr.unpack(head), kernel.vmcore.header
    assert made.phdrs[1:] == seen.phdrs[1:]
    log = gzip.decompress((B / "crash/capture-dmesg.txt.gz").read_bytes()).decode()
    for line in ("OF: fdt: Reserving 512 KiB of memory at 0x193a0000 for elfcorehdr",):
        assert line in log
        assert line in [r.text for r in kernel.log]
    warning = "vmcore: Warning: Zero PT_NOTE entries found"
    assert [r.text for r in kernel.log].count(warning) == log.count(warning)


SAYS_LITTLE = {
    "x86_64": (0x1000, 0xFFFFFFFF81000000, 0x1000000),
    "arm64": (0x40000000, 0xFFFF800080000000, 0x40200000),
    "riscv64": (0x80000000, 0xFFFFFFFF80002000, 0x80202000),
}
"""Where RAM begins; where _text is without KASLR, virtual and physical (golden captures)."""


def says_little(arch: str, **changed: Any) -> Machine:
    """A machine whose file says neither where its kernel lies nor where its direct map begins."""
    start, *_ = SAYS_LITTLE[arch]
    said = {
        "cmdline": "crashkernel=128M",
        "memory_block_size": 128 << 20,
        "cpus": CpuTopology("0-1"),
    }
    memory = (MemoryRange(start, GIB),)
    return Machine("little", "none", arch, memory, **{**said, **changed})


@pytest.mark.parametrize("arch", ["x86_64", "arm64", "riscv64"])
def test_machine_that_does_not_say_where_its_kernel_lies_has_one_in_memory(arch: str):
    """A tool finds the log by the loads' virtual addresses: SYMBOL(prb) has to be in one, and lead to the ring."""
    kernel = crashed(says_little(arch))
    memory, loads = kernel.memory_image, kernel.vmcore.header.phdrs[1:]
    info, (_, vaddr, paddr) = memory.info, SAYS_LITTLE[arch]
    assert (loads[0].p_vaddr, loads[0].p_paddr) == (vaddr, paddr)
    assert info.lines.get("KERNELOFFSET", "0") == "0"

    def read(address: int, size: int) -> bytes:
        p = next(p for p in loads if p.p_vaddr <= address < p.p_vaddr + p.p_memsz)
        return kernel.vmcore.read(p.p_offset + address - p.p_vaddr, size)

    ring = int.from_bytes(read(info.symbol("prb"), 8), "little")
    assert ring == info.symbol("printk_rb_static")
    assert read(info.symbol("init_uts_ns"), 400).count(kernel.release.encode()) == 1
    assert int.from_bytes(read(ring, 4), "little") == kernel.log.size.bit_length() - 1 - 5
    pages = info.symbol("mem_section")
    assert read(pages, 8) != bytes(8)


@pytest.mark.parametrize("arch", ["arm64", "riscv64"])
def test_capture_kernels_direct_map_begins_with_its_own_memory(arch: str):
    kernel = Kernel.boot(says_little(arch))
    first = kernel.arch.va(kernel, kernel.memblock[0].start)
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    kernel.panic.sysrq("c")
    grain = GIB if arch == "arm64" else 2 << 20
    ram = kernel.memblock[0].start
    assert kernel.arch.va(kernel, ram) - first == ram % grain


def test_kernel_of_a_machine_that_does_not_say_is_put_beside_what_it_says():
    use = MemoryUse(0x40200000, 0x200000, "cache")
    offline = BlockState("9", "offline")
    for said in ({"use": (use,)}, {"blocks": (offline,)}):
        kernel = Kernel.boot(says_little("arm64", **said))
        assert kernel.machine.kernel_text.paddr == (0x40400000 if "use" in said else 0x40200000)


def test_nothing_of_the_old_kernel_is_left():
    kernel = crashed("pseries-4g")
    assert (kernel.boots, kernel.dead) == (1, False)
    assert kernel.kexec.crash_image is None
    assert kernel.kexec.crash_size() == 0
    assert next(r.text for r in kernel.log).startswith("Linux version")
    assert not any("panic" in r.text for r in kernel.log)
    assert kernel.log.next_seq == len(list(kernel.log))


def test_panic_without_a_crash_image_leaves_a_dead_machine():
    kernel = Kernel.boot(profiles.load("pseries-4g"))
    kernel.panic.sysrq("c")
    assert kernel.dead
    assert kernel.vmcore is None
    last = [r.text for r in kernel.log][-1]
    assert last == "---[ end Kernel panic - not syncing: sysrq triggered crash ]---"


def test_panic_with_a_timeout_boots_again():
    kernel = Kernel.boot(profiles.load("pseries-4g"))
    kernel.panic.timeout = 10
    kernel.panic.sysrq("c")
    assert (kernel.boots, kernel.dead) == (1, False)


@pytest.mark.parametrize("timeout", [1, -1])
@pytest.mark.parametrize("machine", ["pseries-4g", "pc-2g", "arm64-virt-4g", "riscv64-virt-2g"])
def test_capture_kernel_that_panics_boots_the_first_kernel_again(machine: str, timeout: int):
    kernel = crashed(machine)
    living = Kernel.boot(profiles.load(machine))
    assert kernel.cmdline != living.cmdline or machine == "arm64-virt-4g"
    kernel.panic.timeout = timeout
    kernel.panic.sysrq("c")
    assert (kernel.boots, kernel.dead, kernel.vmcore) == (2, False, None)
    assert (kernel.cmdline, kernel.machine) == (living.cmdline, living.machine)
    assert proc.iomem_show(kernel, ROOT) == proc.iomem_show(living, ROOT)


@pytest.mark.parametrize(
    ("release", "uid", "model", "through"),
    [
        ("6.1.176", "", "", "panic+0x118/0x2f4"),
        ("6.12.107", "UID: 0 ", "", "panic+0x118/0x2db"),
        ("6.18.15", "UID: 0 ", "PREEMPT(lazy) ", "vpanic+0x116/0x310"),
        ("7.3.4", "UID: 0 ", "PREEMPT(lazy) ", "vpanic+0x166/0x360"),
    ],
)
def test_panic_says_what_that_release_says(release, uid, model, through):
    kernel = Kernel.boot(profiles.load("pc-2g"), release)
    kernel.panic.timeout = 0
    kernel.panic.sysrq("c")
    lines = [r.text for r in kernel.log]
    at = lines.index("Kernel panic - not syncing: sysrq triggered crash")
    assert lines[at + 1] == f"CPU: 0 {uid}PID: 1 Comm: init Not tainted {release} #1 {model}"
    assert lines[at + 3 : at + 5] == ["Call Trace:", " <TASK>"]
    assert f" {through}" in lines


def test_cpus_that_were_offline_or_stuck_have_no_note():
    from elfcorehdr.fs.proc.vmcore import note_size
    from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
    from elfcorehdr.kernel.panic import Crash

    kernel = Kernel.boot(profiles.load("pseries-16g"))
    kernel.cpus.down(3)
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    notes = [p.p_offset for p in ElfCoreHdr.unpack(kernel.kexec.elfcorehdr()).phdrs[:8]]
    kernel.panic.panic("hard", Crash(stuck=frozenset({5})))
    read = kernel.memory_image.mem.read
    assert [bool(note_size(read(at, 0x218))) for at in notes] == [n not in (3, 5) for n in range(8)]


@pytest.mark.parametrize(
    ("release", "with_", "paths", "first"),
    [
        ("7.0", (), "load", b"kexec"),
        ("7.0", (), "hotplug", b"kexec"),
        ("7.0", ("backup-offset-at-load",), "load", b"LPAR"),
        ("7.0", ("backup-offset-at-load",), "hotplug", b"kexec"),
        ("7.1", (), "hotplug", b"LPAR"),
    ],
)
def test_the_mails_bug_is_the_wrong_memory(release, with_, paths, first):
    """Byte 0x284 is one of those that a real pair of kernels differed in (golden B: 853 of 65536)."""
    from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
    from elfcorehdr.mm.memory_hotplug import OnlineType

    kernel = Kernel.boot(profiles.load("pseries-16g"), release, also=with_)
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    if paths == "hotplug":
        kernel.memory_hotplug.offline(kernel.memory.block(30))
        kernel.memory_hotplug.online(kernel.memory.block(30), OnlineType.ONLINE)
    kernel.panic.sysrq("c")
    load = next(p for p in kernel.vmcore.header.phdrs[1:] if p.p_paddr == 0)
    low = kernel.vmcore.read(load.p_offset, 0x10000)
    assert low[0x290:0x294] == first[:4]


def test_low_memory_differs_where_and_as_much_as_that_of_real_kernels():
    from elfcorehdr.arch.powerpc.kernel import crash_dump

    kernel = crashed("pseries-4g")
    mem = kernel.memory_image.mem
    backup = kernel.vmcore.read(kernel.vmcore.header.phdrs[1].p_offset, 0x10000)
    mine = mem.read(0, 0x10000)
    ours = {n for n, (a, b) in enumerate(zip(mine, backup, strict=True)) if a != b}
    live = gzip.decompress((B / "crash/live-low64k-in-capture-kernel.bin.gz").read_bytes())
    saved = gzip.decompress((B / "crash/backup-region-after-crash.bin.gz").read_bytes())
    seen = {n for n, (a, b) in enumerate(zip(live, saved, strict=True)) if a != b}
    assert ours <= seen
    assert len(seen) == 853
    assert len(ours) > 845  # letters of ours that happen to be alike
    assert crash_dump.vectors(crash_dump.CAPTURE) == mine
