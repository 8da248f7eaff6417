"""The shipped proposals show the loaded header, whole, and follow it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdumpfs.testing import Machine, machine

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SEED = (ROOT / "tests/golden/kernel/seed/crash_elfcorehdr_print.txt").read_text()
KEXEC = "/sys/kernel/kexec"
BLOCK = "/sys/devices/system/memory/memory30/state"


def proposal(name: str, **options: object) -> Machine:
    return machine(module=EXAMPLES / f"{name}.py", **options)


def test_the_mail_s_table_is_the_mail_s() -> None:
    shown = proposal("elfcorehdr_print", load=True)
    assert shown.read(f"{KEXEC}/crash_elfcorehdr_print") == SEED
    assert shown.mistakes == [
        f"{EXAMPLES}/elfcorehdr_print.py: {KEXEC}/crash_elfcorehdr_print stands in place of the kernel's"
    ]


def test_raw_bytes_are_the_header_s_and_their_size_follows() -> None:
    shown = proposal("elfcorehdr_raw", load=True)
    path = f"{KEXEC}/crash_elfcorehdr_raw"
    assert shown.header is not None
    assert shown.read_bytes(path) == shown.header.data
    shown.write(BLOCK, "offline")
    assert shown.read_bytes(path) == shown.header.data
    assert shown.stat(path).size == len(shown.header.data) == 848


@pytest.mark.parametrize("when", ["load", "hotplug", "unload"])
def test_lines_in_debugfs_and_files_of_a_value_say_the_same(when: str) -> None:
    lines = proposal("elfcorehdr_debugfs", load=True)
    values = proposal("elfcorehdr_values", load=True)
    for shown in (lines, values):
        if when == "hotplug":
            shown.write(BLOCK, "offline")
        if when == "unload":
            shown.unload()
    rows = lines.read("/sys/kernel/debug/kdump/elfcorehdr").splitlines()
    assert len(rows) == {"load": 13, "hotplug": 14, "unload": 0}[when]
    directory = f"{KEXEC}/crash_elfcorehdr"
    assert values.names(directory) == [str(n) for n in range(len(rows))]
    fields = ("p_type", "p_offset", "p_vaddr", "p_paddr", "p_filesz", "p_memsz", "p_flags")
    for n, row in enumerate(rows):
        said = [values.read(f"{directory}/{n}/{field}").rstrip("\n") for field in fields]
        assert row.split() == [str(n), *said]


def test_names_are_told_when_rows_come_and_go() -> None:
    shown = proposal("elfcorehdr_values", load=True)
    before = shown.kernel.names_seq
    shown.write(BLOCK, "offline")
    assert shown.kernel.names_seq > before
    assert shown.exists(f"{KEXEC}/crash_elfcorehdr/13")


def test_without_a_crash_image_there_is_nothing() -> None:
    assert proposal("elfcorehdr_print").read(f"{KEXEC}/crash_elfcorehdr_print") == ""
    assert proposal("elfcorehdr_raw").read_bytes(f"{KEXEC}/crash_elfcorehdr_raw") == b""
    assert proposal("elfcorehdr_values").names(f"{KEXEC}/crash_elfcorehdr") == []


def test_their_types_are_checked_as_a_user_s_are(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from kdumpfs.module import AttributeGroup, Kernel, singleton\n"
        'group = AttributeGroup("kernel", singleton)\n'
        "@group.show\n"
        "def x_show(kernel: Kernel) -> str:\n"
        '    return f"{kernel.no_such_part}\\n"\n'
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(wrong)]
    done = subprocess.run(
        [*command, *map(str, sorted(EXAMPLES.glob("*.py")))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )
    assert [line.split(" ", 1)[1] for line in done.stdout.splitlines()[:-1]] == [
        'error: "Kernel" has no attribute "no_such_part"  [attr-defined]'
    ], done.stdout
