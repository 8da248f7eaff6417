"""A machine that was recorded boots to what was recorded: shipped ones, and such as have been changed since they were booted."""

from __future__ import annotations

import os

import pytest

from elfcorehdr.elf import gnu_build_id
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from fsmount.cli.boot import BootOptions, boot, booted
from fsmount.cli.recorded.diff import differences
from fsmount.cli.recorded.machine import derived
from fsmount.cli.recorded.tree import RecordedTree
from tests.host.recordings.trees import content_of, recording_of

SHIPPED = (
    *("arm64-virt-4g", "pc-2g", "pc-2g-6.1", "pc-numa2-6g", "powernv-32g"),
    *("pseries-16g", "pseries-4g", "pseries-numa2", "riscv64-virt-2g"),
)
MEMORY, CPU = "sys/devices/system/memory", "sys/devices/system/cpu"


def derived_tree(recording, **options):
    """The tree of the machine that follows from a recording."""
    found = derived(recording)
    return booted(BootOptions(**options), found.machine)[1]


def test_a_recorded_machine_has_the_build_id_that_was_recorded():
    _, tree = boot(BootOptions(machine="pc-2g"))
    recording = recording_of(tree, "pc-2g")
    notes = content_of(tree, "sys/kernel/notes")
    assert derived(recording).machine.build_id == gnu_build_id(notes) != ""
    assert content_of(derived_tree(recording), "sys/kernel/notes") == notes


def write(tree, path: str, text: str) -> None:
    tree.open(tree.lookup(path), os.O_WRONLY).write(text.encode(), 0)


@pytest.mark.parametrize("machine", SHIPPED)
def test_a_shipped_machine_that_was_recorded_is_itself_again(machine):
    _, tree = boot(BootOptions(machine=machine))
    recording = recording_of(tree, machine)
    agreed, lines, unknown = differences(derived_tree(recording), recording)
    assert lines == []
    assert unknown == []
    assert agreed > 300


@pytest.mark.parametrize("machine", ["pc-2g", "pseries-4g", "pc-numa2-6g", "pseries-16g"])
def test_blocks_and_cpus_that_were_taken_offline_are_offline_again(machine):
    _, tree = boot(BootOptions(machine=machine))
    assert offlined(tree)
    write(tree, f"{CPU}/cpu1/online", "0")
    recording = recording_of(tree, machine)
    _, lines, _ = differences(derived_tree(recording), recording)
    assert [line for line in lines if not line.startswith(f"{CPU}/cpu1/uevent")] == []


@pytest.mark.parametrize("machine", ["pc-2g", "pc-numa2-6g", "pseries-16g", "arm64-virt-4g"])
def test_the_derived_machine_is_loaded_and_hotplugged_as_the_recorded_one(machine):
    kernel, tree = boot(BootOptions(machine=machine))
    again = derived_tree(recording_of(tree, machine))
    for one in (kernel, again.kernel):
        one.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    assert _mapped(kernel) == _mapped(again.kernel)
    assert offlined(tree) == offlined(again)
    assert _mapped(kernel) == _mapped(again.kernel)


def offlined(tree) -> list[int]:
    """Take the last two blocks offline that can be; their numbers."""
    names = (name for name, _ in tree.names(tree.lookup(MEMORY)))
    found: list[int] = []
    for n in sorted((int(name[6:]) for name in names if name[6:].isdigit()), reverse=True):
        try:
            write(tree, f"{MEMORY}/memory{n}/state", "offline")
            found.append(n)
        except KernelError:
            continue
        if len(found) == 2:
            break
    return found


def _mapped(kernel) -> list[tuple[int, int]]:
    """Physical addresses and sizes of the header's memory."""
    from elfcorehdr.elf import PT_LOAD
    from printer import from_bytes

    core = from_bytes(kernel.kexec.elfcorehdr())
    return [(p.p_paddr, p.p_memsz) for p in core.phdrs if p.p_type == PT_LOAD]


def test_a_tree_of_recorded_files_is_the_recording_file_by_file():
    """A pc's files over another default: neither memory, CPUs, firmware nor the command line of that shows."""
    _, tree = boot(BootOptions(machine="pc-2g"))
    recording = recording_of(tree, "pc-2g")
    kernel, plain = boot(BootOptions(machine="pseries-16g"))
    shown = RecordedTree(kernel, plain.declarations, recording, alone=True, owner=(0, 0))
    agreed, lines, unknown = differences(shown, recording)
    assert (lines, unknown) == ([], [])
    assert agreed > 600
    told = {path for path, _ in recording.paths()}
    theirs = {path for path, _ in recording_of(shown, "shown").paths()}
    assert theirs <= told
    assert b"crashkernel=256M" in content_of(shown, "proc/cmdline")
