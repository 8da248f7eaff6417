"""Files that differ by kernel version or option, on the tree without a mount."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest

from benchmarks import machines
from elfcorehdr import changes, profiles
from elfcorehdr.changes import in_sysfs
from elfcorehdr.changes.change import Change
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from fsmount.cli.boot import BootOptions, boot
from fsmount.tree.kernfs import Tree

OLD_NAMES = ("kexec_loaded", "kexec_crash_loaded", "kexec_crash_size", "crash_elfcorehdr_size")
PRINT = "sys/kernel/kexec/crash_elfcorehdr_print"


def booted(**options: object) -> tuple[Kernel, Tree]:
    return boot(BootOptions(**{"load": True, **options}))  # type: ignore[arg-type]


def read(tree: Tree, path: str) -> str:
    return tree.open(tree.lookup(path)).read(1 << 20, 0).decode()


def write(tree: Tree, path: str, text: str) -> int:
    return tree.open(tree.lookup(path), os.O_WRONLY).write(text.encode(), 0)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(KernelError) as caught:
        call()
    return errno.errorcode[caught.value.errno]


def names(tree: Tree, path: str) -> set[str]:
    return {name for name, _ in tree.names(tree.lookup(path))}


def test_before_6_19_the_old_names_are_files_and_there_is_no_directory() -> None:
    _, tree = booted(kernel="6.18")
    for name in OLD_NAMES:
        assert stat.S_ISREG(tree.getattr(tree.lookup(f"sys/kernel/{name}")).mode)
    assert "kexec" not in names(tree, "sys/kernel")
    assert "kexec_crash_cma_ranges" not in names(tree, "sys/kernel")


def test_from_6_19_the_old_names_are_links_into_the_directory() -> None:
    _, tree = booted(kernel="6.19")
    for name in (*OLD_NAMES, "kexec_crash_cma_ranges"):
        target = tree.readlink(tree.lookup(f"sys/kernel/{name}"))
        assert target == "kexec/" + name.removeprefix("kexec_")


def test_before_6_10_there_is_no_crash_hotplug_on_ppc64() -> None:
    _, tree = booted(kernel="6.1")
    assert "crash_elfcorehdr_size" not in names(tree, "sys/kernel")
    assert "crash_hotplug" not in names(tree, "sys/devices/system/memory")
    assert "crash_hotplug" not in names(tree, "sys/devices/system/cpu")


def test_load_limits_appear_in_6_3() -> None:
    for kernel, there in (("6.1", False), ("6.12", True)):
        _, tree = booted(kernel=kernel)
        assert ("kexec_load_limit_panic" in names(tree, "proc/sys/kernel")) is there


def test_dmesg_mode_logs_the_table_and_returns_zero() -> None:
    kernel, tree = booted(print_mode="dmesg")
    before = kernel.log.next_seq
    assert read(tree, PRINT) == "0\n"
    records = [r for r in kernel.log if r.seq >= before]
    assert {r.level for r in records} == {3}
    assert records[0].text == "kexec_core: ELF Program Header Summary:"
    assert records[3].text == "kexec_core:   PT_NOTE segments:      9 (0x9)\n"
    assert records[-1].text.startswith("kexec_core: 0xc   PT_LOAD")
    assert len(records) == 20


def test_both_modes_at_once() -> None:
    kernel, tree = booted(print_mode="both")
    assert read(tree, PRINT).count("\n") == 21
    assert any("Program Headers:" in r.text for r in kernel.log)


def test_without_a_crash_image_the_file_is_empty_and_success() -> None:
    _, tree = booted(load=False)
    assert read(tree, PRINT) == ""


def test_the_lock_leak_of_the_author_s_tree_is_there_if_asked_for() -> None:
    _, tree = booted(load=False, with_=("print-leaks-lock",), print_mode="dmesg")
    assert read(tree, PRINT) == "0\n"
    assert read(tree, PRINT) == "1\n"
    assert refused(lambda: read(tree, "sys/kernel/kexec/crash_size")) == "EBUSY"
    assert read(tree, "sys/devices/system/memory/crash_hotplug") == "0\n"


@pytest.mark.parametrize(("page_limit", "rows"), [(True, 525), (False, 2069)])
def test_the_table_is_cut_at_a_page_unless_asked_not_to(page_limit: bool, rows: int) -> None:
    _, tree = booted(machine="pseries-64t", page_limit=page_limit)
    text = read(tree, PRINT)
    whole = [line for line in text.split("\n")[8:] if len(line) >= 115]
    assert len(whole) >= rows - 1
    assert (len(text) == 65535) is page_limit


def test_every_change_is_asked_for_somewhere() -> None:
    from pathlib import Path

    root = Path(__file__).parents[2]
    sources = [p for d in ("elfcorehdr", "fsmount") for p in (root / d).rglob("*.py")]
    code = "".join(p.read_text() for p in sources if p.parent.name != "changes")
    named = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in (changes, in_sysfs)
        for name, value in vars(module).items()
        if isinstance(value, Change)
    }
    assert {name for name in named if name not in code} == set()


@pytest.mark.parametrize(("kernel", "has"), [("6.12", 0), ("6.16", 1), ("6.17", 1), ("6.18", 0)])
def test_iomem_of_ppc64_has_the_reservation_on_6_16_and_6_17_alone(kernel: str, has: int) -> None:
    _, tree = booted(kernel=kernel)
    row = "  18000000-57ffffff : Crash kernel\n"
    assert read(tree, "proc/iomem") == "00000000-3ffffffff : System RAM\n" + row * has
    _, tree = booted(kernel="6.18")
    assert read(tree, "proc/iomem") == "00000000-3ffffffff : System RAM\n"


def test_probe_and_release_of_cpus() -> None:
    kernel, tree = booted(machine="pseries-4g")
    cpu = "sys/devices/system/cpu"
    write(tree, f"{cpu}/probe", "0x10000002")
    assert read(tree, f"{cpu}/online") == "0-2\n"
    write(tree, f"{cpu}/release", "/cpus/PowerPC,POWER9@2")
    assert read(tree, f"{cpu}/present") == "0-1\n"
    assert [str(e) for e in kernel.uevents.kept] == [
        "online@/devices/system/cpu/cpu2",
        "offline@/devices/system/cpu/cpu2",
    ]


def test_smt_control_leaves_each_core_its_first_thread() -> None:
    _, tree = booted()
    cpu = "sys/devices/system/cpu"
    write(tree, f"{cpu}/smt/control", "off")
    assert (read(tree, f"{cpu}/online"), read(tree, f"{cpu}/smt/active")) == ("0\n", "0\n")
    write(tree, f"{cpu}/smt/control", "on\n")
    assert read(tree, f"{cpu}/online") == "0-7\n"


def test_synthetic_uevents_are_sent_or_refused_as_the_kernel_does() -> None:
    kernel, tree = booted()
    path = "sys/devices/system/memory/memory1/uevent"
    write(tree, path, "change\n")
    write(tree, path, "add fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed A=1")
    assert refused(lambda: write(tree, path, "frob")) == "EINVAL"
    assert refused(lambda: write(tree, path, "add nonsense")) == "EINVAL"
    first, second = kernel.uevents.kept
    assert first.payload() == (
        b"change@/devices/system/memory/memory1\0ACTION=change\0"
        b"DEVPATH=/devices/system/memory/memory1\0SUBSYSTEM=memory\0SYNTH_UUID=0\0SEQNUM=1\0"
    )
    assert second.env[1] == ("SYNTH_ARG_A", "1")
    assert [r.text for r in kernel.log][-2:] == [
        "synth uevent: /devices/system/memory/memory1: incorrect uevent action arguments",
        "memory memory1: uevent: failed to send synthetic uevent: -22",
    ]
    write(tree, "sys/devices/system/memory/uevent", "add")
    assert len(kernel.uevents.kept) == 2  # the root device is on no bus: nothing is sent


def test_iomem_hides_addresses_from_the_unprivileged() -> None:
    from fsmount.tree.kobject import Caller

    _, tree = booted()
    node = tree.lookup("proc/iomem")
    nobody = Caller(uid=65534, gid=65534, pid=1, capable=lambda capability: False)
    assert tree.open(node, os.O_RDONLY, nobody).read(4096, 0) == b"00000000-00000000 : System RAM\n"
    assert read(tree, "proc/iomem") == "00000000-3ffffffff : System RAM\n"


def test_fadump_files_exist_where_firmware_has_it() -> None:
    from elfcorehdr.lib.record import replace

    machine = replace(profiles.load("pseries-16g"), fadump=True, fadump_reserved=1 << 30)
    from fsmount.cli.boot import tree_of

    kernel = Kernel.boot(replace(machine, cmdline="fadump=on"))
    tree = tree_of(kernel, BootOptions())[0]
    assert read(tree, "sys/kernel/fadump/registered") == "1\n"
    write(tree, "sys/kernel/fadump/registered", "0")
    assert read(tree, "sys/kernel/fadump/registered") == "0\n"
    assert tree.readlink(tree.lookup("sys/kernel/fadump_enabled")) == "fadump/enabled"
    off = tree_of(Kernel.boot(machine), BootOptions())[0]
    assert refused(lambda: write(off, "sys/kernel/fadump/registered", "1")) == "EPERM"


@pytest.mark.parametrize("name", ["pseries-16g", "pseries-64t"])
def test_link_count_of_every_device_tree_node_is_that_of_its_nodes(name: str) -> None:
    _, tree = booted(machine=name)
    todo, seen = ["sys/firmware/devicetree/base"], 0
    while todo:
        path = todo.pop()
        node = tree.lookup(path)
        below = [f"{path}/{n}" for n, kind in tree.names(node) if kind == stat.S_IFDIR]
        assert tree.getattr(node).nlink == 2 + len(below)
        todo += below
        seen += 1
    assert seen > 5


def test_what_a_machine_adds_to_its_device_tree_counts_too(tmp_path) -> None:
    (tmp_path / "m.toml").write_text(
        machines.toml(16)
        + '[devicetree]\n"cpus/l2@0/name" = "l2"\n"vdevice/name" = "vdevice"\n"chosen/x" = "0x00"\n'
    )
    _, tree = booted(machine=str(tmp_path / "m.toml"))
    base = "sys/firmware/devicetree/base"
    for path in (base, f"{base}/cpus", f"{base}/chosen"):
        node = tree.lookup(path)
        below = [n for n, kind in tree.names(node) if kind == stat.S_IFDIR]
        assert tree.getattr(node).nlink == 2 + len(below)
    assert "vdevice" in names(tree, base)
    assert "l2@0" in names(tree, f"{base}/cpus")
