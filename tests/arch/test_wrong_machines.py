"""Machines that no kernel could have, or keys that nobody would read: refused on the architecture in question, with the key."""

from __future__ import annotations

import pytest

from elfcorehdr.arch import ARCHES, arch_of
from elfcorehdr.errors import ProfileError
from elfcorehdr.machine.processor import PROSE, ROWS
from elfcorehdr.machine.reader import from_toml

HEAD = 'name = "x"\nsource = "this test"\narch = "{arch}"\n{top}\n[[memory]]\nstart = "{start}"\nsize = "{size}"\n'
TAIL = '{memory}\n[cpus]\npossible = "0-7"\n{cpus}\n{end}\n'
RAM = {
    "ppc64": ("0", "4G"),
    "x86_64": ("1M", "2047M"),
    "arm64": ("1G", "4G"),
    "riscv64": ("2G", "2G"),
}


def refused(arch: str, *, top: str = "", memory: str = "", cpus: str = "", end: str = "") -> str:
    start, size = RAM[arch]
    text = (HEAD + TAIL).format(
        arch=arch, top=top, start=start, size=size, memory=memory, cpus=cpus, end=end
    )
    with pytest.raises(ProfileError) as caught:
        from_toml(text, "x.toml")
    sentence = str(caught.value)
    assert sentence.startswith("x.toml: ")
    assert "\n" not in sentence
    assert len(sentence) < 2500
    return sentence


@pytest.mark.parametrize(
    ("arch", "top", "said"),
    [
        ("ppc64", "nr_cpus_default = 4", "nr_cpus_default: not on ppc64, only on x86_64"),
        ("ppc64", 'opal = { start = "1G", size = "1M" }', "opal: not on ppc64, only on powernv"),
        (
            "ppc64",
            'platform = "powernv"\nrtas = { start = "1G", size = "1M" }',
            "rtas: not on powernv, only on pseries",
        ),
        ("ppc64", 'platform = "powernv"\nrma_size = "1G"', "rma_size: not on powernv"),
        ("ppc64", "direct_map_base = 0xffff800000000000", "direct_map_base: not on ppc64"),
        ("x86_64", 'rma_size = "1G"', "rma_size: not on x86_64, only on pseries"),
        ("x86_64", 'system_ram = [{ start = "1M", size = "1G" }]', "system_ram: not on x86_64"),
        ("arm64", "fadump_reserved = 65536", "fadump_reserved: not on arm64, only on ppc64"),
        ("riscv64", 'kernel_end = "1G"', "kernel_end: not on riscv64, only on ppc64 and x86_64"),
        ("ppc64", 'without = ["backup-ofset-at-load"]', "(did you mean backup-offset-at-load"),
        ("ppc64", 'kernel = "6.1.99999999999"', "expected a release such as"),
        ("ppc64", 'nested_memory = [{ start = 0, size = "1G" }]', "expected inside a row of resour"),
        ("x86_64", 'nested_memory = [{ start = "8G", size = "1G" }]', "expected inside a row of res"),
        (
            "x86_64",
            'resources = [{ start = "16M", size = "1M", name = "Crash kernel" }]',
            "resources[0].name: 'Crash kernel', expected crashkernel= on the command line",
        ),
        (
            "x86_64",
            'resources = [{ start = "16M", size = "1M", name = "System RAM" }]',
            "resources[0].name: 'System RAM', expected memory or nested_memory",
        ),
        (
            "arm64",
            'resources = [{ start = "1G", size = "4G", name = "reserved" }]',
            "resources[0]: 'reserved' is all of memory[0], expected to leave some of it",
        ),
        ("arm64", 'system_ram = [{ start = "99G", size = "1G" }]', "expected a place in memory"),
        (
            "ppc64",
            'kernel_text = { paddr = 0, vaddr = 0xffff800000000000, size = "32M" }',
            "expected whole pages from 0xc000000000000000 on",
        ),
        (
            "ppc64",
            'kernel_text = { paddr = "1G", vaddr = 0xc000000040000000, size = "32M" }',
            "kernel_text.paddr: 0x40000000, expected 0",
        ),
        (
            "x86_64",
            'kernel_text = { paddr = "16M", vaddr = 0xffff800000000000, size = "32M" }',
            "expected whole pages from 0xffffffff80000000 on, below 0xffffffffc0000000",
        ),
        (
            "riscv64",
            'kernel_text = { paddr = "2050M", vaddr = 0xffff800080000000, size = "32M" }',
            "expected whole pages from 0xffffffff80000000 on",
        ),
        ("x86_64", "direct_map_base = 0xffffffff80000000", "expected room for the memory up to"),
        ("ppc64", 'kernel_end = "3G"', "kernel_end: 0xc0000000, expected a kernel of 1M to 1G"),
        ("ppc64", 'fadump = true\nfadump_reserved = 5', "fadump_reserved: 0x5, expected whole pages"),
        ("ppc64", 'crash_notes_step = "1M"', "crash_notes_step: 0x100000, expected with crash_notes"),
        ("ppc64", "kdump = { purgatory = 0 }", "kdump.purgatory: 0, expected more than nothing"),
        (
            "ppc64",
            'kdump = { kernel = [{ memsz = "1M", paddr = "1E" }] }',
            "kdump.kernel[0].paddr: 0x1000000000000000, expected an end of at most 1T",
        ),
        (
            "x86_64",
            'kdump = { kernel = [{ memsz = "1M", setup = "1E" }] }',
            "kdump.kernel[0].setup: 0x1000000000000000, expected sectors of 512 bytes, at most 0x20000",
        ),
        (
            "x86_64",
            'kdump = { kernel = [{ memsz = "1M" }, { memsz = "2M" }] }',
            "kdump.kernel: 2 parts, expected one: x86_64 boots an image",
        ),
        (
            "x86_64",
            'blocks = [{ blocks = "0-15", state = "offline" }]',
            "blocks[0].state: 'offline', expected online: the kernel lies there, at 0x1000000",
        ),
        (
            "arm64",
            'crash_notes = { 0 = "2G" }\nblocks = [{ blocks = "16", state = "offline" }]',
            "blocks[0].state: 'offline', expected online: crash_notes.0 lies there",
        ),
        ("ppc64", 'blocks = [{ blocks = "1", valid_zones = "DMA32" }]', "expected one of Movable, N"),
        ("arm64", 'blocks = [{ blocks = "9", valid_zones = "none Normal" }]', "expected zones, or none alone"),
        ("arm64", 'blocks = [{ blocks = "9", valid_zones = "DMA DMA" }]', "expected each zone once"),
        (
            "ppc64",
            'use = [{ start = 0, size = "4G", kind = "free" }]',
            "use[0].kind: 'free', expected 'kernel': the running one lies there",
        ),
        (
            "ppc64",
            'use = [{ start = "1G", size = "64K", kind = "hugetlb", order = 3 }]',
            "use[0].size: 0x10000, expected whole blocks of order 3",
        ),
        (
            "arm64",
            'use = [{ start = "2G", size = "4K", kind = "hwpoison" }]\nconfig = { MEMORY_FAILURE = false }',
            "use[0].kind: 'hwpoison', expected a kernel with config.MEMORY_FAILURE",
        ),
    ],
)  # fmt: skip
def test_what_this_architecture_cannot_have(arch: str, top: str, said: str) -> None:
    assert said in refused(arch, top=top)


PINNED = 'crashkernel = [{{ start = "512M", size = "{size}" }}{more}]\ncmdline = "{cmdline}"'


@pytest.mark.parametrize(
    ("size", "more", "cmdline", "said"),
    [
        ("256M", "", "quiet", "crashkernel: pinned, but cmdline has no crashkernel="),
        (
            "256M",
            "",
            "crashkernel=128M",
            "0x10000000 bytes pinned, but 'crashkernel=128M' in cmdline asks for 0x8000000",
        ),
        ("64K", "", "crashkernel=256M,high", "0x10000 bytes pinned, but 'crashkernel=256M,high' in c"),
        (
            "256M",
            ', { start = "1G", size = "64M", kind = "cma" }',
            "crashkernel=256M",
            "crashkernel: one is of kind cma, expected a crashkernel=SIZE,cma in cmdline",
        ),
    ],
)  # fmt: skip
def test_a_pinned_reservation_is_one_that_the_command_line_asks_for(
    size: str, more: str, cmdline: str, said: str
) -> None:
    assert said in refused("x86_64", top=PINNED.format(size=size, more=more, cmdline=cmdline))


@pytest.mark.parametrize(
    ("arch", "memory", "said"),
    [
        ("arm64", 'flags = "NOMAP"', "memory[0].flags: 'NOMAP', expected a range that has ''"),
        (
            "arm64",
            '[[memory]]\nstart = "5G"\nsize = 1000',
            "memory[1]: 0x140000000 + 0x3e8, expected whole pages",
        ),
        ("arm64", 'name = "System RAM (kmem)"', "expected a range that has 'System RAM'"),
    ],
)
def test_a_kernel_needs_memory_of_its_own(arch: str, memory: str, said: str) -> None:
    assert said in refused(arch, memory=memory)


@pytest.mark.parametrize(
    ("arch", "cpus", "said"),
    [
        ("ppc64", 'compatible = "x"', "cpus.compatible: not on ppc64, only on arm64 and riscv64"),
        ("ppc64", "cores_per_package = 4", "cpus.cores_per_package: not on ppc64"),
        ("riscv64", 'type = "PowerPC,POWER9"', "cpus.type: not on riscv64, only on ppc64"),
        ("x86_64", 'present = "2-3"', "cpus.present: '2-3', expected CPU 0 among them"),
        ("x86_64", "cores_per_package = 8\nthreads = 2", "expected at most the 4 cores"),
    ],
)
def test_cpus_that_no_kernel_has(arch: str, cpus: str, said: str) -> None:
    assert said in refused(arch, cpus=cpus)


@pytest.mark.parametrize(
    ("arch", "end", "said"),
    [
        ("ppc64", '[devicetree]\n"chosen/bootargs" = "x"', "follows from cmdline, expected that instead"),
        ("ppc64", '[devicetree]\n"cpus/PowerPC,POWER10@0/reg" = "0x00"', "follows from cpus, expected that"),
        ("ppc64", '[cpuinfo]\nfoo = "bar"', "cpuinfo.foo: 'foo', expected one of MMU, clock, cpu"),
        ("ppc64", '[cpuinfo]\nclock = "x"', "cpuinfo.clock: 'x', expected a frequency such as"),
        ("ppc64", '[cpuinfo]\ntimebase = "0"', "cpuinfo.timebase: '0', expected a number of ticks"),
        ("ppc64", '[cpuinfo]\nplatform = "PowerNV"', "expected that of platform, pseries"),
        ("ppc64", '[cpuinfo]\nMMU = "radix"', "cpuinfo.MMU: 'radix', expected Radix or Hash"),
        ("x86_64", '[cpuinfo]\n"cpu family" = "six"', "cpuinfo.cpu family: 'six', expected a number"),
        ("x86_64", '[cpuinfo]\n"model name" = ""', "cpuinfo.model name: '', expected a text"),
        ("arm64", '[cpuinfo]\n"CPU implementer" = "ARM"', "expected a number in hex such as 0x41"),
        ("riscv64", '[cpuinfo]\nmmu = "sv99"', "cpuinfo.mmu: 'sv99', expected sv39, sv48 or sv57"),
        ("riscv64", '[cpuinfo]\nisa = "x86"', "cpuinfo.isa: 'x86', expected an ISA such as rv64"),
        ("x86_64", '[vulnerabilities]\nmeltdown = ""', "vulnerabilities.meltdown: '', expected a te"),
        ("x86_64", '[[caches]]\nlevel = 9\ntype = "Data"', "caches[0].level: 9, expected 1 to 4"),
        ("x86_64", '[[caches]]\nlevel = 1\ntype = "Data"\nline = 63', "expected a power of two, at m"),
        ("x86_64", '[[caches]]\nlevel = 1\ntype = "Data"\ncores = 99', "expected at most the 8 cores"),
        (
            "x86_64",
            '[[caches]]\nlevel = 1\ntype = "Data"\nsize = "32K"\nline = 64\nways = 8\nsets = 63',
            "caches[0].size: 32768, expected line times ways times sets, 32256",
        ),
        (
            "x86_64",
            '[[caches]]\nlevel = 3\ntype = "Unified"\n[[caches]]\nlevel = 1\ntype = "Data"',
            "caches[1].level: 1, expected 3 or more: caches come by their levels",
        ),
        (
            "arm64",
            '[[caches]]\nlevel = 1\ntype = "Data"\n[[caches]]\nlevel = 1\ntype = "Unified"',
            "caches[1]: level 1 has a cache for data already, expected one",
        ),
    ],
)  # fmt: skip
def test_processors_that_there_are_not(arch: str, end: str, said: str) -> None:
    assert said in refused(arch, end=end)


@pytest.mark.parametrize("name", sorted(ARCHES))
def test_the_rows_that_a_file_may_have_are_those_that_the_architecture_prints(name: str) -> None:
    assert arch_of(name).cpuinfo_rows() == {*ROWS[name], *PROSE[name]}


def test_rows_of_lparcfg_need_the_file() -> None:
    said = refused("ppc64", top="config = { LPARCFG = false }", end="[lparcfg]\nMinMem = 1")
    assert "lparcfg: expected none with config.LPARCFG = false" in said
