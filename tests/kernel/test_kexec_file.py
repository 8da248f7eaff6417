"""What kexec_file_load takes for a kernel: kernel/kexec_elf.c, and each architecture's probe() (6.1 to 7.3)."""

from __future__ import annotations

import errno
import struct

import pytest

from elfcorehdr import profiles
from elfcorehdr.arch.x86.kernel.crash import crash_setup_memmap_entries
from elfcorehdr.elf import Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH, FileArg, FileKind, regular
from elfcorehdr.lib.record import replace

PPC64, X86_64, ARM64, RISCV64 = "pseries-16g", "pc-2g", "arm64-virt-4g", "riscv64-virt-2g"
LOAD = Phdr(1, 5, 0x1000, 0xC000000000000000, 0, 0x800, 0x1000, 0x10000)


def boot(machine: str, version: str = "7.3") -> Kernel:
    return Kernel.boot(profiles.load(machine), version)


def outcome(kernel: Kernel, file: FileArg, initrd: FileArg | None = None) -> str:
    """The errno's name, or "loaded"."""
    try:
        kernel.kexec.file_load(file, initrd, b"", KEXEC_FILE_ON_CRASH)
    except KernelError as error:
        assert kernel.kexec.crash_image is None
        return errno.errorcode[error.errno]
    return "loaded"


def said(kernel: Kernel) -> str:
    """The log's last line."""
    return list(kernel.log)[-1].text


def elf(*phdrs: Phdr, size: int = 0x4000, **fields: int) -> FileArg:
    given = {"e_machine": 21, "e_type": 2, **fields}
    data = ElfCoreHdr(Ehdr(**given), phdrs or (LOAD,)).pack()
    return regular(data.ljust(size, b"\0"))


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (elf(), "loaded"),
        (elf(ei_data=2), "loaded"),
        (elf(e_type=3), "loaded"),
        (elf(e_entry=0xDEAD), "loaded"),
        (elf(e_type=1), "ENOEXEC"),
        (elf(e_type=4), "ENOEXEC"),
        (elf(e_machine=62), "ENOEXEC"),
        (elf(e_machine=20), "ENOEXEC"),
        (elf(e_version=2), "ENOEXEC"),
        (elf(ei_version=0), "ENOEXEC"),
        (elf(e_ehsize=52), "ENOEXEC"),
        (elf(e_shnum=1, e_shentsize=40), "ENOEXEC"),
        (elf(e_shnum=1, e_shentsize=64, e_shoff=0x3FF0), "ENOEXEC"),
        (elf(e_shnum=1, e_shentsize=64, e_shoff=0x3FC0), "loaded"),
        (elf(LOAD, Phdr(3, 4, 0x1000, 0, 0, 0x10, 0x10, 1)), "ENOEXEC"),
        (elf(LOAD._replace(p_offset=0x3FFF)), "ENOEXEC"),
        (elf(LOAD._replace(p_offset=(1 << 64) - 1)), "ENOEXEC"),
        (elf(LOAD._replace(p_paddr=(1 << 64) - 1)), "ENOEXEC"),
        (elf(LOAD._replace(p_memsz=1 << 50)), "EADDRNOTAVAIL"),
        (elf(size=64), "ENOEXEC"),
        (regular(b"\x7fELF"), "ENOEXEC"),
        (regular(b"\x7fELF\x01\x01\x01".ljust(4096, b"\0")), "ENOEXEC"),
        (regular(b"\x7fELF\x02\x03\x01".ljust(4096, b"\0")), "ENOEXEC"),
        (regular(b"#!/bin/sh\n"), "ENOEXEC"),
        (regular(b"\x1f\x8b\x08" + bytes(4096)), "ENOEXEC"),
        (regular(bytes(1 << 20)), "ENOEXEC"),
        (regular(b""), "EINVAL"),
        (FileArg(FileKind.DIRECTORY), "EINVAL"),
        (FileArg(FileKind.BAD), "EBADF"),
    ],
)
def test_an_elf_kernel_of_ppc64(file: FileArg, code: str) -> None:
    assert outcome(boot(PPC64), file) == code


def test_an_elf_of_no_segments() -> None:
    header = ElfCoreHdr(Ehdr(21, e_type=2), ()).pack()
    assert outcome(boot(PPC64), regular(header.ljust(4096, b"\0"))) == "ENOEXEC"
    cut = Ehdr(21, e_type=2, e_phnum=0xFFFF).pack()
    assert outcome(boot(PPC64), regular(cut.ljust(4096, b"\0"))) == "ENOEXEC"


def image(magic: bytes, size: int = 1 << 20, flags: int = 0, version: int = 2) -> FileArg:
    head = struct.pack("<8sQQQI20s4s4x", b"MZ", 2 << 20, size, flags, version, b"", magic)
    return regular(head.ljust(0x10000, b"\0"))


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.3"])
def test_an_image_of_arm64(version: str) -> None:
    kernel = boot(ARM64, version)
    assert outcome(kernel, image(b"ARM\x64")) == "loaded"
    assert outcome(kernel, image(b"ARM\x64", size=0)) == "EINVAL"
    assert outcome(kernel, image(b"RSC\x05")) == "EINVAL"
    assert outcome(kernel, regular(b"ARM\x64" * 15)) == "EINVAL"
    assert outcome(kernel, elf(e_machine=183)) == "EINVAL"
    assert outcome(kernel, image(b"ARM\x64", size=1 << 40)) == "EADDRNOTAVAIL"
    assert said(kernel) == "kexec_file(Image): Could not find any suitable kernel location!"


def test_an_image_of_riscv64() -> None:
    kernel = boot(RISCV64)
    assert outcome(kernel, image(b"RSC\x05")) == "loaded"
    assert outcome(kernel, image(b"abcd")) == "EINVAL"
    assert outcome(kernel, image(b"abcd", version=1)) == "loaded"
    assert outcome(kernel, image(b"RSC\x05", flags=1)) == "EINVAL"
    assert outcome(kernel, image(b"RSC\x05", size=0)) == "EINVAL"
    assert outcome(kernel, elf(e_machine=243)) == "loaded"
    user = LOAD._replace(p_paddr=0x10000000)
    data = user._replace(p_paddr=0x1001FC50)
    assert outcome(kernel, elf(user, data, e_machine=243)) == "EADDRNOTAVAIL"
    assert outcome(kernel, elf(user, user, e_machine=243)) == "EINVAL"


def test_riscv64_loads_elf_alone_before_6_16() -> None:
    kernel = boot(RISCV64, "6.12")
    assert outcome(kernel, image(b"RSC\x05")) == "ENOEXEC"
    assert outcome(kernel, regular(b"text\n" * 20)) == "ENOEXEC"
    assert outcome(kernel, elf(e_machine=243)) == "loaded"
    assert outcome(kernel, elf(e_machine=21)) == "ENOEXEC"


def bzimage(**fields: int) -> FileArg:
    given = {"at_1fe": 0xAA55, "at_206": 0x20F, "at_211": 1, "at_236": 0x3F, "length": 0x8000}
    given.update(fields)
    data = bytearray(given.pop("length"))
    head = bytearray(0x268)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<I", head, 0x230, 2 << 20)
    struct.pack_into("<I", head, 0x238, 2047)
    struct.pack_into("<I", head, 0x260, 1 << 20)
    for name, value in given.items():
        struct.pack_into("<H", head, int(name[3:], 16), value)
    data[: len(head)] = head[: len(data)]
    return regular(bytes(data))


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (bzimage(length=1023), "File is too short to be a bzImage"),
        (bzimage(at_202=0), "Not a bzImage"),
        (bzimage(at_1fe=0), "No x86 boot sector present"),
        (bzimage(at_206=0x20B), "Must be at least protocol version 2.12"),
        (bzimage(at_211=0), "zImage not a bzImage"),
        (bzimage(at_236=2), "Not a bzImage64. XLF_KERNEL_64 is not set."),
        (bzimage(at_236=1), "XLF_CAN_BE_LOADED_ABOVE_4G is not set."),
        (elf(e_machine=62), "Not a bzImage"),
        (regular(b"hello\n"), "File is too short to be a bzImage"),
    ],
)
def test_a_bzimage_of_x86_64(file: FileArg, complaint: str) -> None:
    kernel = boot(X86_64)
    assert outcome(kernel, bzimage()) == "loaded"
    assert outcome(kernel, file) == "ENOEXEC"
    assert said(kernel) == f"kexec-bzImage64: {complaint}"


@pytest.mark.parametrize(
    ("machine", "code"),
    [(PPC64, "ENOEXEC"), (X86_64, "ENOEXEC"), (ARM64, "EINVAL"), (RISCV64, "EINVAL")],
)
def test_the_kernel_is_probed_before_the_initrd_is_read(machine: str, code: str) -> None:
    kernel = boot(machine)
    bad = FileArg(FileKind.BAD)
    assert outcome(kernel, regular(b"no kernel"), bad) == code
    good = {PPC64: elf(), X86_64: bzimage(), ARM64: image(b"ARM\x64"), RISCV64: image(b"RSC\x05")}
    assert outcome(kernel, good[machine], bad) == "EBADF"


@pytest.mark.parametrize(
    ("machine", "version", "size", "line"),
    [
        (X86_64, "7.3", 0xE2000, "kexec-bzImage64: Loading purgatory failed"),
        (RISCV64, "7.3", 0xD88000, "Error loading purgatory ret=-99"),
        (PPC64, "7.3", 0x2FA0000, "kexec_elf: Failed to load kdump kernel segments"),
        (PPC64, "6.1", 0x1000000, None),
    ],
)
def test_what_does_not_fit_is_said(machine: str, version: str, size: int, line: str) -> None:
    kernel = boot(machine, version)
    said_before = len(list(kernel.log))
    kernel.kexec.crash_shrink_memory(size)
    with pytest.raises(KernelError) as caught:
        kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    lines = [record.text for record in kernel.log][said_before:]
    if line is None:
        assert lines[-1].startswith("Failed to locate memory buffer of size ")
    else:
        assert lines[-1] == line


def test_the_capture_kernel_of_x86_64_may_use_cma_and_knows_of_nested_rows() -> None:
    machine = replace(profiles.load(X86_64), cmdline="crashkernel=256M crashkernel=128M,cma")
    kernel = Kernel.boot(machine, "7.3")
    kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    image = kernel.kexec.crash_image
    assert image is not None
    given = list(crash_setup_memmap_entries(kernel, image))
    assert [(r, 1) for r in kernel.kexec.crashk_cma_ranges] == given[-1:]
    reserved = [r for _, r, name in kernel.iomem.rows() if name == "Reserved"]
    assert [r for r, kind in given if kind == 2] == reserved
