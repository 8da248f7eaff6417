"""Whether an image is of the kernel that a machine runs, and the machine with that image in it."""

from __future__ import annotations

from elfcorehdr.elf import EM_AARCH64, EM_PPC64, EM_RISCV, EM_X86_64
from elfcorehdr.errors import ProfileError
from elfcorehdr.kernel.kexec_file import align_up
from elfcorehdr.kernel.vmcoreinfo.text import release_of
from elfcorehdr.kernel.vmlinux.image import Vmlinux
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import KernelText, Machine, Region
from elfcorehdr.machine.image import placed

MACHINES = {"x86_64": EM_X86_64, "ppc64": EM_PPC64, "arm64": EM_AARCH64, "riscv64": EM_RISCV}
_ROWS = {
    "Kernel code": ("_text", "_etext"),
    "Kernel rodata": ("__start_rodata", "__end_rodata"),
    "Kernel data": ("_sdata", "_edata"),
    "Kernel bss": ("__bss_start", "__bss_stop"),
}
"""Rows of /proc/iomem, by the symbols that they run between: arch/x86/kernel/setup.c."""


def fits(vmlinux: Vmlinux, machine: Machine, asked: str) -> None:
    """ProfileError unless it is of the machine's architecture and kernel. asked: a release of --kernel, or empty.

    --kernel names the release as uname or kernel.org has it, or its series (6.1); a machine's own kernel is a release
    that was captured: the series has to be the same, and a distribution's name all of it.
    """
    wanted = MACHINES.get(machine.arch)
    if vmlinux.e_machine != wanted:
        raise ProfileError(
            f"vmlinux {vmlinux.name}: it is for e_machine {vmlinux.e_machine}, expected {wanted}: "
            f"machine {machine.name} is {machine.arch}"
        )
    if vmlinux.build_id and machine.build_id not in ("", vmlinux.build_id) and not asked:
        raise ProfileError(
            f"vmlinux {vmlinux.name}: its build ID is {vmlinux.build_id}, expected {machine.build_id}, that of the kernel which "
            f"machine {machine.name} runs (--kernel names another)"
        )
    release = (asked or machine.kernel).removeprefix("v")
    if not release:
        return
    is_, series = release_of(vmlinux.upstream), release_of(release)
    same = release in (vmlinux.release, vmlinux.upstream) or series == is_[:2]
    same = same or (not asked and not set("-+~") & set(release) and series[:2] == is_[:2])
    if not same:
        raise ProfileError(
            f"vmlinux {vmlinux.name}: it is of kernel {vmlinux.release} ({vmlinux.upstream}), expected {release}, which "
            f"{'--kernel says' if asked else f'machine {machine.name} runs (--kernel names another)'}"
        )


def with_image(machine: Machine, vmlinux: Vmlinux) -> Machine:
    """The machine with that image where its own was: its size, its rows of /proc/iomem."""
    machine = placed(machine)
    text = machine.kernel_text
    if text is None:
        return replace(machine, kernel_end=align_up(vmlinux.size, machine.page_size))
    image = KernelText(text.paddr, text.vaddr, vmlinux.size)
    rows = []
    for region in machine.resources:
        ends = [vmlinux.symbols.get(name) for name in _ROWS.get(region.name, ())]
        if len(ends) == 2 and None not in ends:
            start, end = (address - vmlinux.link + text.paddr for address in ends if address)
            rows.append(Region(start, end - start, region.name))
        else:
            rows.append(region)
    end = text.paddr + vmlinux.size
    inside = text.paddr <= machine.vmcoreinfo < align_up(end, machine.page_size)
    return replace(
        machine,
        kernel_text=image,
        kernel_end=end,
        resources=tuple(rows),
        vmcoreinfo=0 if inside else machine.vmcoreinfo,
    )
