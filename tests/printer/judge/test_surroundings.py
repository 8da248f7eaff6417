"""The machine around a header: /proc/iomem, machines, captured cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import Range
from printer import check, read, read_iomem, read_machine
from tests.headers import (
    SEED_TEXT,
)


def found(core, machine=None):
    return [(f.rule.id, f.row) for f in check(core, machine)]


def test_iomem_gives_system_ram_and_crashkernel(tmp_path):
    path = tmp_path / "iomem"
    path.write_text(
        "00001000-0009fbff : System RAM\n"
        "00100000-7ffdffff : System RAM\n"
        "  01000000-01e00000 : Kernel code\n"
        "  6e000000-7dffffff : Crash kernel\n"
        "  70000000-70ffffff : System RAM\n"
        "100000000-10fffffff : Device\n"
        "  100000000-10fffffff : System RAM (virtio_mem)\n"
    )
    machine = read_iomem(str(path))
    assert machine.memory == (
        Range(0x1000, 0x9FBFF),
        Range(0x100000, 0x7FFDFFFF),
        Range(0x100000000, 0x10FFFFFFF),
    )
    assert machine.crashkernel == (Range(0x6E000000, 0x7DFFFFFF),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line with System RAM"),
        ("00000000-00000000 : System RAM\n", "only root is shown"),
        ("2000-1000 : System RAM\n", "ends before it begins"),
    ],
)
def test_wrong_iomem_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "iomem"
    path.write_text(text)
    with pytest.raises(ProfileError, match=message):
        read_iomem(str(path))


def test_machine_is_read_from_a_profile(tmp_path):
    path = tmp_path / "machine.toml"
    path.write_text(
        'name = "m"\nsource = "test"\narch = "ppc64"\ncmdline = "quiet crashkernel=1G@384M"\n'
        "memory = [{ start = 0, size = 0x400000000 }]\n"
        "rtas = { start = 0x2ec70000, size = 0x1390000 }\n"
        'cpus = { possible = "0-7" }\n'
    )
    machine = read_machine(str(path))
    assert machine.crashkernel == (Range.sized(0x18000000, 0x40000000),)
    assert (machine.possible, machine.arch) == (8, "ppc64")
    assert found(read(str(SEED_TEXT)), machine) == []


def test_shipped_machine_of_the_cover_letter_fits_its_header():
    profiles = Path(__file__).parents[3] / "elfcorehdr" / "profiles"
    assert found(read(str(SEED_TEXT)), read_machine(str(profiles / "pseries-16g.toml"))) == []
    for profile in profiles.glob("*.toml"):
        assert read_machine(str(profile)).memory, profile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("= 3", "neither TOML nor JSON"),
        ("{", "neither TOML nor JSON"),
        ("x = 1", "key 'memory' is missing"),
        ("memory = [3]", r"memory\[0\]: 3, expected start and size"),
        ("memory = [{ start = -1, size = 1 }]", r"memory\[0\].start: -1, expected bytes"),
        ("memory = [{ start = 0, size = 0 }]", r"memory\[0\]: size 0x0 at 0x0 is no range"),
        (
            'memory = [{ start = 0, size = 1 }]\ncpus = { possible = "x" }',
            "cpus.possible: 'x', expected a list such as 0-7",
        ),
    ],
)
def test_wrong_machine_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "machine.toml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=message) as error:
        read_machine(str(path))
    assert str(path) in str(error.value)
