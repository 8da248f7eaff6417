"""fadump: what a real kernel said with it (golden ppc64/FA), and what the source decides of the rest."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import stat
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Region
from fsmount import procfs, sysfs
from fsmount.tree.kernfs import Tree

GOLDEN = Path(__file__).parents[1] / "golden"
FA = json.loads(
    (GOLDEN / "kernel/ppc64/FA-7.3.4-lab64k-fadump/fadump.json").read_text(encoding="utf-8")
)
LPAR = profiles.load(str(GOLDEN / "ours/machines/lpar-fadump.toml"))


def booted(cmdline: str, release: str, machine=LPAR) -> tuple[Kernel, Tree]:
    kernel = Kernel.boot(replace(machine, cmdline=cmdline), release)
    return kernel, Tree(kernel, [*sysfs.GROUPS, *procfs.GROUPS])


def read(tree: Tree, path: str) -> str:
    node = tree.lookup(path.lstrip("/"))
    if stat.S_ISLNK(tree.getattr(node).mode):
        return read(tree, f"{path.rpartition('/')[0]}/{tree.readlink(node)}")
    return tree.open(tree.lookup(path.lstrip("/"))).read(1 << 20, 0).decode()


def write(tree: Tree, path: str, data: str) -> int:
    return tree.open(tree.lookup(path.lstrip("/")), os.O_WRONLY).write(data.encode(), 0)


def exists(tree: Tree, path: str) -> bool:
    try:
        tree.lookup(path.lstrip("/"))
    except KernelError:
        return False
    return True


def said(kernel: Kernel, since: int = 0) -> list[str]:
    return [r.text for r in kernel.log if "fadump:" in r.text and r.seq >= since]


@pytest.fixture
def captured() -> tuple[Kernel, Tree]:
    """The machine of the capture: a hash guest of four CPUs and 4 GiB."""
    machine = replace(
        profiles.load("pseries-4g"),
        fadump=True,
        kernel="",
        cpuinfo={"MMU": "Hash"},
        pinned=(Region(0x1FFB0000, 0x50000, "the flattened device tree"),),
    )
    return booted(
        "console=hvc0 log_buf_len=8M loglevel=7 fadump=on crashkernel=512M", "7.3.4", machine
    )


def test_the_boot_of_the_capture_is_told_in_its_own_words(captured) -> None:
    kernel, tree = captured
    lines = [re.sub(r"^\[ *[\d.]+\] ", "", line) for line in FA["dmesg-boot"]["out"]]
    assert said(kernel) == [line for line in lines if "fadump:" in line]
    files = [json.loads(line) for line in FA["files"]["out"] if line.startswith("{")]
    for row in files:
        if row.get("stat_errno"):
            assert not exists(tree, row["path"].lstrip("/"))
        elif row["type"] == "file":
            found = tree.getattr(tree.lookup(row["path"].lstrip("/")))
            assert read(tree, row["path"]) == row["text"]
            if not stat.S_ISLNK(found.mode):
                assert f"{found.mode & 0o777:04o}" == row["mode"]
    debug = FA["debug"]["out"]
    at = debug.index("== /sys/kernel/debug/powerpc/fadump_region")
    region = "".join(f"{line}\n" for line in debug[at + 1 : at + 4])
    assert read(tree, "sys/kernel/debug/powerpc/fadump_region") == region
    for line in FA["dt"]["out"]:
        if line.startswith("{") and "b64" in line:
            row = json.loads(line)
            node = tree.lookup(
                row["path"].lstrip("/").replace("proc/device-tree", "sys/firmware/devicetree/base")
            )
            assert tree.open(node).read(99, 0) == base64.b64decode(row["b64"])
        elif line.startswith("{"):
            assert "crashkernel" in line


@pytest.mark.parametrize("step", [key for key in FA if key.startswith("w ")])
def test_each_write_of_the_capture_gives_what_it_gave(captured, step: str) -> None:
    kernel, tree = captured
    seen = json.loads(FA[step]["out"][0])
    since = kernel.log.next_seq
    code, ret = None, None
    try:
        ret = write(tree, seen["path"], seen["write"])
    except KernelError as error:
        code = errno.errorcode[error.errno]
    assert code == (seen.get("errno") or seen.get("open_errno"))
    if code is None:
        assert ret == seen["ret"]
    if "registered" in step:
        logged = [line.partition("] ")[2] for line in FA[step]["out"] if "fadump:" in line]
        assert said(kernel, since) == logged
        value = FA[step]["out"][1]
        if code is None and seen["write"]:
            assert read(tree, seen["path"]) == f"{value}\n"


def test_blocks_in_the_area_do_not_go_offline(captured) -> None:
    _, tree = captured
    for line in FA["offline tries"]["out"]:
        if not line.startswith("{"):
            continue
        seen = json.loads(line)
        block = int(re.search(r"memory(\d+)/", seen["path"])[1])
        if block < 5:
            with pytest.raises(KernelError) as caught:
                write(tree, seen["path"], "offline")
            assert errno.errorcode[caught.value.errno] == seen["errno"]
        else:
            assert write(tree, seen["path"], "offline") == seen["ret"]


def test_kexec_gets_nothing_while_fadump_has_it(captured) -> None:
    kernel, tree = captured
    assert read(tree, "sys/kernel/kexec/crash_size") == "0\n"
    with pytest.raises(KernelError, match="fadump has the memory that crashkernel= asks for"):
        kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)


@pytest.mark.parametrize(
    ("release", "cmdline", "reserved", "kdump", "first"),
    [
        # 5 % of 16 GiB, in whole 256 MiB; the header is 40, registers 384, a mask of 2048 CPUs 256.
        ("6.12", "fadump=on", 0x30000000 + 0x10000 + 680, 0, "fadump: Reserved 768MB of memory at 0x"),
        ("6.12", "fadump=nocma", 0x30000000 + 0x10000 + 680, 0, "fadump: Reserved 768MB of memory"),
        ("6.12", "fadump=on crashkernel=1G", 0x40000000 + 0x10000 + 680, 0, "fadump: Reserved 1024MB"),
        ("6.1", "fadump=on crashkernel=1G", 0x40000000 + 0x20000, 0, "fadump: Reserved 1024MB of mem"),
        ("7.3", "fadump=on crashkernel=8G", 0x100000000 + 0x10000 + 680, 0, "fadump: Adjusted boot mem"),
        ("7.3", "fadump=on crashkernel=128M", 0, 128 << 20, "fadump: Can't enable fadump with boot mem"),
        ("7.3", "fadump=off crashkernel=128M", 0, 128 << 20, None),
        ("7.3", "crashkernel=1G", 0, 1 << 30, None),
        ("7.3", "fadump=on fadump=off", 0, 0, None),
    ],
)  # fmt: skip
def test_what_is_reserved_follows_from_the_command_line(
    release: str, cmdline: str, reserved: int, kdump: int, first: str | None
) -> None:
    kernel, tree = booted(cmdline, release)
    assert read(tree, "sys/kernel/fadump/mem_reserved") == f"{reserved}\n"
    assert kernel.kexec.crash_size() == kdump
    assert read(tree, "sys/kernel/fadump/enabled") == f"{int(reserved > 0)}\n"
    assert read(tree, "sys/kernel/fadump/registered") == f"{int(reserved > 0)}\n"
    lines = said(kernel)
    assert lines[0].startswith(first) if first else lines == []


def test_cma_is_lent_out_unless_it_is_not_wanted() -> None:
    def cma(release: str, cmdline: str) -> list[str]:
        return [line for line in said(booted(cmdline, release)[0]) if "cma area" in line]

    assert cma("7.3", "fadump=nocma") == []
    assert cma("7.3", "fadump=on") == [
        "fadump: Initialized [0x30000000, 768MB] cma area from [0x30000000, 768MB] bytes of memory "
        "reserved for firmware-assisted dump"
    ]
    assert cma("6.12", "fadump=on") == [
        "fadump: Initialized 0x30000000 bytes cma area at 768MB from 0x300102a8 bytes of memory "
        "reserved for firmware-assisted dump"
    ]


def test_bootargs_append_exists_with_radix_since_6_10() -> None:
    kernel, tree = booted("fadump=on", "7.3")
    path = "sys/kernel/fadump/bootargs_append"
    assert read(tree, path) == "\n"
    assert write(tree, path, "nr_cpus=2\n") == 10
    assert read(tree, path) == "nr_cpus=2\n"
    write(tree, "sys/kernel/fadump/registered", "0")
    assert write(tree, path, "bar baz") == 7
    region = read(tree, "sys/kernel/debug/powerpc/fadump_region")
    assert region.endswith("\n[0x000003fffff800-0x000003ffffffff]: cmdline append: 'bar baz'\n")
    for data, code in (("x" * 2048, "EINVAL"), ("x" * 2040, "ENOSPC")):
        with pytest.raises(KernelError) as caught:
            write(tree, path, data)
        assert errno.errorcode[caught.value.errno] == code
    assert said(kernel)[-1] == "fadump: Appending parameters exceeds cmdline size!"
    assert not exists(booted("fadump=on", "6.1")[1], path)


def test_dlpar_leaves_the_area_and_boot_memory_alone() -> None:
    kernel, tree = booted("fadump=on", "7.3")
    with pytest.raises(KernelError):
        write(tree, "sys/kernel/dlpar", "memory remove index 0x80000003")
    write(tree, "sys/kernel/dlpar", "memory remove count 1")
    removed = [n for n in range(64) if kernel.memory.block(n) is None]
    assert removed
    assert min(removed) > 6


def test_firmware_without_fadump_says_so() -> None:
    kernel, tree = booted("fadump=on crashkernel=1G", "7.3", profiles.load("pseries-16g"))
    assert said(kernel) == ["fadump: Firmware-Assisted Dump is not supported on this hardware"]
    assert not exists(tree, "sys/kernel/fadump")
    assert kernel.kexec.crash_size() == 1 << 30


def test_opal_wants_more_memory_and_keeps_a_page_for_itself() -> None:
    machine = replace(profiles.load("powernv-32g"), fadump=True)
    kernel, tree = booted("fadump=on", "7.3", machine)
    size = 0x60000000 + 680 + 0x10000
    assert read(tree, "sys/kernel/fadump/mem_reserved") == f"{size}\n"
    assert said(kernel)[0].startswith("opal fadump: Kernel metadata addr: ")
    assert said(kernel)[-1] == "opal fadump: Registration is successful!"
    assert not exists(tree, "sys/kernel/fadump/bootargs_append")
    assert read(tree, "sys/kernel/debug/powerpc/fadump_region").startswith("DUMP: Src: 0x")
