"""Machine descriptions: what is wrong is said in one sentence with file, place, value, expectation."""

from __future__ import annotations

import time

import pytest

from elfcorehdr import profiles
from elfcorehdr.arch import ARCHES, arch_of
from elfcorehdr.errors import ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.machine.facts import FACTS
from elfcorehdr.machine.reader import from_toml

GOOD = """
name = "x"
source = "this test"
arch = "ppc64"
kernel_end = 0x2000000
[[memory]]
start = 0
size = "4G"
[cpus]
possible = "0-7"
"""
PC = GOOD.replace("ppc64", "x86_64")
ARM = """
name = "x"
source = "this test"
arch = "arm64"
memory = [{ start = "1G", size = "4G" }]
[cpus]
possible = "0-3"
"""


def refused(text: str, file: str = "x.toml") -> str:
    """The sentence that a file is refused with."""
    with pytest.raises(ProfileError) as caught:
        from_toml(text, file)
    sentence = str(caught.value)
    assert sentence.startswith(f"{file}: ")
    assert "\n" not in sentence
    assert len(sentence) < 2500
    return sentence.removeprefix(f"{file}: ")


def test_a_short_description_boots_with_what_the_architecture_says() -> None:
    kernel = Kernel.boot(from_toml(GOOD, "x.toml"))
    assert kernel.memory.count() == 16
    assert (kernel.page_size, kernel.memory.block_size) == (65536, 256 << 20)
    kernel = Kernel.boot(from_toml(PC, "x.toml"))
    assert (kernel.page_size, kernel.memory.block_size) == (4096, 128 << 20)


@pytest.mark.parametrize("size", ["4294967296", '"4G"', '"4GiB"', '"0x100000000"', '"4096m"'])
def test_sizes_are_written_as_people_write_them(size: str) -> None:
    assert from_toml(GOOD.replace('"4G"', size), "x.toml").memory[0].size == 4 << 30


TOP = 'name = "x"\n'
"""Where a key goes that is not in a table."""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('source = "this test"', "", "key 'source' is missing: say where the numbers come from"),
        ('source = "this test"', 'source = " "', "source: ' ', expected a text that says"),
        ('name = "x"', 'name = ""', "name: '', expected a text that says something"),
        ('arch = "ppc64"', "", "key 'arch' is missing"),
        ('arch = "ppc64"', 'arch = "ppc64le"', "arch: 'ppc64le' (did you mean ppc64?), expected one of arm64,"),
        ("[cpus]", "[cpu]", "cpu: unknown key (did you mean cpus?)"),
        ('name = "x"', "name = ", "not TOML: Invalid value"),
        (TOP, TOP + "page_sise = 4096\n", "page_sise: unknown key (did you mean page_size?)"),
        (TOP, TOP + "page_size = 5\n", "page_size: 5, expected 4096 or 65536 on ppc64"),
        (TOP, TOP + "page_size = 16384\n", "page_size: 16384, expected 4096 or 65536 on ppc64"),
        (TOP, TOP + "page_size = true\n", "page_size: True, expected a number, 0 or more"),
        (TOP, TOP + "page_size = 4096.0\n", "page_size: 4096.0, expected a number"),
        (TOP, TOP + 'platform = "pserie"\n', "platform: 'pserie' (did you mean pseries?), expected one of powernv, pseries"),
        (TOP, TOP + 'kernel = "99.9"\n', "kernel '99.9': newer than anything known here"),
        (TOP, TOP + 'cmdline = "a\\u0000b"\n', "cmdline: 'a\\x00b', expected a text without control"),
        (TOP, TOP + f'cmdline = "{"x" * 2048}"\n', "cmdline: 2048 bytes, expected at most 2047"),
        (TOP, TOP + 'auto_online_blocks = "yes"\n', "auto_online_blocks: 'yes', expected one of"),
        (TOP, TOP + 'build_id = "0xff"\n', "build_id: '0xff', expected bytes in hex"),
        (TOP, TOP + "config = { PMM = true }\n", "config.PMM: 'PMM' (did you mean PM?), expected one of BUILD_SALT"),
        (TOP, TOP + "config = { CONFIG_PM = true }\n", "(did you mean PM, without CONFIG_?)"),
        (TOP, TOP + 'config = { PM = "y" }\n', "config.PM: 'y', expected true or false"),
        (TOP, TOP + 'memory_block_size = "3M"\n', "memory_block_size: 0x300000, expected a power"),
        (TOP, TOP + 'memory_block_size = "3G"\n', "memory_block_size: 0xc0000000, expected a power"),
        (TOP, TOP + 'memory_block_size = "8G"\n', "expected whole memory blocks of 8G"),
        ('"4G"', "3", "memory[0]: 0x0 + 0x3, expected whole pages, not empty"),
        ('"4G"', "0", "memory[0]: 0x0 + 0x0, expected whole pages, not empty"),
        ('"4G"', '"4X"', "memory[0].size: '4X', expected a size such as '16G'"),
        ('"4G"', '"99999999E"', "memory[0].size: '99999999E', expected a size such as"),
        ('"4G"', "0x100000000000000000", "memory[0].size: 295147905179352825856, expected a number b"),
        ('"4G"', "-1", "memory[0].size: -1, expected a number, 0 or more"),
        ('"4G"', '"8E"', "memory[0]: 0x0 + 0x8000000000000000, expected an end of at most"),
        ("start = 0", "start = 0xfffffffff0000000", "expected an end of at most"),
        ("start = 0", 'start = "1G"', "memory[0].start: 0x40000000, expected 0 on ppc64"),
        ('"4G"', '"4G"\nnode = 256', "memory[0].node: 256, expected a node below 256"),
        ('"4G"', '"4G"\nname = "Ram"', "memory[0].name: 'Ram', expected 'System RAM'"),
        ('"4G"', '"4G"\nflags = "NOMAPP"', "memory[0].flags: 'NOMAPP' (did you mean NOMAP?), expected one of"),
        ("[cpus]", '[[memory]]\nstart = "2G"\nsize = "1G"\n[cpus]', "expected ascending ranges"),
        ('"0-7"', '"a"', "cpus.possible: 'a', expected a CPU list such as 0-3,6"),
        ('"0-7"', '""', "cpus.possible: '', expected at least one CPU"),
        ('"0-7"', '"0-99999999"', "expected a CPU list such as 0-3,6, below 2048 (CONFIG_NR_CPUS)"),
        ('"0-7"', '"0-999999999999"', "expected a CPU list such as 0-3,6"),
        ('"0-7"', '"7-0"', "cpus.possible: '7-0', expected a CPU list"),
        ('"0-7"', '"0-1_0"', "cpus.possible: '0-1_0', expected a CPU list"),
        ('"0-7"', '"0-7"\nthreads = 0', "cpus.threads: 0, expected one of 1, 2, 4, 8 on ppc64"),
        ('"0-7"', '"0-6"\nthreads = 2', "cpus.threads: 2, expected a divisor of the 7 possible"),
        ('"0-7"', '"0-7"\nthreads = 4\npresent = "0-1"', "cpus.present: '0-1', expected whole cores"),
        ('"0-7"', '"0-7"\npresent = "0-9"', "cpus.present: '0-9', expected possible CPUs alone, whi"),
        ('"0-7"', '"0-7"\npresent = "0-3"\nonline = "4"', "cpus.online: '4', expected present CPUs al"),
        ('"0-7"', '"0-7"\nnode = { 3 = 1 }', "cpus.node.3: 1, expected a node with memory, such as 0"),
        ('"0-7"', '"0-7"\nnode = { 9 = 0 }', "cpus.node.9: no such CPU, expected one of 0-7"),
        ('"0-7"', '"0-7"\nnode = { x = 0 }', "cpus.node.x: expected a number as key"),
        (TOP, TOP + 'blocks = [{ blocks = "16" }]\n', "blocks[0].blocks: 16-16, expected blocks of"),
        (TOP, TOP + 'blocks = [{ blocks = "1", state = "onlin" }]\n', "(did you mean online?)"),
        (TOP, TOP + 'blocks = [{ blocks = "1,1" }]\n', "blocks[0].blocks: '1,1', expected a list"),
        (TOP, TOP + 'blocks = [{ blocks = "1" }, { blocks = "0-2" }]\n', "a block is named twice"),
        (TOP, TOP + 'blocks = [{ blocks = "1", valid_zones = "DMA3" }]\n', "'DMA3', expected one of Movable, Normal, none"),
        (TOP, TOP + 'rtas = { start = "5G", size = 1 }\n', "rtas: 0x140000000 + 0x1, expected a place"),
        (TOP, TOP + "rtas = { start = 4096, size = 0 }\n", "rtas: 0x1000 + 0x0, expected more than"),
        (TOP, TOP + "rtas = { start = 4096 }\n", "key 'rtas.size' is missing"),
        (TOP, TOP + 'opal = { start = "4095M", size = "2M" }\n', "opal: 0xfff00000 + 0x200000, expected"),
        (TOP, TOP + 'vmcoreinfo = "4G"\n', "vmcoreinfo: 0x100000000 + 0x10024, expected a place"),
        (TOP, TOP + "vmcoreinfo = 4096\n", "vmcoreinfo: 0x1000, expected whole pages"),
        (TOP, TOP + 'crash_notes = { 0 = "4G" }\n', "crash_notes.0: 0x100000000 + 0x218, expected a"),
        (TOP, TOP + "crash_notes = { 9 = 4096 }\n", "crash_notes.9: no such CPU"),
        (TOP, TOP + "crash_notes = { 0 = 4096, 1 = 4100 }\n", "crash_notes.1: 0x1004, overlaps that of"),
        (TOP, TOP + 'crash_notes_first = "4095M"\ncrash_notes_step = "1M"\n', "crash_notes_first: 0x"),
        (TOP, TOP + "crash_notes_step = 8\n", "crash_notes_step: 0x8, expected with crash_notes_first"),
        (TOP, TOP + 'pinned = [{ start = "1T", size = 1 }]\n', "pinned[0]: 0x10000000000 + 0x1, expect"),
        (TOP, TOP + 'crashkernel = [{ start = "4G", size = "1M" }]\n', "crashkernel[0]: 0x100000000 +"),
        (
            TOP,
            TOP + 'crashkernel = [{ start = "1G", size = "1M", kind = "crashk" }]\n',
            "crashkernel[0].kind: 'crashk' (did you mean crashk_res?), expected one of cma, crashk_low_res, crashk_res",
        ),
        (
            TOP,
            TOP + 'crashkernel = [{ start = "1G", size = "1M", kind = "cma" }]\n',
            "crashkernel: none of kind crashk_res",
        ),
        (TOP, TOP + 'pinned_for = "crashkernel=1G"\n', "pinned_for: there is no crashkernel"),
        (TOP, TOP + 'rma_size = "5G"\n', "rma_size: 0x140000000, expected at most the memory from 0"),
        ("0x2000000", '"5G"', "kernel_end: 0x0 + 0x140000000, expected a place in mem"),
        (TOP, TOP + "fadump_reserved = 4096\n", "fadump_reserved: expected with fadump = true"),
        (TOP, TOP + "lmbs = [{ count = 15, start = 0 }]\n", "lmbs: too few: memory[0], 0x0 + 0x1000"),
        (TOP, TOP + "lmbs = [{ count = 16, start = 1 }]\n", "lmbs[0].start: 0x1, expected a multiple"),
        (TOP, TOP + "lmbs = [{ count = 0, start = 0 }]\n", "lmbs[0].count: 0, expected 1 to"),
        (
            TOP,
            TOP + 'lmbs = [{ count = 16, start = 0, drc = 1 }, { count = 9, start = "2G", drc = 99 }]\n',
            "lmbs[1]: address 0x80000000 is in lmbs[0] too",
        ),
        (
            TOP,
            TOP + 'lmbs = [{ count = 16, start = 0, drc = 1 }, { count = 9, start = "4G", drc = 16 }]\n',
            "lmbs[1]: drc 0x10 is in lmbs[0] too",
        ),
        (
            TOP,
            TOP + 'resources = [{ start = "3G", size = "2G", name = "pci" }]\n',
            "resources[0]: 0xc0000000 to 0x13fffffff, expected inside memory[0] or outside it",
        ),
        (TOP, TOP + "resources = [{ start = 1, size = 1 }]\n", "resources[0].name: '', expected a name"),
        (TOP, TOP + "kdump = { kernel = [{ memsz = 0 }] }\n", "kdump.kernel[0].memsz: 0x0, expected"),
        (TOP, TOP + "kdump = { kernel = [{ memsz = 1, filesz = 2 }] }\n", "kdump.kernel[0].filesz: 0x"),
        (TOP, TOP + "nr_cpus = 100000\n", "nr_cpus: 100000, expected at most 8192"),
        (TOP, TOP + "memory = 3\n", "not TOML: "),
        (TOP, TOP + "rtas = []\n", "rtas: a list of 0, expected a table"),
        (TOP, TOP + "blocks = { a = 1 }\n", "blocks: a table of 1, expected a list of tables"),
        (TOP, TOP + f"x = {'[' * 5000}{']' * 5000}\n", "not TOML: nested too deeply"),
        (TOP, TOP + f"page_size = {'9' * 5000}\n", "not TOML: "),
    ],
)  # fmt: skip
def test_wrong_input_is_one_sentence(old: str, new: str, sentence: str) -> None:
    assert sentence in refused(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("/model", "expected a path below the root, without a slash in front or behind"),
        ("chosen/", "without a slash in front or behind"),
        ("a//b", "expected a path below the root"),
        ("../b", "expected a path below the root"),
        ("chosen", "is a node, expected a property"),
        ("cpus", "is a node, expected a property"),
    ],
)
def test_a_key_of_the_devicetree_is_a_path_below_the_root(key: str, sentence: str) -> None:
    assert sentence in refused(GOOD + f'[devicetree]\n"{key}" = "1"\n')


def test_a_property_and_a_node_cannot_have_one_name() -> None:
    assert "is a node" in refused(GOOD + '[devicetree]\n"a/b" = "1"\n"a" = "2"\n')


def test_hex_bytes_are_pairs_of_digits() -> None:
    assert "two hex digits a byte" in refused(GOOD + '[devicetree]\n"a" = "0x123"\n')
    assert "two hex digits a byte" in refused(GOOD + '[devicetree]\n"a" = "0xzz"\n')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (PC.replace(TOP, TOP + "rtas = { start = 4096, size = 4096 }\n"), "rtas: not on x86_64, only on pseries"),
        (PC.replace(TOP, TOP + "fadump = true\n"), "fadump: not on x86_64, only on ppc64"),
        (PC.replace(TOP, TOP + "lmbs = [{ count = 1, start = 0 }]\n"), "lmbs: not on x86_64, only on pseries"),
        (PC + '[devicetree]\nmodel = "x"\n', "devicetree: none is emulated on x86_64"),
        (PC.replace("4G", "65T"), "expected an end of at most 0x400000000000"),
        (PC.replace(TOP, TOP + 'memory_block_size = "2G"\n').replace("4G", "5G"), "expected a divisor"),
        (PC.replace(TOP, TOP + 'memory_block_size = "64M"\n'), "a power of two from 128M to 2G"),
        (PC.replace("[cpus]", "[cpus]\nthreads = 8"), "cpus.threads: 8, expected one of 1, 2 on"),
        (ARM.replace(TOP, TOP + 'memory_block_size = "1G"\n'), "expected 128M on arm64 (one section"),
        (ARM.replace(TOP, TOP + 'platform = "pc"\n'), "platform: 'pc', expected one of board,"),
        (ARM.replace(TOP, TOP + "page_size = 65536\n").replace('"1G"', "4096"), "whole pages"),
        (
            ARM.replace(TOP, TOP + "kernel_text = { paddr = 0, vaddr = 1, size = 1 }\n"),
            "kernel_text: 0x0 + 0x1, expected a place in memory",
        ),
    ],
)  # fmt: skip
def test_what_an_architecture_cannot_have_is_refused(text: str, sentence: str) -> None:
    assert sentence in refused(text)


def test_several_faults_are_told_at_once_and_not_without_end() -> None:
    text = GOOD.replace(TOP, TOP + "page_sise = 1\nfadum = true\nkernel_end = -1\n", 1)
    sentence = refused(text.replace("kernel_end = 0x2000000\n", ""))
    for told in ("page_sise: unknown key", "fadum: unknown key", "kernel_end: -1"):
        assert told in sentence
    many = "".join(f"key{i} = 1\n" for i in range(5000))
    assert refused(many + GOOD).endswith("; and 4994 more")


def test_an_architecture_is_known_by_its_other_names() -> None:
    for said, meant in (("aarch64", "arm64"), ("amd64", "x86_64"), ("riscv", "riscv64")):
        assert f"(did you mean {meant}?)" in refused(GOOD.replace("ppc64", said))
    assert "makes its own header" in refused(GOOD.replace("ppc64", "s390x"))
    assert "expected one of arm64, ppc64" in refused(GOOD.replace("ppc64", "vax"))


def test_what_is_wrong_is_said_in_no_time_however_large_it_is() -> None:
    began = time.process_time()
    for old, new in (('"0-7"', '"0-888888888"'), ('"4G"', '"15E"'), (TOP, TOP + "x = 1\n" * 1)):
        refused(GOOD.replace(old, new, 1))
    runs = ",".join(str(2 * i) for i in range(100_000))
    refused(GOOD.replace("0-7", runs))
    lmbs = "lmbs = [{ count = 4294967295, start = 0 }]\n"
    refused(GOOD.replace(TOP, TOP + lmbs))
    blocks = 'blocks = [{ blocks = "0-999999999" }]\n'
    refused(GOOD.replace(TOP, TOP + blocks))
    assert time.process_time() - began < 3


def test_a_file_that_never_ends_and_one_that_is_none_are_refused() -> None:
    for path, sentence in (
        ("/dev/zero", "characters, expected at most"),
        ("/proc/self", "Is a directory"),
        ("/nowhere/x.toml", "No such file or directory"),
    ):
        with pytest.raises(ProfileError, match=sentence):
            profiles.load(path)


def test_the_architectures_and_the_bounds_of_a_file_agree() -> None:
    assert FACTS.keys() == ARCHES.keys()
    for name, facts in FACTS.items():
        arch = arch_of(name)
        assert set(facts.platforms) == set(arch.platforms)
        assert facts.nr_cpus == arch.nr_cpus
        assert facts.note_bytes == arch.crash_note_bytes


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_machine_boots_and_says_where_it_comes_from(name: str) -> None:
    machine = profiles.load(name)
    assert machine.name == name
    assert len(machine.source) > 20
    assert Kernel.boot(machine).kexec.crash_size() > 0


def test_an_unknown_machine_names_the_near_one() -> None:
    with pytest.raises(ProfileError, match=r"did you mean pseries-16g\?"):
        profiles.load("pseries-16")


@pytest.mark.parametrize("name", profiles.names())
def test_a_written_machine_is_read_as_the_same(name):
    from elfcorehdr.machine.reader import from_toml
    from elfcorehdr.machine.writer import to_toml

    machine = profiles.load(name)
    assert from_toml(to_toml(machine, ("made by a test",)), "written") == machine


def test_what_is_written_needs_quotes_where_toml_does():
    from elfcorehdr.lib.record import replace
    from elfcorehdr.machine.reader import from_toml
    from elfcorehdr.machine.writer import to_toml

    machine = replace(
        profiles.load("pseries-4g"),
        cmdline='a="b c" \\ é',
        devicetree={"cpus/x@0/ibm,y": "0x01", "model": 'a "b"'},
    )
    assert from_toml(to_toml(machine), "written") == machine


TEXT = "kernel_text = { paddr = 0x1000000, vaddr = 0xffffffff81000000, size = 0x2000000 }\n"


@pytest.mark.parametrize(
    ("top", "sentence"),
    [
        ("kernel_end = 4096\n", "kernel_end: 0x1000, expected a kernel of 1M to 1G from 0x0 on"),
        ("rma_size = 1000000000\n", "rma_size: 0x3b9aca00, expected a multiple of 1M"),
        (
            "rtas = { start = 0x30000001, size = 0x1000 }\n",
            "rtas.start: 0x30000001, expected a multiple of 4096",
        ),
        (
            "rtas = { start = 0, size = 0x1000 }\n",
            "kernel_end: 0x0 is in rtas too, expected a place of its own",
        ),
        (
            "vmcoreinfo = 0x1000000\n",
            "vmcoreinfo: 0x1000000 is in kernel_end too, expected a place",
        ),
        (
            "crash_notes_first = 0x80000001\n",
            "crash_notes_first: 0x80000001, expected a multiple of 4",
        ),
        ("crash_notes_first = 0x1000\n", "crash_notes_first: 0x1000 is in kernel_end too"),
        (
            "crash_notes = { 0 = 0x80000002 }\n",
            "crash_notes.0: 0x80000002, expected a multiple of 4",
        ),
        (
            "crashkernel = [{ start = 0x1000000, size = 0x10000000 }]\n",
            "crashkernel[0]: expected not to lie over kernel_end, 0x0 to 0x1ffffff",
        ),
        (
            "crashkernel = [{ start = 0x10000123, size = 0x10000000 }]\n",
            "crashkernel[0]: 0x10000123 + 0x10000000, expected whole pages",
        ),
        (
            "lmbs = [{ count = 16, start = 0, drc = 1 }]\n",
            "lmbs[0].drc: 0x1 and 15 more, expected 0x80000000 to",
        ),
        (
            "kdump = { kernel = [{ memsz = 3 }] }\n",
            "kdump.kernel[0].memsz: 0x3, expected a page or more",
        ),
    ],
)
def test_places_that_no_kernel_has(top: str, sentence: str) -> None:
    text = GOOD.replace("kernel_end = 0x2000000\n", "") if top.startswith("kernel_end") else GOOD
    assert sentence in refused(text.replace(TOP, TOP + top))


@pytest.mark.parametrize(
    ("top", "sentence"),
    [
        (
            TEXT.replace("0xffffffff81000000", "12345"),
            "kernel_text.vaddr: 0x3039, expected whole pages from 0xffffffff80000000",
        ),
        (TEXT.replace("0x2000000", "3"), "kernel_text.size: 0x3, expected a page or more"),
        (
            'resources = [{ start = 0xf0000, size = "16G", name = "Reserved" }]\n',
            "resources[0]: 0xf0000 to 0x4000effff, expected inside memory[0] or outside it",
        ),
        (
            'resources = [{ start = 0, size = "16G", name = "Reserved" }]\n',
            "resources[0]: expected not to hold memory[0]: memory lies in no other row",
        ),
        (
            'resources = [{ start = "8G", size = 4096, name = "Kernel data" }]\n',
            "resources[0]: 'Kernel data', expected a place in memory",
        ),
        (
            'resources = [{ start = "8G", size = 1, name = "a" }, { start = "8G", size = 1, name = "a" }]\n',
            "resources[1]: 0x200000000 + 0x1 'a', the same as resources[0], expected each row once",
        ),
    ],
)
def test_rows_that_no_machine_has(top: str, sentence: str) -> None:
    assert sentence in refused(PC.replace(TOP, TOP + top))


def test_the_direct_map_is_in_the_upper_half() -> None:
    for base in ("0x1000", "0x7fffffffffffffff", "0xffff888000000001"):
        said = refused(PC.replace(TOP, TOP + f"direct_map_base = {base}\n"))
        assert f"direct_map_base: {base}, expected whole pages in the upper half" in said


def test_the_threads_of_a_core_are_on_one_node() -> None:
    two = GOOD.replace('size = "4G"', 'size = "2G"').replace(
        "[cpus]", '[[memory]]\nstart = "2G"\nsize = "2G"\nnode = 1\n[cpus]\nthreads = 4'
    )
    good = "node = { 4 = 1, 5 = 1, 6 = 1, 7 = 1 }\n"
    assert from_toml(two + good, "x.toml")
    said = refused(two + good.replace("6 = 1, ", ""))
    assert "cpus.node.6: 0, expected that of CPU 4, 1: they are of one core" in said


def test_memory_of_x86_is_made_of_words() -> None:
    for size in ("3", "12345", "0x80000001"):
        assert "expected whole words of 8 bytes, 64 or more" in refused(PC.replace('"4G"', size))


def test_firmware_may_lie_in_the_pinned_reservation_as_in_golden_ppc64_b():
    from elfcorehdr.lib.record import replace
    from elfcorehdr.machine import CrashRegion, Region

    machine = replace(
        profiles.load("pseries-16g"),
        rtas=Region(0x2FFF0000, 0x89C),
        crashkernel=(CrashRegion(0x18000000, 0x40000000),),
    )
    from elfcorehdr.machine.writer import to_toml

    assert from_toml(to_toml(machine), "B").rtas == machine.rtas
