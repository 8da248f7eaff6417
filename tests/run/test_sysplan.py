"""Which parts of /sys a run covers: the plan, over a made-up real /sys, without mounting anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from elfcorehdr.errors import KernelError
from fsmount.cli.boot import BootOptions, boot
from fsmount.devfs.kmsg import Syslog
from fsmount.host.mountns import mount_at, mounts
from fsmount.run.hostfs import Graft, HostNode, Processes, ProcessFiles, Served
from fsmount.run.sysctls import Sysctls
from fsmount.run.sysplan import plan
from fsmount.tree.kobject import ROOT, Caller


def real_sys(tmp_path: Path, *directories: str) -> Path:
    """A /sys with these directories, and a file in each."""
    for name in directories:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "uevent").write_text("real\n")
    return tmp_path


FULL = (
    "kernel/slab", "kernel/mm", "devices/system/memory", "devices/system/cpu",
    "devices/system/node", "devices/system/clocksource", "bus/memory", "bus/cpu", "bus/node",
    "bus/pci", "firmware/acpi", "class/net", "module/loop",
)  # fmt: skip


def test_own_directories_are_covered_and_shared_ones_stay_real(tmp_path: Path):
    _, tree = boot(BootOptions())
    covers = plan(tree, str(real_sys(tmp_path, *FULL))).covers
    assert {"kernel", "devices/system/memory", "devices/system/cpu", "bus/cpu", "firmware"} <= set(
        covers
    )
    assert not {"", "bus", "devices", "devices/system", "class"} & set(covers)


def test_names_of_the_host_show_through_a_cover_as_links_to_the_parked_sysfs(tmp_path: Path):
    _, tree = boot(BootOptions())
    made = plan(tree, str(real_sys(tmp_path, *FULL)))
    served = Served(tree, made.grafts)
    node = served.lookup("sys/kernel/slab")
    assert node.readlink(ROOT) == "/run/kdumpfs/sys/kernel/slab"
    assert "mm" in [name for name, _ in served.readdir(served.lookup("sys/kernel"))]


def test_missing_parent_is_covered_with_links_to_the_rest(tmp_path: Path):
    _, tree = boot(BootOptions())
    without = [name for name in FULL if name != "bus/memory"]
    made = plan(tree, str(real_sys(tmp_path, *without)))
    assert "bus" in made.covers
    assert "bus/cpu" not in made.covers
    assert (
        Served(tree, made.grafts).lookup("sys/bus/pci").readlink(ROOT) == "/run/kdumpfs/sys/bus/pci"
    )


@pytest.mark.parametrize(
    "name", ["kexec_crash_loaded", "crash_elfcorehdr_size", "boot_params", "fadump"]
)
def test_kdump_names_of_the_host_never_show_through(tmp_path: Path, name: str):
    _, tree = boot(BootOptions(machine="arm64-virt-4g", kernel="6.1"))
    (real_sys(tmp_path, *FULL) / "kernel" / name).mkdir()
    served = Served(tree, plan(tree, str(tmp_path)).grafts)
    names = [name for name, _ in served.readdir(served.lookup("sys/kernel"))]
    if name in [own for own, _ in tree.names(tree.lookup("sys/kernel"))]:
        pytest.skip("the machine has it itself")
    assert name not in names


def test_a_path_and_a_walk_lead_to_the_same_node_everywhere(tmp_path: Path) -> None:
    kernel, tree = boot(BootOptions(machine="pc-2g"))
    (real_sys(tmp_path, *FULL) / "kernel/uevent_seqnum").write_text("4711\n")
    (tmp_path / "kernel/btf").mkdir()
    grafts: dict[str, Graft] = dict(plan(tree, str(tmp_path)).grafts)
    processes = Processes()
    processes.dir_fd = os.open("/proc", os.O_RDONLY)
    grafts |= {"proc": processes, "proc/PID": ProcessFiles(processes)}
    grafts["proc/sys"] = Sysctls(kernel, Syslog(kernel.log))
    served = Served(tree, grafts)
    met = 0
    places = ["", "sys", "sys/kernel", "sys/devices/system/cpu", "sys/devices/system/memory"]
    places += [
        "proc",
        "proc/sys",
        "proc/sys/kernel",
        "proc/sys/vm",
        "proc/1",
        "dev",
        "sys/kernel/mm",
    ]
    for place in places:
        node = served.lookup(place)
        for name, kind in served.readdir(node):
            if name in (".", ".."):
                continue
            walked, found = served.child(node, name), served.lookup(f"{place}/{name}")
            assert type(walked) is type(found), f"{place}/{name}"
            assert (walked.path, walked.type) == (found.path, found.type)
            assert walked.type == kind
            assert isinstance(walked, HostNode) or walked.entry is found.entry
            met += 1
    os.close(processes.dir_fd)
    assert met > 200


@pytest.fixture
def sysctls(tmp_path: Path):
    kernel, tree = boot(BootOptions())
    (tmp_path / "kernel").mkdir()
    for name, text in (
        ("hung_task_timeout_secs", "120\n"),
        ("core_pattern", "core\n"),
        ("printk", "7\t4\t1\t7\n"),
    ):
        (tmp_path / "kernel" / name).write_text(text)
    return (
        Served(tree, {"proc/sys": Sysctls(kernel, Syslog(kernel.log), str(tmp_path))}),
        kernel,
        tmp_path,
    )


def write(served: Served, name: str, text: bytes) -> None:
    served.open(served.lookup(f"proc/sys/kernel/{name}"), 1, ROOT).write(text, 0)


def read(served: Served, name: str) -> bytes:
    return served.open(served.lookup(f"proc/sys/kernel/{name}"), 0, ROOT).read(100, 0)


def test_written_sysctl_is_the_machines_own_and_logged(sysctls):
    served, kernel, host = sysctls
    write(served, "hung_task_timeout_secs", b"5\n")
    assert read(served, "hung_task_timeout_secs") == b"5\n"
    assert (host / "kernel/hung_task_timeout_secs").read_text() == "120\n"
    assert (
        list(kernel.log)[-1].text
        == "kdumpfs: kernel.hung_task_timeout_secs = 5 (of this machine only)"
    )


@pytest.mark.parametrize("text", [b"x\n", b"1 2\n", b"\n"])
def test_number_takes_numbers_only(sysctls, text: bytes):
    with pytest.raises(KernelError, match="EINVAL"):
        write(sysctls[0], "hung_task_timeout_secs", text)


def test_text_takes_any_text(sysctls):
    write(sysctls[0], "core_pattern", b"|/bin/false %p\n")
    assert read(sysctls[0], "core_pattern") == b"|/bin/false %p\n"


def test_process_that_is_gone_has_no_tgid():
    with pytest.raises(KernelError, match="ENOENT"):
        Processes().tgid(1)


def test_self_is_answered_by_who_asks(tmp_path: Path):
    import os

    processes = Processes()
    processes.dir_fd = os.open("/proc", os.O_RDONLY)
    try:
        node = processes.get("proc", "self")
        assert node is not None
        assert node.readlink(Caller(pid=os.getpid())) == str(os.getpid())
    finally:
        os.close(processes.dir_fd)


TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:22 / /sys ro,relatime - sysfs sysfs rw
24 23 0:41 /sys/kernel /sys/kernel rw,nosuid - fuse.kdumpfs kdumpfs rw
25 22 0:50 / /mnt/a\\040b rw shared:1 - tmpfs none rw
26 22 0:51 / /sys ro - tmpfs none rw
"""


def test_path_lies_on_the_last_mount_with_the_longest_point():
    found = {
        path: mount_at(path, TABLE) for path in ("/sys/kernel/kexec", "/sys", "/system", "/etc")
    }
    assert {path: mount.fstype for path, mount in found.items() if mount} == {
        "/sys/kernel/kexec": "fuse.kdumpfs",
        "/sys": "tmpfs",
        "/system": "ext4",
        "/etc": "ext4",
    }


def test_blanks_in_a_mount_table_are_unescaped():
    assert "/mnt/a b" in [mount.point for mount in mounts(TABLE)]
