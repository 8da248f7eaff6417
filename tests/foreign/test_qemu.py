"""Which programs are foreign, what runs them, and what is said where nothing does."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from fsmount.foreign import qemu
from fsmount.foreign.guests import GUESTS, elf_machine, magic
from fsmount.host.mountns import RunError


def program(machine: int, kind: int = 3) -> bytes:
    return (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + bytes((kind, 0))
        + machine.to_bytes(2, "little")
        + bytes(44)
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/kexec").write_bytes(program(21))
    (tmp_path / "usr/sbin/script").write_text("#!/bin/sh\n")
    return tmp_path


def fake(place: Path, version: str) -> None:
    """What says that it is an emulator of that version: a script, which the header of a program cannot be."""
    place.write_text(f"#!/bin/sh\necho 'qemu-ppc64le version {version}'\n")
    place.chmod(0o755)


def test_header_of_a_program_tells_its_machine():
    assert elf_machine(program(21)) == 21
    assert elf_machine(program(21, kind=1)) is None
    assert elf_machine(b"#!/bin/sh\n" + bytes(20)) is None
    assert elf_machine(b"\x7fELF\x01\x01" + bytes(20)) is None


@pytest.mark.parametrize("guest", GUESTS, ids=lambda g: g.machine)
def test_magic_takes_programs_of_its_machine_only(guest):
    head, mask = magic(guest)
    for machine in (21, 62, 183, 243, 22):
        for kind in (1, 2, 3, 4):
            taken = all(
                a & m == b & m for a, b, m in zip(program(machine, kind), head, mask, strict=False)
            )
            assert taken == (machine == guest.elf and kind in (2, 3))


def test_native_programs_need_nothing(tmp_path: Path):
    assert qemu.needed(("/bin/sh",), ()) is None
    (tmp_path / "usr/bin").mkdir(parents=True)
    native = next(g.elf for g in GUESTS if g.machine == platform.machine())
    (tmp_path / "usr/bin/tool").write_bytes(program(native))
    assert qemu.needed(("tool",), (str(tmp_path),)) is None


def test_missing_emulator_is_said_with_what_to_install(package: Path, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(qemu, "ALWAYS", ())
    with pytest.raises(RunError) as refused:
        qemu.needed(("kexec",), (str(package),))
    assert (
        "programs of ppc64le need qemu-user 10.0 or later, and no qemu-ppc64le is in PATH"
        in str(refused.value)
    )
    assert "kdumpfs userland --qemu" in str(refused.value)


def test_old_emulator_is_said_with_its_version(package: Path, monkeypatch, tmp_path: Path):
    bin = tmp_path / "bin"
    bin.mkdir()
    fake(bin / "qemu-ppc64le-static", "7.2.22 (Debian 1:7.2)")
    monkeypatch.setenv("PATH", str(bin))
    monkeypatch.setattr(qemu, "ALWAYS", ())
    monkeypatch.setattr(qemu, "_is_native", lambda file: True)
    with pytest.raises(RunError, match=r"qemu-ppc64le-static is version 7\.2"):
        qemu.needed(("kexec",), (str(package),))
    fake(bin / "qemu-ppc64le", "10.0.13")
    found = qemu.needed(("kexec",), (str(package),))
    assert found is not None
    assert (found.guest.machine, found.path) == ("ppc64le", str(bin / "qemu-ppc64le"))


def test_emulator_lies_in_the_root_that_was_fetched_with_it(
    package: Path, monkeypatch, tmp_path: Path
):
    (package / "usr/bin").mkdir()
    fake(package / "usr/bin/qemu-ppc64le", "10.0.13")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.setattr(qemu, "ALWAYS", ())
    monkeypatch.setattr(qemu, "_is_native", lambda file: True)
    found = qemu.needed(("kexec",), (), str(package))
    assert found is not None
    assert found.path == str(package / "usr/bin/qemu-ppc64le")


def test_two_foreign_architectures_are_refused(package: Path):
    (package / "usr/sbin/other").write_bytes(program(243))
    with pytest.raises(RunError, match="two foreign architectures"):
        qemu.needed((), (str(package),))
