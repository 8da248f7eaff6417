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
    return f"{_fadump(kernel).size}\n"


@fadump.show(is_visible=lambda kernel, obj: kernel.has(changes.FADUMP_HOTPLUG_READY))
def hotplug_ready_show(kernel: Kernel) -> str:
    """1: memory hotplug needs no new registration."""
    return "1\n"


def _has_param_area(kernel: Kernel, obj: object) -> bool:
    return kernel.platform.fadump is not None and kernel.platform.fadump.has_param_area


@fadump.show(is_visible=_has_param_area)
def bootargs_append_show(kernel: Kernel) -> str:
    """What the capture kernel's command line gets besides the running one's."""
    return f"{_fadump(kernel).bootargs_append()}\n"


@fadump.store(is_visible=_has_param_area)
def bootargs_append_store(kernel: Kernel, buf: str) -> None:
    """Set it; EPERM unless enabled, EINVAL from 2048 bytes on, ENOSPC where both are too long together."""
    _fadump(kernel).append_bootargs(buf)


debug = AttributeGroup("kernel/debug/powerpc", singleton, is_visible=_has_fadump)


@debug.bin_show(size=0)
def fadump_region_show(kernel: Kernel) -> bytes:
    """What firmware is to copy, and where to."""
    return _fadump(kernel).region().encode(errors="surrogateescape")


GROUPS: tuple[Declaration, ...] = (
    dlpar,
    fadump,
    debug,
    *(
        Link(f"kernel/fadump_{name}", singleton, f"kernel/fadump/{name}", is_visible=_has_fadump)
        for name in ("enabled", "registered")
    ),
)
