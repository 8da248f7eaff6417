"""/sys/kernel/dlpar, /sys/kernel/fadump/ and registers of CPUs (v7.1).

arch/powerpc/platforms/pseries/dlpar.c, arch/powerpc/kernel/{fadump,sysfs}.c.
"""

from __future__ import annotations

from elfcorehdr import changes
from elfcorehdr.drivers.base.cpu import Cpu
from elfcorehdr.init.main import Kernel
from fsmount.sysfs.cpu import cpus
from fsmount.tree.kobject import AttributeGroup, Declaration, Link, singleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.arch.powerpc.kernel.fadump import Fadump
    from elfcorehdr.arch.powerpc.kernel.sysfs import Dscr

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


def _had_dump(kernel: Kernel, obj: object) -> bool:
    return kernel.platform.fadump is not None and kernel.platform.fadump.had_dump


@fadump.store(is_visible=_had_dump)
def release_mem_store(kernel: Kernel, buf: str) -> None:
    """1 takes /proc/vmcore away and frees the memory that is kept for it; EPERM without a dump, EINVAL."""
    _fadump(kernel).release_mem(buf)


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


cpu = AttributeGroup("devices/system/cpu", singleton)
device = AttributeGroup("devices/system/cpu/cpu*", cpus)


def _dscr(kernel: Kernel) -> Dscr:
    assert kernel.platform.dscr is not None
    return kernel.platform.dscr


def _runs(_kernel: Kernel, c: Cpu) -> bool:
    return c.online and c.kernel.platform.dscr is not None


def _runs_in_lpar(_kernel: Kernel, c: Cpu) -> bool:
    return c.online and c.kernel.platform.dlpar is not None


def _is_smt(_kernel: Kernel, c: Cpu) -> bool:
    return _runs(_kernel, c) and c.kernel.machine.cpus.threads > 1


@cpu.show(mode=0o600, is_visible=lambda kernel, obj: kernel.platform.dscr is not None)
def dscr_default_show(kernel: Kernel) -> str:
    """The data stream control register that CPUs have where nothing else was said, hexadecimal."""
    return f"{_dscr(kernel).default:x}\n"


@cpu.store(is_visible=lambda kernel, obj: kernel.platform.dscr is not None)
def dscr_default_store(kernel: Kernel, buf: str) -> None:
    """Set it, on all CPUs; EINVAL unless it begins with a hexadecimal number."""
    _dscr(kernel).store(buf)


@device.show(mode=0o600, is_visible=_runs)
def dscr_show(c: Cpu) -> str:
    """The CPU's data stream control register, hexadecimal."""
    return f"{_dscr(c.kernel).of(c.id):x}\n"


@device.store(is_visible=_runs)
def dscr_store(c: Cpu, buf: str) -> None:
    """Set it; EINVAL unless it begins with a hexadecimal number."""
    _dscr(c.kernel).store(buf, c.id)


@device.show(mode=0o400, is_visible=_runs)
def pir_show(c: Cpu) -> str:
    """The processor identification register, hexadecimal."""
    return f"{c.kernel.platform.hard_id(c):x}\n"


def _ticks(c: Cpu) -> str:
    from elfcorehdr.arch.powerpc.kernel.sysfs import purr

    return f"{purr(c.kernel):x}\n"


for _name, _visible, _doc in (
    ("purr", _runs, "Ticks that the CPU had of its core since the boot, hexadecimal."),
    ("spurr", _runs, "The same, by the core's clock at the time."),
    ("idle_purr", _runs_in_lpar, "Of purr, what passed while the CPU was idle."),
    ("idle_spurr", _runs_in_lpar, "Of spurr, what passed while the CPU was idle."),
):
    device.add(_name, show=_ticks, mode=0o400, is_visible=_visible, doc=_doc)


@device.show(is_visible=_is_smt)
def smt_snooze_delay_show(c: Cpu) -> str:
    """100, whatever is written."""
    return "100\n"


@device.store(is_visible=_is_smt)
def smt_snooze_delay_store(c: Cpu, buf: str) -> None:
    """Taken, and without effect."""


GROUPS: tuple[Declaration, ...] = (
    dlpar,
    cpu,
    device,
    fadump,
    debug,
    *(
        Link(f"kernel/fadump_{name}", singleton, f"kernel/fadump/{name}", is_visible=_has_fadump)
        for name in ("enabled", "registered")
    ),
    Link(
        "kernel/fadump_release_mem",
        singleton,
        "kernel/fadump/release_mem",
        is_visible=_had_dump,
    ),
)
