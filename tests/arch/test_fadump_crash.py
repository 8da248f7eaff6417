"""The boot after a crash whose dump firmware takes: golden ppc64/FA, and what the source decides of the rest."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.elf import PT_LOAD, PT_NOTE
from elfcorehdr.errors import KernelError, ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Region
from elfcorehdr.machine.reader import from_toml
from fsmount import procfs, sysfs
from fsmount.tree.kernfs import Tree
from tests.arch.test_fadump import FA, LPAR, booted, exists, read, said, write

CMDLINE = "console=hvc0 log_buf_len=8M loglevel=7 fadump=on crashkernel=512M"
ACTIVE = "sys/kernel/debug/powerpc/fadump_region"


def crashed(release: str = "7.3.4", **machine: object) -> tuple[Kernel, Tree]:
    """The machine of the capture: 512 MiB were plugged when it crashed."""
    made = replace(
        profiles.load("pseries-4g"),
        fadump=True,
        kernel="",
        cpuinfo={"MMU": "Hash"},
        pinned=(Region(0x1FFB0000, 0x50000, "the flattened device tree"),),
        **machine,
    )
    kernel, tree = booted(CMDLINE, release, made)
    write(tree, "sys/kernel/dlpar", "memory add count 2")
    write(tree, "proc/sysrq-trigger", "c")
    return kernel, tree


def test_the_boot_after_the_crash_is_told_in_the_captures_own_words() -> None:
    kernel, tree = crashed()
    lines = [line.partition("] ")[2] for line in FA["crash: dmesg"]["out"] if "fadump: " in line]
    assert said(kernel) == [line for line in lines if not line.startswith("Kernel command line")]
    out = FA["crash: files"]["out"]
    for row in (json.loads(line) for line in out if line.startswith("{")):
        path = row["path"].lstrip("/")
        if row.get("stat_errno"):
            assert not exists(tree, path)
        elif row["type"] == "file" and "text" in row and "crash_elfcorehdr_size" not in path:
            assert read(tree, path) == row["text"]
        elif row["type"] == "file" and path == "sys/kernel/fadump/release_mem":
            assert f"{tree.getattr(tree.lookup(path)).mode & 0o777:04o}" == row["mode"]
    region = "".join(f"{line}\n" for line in out if line.startswith(("CPU ", "HPTE", "DUMP")))
    assert read(tree, ACTIVE) == region
    assert read(tree, "proc/iomem").splitlines() == [line for line in out if line.endswith(": System RAM")]  # fmt: skip


@pytest.mark.parametrize("step", [key for key in FA if key.startswith("crash: w ")])
def test_each_write_after_the_crash_gives_what_it_gave(step: str) -> None:
    kernel, tree = crashed()
    seen = json.loads(FA[step]["out"][0])
    code = None
    try:
        assert write(tree, seen["path"], seen["write"]) == seen["ret"]
    except KernelError as error:
        code = errno.errorcode[error.errno]
    assert code == seen.get("errno")
    assert exists(tree, "sys/kernel/fadump/release_mem")
    logged = [line.partition("] ")[2] for line in FA[step]["out"] if "fadump: " in line]
    assert said(kernel)[len(FA["crash: dmesg"]["out"]) - 2 :] == logged


def test_complete_dump_is_a_vmcore_until_it_is_released() -> None:
    kernel, tree = crashed(fadump_dump="complete")
    assert said(kernel)[-1].startswith("fadump: Reserving 512MB of memory at 0x00000100000000")
    vmcore = kernel.vmcore
    assert vmcore is not None
    loads = [p for p in vmcore.header.phdrs if p.p_type == PT_LOAD]
    assert [(p.p_paddr, p.p_memsz, p.p_align) for p in loads] == [
        (0, 0x20000000, 0),
        (0x400102A8, 0x100000000 - 0x400102A8 + 0x20000000, 0),
    ]
    assert vmcore.header.ehdr.e_flags == 2
    assert vmcore.empty_notes == 0
    # Boot memory lies in the dump area; its own place is the booting kernel's.
    rows = [p for p in vmcore.header.phdrs if p.p_type == PT_NOTE]
    assert len(rows) == 1
    assert vmcore.ranges[0].paddr == 0x20010000
    assert b"Linux\0" in vmcore.read(vmcore.ranges[0].offset, 64 << 20)
    region = read(tree, ACTIVE)
    assert "Size: 0x20000000, Dumped: 0x20000000 bytes\n" in region
    assert region.endswith("\nMemory above 0x00000020000000 is reserved for saving crash dump\n")
    assert int(read(tree, "proc/meminfo").split()[1]) < 524288
    assert "HugePages_Total" not in read(tree, "proc/meminfo")
    for path, data, code in (
        ("registered", "1", "EPERM"),
        ("release_mem", "0", "EINVAL"),
        ("release_mem", "x", "EINVAL"),
    ):
        with pytest.raises(KernelError) as caught:
            write(tree, f"sys/kernel/fadump/{path}", data)
        assert errno.errorcode[caught.value.errno] == code
    opened = tree.open(tree.lookup("proc/vmcore"))
    assert opened.read(4, 0) == b"\x7fELF"
    assert write(tree, "sys/kernel/fadump/release_mem", "1\n") == 2
    assert said(kernel)[-1] == "fadump: freeing reserved memory (0x40010000 - 0x120000000)"
    assert not exists(tree, "proc/vmcore")
    with pytest.raises(KernelError, match="EIO"):
        opened.read(4, 0)
    assert "Dumped: 0x0 bytes\n" in read(tree, ACTIVE)
    assert write(tree, "sys/kernel/fadump/registered", "1") == 1
    # It can crash again, and is told from the first dump.
    write(tree, "proc/sysrq-trigger", "c")
    assert kernel.vmcore is not None
    assert kernel.vmcore is not vmcore


def test_notes_are_of_the_cpus_that_ran_and_name_no_process() -> None:
    kernel, _ = crashed(fadump_dump="complete")
    assert kernel.vmcore is not None
    notes = kernel.vmcore.read(kernel.vmcore.header.phdrs[0].p_offset, 1 << 16)
    assert notes.count(b"CORE\0") == 2  # 2 of 4 that there can be
    assert int.from_bytes(notes[20 + 32 : 20 + 36], "little") == 0
    assert notes.count(b"VMCOREINFO\0") == 1


def test_before_6_10_the_header_is_that_of_the_registration() -> None:
    """So memory that came later is not in it; since, all that there is when the dump is read."""

    def last(release: str) -> int:
        kernel, _ = crashed(release, fadump_dump="complete")
        assert kernel.vmcore is not None
        return max(p.p_paddr + p.p_memsz for p in kernel.vmcore.header.phdrs)

    assert (last("6.1"), last("6.12")) == (0x100000000, 0x120000000)
    kernel, _ = crashed("6.1")
    assert said(kernel)[-2] == "rtas fadump: Dump taken by platform is incomplete"


def test_bootargs_append_reaches_the_next_kernel() -> None:
    kernel, tree = booted("fadump=on", "7.3", replace(LPAR, fadump_dump="complete"))
    write(tree, "sys/kernel/fadump/bootargs_append", "nr_cpus=2\n")
    write(tree, "proc/sysrq-trigger", "c")
    assert kernel.cmdline == "fadump=on nr_cpus=2"
    assert "fadump: Updated cmdline: fadump=on nr_cpus=2" in said(kernel)
    assert read(tree, "sys/kernel/fadump/bootargs_append") == "nr_cpus=2\n"
    with pytest.raises(KernelError, match="dump is active"):
        write(tree, "sys/kernel/fadump/bootargs_append", "x")
    write(tree, "sys/kernel/fadump/release_mem", "1")
    write(tree, "sys/kernel/fadump/bootargs_append", "x")
    write(tree, "sys/kernel/fadump/registered", "1")
    write(tree, "proc/sysrq-trigger", "c")
    assert kernel.cmdline == "fadump=on x"


def test_without_a_registration_nothing_is_kept() -> None:
    kernel, tree = booted(CMDLINE, "7.3", replace(LPAR, fadump_dump="complete"))
    write(tree, "sys/kernel/fadump/registered", "0")
    write(tree, "proc/sysrq-trigger", "c")
    assert kernel.dead
    assert kernel.vmcore is None


def test_firmware_is_that_of_the_model_unless_the_machine_says_it() -> None:
    tree = dict(LPAR.devicetree) | {"model": "IBM,9080-HEX"}
    kernel, at = booted("fadump=on", "7.3", replace(LPAR, devicetree=tree))
    write(at, "proc/sysrq-trigger", "c")
    assert kernel.vmcore is not None


def test_wrong_words_are_told(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "golden/ours/machines/lpar-fadump.toml").read_text()
    for old, new, why in (
        ("fadump = true", 'fadump = true\nfadump_dump = "half"', "expected complete or incomplete"),
        ("fadump = true", 'fadump_dump = "complete"', "fadump_dump: expected with fadump = true"),
    ):
        with pytest.raises(ProfileError, match=why):
            from_toml(text.replace(old, new), "x.toml")


def test_a_property_that_is_no_dump_is_none() -> None:
    for said_there in ("0x", "0x00", "text", "0x" + "ff" * 300):
        tree = {"rtas/ibm,kernel-dump": said_there}
        kernel = Kernel.boot(replace(LPAR, devicetree=tree, cmdline="fadump=on"), "7.3")
        assert kernel.platform.fadump is not None
        assert not kernel.platform.fadump.had_dump
        assert Tree(kernel, [*sysfs.GROUPS, *procfs.GROUPS])
        assert not re.search("active", "".join(r.text for r in kernel.log))
