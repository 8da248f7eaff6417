"""Keys of encrypted disks: configfs, made and taken away by mkdir and rmdir."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.lib.record import replace
from fsmount.cli.boot import declarations_of
from fsmount.tree.kernfs import Tree
from tests.identity.test_smt import errno_of
from tests.sysfs.test_sysfs import read, write

TOP = "/sys/kernel/config/crash_dm_crypt_keys"


def booted(name: str = "pc-2g", version: str = "7.3") -> Tree:
    return Tree(Kernel.boot(profiles.load(name), version), declarations_of())


def load(tree: Tree) -> None:
    tree.kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)


def refused(call, *args: object) -> str:
    with pytest.raises(KernelError) as caught:
        call(*args)
    return str(caught.value).partition(":")[0]


def test_a_key_is_a_directory_with_a_description() -> None:
    tree = booted()
    top = tree.lookup(TOP)
    before = tree.kernel.names_seq
    tree.mkdir(top, "root")
    assert tree.kernel.names_seq != before
    assert read(tree, f"{TOP}/count") == "1\n"
    assert read(tree, f"{TOP}/root/description") == "(null)\n"
    write(tree, f"{TOP}/root/description", "cryptsetup:1-2\nrest")
    assert read(tree, f"{TOP}/root/description") == "cryptsetup:1-2\n"
    assert errno_of(tree, f"{TOP}/root/description", "x" * 129) == "EINVAL"
    assert errno_of(tree, f"{TOP}/root/description", "\n") == "EINVAL"
    assert tree.getattr(tree.lookup(TOP)).nlink == 3
    assert refused(tree.mkdir, top, "root") == "EEXIST"
    tree.rmdir(top, "root")
    assert refused(tree.lookup, f"{TOP}/root") == "ENOENT"
    assert read(tree, f"{TOP}/count") == "0\n"


def test_only_what_is_there_for_it_can_be_made_or_taken_away() -> None:
    tree = booted()
    tree.mkdir(tree.lookup(TOP), "a")
    for path in (f"{TOP}/a", "/sys/kernel/config", "/sys/kernel", "/proc", ""):
        assert refused(tree.mkdir, tree.lookup(path), "b") == "EPERM"
    assert refused(tree.mkdir, tree.lookup(TOP), "count") == "EPERM"
    assert refused(tree.rmdir, tree.lookup("/sys/kernel/config"), "crash_dm_crypt_keys") == "EPERM"
    assert refused(tree.rmdir, tree.lookup("/sys/devices/system/cpu"), "cpu1") == "EPERM"
    assert refused(tree.rmdir, tree.lookup(TOP), "b") == "ENOENT"


def test_one_key_more_than_the_message_says() -> None:
    tree = booted()
    top = tree.lookup(TOP)
    for n in range(129):
        tree.mkdir(top, f"k{n}")
    assert refused(tree.mkdir, top, "k129") == "EINVAL"
    assert [r.text for r in tree.kernel.log][-1] == "Only 128 keys at maximum to be created"


@pytest.mark.parametrize("name", ["pc-2g", "pseries-16g", "arm64-virt-4g"])
def test_a_load_asks_the_keyring(name: str) -> None:
    # Quirk: image_load() of arm64 takes it for a place without room, and tries all others.
    codes = ["EADDRNOTAVAIL"] * 2 if name.startswith("arm64") else ["EINVAL", "ENOKEY"]
    tree = booted(name)
    load(tree)
    tree.mkdir(tree.lookup(TOP), "root")
    assert refused(load, tree) == codes[0]
    assert "No key description for key root" in [r.text for r in tree.kernel.log]
    write(tree, f"{TOP}/root/description", "disk")
    assert refused(load, tree) == codes[1]
    said = [r.text for r in tree.kernel.log]
    assert "No such logon key disk" in said
    assert "Failed to build dm-crypt keys header, ret=-126" in said
    assert errno_of(tree, f"{TOP}/reuse", "1") == "EINVAL"
    tree.rmdir(tree.lookup(TOP), "root")
    load(tree)


@pytest.mark.parametrize(
    ("name", "version", "there"),
    [
        ("pc-2g", "6.12", False),
        ("pc-2g", "6.16", True),
        ("pseries-16g", "7.0", False),
        ("pseries-16g", "7.1", True),
        ("riscv64-virt-2g", "7.3", False),
    ],
)
def test_kernels_and_architectures_that_have_it(name: str, version: str, there: bool) -> None:
    tree = booted(name, version)
    assert ("config" in {n for n, _ in tree.names(tree.lookup("/sys/kernel"))}) == there


def test_a_kernel_without_the_option_has_none() -> None:
    machine = replace(profiles.load("pc-2g"), config={"CRASH_DM_CRYPT": False})
    tree = Tree(Kernel.boot(machine, "7.3"), declarations_of())
    assert refused(tree.lookup, TOP) == "ENOENT"
