"""A kernel image in memory: read from an ELF file that gcc and ld make, with types that gcc describes (-gbtf)."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import gnu_build_id
from elfcorehdr.errors import ElfFormatError, ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.kernel.panic import Crash
from elfcorehdr.kernel.vmlinux.btf import Btf
from elfcorehdr.kernel.vmlinux.fits import fits, with_image
from elfcorehdr.kernel.vmlinux.image import Vmlinux
from elfcorehdr.kernel.vmlinux.relocs import RELA_DYN, RELR, Rela, Relocs
from elfcorehdr.lib.record import replace
from elfcorehdr.mm.mm_init import counts
from fsmount.host.mapped import opened
from fsmount.sysfs.ksysfs import notes_show
from tests.conftest import required

SOURCE = Path(__file__).parents[1] / "golden/ours/vmlinux"
PC = profiles.load("pc-2g")
SLIDE = 0x1C000000


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """vmlinux.c, compiled."""
    if shutil.which("gcc") is None:
        if required("gcc"):
            pytest.fail("gcc is required", pytrace=False)
        pytest.skip("no gcc here: apt install gcc")
    made = tmp_path_factory.mktemp("vmlinux") / "vmlinux"
    flags = (
        "-O1 -gbtf -mcmodel=kernel -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=none "
        "-nostdlib -static -Wl,--build-id=sha1 -Wl,-z,norelro -Wl,-q"
    )
    line = ["gcc", *flags.split(), '-DRELEASE="7.3.4-tiny"', "-Wl,-T,vmlinux.lds", "-o", made, "vmlinux.c"]  # fmt: skip
    done = subprocess.run(line, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


def image(path: Path) -> Vmlinux:
    return Vmlinux(str(path), opened(str(path)))


def crashed(path: Path, pid: int = 4242, slide: int = 0) -> Kernel:
    """pc-2g, which crashed with that image in memory, `slide` bytes from where it is linked to."""
    vmlinux = image(path)
    text = PC.kernel_text
    assert text is not None
    moved = replace(PC, kernel_text=replace(text, paddr=text.paddr + slide, vaddr=text.vaddr + slide))  # fmt: skip
    kernel = Kernel.boot(with_image(moved, vmlinux), vmlinux=vmlinux)
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    kernel.panic.panic("test", Crash(cpu=1, pid=pid, comm="bash"))
    return kernel


class Memory:
    """Memory by virtual address, of the kernel that crashed; offsets are the compiler's own."""

    def __init__(self, kernel: Kernel) -> None:
        assert kernel.memory_image is not None
        self.image, self.vmlinux = kernel.memory_image, kernel.vmlinux
        self.slide = self.image.layout.text.vaddr - self.vmlinux.link
        names = "cpu stack pid tasks comm pid_links pid_tasks numbers slots xa_head curr b real_parent size queue thread_pid"
        at = self.vmlinux.symbols["offsets"]
        values = struct.unpack("<16Q", self.vmlinux.read(at, 128))
        self.offset = dict(zip(names.split(), values, strict=True))

    def read(self, va: int, size: int) -> bytes:
        assert self.image.image is not None
        va %= 1 << 64
        return self.image.mem.read(self.image.image.phys(va), size)

    def word(self, va: int, size: int = 8) -> int:
        return int.from_bytes(self.read(va, size), "little")

    def symbol(self, name: str) -> int:
        return self.vmlinux.symbols[name] + self.slide

    def member(self, task: int, name: str, size: int = 8) -> int:
        return self.word(task + self.offset[name], size)

    def comm(self, task: int) -> str:
        return self.read(task + self.offset["comm"], 16).split(b"\0")[0].decode()

    def tasks(self) -> list[int]:
        """init_task and those behind it, forwards, and the same backwards."""
        first = self.symbol("init_task") + self.offset["tasks"]
        found, at = [first], self.word(first)
        while at != first:
            assert self.word(self.word(at) + 8) == at
            found.append(at)
            at = self.word(at)
        return [at - self.offset["tasks"] for at in found]


def test_types_lie_where_the_compiler_put_them(tiny):
    vmlinux = image(tiny)
    memory_offsets = struct.unpack("<16Q", vmlinux.read(vmlinux.symbols["offsets"], 128))
    paths = [
        "task_struct.thread_info.cpu",
        "task_struct.stack",
        "task_struct.pid",
        "task_struct.tasks",
        "task_struct.comm",
        "task_struct.pid_links",
        "pid.tasks",
        "pid.numbers",
        "xa_node.slots",
        "pid_namespace.idr.idr_rt.xa_head",
        "rq.curr",
        "task_struct.b",
        "task_struct.real_parent",
    ]
    assert tuple(vmlinux.btf.offset(path) for path in paths) == memory_offsets[:13]
    assert vmlinux.btf.size("task_struct") == memory_offsets[13]
    assert vmlinux.btf.length("task_struct.comm") == 16
    assert vmlinux.btf.length("xa_node.slots") == 16
    assert vmlinux.btf.size("nodemask_t") == 16
    assert vmlinux.btf.enumerator("PG_head") == 11
    assert vmlinux.btf.offset("task_struct.nothing") is None
    assert vmlinux.btf.offset("nothing.pid") is None
    assert vmlinux.btf.size("nothing") == 0
    assert vmlinux.btf.enumerator("PG_nothing") is None


def test_image_says_which_kernel_it_is(tiny):
    vmlinux = image(tiny)
    assert (vmlinux.release, vmlinux.upstream) == ("7.3.4-tiny", "7.3.4")
    said = subprocess.run(["readelf", "-n", tiny], capture_output=True, text=True, check=True)
    assert vmlinux.build_id
    assert f"Build ID: {vmlinux.build_id}" in said.stdout


@pytest.mark.parametrize("slide", [0, SLIDE])
def test_tasks_are_a_ring_from_init_task(tiny, slide):
    memory = Memory(crashed(tiny, slide=slide))
    tasks = memory.tasks()
    told = [(memory.member(t, "pid", 4), memory.comm(t)) for t in tasks]
    assert told == [(0, "swapper/0"), (1, "init"), (4242, "bash")]
    assert memory.member(tasks[2], "real_parent") == tasks[1]
    assert memory.member(tasks[1], "real_parent") == tasks[0] == memory.symbol("init_task")
    assert memory.member(tasks[2], "cpu", 4) == 1
    assert len({memory.member(t, "stack") for t in tasks}) == 3
    assert memory.word(memory.member(tasks[2], "stack"), 4) == 0x57AC6E9D


@pytest.mark.parametrize("slide", [0, SLIDE])
def test_slab_caches_are_a_ring_of_empty_ones(tiny, slide):
    memory, btf = Memory(crashed(tiny, slide=slide)), image(tiny).btf
    link, name, size, order = (btf.offset(f"kmem_cache.{m}") for m in ("list", "name", "size", "oo.x"))  # fmt: skip
    head, found = memory.symbol("slab_caches"), {}
    at = memory.word(head)
    while at != head:
        assert memory.word(memory.word(at) + 8) == at
        cache = at - link
        text = memory.read(memory.word(cache + name), 16).split(b"\0")[0].decode()
        found[text] = memory.word(cache + size, 4)
        objects = memory.word(cache + order, 4)
        assert (objects & 0xFFFF) * found[text] <= 4096 << (objects >> 16)
        node = memory.word(cache + btf.offset("kmem_cache.node"))
        partial = node + btf.offset("kmem_cache_node.partial")
        assert memory.word(partial) == memory.word(partial + 8) == partial
        at = memory.word(at)
    assert found == {kind: btf.size(kind) for kind in ("kmem_cache", "task_struct")}
    assert memory.word(memory.symbol("task_struct_cachep")) != memory.word(memory.symbol("kmem_cache"))  # fmt: skip


def test_counters_count_the_pages_that_the_machine_says(tiny):
    kernel = crashed(tiny)
    memory = Memory(kernel)
    pages = counts(memory.image, [(m.start, m.end) for m in PC.memory])
    assert memory.word(memory.symbol("vm_zone_stat") + 8) == pages["free"] > 100_000
    told = [memory.word(memory.symbol("vm_node_stat") + 8 * n) for n in range(3)]
    assert told == [pages["anon"], pages["cache"] + pages["private-cache"], pages["slab"]]


def test_no_block_device_has_inodes(tiny):
    memory = Memory(crashed(tiny))
    inodes = memory.word(memory.symbol("blockdev_superblock")) + image(tiny).btf.offset("super_block.s_inodes")  # fmt: skip
    assert memory.word(inodes) == memory.word(inodes + 8) == inodes


def test_numbers_lead_to_tasks(tiny):
    memory = Memory(crashed(tiny))
    head = memory.word(memory.symbol("init_pid_ns") + memory.offset["xa_head"])
    assert head & 3 == 2

    def find(pid: int) -> int:
        node = head - 2
        for shift in range(memory.word(node, 1), -1, -4):
            entry = memory.word(node + memory.offset["slots"] + 8 * (pid >> shift & 15))
            node = entry - 2 if shift else entry
        return node

    for pid, comm in ((1, "init"), (4242, "bash")):
        struct_pid = find(pid)
        assert memory.word(struct_pid + memory.offset["numbers"], 4) == pid
        node = memory.word(struct_pid + memory.offset["pid_tasks"])
        task = node - memory.offset["pid_links"]
        assert memory.comm(task) == comm
        assert memory.member(task, "thread_pid") == struct_pid
    assert find(2) == 0


@pytest.mark.parametrize("slide", [0, SLIDE])
def test_each_cpu_has_an_area_of_its_own(tiny, slide):
    kernel = crashed(tiny, slide=slide)
    memory = Memory(kernel)
    table = memory.symbol("__per_cpu_offset")
    areas = [memory.word(table + 8 * n) for n in range(3)]
    assert len(set(areas)) == 3
    for cpu, comm in ((0, "swapper/0"), (1, "bash")):
        assert memory.word(memory.symbol("cpu_number") + areas[cpu], 4) == cpu
        assert memory.word(memory.symbol("this_cpu_off") + areas[cpu]) == areas[cpu]
        current = memory.word(memory.symbol("current_task") + areas[cpu])
        assert memory.comm(current) == comm
        rq = (memory.symbol("runqueues") + areas[cpu]) % (1 << 64)
        assert memory.word(rq + memory.offset["curr"]) == current
        assert memory.word(rq + memory.offset["queue"]) == rq + memory.offset["queue"]
    assert memory.word(memory.symbol("panic_cpu"), 4) == 1
    assert memory.word(memory.symbol("__cpu_online_mask"), 4) == 3


def test_vmcoreinfo_is_the_images(tiny):
    kernel = crashed(tiny)
    assert kernel.memory_image is not None
    info, vmlinux = kernel.memory_image.info, image(tiny)
    assert info.lines["OSRELEASE"] == "7.3.4-tiny"
    assert info.lines["BUILD-ID"] == vmlinux.build_id
    assert info.symbol("init_uts_ns") == vmlinux.symbols["init_uts_ns"]
    assert info.symbol("node_online_map") == vmlinux.symbols["node_states"] + 16
    assert info.offset("uts_namespace.name") == 8
    assert info.offset("page.lru") == 8
    assert info.length("node_data") == 128
    assert info.number("PG_head_mask") == 1 << 11


def test_kernel_is_the_images(tiny):
    kernel = crashed(tiny)
    assert kernel.release == "7.3.4-tiny"
    assert next(iter(kernel.log)).text.startswith("Linux version 7.3.4-tiny")
    memory = Memory(kernel)
    banner = memory.read(memory.symbol("linux_banner"), 64)
    assert banner.startswith(b"Linux version 7.3.4-tiny\0")
    rows = {r.name: r for r in with_image(PC, image(tiny)).resources}
    assert rows["Kernel code"].size == image(tiny).symbols["_etext"] - image(tiny).link


@pytest.mark.parametrize("slide", [SLIDE])
def test_pointers_of_the_image_follow_it(tiny, slide):
    """As its relocations say; what only looks like one stays."""
    memory = Memory(crashed(tiny, slide=slide))
    modules = memory.symbol("modules")
    assert memory.word(modules) == memory.word(modules + 8) == modules


@pytest.mark.parametrize(
    ("change", "asked", "why"),
    [
        ({"kernel": "6.1.0"}, "", "it is of kernel 7.3.4-tiny .7.3.4., expected 6.1.0, which machine"),
        ({"kernel": ""}, "6.12", "expected 6.12, which --kernel says"),
        ({}, "7.3.5", "expected 7.3.5, which --kernel says"),
        ({"kernel": "7.3.4+deb13-amd64"}, "", "expected 7.3.4.deb13-amd64, which machine"),
        ({"arch": "arm64"}, "", "it is for e_machine 62, expected 183: machine pc-2g is arm64"),
    ],
)  # fmt: skip
def test_image_of_another_kernel_is_refused(tiny, change, asked, why):
    with pytest.raises(ProfileError, match=why):
        fits(image(tiny), replace(PC, **change), asked)


def test_image_of_another_build_is_refused(tiny):
    build_id = image(tiny).build_id
    fits(image(tiny), replace(PC, build_id=build_id), "")
    with pytest.raises(ProfileError, match=f"its build ID is {build_id}, expected 00ff, that of"):
        fits(image(tiny), replace(PC, build_id="00ff"), "")
    fits(image(tiny), replace(PC, build_id="00ff"), "7.3")  # another kernel than the machine's own


def test_sysfs_and_vmcoreinfo_say_the_build_id_of_what_runs(tiny):
    def told(machine, release="", vmlinux=None):
        kernel = Kernel.boot(machine, release, vmlinux=vmlinux)
        sysfs = gnu_build_id(notes_show(kernel))
        kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
        kernel.panic.panic("test", Crash(cpu=1))
        assert kernel.memory_image.info.lines["BUILD-ID"] == sysfs
        return sysfs

    recorded = replace(PC, build_id="00ff" * 10)
    assert told(recorded) == "00ff" * 10
    assert told(recorded, "7.1") == told(PC, "7.1") != told(PC)
    assert told(with_image(recorded, image(tiny)), vmlinux=image(tiny)) == image(tiny).build_id


@pytest.mark.parametrize("asked", ["", "7.3", "7.3.4", "7.3.4-tiny", "v7.3"])
def test_image_of_the_kernel_is_taken(tiny, asked):
    fits(image(tiny), PC, asked)


def refused(content: bytes) -> str:
    with pytest.raises(ProfileError) as caught:
        Vmlinux("FILE", lambda at, size: content[at : at + size])
    return str(caught.value)


def test_what_is_no_vmlinux_is_refused_in_a_sentence(tiny, tmp_path):
    whole = tiny.read_bytes()
    assert refused(b"") == "vmlinux FILE: offset 0: magic is missing, expected 7f 45 4c 46 (ELF)"
    assert "expected a vmlinux" in refused(whole[:16] + b"\1" + whole[17:])  # ET_REL
    for section, why in (
        (".symtab", "it has no .symtab: expected a vmlinux that is not stripped"),
        (".BTF", "it has no .BTF: expected a kernel with CONFIG_DEBUG_INFO_BTF"),
    ):
        less = tmp_path / "less"
        options = ["--strip-all"] if section == ".symtab" else ["-R", section]
        subprocess.run(["objcopy", *options, tiny, less], check=True, capture_output=True)
        assert refused(less.read_bytes()) == f"vmlinux FILE: {why}"
    less = tmp_path / "less"
    subprocess.run(["objcopy", "-N", "init_uts_ns", "--keep-symbol=_text", "-K", "_end", tiny, less], check=False, capture_output=True)  # fmt: skip
    for end in range(0, len(whole), 997):
        assert len(refused(whole[:end])) < 300


def test_what_is_no_btf_is_refused():
    for data in (b"", b"\x9f\xeb\1\0", bytes(64)):
        with pytest.raises(ElfFormatError, match="no BTF"):
            Btf(data)
    with pytest.raises(ElfFormatError, match="cut off"):
        Btf(struct.pack("<HBB5I", 0xEB9F, 1, 0, 24, 0, 12, 12, 8))


@pytest.mark.parametrize("slide", [0, SLIDE])
def test_position_independent_images_have_two_kinds_of_relocations(slide):
    """.rela.dyn says the word, .relr.dyn where one is: arm64's, with --no-apply-dynamic-relocs."""
    link = 0xFFFF800080000000
    rela = struct.pack("<QQq", link + 16, 1027, link + 0x40 - (1 << 64))
    relr = struct.pack("<2Q", link + 32, 1 | 1 << 1 | 1 << 3)  # 32, 40, 56
    file = rela + relr
    sections = [
        Rela(0, len(rela), 0, 1 << 64, RELA_DYN),
        Rela(len(rela), len(relr), 0, 1 << 64, RELR),
    ]
    relocs = Relocs(183, sections, lambda at, n: file[at : at + n], link, 0x1000)
    words = [link + 8, 7, 0, link + 0x80, link + 0x100, link + 0x180, link + 0x200, link + 0x280]
    moved = struct.unpack("<8Q", relocs.apply(struct.pack("<8Q", *words), link, slide))
    pointers = {2: link + 0x40, 4: words[4], 5: words[5], 7: words[7]}
    assert moved == tuple(pointers[n] + slide if n in pointers else w for n, w in enumerate(words))


def test_image_without_relocations_has_its_aligned_words_moved():
    relocs = Relocs(62, [], lambda at, n: b"", 0x1000, 0x1000)
    words = struct.pack("<4Q", 0x1000, 0x1FFF, 0x2000, 0xFFF)
    moved = (0x1000 + SLIDE, 0x1FFF + SLIDE, 0x2000, 0xFFF)
    assert struct.unpack("<4Q", relocs.apply(words, 0x1800, SLIDE)) == moved
