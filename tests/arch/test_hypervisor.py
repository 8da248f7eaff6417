"""What plug, unplug and load refuse, in a user's words; and that nothing has changed then."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.arch import hypervisor
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import replace
from fsmount.control import requests
from fsmount.tree.kobject import Caller

MIB, GIB = 1 << 20, 1 << 30
PSERIES, PC, ARM64, RISCV64, POWERNV = (
    "pseries-16g",
    "pc-2g",
    "arm64-virt-4g",
    "riscv64-virt-2g",
    "powernv-32g",
)


def boot(machine: str) -> Kernel:
    return Kernel.boot(profiles.load(machine))


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(KernelError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("machine", "given", "words"),
    [
        (PC, {"size": MIB}, "EINVAL: 1M is less than a block, which is 128M"),
        (PC, {"size": 0}, "EINVAL: 0 is less than a block, which is 128M"),
        (PC, {"size": -GIB}, "EINVAL: -1G is less than a block, which is 128M"),
        (PSERIES, {"size": 128 * MIB}, "EINVAL: 128M is less than a block, which is 256M"),
        (
            PSERIES,
            {"size": 384 * MIB},
            "EINVAL: 384M is not made of whole blocks, expected a multiple of 256M",
        ),
        (PC, {"size": GIB, "start": 0}, "EEXIST: memory is there already: 0x1000-0x9fbff"),
        (PSERIES, {"size": GIB, "start": 0}, "EEXIST: memory is there already: 0x0-0x3ffffffff"),
        (
            PC,
            {"size": GIB, "start": 0x140000123},
            "EINVAL: no block begins at 0x140000123, expected a multiple of 0x8000000",
        ),
        (PC, {"size": GIB, "start": -GIB}, "EINVAL: no block begins at -0x40000000, expected"),
        (PC, {"size": GIB, "start": 0xC0000000}, "EINVAL: devices' memory begins at 0x100000000"),
        (ARM64, {"size": GIB, "start": 0}, "EINVAL: devices' memory begins at 0x140000000"),
        (PC, {"size": GIB, "node": 5}, "EINVAL: no node 5: this machine has node 0"),
        (PC, {"size": GIB, "node": -1}, "EINVAL: no node -1: this machine has node 0"),
        ("pc-numa2-6g", {"size": GIB, "node": 2}, "EINVAL: no node 2: this machine has nodes 0-1"),
        (
            PC,
            {"size": GIB, "how": "lmb"},
            "EOPNOTSUPP: pc has no memory device 'lmb', expected dimm or virtio-mem",
        ),
        (
            PSERIES,
            {"size": GIB, "how": "virtio-mem"},
            "EOPNOTSUPP: pseries has no memory device 'virtio-mem', expected lmb or dimm",
        ),
        (POWERNV, {"size": GIB}, "EOPNOTSUPP: powernv has no memory hotplug: nothing can be"),
        (PSERIES, {"size": 16 * GIB}, "EINVAL: no room for 16G: 32 of 96 LMBs of 256M are free"),
        (
            PSERIES,
            {"size": GIB, "start": 0x5E0000000},
            "EINVAL: no LMB at 0x600000000 can be added: 32 of 96 LMBs of 256M are free",
        ),
        (PC, {"size": 1 << 50}, "E2BIG: 0x40000ffffffff is past the last address, 0x3fffffffffff"),
        (
            RISCV64,
            {"size": 100 << 40},
            "E2BIG: 0x6400ffffffff is past the last address, 0x40007fffffff",
        ),
        (
            ARM64,
            {"size": 1 << 50, "start": 0x10000000000},
            "E2BIG: 0x400ffffffffff is past the last address, 0x80003fffffff",
        ),
        (PC, {"size": 15 << 60}, "E2BIG: 0xf0000000ffffffff is past the last address"),
    ],
)
def test_memory_that_cannot_be_plugged(machine: str, given: dict[str, int], words: str) -> None:
    kernel = boot(machine)
    before = [str(row) for row in kernel.iomem.rows()], kernel.memory.count()
    assert words in refusal(lambda: hypervisor.plug_memory(kernel, **given))
    assert ([str(row) for row in kernel.iomem.rows()], kernel.memory.count()) == before


def test_pseries_has_as_much_room_as_lmbs() -> None:
    kernel = boot(PSERIES)
    assert hypervisor.plug_memory(kernel, 8 * GIB, how="lmb") == 16 * GIB
    words = refusal(lambda: hypervisor.plug_memory(kernel, 256 * MIB))
    assert words == "EINVAL: no room for 256M: 0 of 96 LMBs of 256M are free"
    hypervisor.unplug_memory(kernel, 17 * GIB, GIB)
    assert hypervisor.plug_memory(kernel, GIB) == 17 * GIB


@pytest.mark.parametrize(
    ("machine", "start", "size", "words"),
    [
        (PC, 0x99900000000, 128 * MIB, "ENODEV: no memory, or not all, at 0x99900000000-"),
        (PC, 0, 15 << 60, "ENODEV: no memory, or not all, at 0x0-0xefffffffffffffff"),
        (PC, 0, MIB, "EINVAL: 1M is less than a block"),
        (PSERIES, 1, 256 * MIB, "EINVAL: no block begins at 0x1"),
        (POWERNV, 0, GIB, "EOPNOTSUPP: powernv has no memory hotplug"),
    ],
)
def test_memory_that_cannot_be_unplugged(machine: str, start: int, size: int, words: str) -> None:
    assert words in refusal(lambda: hypervisor.unplug_memory(boot(machine), start, size))


@pytest.mark.parametrize(
    ("machine", "slot", "words"),
    [
        (PC, 1, "EEXIST: slot 1 is taken: slots 2-7 of 8 free"),
        (PC, 8, "EINVAL: no slot 8: this machine has slots 0-7, slots 2-7 of 8 free"),
        (PC, -1, "EINVAL: no slot -1: this machine has slots 0-7"),
        (PSERIES, 1, "EINVAL: no slot 1: this machine has slot 0, none of 1 free"),
        (POWERNV, 1, "EOPNOTSUPP: powernv has no CPU hotplug"),
        (ARM64, 1, "EOPNOTSUPP: virt has no CPU hotplug"),
        (RISCV64, 9, "EOPNOTSUPP: virt has no CPU hotplug"),
    ],
)
def test_a_cpu_that_cannot_be_plugged(machine: str, slot: int, words: str) -> None:
    assert refusal(lambda: hypervisor.plug_cpu(boot(machine), slot)).startswith(words)


def test_cpus_that_are_not_there_or_on_no_node() -> None:
    kernel = boot(PC)
    assert refusal(lambda: hypervisor.plug_cpu(kernel, 2, 3)) == (
        "EINVAL: no node 3: this machine has node 0"
    )
    assert (
        refusal(lambda: hypervisor.unplug_cpu(kernel, 7)) == "ENODEV: no CPU 7: there are CPUs 0-1"
    )
    assert hypervisor.plug_cpu(kernel, 2) == [2]
    hypervisor.unplug_cpu(kernel, 2)


@pytest.mark.parametrize(
    ("store", "body", "words"),
    [
        (requests.plug_store, {"size": "1G"}, "EINVAL: size is '1G', expected a number below 2^64"),
        (requests.plug_store, {}, "EINVAL: size is None, expected a number below 2^64"),
        (requests.plug_store, {"size": 1 << 64}, "EINVAL: size is 18446744073709551616, expected"),
        (requests.plug_store, {"size": True}, "EINVAL: size is True, expected a number"),
        (requests.plug_store, {"size": GIB, "as": 3}, "EINVAL: as is 3, expected a text"),
        (requests.plug_store, {"cpu": None}, "EINVAL: cpu is None, expected a number"),
        (requests.plug_store, {"sise": 1}, "EINVAL: unknown key 'sise', expected one of memory"),
        (requests.unplug_store, {"cpu": [1]}, "EINVAL: cpu is a list of 1, expected a number"),
        (
            requests.load_store,
            {"kernel": "x"},
            "EINVAL: kernel is 'x', expected a number below 0x80000000",
        ),
        (requests.load_store, {"syscall": "kexec"}, "EINVAL: syscall is 'kexec', expected kexec_"),
        (requests.crash_store, {"hard": 1}, "EINVAL: hard is 1, expected a list of CPUs"),
    ],
)
def test_a_request_that_is_none(
    store: Callable[[Kernel, str, Caller], None], body: dict[str, object], words: str
) -> None:
    kernel = boot(PC)
    assert refusal(lambda: store(kernel, json.dumps(body), Caller())).startswith(words)
    assert kernel.platform.refusal.startswith(words)


def load(booted: Kernel, **body: object) -> str:
    """The refusal of a load; files are opened here, as `kdumpfs load` does."""
    opened = {k: os.open(str(body[k]), os.O_RDONLY) for k in ("kernel", "initrd") if k in body}
    proc = os.open("/proc", os.O_PATH)
    caller = Caller(pid=os.getpid(), proc=proc)
    try:
        return refusal(lambda: requests.load_store(booted, json.dumps({**body, **opened}), caller))
    finally:
        for fd in (*opened.values(), proc):
            os.close(fd)


@pytest.mark.parametrize("syscall", ["kexec_file_load", "kexec_load"])
@pytest.mark.parametrize("machine", [PSERIES, PC])
def test_files_that_cannot_be_loaded(machine: str, syscall: str, tmp_path: Path) -> None:
    kernel = boot(machine)
    text, empty = tmp_path / "text", tmp_path / "empty"
    text.write_text("no kernel\n")
    empty.touch()
    words = load(kernel, syscall=syscall, kernel=tmp_path)
    assert words.startswith("EINVAL: ")
    assert words.endswith(" is a directory, expected a file with content")
    assert load(kernel, syscall=syscall, kernel=empty) == (
        f"EINVAL: {empty} is empty, expected a file with content"
    )
    words = load(kernel, syscall=syscall, kernel=text)
    assert words.startswith(f"ENOEXEC: {text} is no kernel that {kernel.arch.uts_machine} loads: ")
    words = load(kernel, syscall=syscall, initrd=empty)
    assert words == f"EINVAL: {empty} is empty, expected a file with content"


@pytest.mark.parametrize("syscall", ["kexec_file_load", "kexec_load"])
@pytest.mark.parametrize(
    ("cmdline", "why"),
    [
        ("quiet", "no crashkernel="),
        ("crashkernel=abc", "crashkernel=abc"),
        ("crashkernel=64T", "0x400000000000 bytes are not less than the 0x7ff7ec00 of memory"),
    ],
)
def test_nothing_reserved_says_why(cmdline: str, why: str, syscall: str) -> None:
    kernel = Kernel.boot(replace(profiles.load(PC), cmdline=cmdline))
    words = load(kernel, syscall=syscall)
    assert words.startswith("EADDRNOTAVAIL: ")
    assert why in words


def test_the_boot_cpu_of_a_pc_cannot_be_unplugged() -> None:
    for version in ("6.1", "7.3"):
        kernel = Kernel.boot(profiles.load(PC), version)
        said = refusal(lambda kernel=kernel: hypervisor.unplug_cpu(kernel, 0))
        assert said == "EPERM: the boot CPU cannot be unplugged"
        assert 0 in kernel.cpus.present
        assert 0 in kernel.cpus.online
