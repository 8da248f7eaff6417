"""/sys/kernel/dlpar and /sys/kernel/fadump/: arch/powerpc/platforms/pseries/dlpar.c, arch/powerpc/kernel/fadump.c (v7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elfcorehdr import changes
from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Declaration, Link, singleton

if TYPE_CHECKING:
    from elfcorehdr.arch.powerpc.kernel.fadump import Fadump

dlpar = AttributeGroup("kernel", singleton)


def _has_dlpar(kernel: Kernel, obj: object) -> bool:
    return kernel.platform.dlpar is not None


@dlpar.show(is_visible=_has_dlpar)
def dlpar_show(kernel: Kernel) -> str:
    """What can be added and removed at run time."""
    assert kernel.platform.dlpar is not None
    return kernel.platform.dlpar.show()


@dlpar.store(is_visible=_has_dlpar)
def dlpar_store(kernel: Kernel, buf: str) -> None:
    """Add or remove: `<memory|cpu|dt> <add|remove> <index N|count N|indexed-count COUNT N>`.

    EINVAL for most that is wrong, ENODEV to remove a CPU that is not there, EBUSY, EIO.
    """
    assert kernel.platform.dlpar is not None
    kernel.platform.dlpar.store(buf)


def _has_fadump(kernel: Kernel, obj: object) -> bool:
    return kernel.platform.fadump is not None


def _fadump(kernel: Kernel) -> Fadump:
    assert kernel.platform.fadump is not None
    return kernel.platform.fadump


fadump = AttributeGroup("kernel/fadump", singleton, is_visible=_has_fadump)


@fadump.show
def enabled_show(kernel: Kernel) -> str:
    """1 if firmware-assisted dump was asked for at boot (fadump=on), else 0."""
    return f"{int(_fadump(kernel).enabled)}\n"


@fadump.show
def registered_show(kernel: Kernel) -> str:
    """1 if the dump is registered with firmware, else 0."""
    return f"{int(_fadump(kernel).registered)}\n"


@fadump.store
def registered_store(kernel: Kernel, buf: str) -> None:
    """Register (1) or unregister (0); EPERM unless enabled, EINVAL for anything else."""
    _fadump(kernel).store(buf)


@fadump.show
def mem_reserved_show(kernel: Kernel) -> str:
    """Bytes reserved for the dump, decimal."""
    return f"{_fadump(kernel).reserved}\n"


@fadump.show(is_visible=lambda kernel, obj: kernel.has(changes.FADUMP_HOTPLUG_READY))
def hotplug_ready_show(kernel: Kernel) -> str:
    """1: memory hotplug needs no new registration."""
    return "1\n"


GROUPS: tuple[Declaration, ...] = (
    dlpar,
    fadump,
    *(
        Link(f"kernel/fadump_{name}", singleton, f"kernel/fadump/{name}", is_visible=_has_fadump)
        for name in ("enabled", "registered")
    ),
)
