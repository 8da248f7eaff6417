"""/proc/powerpc and /proc/ppc64: arch/powerpc/kernel/proc_powerpc.c, eeh.c, platforms/pseries/lparcfg.c (v7.3)."""

from __future__ import annotations

from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Declaration, Filesystem, Link, singleton


def _pseries(kernel: Kernel, _obj: object) -> bool:
    return kernel.platform.name == "pseries" and kernel.config("LPARCFG")


def _power(kernel: Kernel, _obj: object) -> bool:
    return kernel.platform.name in ("pseries", "powernv")


powerpc = AttributeGroup("powerpc", singleton, fs=Filesystem.PROCFS, is_visible=_power)


@powerpc.show(is_visible=_pseries)
def lparcfg_show(kernel: Kernel) -> str:
    """What the hypervisor gives the partition, a row `name=value` each."""
    from elfcorehdr.arch.powerpc.platforms.pseries import lparcfg

    return lparcfg.lparcfg(kernel)


@powerpc.store(is_visible=_pseries)
def lparcfg_store(kernel: Kernel, buf: str) -> None:
    """Ask for another entitlement or weight: `capacity_weight=128`; EINVAL, under QEMU ENOENT."""
    from elfcorehdr.arch.powerpc.platforms.pseries import lparcfg

    lparcfg.lparcfg_write(kernel, buf)


@powerpc.show
def eeh_show(kernel: Kernel) -> str:
    """Errors of PCI devices that were contained: no such device is emulated."""
    return "EEH Subsystem is globally disabled\neeh_total_mmio_ffs=0\n"


GROUPS: tuple[Declaration, ...] = (
    powerpc,
    Link("ppc64", singleton, "powerpc", fs=Filesystem.PROCFS, is_visible=_power),
)
