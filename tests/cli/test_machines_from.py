"""`kdumpfs machines --from` of what is no recording: an ELF core header with or without /proc/iomem, a listing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elfcorehdr.elf import PT_LOAD
from elfcorehdr.errors import ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.machine.reader import from_toml
from fsmount.cli.boot import BootOptions, boot
from fsmount.cli.recorded.machine import as_toml
from printer import from_bytes, read
from tests.host.recordings.trees import content_of as content_in
from tests.sysfs_dump import content_of, rows_of

GOLDEN = Path(__file__).parents[1] / "golden/kernel"
NUMA2 = GOLDEN / "x86_64/k7.3-numa2-6g-high"


def header_of(case: Path) -> Path:
    """The header after the first load of a case."""
    steps = json.loads((case / "replay.json").read_text())["steps"]
    return next(case / s["seen"]["header"] for s in steps if s["seen"].get("header"))


def loads(core) -> list[tuple[int, int, int]]:
    return [(p.p_vaddr, p.p_paddr, p.p_memsz) for p in core.phdrs if p.p_type == PT_LOAD]


def booted_header(toml: str) -> bytes:
    kernel = Kernel.boot(from_toml(toml, "derived"))
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    header = kernel.kexec.elfcorehdr()
    assert header is not None
    return header


def test_a_header_and_its_iomem_give_the_machine_that_makes_this_header(tmp_path):
    (dump,) = NUMA2.glob("sysfs-dump*.json.gz")
    iomem = tmp_path / "iomem"
    rows = content_of(rows_of(dump)["/proc/iomem"]).decode().splitlines(keepends=True)
    # Captured after memory was plugged: what it was when the header was made.
    iomem.write_text("".join(r for r in rows if not r.startswith(("1c0000000", "200000000"))))
    header = header_of(NUMA2)
    text = as_toml(str(header), "", "7.3.4", str(iomem))
    core = read(str(header))
    assert loads(from_bytes(booted_header(text))) == loads(core)
    notes = [p.p_paddr for p in core.phdrs if p.p_type != PT_LOAD]
    machine = from_toml(text, "derived")
    assert [*machine.crash_notes.values(), machine.vmcoreinfo] == notes


def test_a_ppc64_header_alone_shows_the_reservation_as_what_is_missing():
    header = header_of(GOLDEN / "ppc64/B-seed-7.2.13-lab64k-kexec_file_load")
    text = as_toml(str(header), "", "7.2.13")
    (region,) = from_toml(text, "derived").crashkernel
    assert (region.start, region.size) == (0x18000000, 0x40000000)
    assert loads(from_bytes(booted_header(text))) == loads(read(str(header)))


@pytest.mark.parametrize(
    "machine",
    [
        *("arm64-virt-4g", "pc-2g", "pc-2g-6.1", "pc-numa2-6g", "powernv-32g", "pseries-16g"),
        *("pseries-4g", "pseries-numa2", "riscv64-virt-2g"),
    ],
)
def test_the_header_of_a_shipped_machine_and_its_iomem_give_a_machine_with_that_header(
    machine, tmp_path
):
    kernel, tree = boot(BootOptions(machine=machine, load=True))
    header, iomem = tmp_path / "elfcorehdr", tmp_path / "iomem"
    header.write_bytes(kernel.kexec.elfcorehdr() or b"")
    iomem.write_bytes(content_in(tree, "proc/iomem"))
    text = as_toml(str(header), "", kernel.release, str(iomem))
    theirs, ours = read(str(header)), from_bytes(booted_header(text))
    assert loads(ours) == loads(
        theirs
    )  # but for where a backup region lies, which hangs on the capture kernel's size
    assert [p.p_paddr for p in ours.phdrs] == [p.p_paddr for p in theirs.phdrs]


def test_a_listing_gives_blocks_and_cpus_and_says_what_it_assumes(tmp_path):
    listing = tmp_path / "list"
    blocks = "".join(f"drwxr-xr-x 3 root root 0 Nov 28 17:12 memory{n}\n" for n in (0, 1, 2, 8, 9))
    listing.write_text(
        f"/sys/devices/system/memory:\ntotal 0\n{blocks}"
        "-r--r--r-- 1 root root 4096 Nov 28 17:12 block_size_bytes\n"
        + "".join(f"\n/sys/devices/system/memory/memory{n}:\n" for n in (0, 1, 2, 8, 9))
        + "\n/sys/devices/system/cpu:\n"
        "drwxr-xr-x 3 root root 0 Nov 28 17:12 cpu0\n\n/sys/devices/system/cpu/cpu0:\n"
        "\n/sys/devices/system/cpu/cpu1:\n"
    )
    text = as_toml(str(listing), "x86_64", "6.12")
    machine = from_toml(text, "derived")
    assert [(m.start, m.size) for m in machine.memory] == [
        (0, 3 * (128 << 20)),
        (8 * (128 << 20), 2 * (128 << 20)),
    ]
    assert machine.cpus.possible == "0-1"
    assert "128 MiB are assumed" in text
    with pytest.raises(ProfileError, match=r"say it with --arch"):
        as_toml(str(listing), "", "")


@pytest.mark.parametrize(("machine", "said"), [(62, "PT_LOADs"), (3, "e_machine 3")])
def test_a_header_of_no_use_is_refused_in_one_sentence(tmp_path, machine, said):
    from elfcorehdr.elf import Ehdr, pack_phdrs

    rows = [] if machine == 62 else [(PT_LOAD, 7, 0, 0, 0, 4096, 4096, 0)]
    path = tmp_path / "header"
    path.write_bytes(Ehdr(e_machine=machine, e_phnum=len(rows)).pack() + pack_phdrs(rows))
    with pytest.raises(ProfileError, match=said):
        as_toml(str(path), "", "")
