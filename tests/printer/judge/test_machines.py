"""Machines as the command line is given them: shipped, in TOML, captured, mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import Range
from printer import check, from_bytes, read, read_iomem, read_machine
from printer.judge.machines import read_tree
from tests.headers import IDENTITY, PPC64_B, SEED, SEED_TEXT, load, packed


def found(core, machine=None):
    return [(f.rule.id, f.row) for f in check(core, machine)]


BUG = (*SEED[:9], load(0, 0x10000, 0), *SEED[10:])
"""The cover letter's machine with p_offset of row 9 as v5.9 to v7.0 left it."""


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
    shipped = Path(profiles.__file__).parent
    assert found(read(str(SEED_TEXT)), read_machine(str(shipped / "pseries-16g.toml"))) == []
    for profile in shipped.glob("*.toml"):
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


def test_shipped_machine_is_booted_by_name_to_know_its_crashkernel():
    machine = read_machine("pseries-16g")
    assert machine.crashkernel == (Range.sized(0x18000000, 0x40000000),)
    assert (machine.name, machine.possible, machine.arch) == ("pseries-16g", 8, "ppc64")
    assert found(read(str(SEED_TEXT)), machine) == []
    assert found(from_bytes(packed(*BUG)), machine) == [("backup-offset-zero", 9)]
    with pytest.raises(ProfileError, match=r"neither shipped \(did you mean pseries-16g\?\)"):
        read_machine("pseries-16")


def test_the_mails_bug_is_the_one_finding_with_iomem_too(tmp_path):
    path = tmp_path / "iomem"
    path.write_text("00000000-3ffffffff : System RAM\n")
    assert found(from_bytes(packed(*BUG)), read_iomem(str(path))) == [("backup-offset-zero", 9)]


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_machine_boots_and_reserves(name):
    machine = read_machine(name)
    inside = [
        any(m.start <= c.start and c.end <= m.end for m in machine.memory)
        for c in machine.crashkernel
    ]
    assert inside
    assert all(inside)


def tree(path: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return str(path)


DEVICETREE = "sys/firmware/devicetree/base"
LPAR = {
    "proc/iomem": b"00000000-3ffffffff : System RAM\n",
    "proc/version": b"Linux version 7.0.3 (builder@host) #1 SMP\n",
    "sys/devices/system/cpu/possible": b"0-7\n",
    f"{DEVICETREE}/chosen/linux,crashkernel-base": (0x18000000).to_bytes(8, "big"),
    f"{DEVICETREE}/chosen/linux,crashkernel-size": (0x40000000).to_bytes(8, "big"),
    f"{DEVICETREE}/rtas/linux,rtas-base": (0x2EC70000).to_bytes(4, "big"),
    f"{DEVICETREE}/rtas/rtas-size": (0x1390000).to_bytes(4, "big"),
    f"{DEVICETREE}/model": b"IBM,9105-42A\0",
}


def test_tree_tells_its_own_machine(tmp_path):
    machine = read_tree(tree(tmp_path, LPAR))
    assert machine == read_machine(str(tmp_path))
    assert machine.memory == (Range(0, 0x3FFFFFFFF),)
    assert machine.crashkernel == (Range.sized(0x18000000, 0x40000000),)
    assert machine.rtas == (Range.sized(0x2EC70000, 0x1390000),)
    assert (machine.possible, machine.release, machine.name) == (8, "7.0.3", "IBM,9105-42A")


def test_tree_knows_that_the_crashkernel_was_shrunk(tmp_path):
    files = LPAR | {"sys/kernel/kexec_crash_size": b"%d\n" % 0x20000000}
    assert read_tree(tree(tmp_path, files)).crashkernel == (Range.sized(0x18000000, 0x20000000),)
    files["sys/kernel/kexec_crash_size"] = b"0\n"
    assert read_tree(tree(tmp_path, files)).crashkernel == ()


def test_tree_of_a_kernel_that_lists_its_crashkernel(tmp_path):
    text = (next(IDENTITY.glob("arm64*virt-4g")) / "living/proc/iomem").read_bytes()
    machine = read_tree(tree(tmp_path, {"proc/iomem": text}))
    assert machine.crashkernel == (Range(0xEC000000, 0xFBFFFFFF),)
    assert machine.kernel == Range(0x40200000, 0x4343FFFF)
    assert machine.possible is None


def test_directory_without_iomem_is_no_machine(tmp_path):
    assert read_tree(str(tmp_path)) is None
    with pytest.raises(ProfileError, match="without proc/iomem"):
        read_machine(str(tmp_path))


def test_captured_case_is_read_as_it_is():
    machine = read_machine(str(PPC64_B / "replay.json"))
    assert machine.crashkernel == (Range.sized(0x18000000, 0x40000000),)
    assert (machine.release, machine.arch) == ("7.2.13-lab64k", "ppc64")


def test_offline_blocks_of_a_tree_may_be_missing_and_others_may_not(tmp_path):
    blocks = "sys/devices/system/memory"
    files = LPAR | {
        f"{blocks}/block_size_bytes": b"10000000\n",
        f"{blocks}/memory32/state": b"offline\n",
        f"{blocks}/memory33/state": b"online\n",
    }
    machine = read_tree(tree(tmp_path, files))
    without = [load(0x58000000, 0x1A8000000), load(0x210000000, 0x1F0000000)]
    assert found(from_bytes(packed(*SEED[:12], *without)), machine) == []
    without[1] = load(0x220000000, 0x1E0000000)
    core = from_bytes(packed(*SEED[:12], *without))
    (finding,) = check(core, machine)
    assert finding.message == "256 MiB at 0x210000000 is in no load"
