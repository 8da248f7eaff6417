"""/sys/devices/system/cpu/: drivers/base/cpu.c, drivers/base/topology.c, kernel/cpu.c (v7.1)."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable

from elfcorehdr.changes import in_sysfs
from elfcorehdr.drivers.base.cpu import Cpu
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kstrtox import kstrtobool, kstrtoint, kstrtou32
from elfcorehdr.lib.ranges import format_ids
from fsmount.sysfs.device import device_uevent, named, subsystem
from fsmount.sysfs.kexec_core import has_crash_hotplug
from fsmount.sysfs.power import power
from fsmount.tree.entries import numbered
from fsmount.tree.kobject import AttributeGroup, Declaration, Kset, Link, singleton

cpu = AttributeGroup("devices/system/cpu", singleton)


def cpumap(mask: int, nr_bits: int) -> str:
    """A mask as the kernel's %*pb: hex words of 32 bits, comma between, the highest first, nr_bits wide."""
    text = mask.to_bytes(-(-nr_bits // 32) * 4, "big").hex(",", 4)
    return text[-nr_bits % 32 // 4 :]  # the highest word has only the digits that it has bits for


def cpulist(mask: int) -> str:
    """A mask as the kernel's %*pbl: its runs, "0-3,6"."""
    runs = (run.span() for run in re.finditer("1+", f"{mask:b}"[::-1]))
    return ",".join(f"{a}" if a + 1 == b else f"{a}-{b - 1}" for a, b in runs)


def _list(ids: Iterable[int]) -> str:
    return format_ids(sorted(ids)) + "\n"


@cpu.show
def online_show(kernel: Kernel) -> str:
    """CPUs that run."""
    return _list(kernel.cpus.online)


@cpu.show
def possible_show(kernel: Kernel) -> str:
    """CPUs there can ever be."""
    return _list(kernel.cpus.possible)


@cpu.show
def present_show(kernel: Kernel) -> str:
    """CPUs that are plugged in."""
    return _list(kernel.cpus.present)


@cpu.show
def offline_show(kernel: Kernel) -> str:
    """Possible CPUs that do not run; an empty line if all do."""
    return _list(n for n in kernel.cpus.possible if n not in kernel.cpus.online)


@cpu.show(is_visible=lambda kernel, obj: kernel.has(in_sysfs.CPU_ENABLED))
def enabled_show(kernel: Kernel) -> str:
    """CPUs that can be brought online."""
    return _list(kernel.arch.cpus_enabled(kernel))


@cpu.show
def isolated_show(kernel: Kernel) -> str:
    """CPUs kept free by isolcpus=."""
    return "\n"


@cpu.show(is_visible=lambda kernel, obj: kernel.has(in_sysfs.CPU_HOUSEKEEPING))
def housekeeping_show(kernel: Kernel) -> str:
    """CPUs that do the kernel's own work where others are kept free: an empty line without isolcpus=."""
    return "\n"


@cpu.show(is_visible=lambda kernel, obj: kernel.config("NO_HZ_FULL"))
def nohz_full_show(kernel: Kernel) -> str:
    """CPUs without a tick: none here."""
    if kernel.has(in_sysfs.NOHZ_FULL_MASK) or not kernel.arch.cpumask_offstack:
        return "\n"
    # Quirk: %*pbl of a NULL mask, right-aligned in as many columns as there can be CPUs.
    return "(null)".rjust(kernel.cpus.nr_cpu_ids) + "\n"


@cpu.show
def kernel_max_show(kernel: Kernel) -> str:
    """The highest number a CPU can have in this kernel."""
    return f"{kernel.cpus.nr_cpus - 1}\n"


@cpu.show(is_visible=has_crash_hotplug)
def crash_hotplug_show(kernel: Kernel) -> str:
    """1 if the kernel itself keeps the loaded crash image up to date on CPU hotplug, else 0."""
    return f"{int(kernel.kexec.crash_hotplug())}\n"


@cpu.show(is_visible=lambda kernel, obj: kernel.arch.has_cpu_modalias)
def modalias_show(kernel: Kernel) -> str:
    """The CPU's type and features, for module loading."""
    return f"{kernel.cpus.modalias}\n"


def _has_probe(kernel: Kernel, obj: object) -> bool:
    return kernel.arch.has_cpu_probe


@cpu.store(is_visible=_has_probe)
def probe_store(kernel: Kernel, buf: str) -> None:
    """dlpar_cpu_probe(): add the core with this DRC index; EINVAL, always so without DLPAR."""
    if kernel.platform.dlpar is None:
        raise KernelError(errno.EINVAL, "no ppc_md.cpu_probe")
    try:
        drc = kstrtou32(buf)
    except KernelError:
        raise KernelError(errno.EINVAL, "not a DRC index") from None
    kernel.platform.dlpar.cpu.add(drc)


@cpu.store(is_visible=_has_probe)
def release_store(kernel: Kernel, buf: str) -> None:
    """dlpar_cpu_release(): remove the core whose device-tree path this is; EINVAL."""
    if kernel.platform.dlpar is None:
        raise KernelError(errno.EINVAL, "no ppc_md.cpu_release")
    kernel.platform.dlpar.cpu.release(buf)


smt = AttributeGroup("devices/system/cpu/smt", singleton)


@smt.show(name="active")
def smt_active_show(kernel: Kernel) -> str:
    """1 if a core runs more than one thread."""
    return f"{int(kernel.cpus.smt_active())}\n"


@smt.show(name="control")
def smt_control_show(kernel: Kernel) -> str:
    """on, off, forceoff, how many threads of a core may run, or notsupported, notimplemented."""
    return f"{kernel.smt.show()}\n"


@smt.store(name="control")
def smt_control_store(kernel: Kernel, buf: str) -> None:
    """Switch threads on or off, or say how many may run: EINVAL; EPERM after forceoff, ENODEV without threads."""
    kernel.smt.store(buf)


cpus: Kset[Cpu] = Kset(
    names=lambda kernel: named("cpu", kernel.cpus.with_device()),
    lookup=lambda kernel, name: _cpu(kernel, name),
    count=lambda kernel: kernel.cpus.device_count(),
)
"""The set of the CPUs that have a directory: a Cpu for each of devices/system/cpu/cpu*."""


def _cpu(kernel: Kernel, name: str) -> Cpu | None:
    n = numbered("cpu", name)
    return kernel.cpus.device(n) if n is not None else None


device = AttributeGroup("devices/system/cpu/cpu*", cpus)


@device.show(name="online", is_visible=lambda kernel, c: kernel.arch.cpu_hotpluggable(kernel, c))
def cpu_online_show(c: Cpu) -> str:
    """1 if the CPU runs, else 0."""
    return f"{int(c.kernel.cpus.device_online(c.id))}\n"


@device.store(name="online", is_visible=lambda kernel, c: kernel.arch.cpu_hotpluggable(kernel, c))
def cpu_online_store(c: Cpu, buf: str) -> None:
    """Start or stop the CPU; nothing happens if it is so already. EINVAL, EBUSY for the last one."""
    if kstrtobool(buf):
        c.kernel.cpus.up(c.id)
    else:
        c.kernel.cpus.down(c.id)


@device.show(mode=0o400)
def crash_notes_show(c: Cpu) -> str:
    """Physical address of the CPU's crash note, hex without 0x."""
    return f"{c.kernel.arch.crash_note(c.kernel, c.id):x}\n"


@device.show(mode=0o400)
def crash_notes_size_show(c: Cpu) -> str:
    """Size of the CPU's crash note, in bytes, decimal."""
    return f"{c.kernel.arch.crash_note_bytes}\n"


def _has_capacity(kernel: Kernel, c: Cpu) -> bool:
    always = kernel.arch.cpu_capacity_always
    return c.online and (always or kernel.has(in_sysfs.CPU_CAPACITY))


@device.show(is_visible=_has_capacity)
def cpu_capacity_show(c: Cpu) -> str:
    """The CPU's speed, that of the fastest being 1024."""
    return "1024\n"


@device.show(is_visible=_has_probe)
def physical_id_show(c: Cpu) -> str:
    """Hardware number of the thread; 0 for a CPU that never was there, -1 for one that was."""
    return f"{c.hard_id if c.present else -1 if c.id in c.kernel.cpus.unplugged else 0}\n"


device_uevent(device, "cpu")

hotplug = AttributeGroup(
    "devices/system/cpu/cpu*/hotplug",
    cpus,
    # cpuhp_sysfs_init() runs once, at boot.
    is_visible=lambda kernel, c: c.id not in kernel.cpus.plugged,
)
CPUHP_OFFLINE, CPUHP_INVALID = 0, -1
CPUHP_ONLINE = (
    (238, in_sysfs.CPUHP_ONLINE_238),
    (237, in_sysfs.CPUHP_ONLINE_237),
    (235, in_sysfs.CPUHP_ONLINE_235),
)
"""Where it is not 236."""


def cpuhp_online(kernel: Kernel) -> int:
    """CPUHP_ONLINE, the last of enum cpuhp_state."""
    for value, change in CPUHP_ONLINE:
        if kernel.has(change):
            return value
    return 236


@hotplug.show
def state_show(c: Cpu) -> str:
    """The hotplug state that the CPU is in: that of a running one, or 0."""
    return f"{cpuhp_online(c.kernel) if c.online else CPUHP_OFFLINE}\n"


@hotplug.show
def target_show(c: Cpu) -> str:
    """The state that the CPU is to be in."""
    if not c.id and not c.kernel.has(in_sysfs.BOOT_CPU_TARGET):
        return f"{CPUHP_OFFLINE}\n"
    return state_show(c)


@hotplug.store
def target_store(c: Cpu, buf: str) -> None:
    """Start or stop the CPU without a uevent; EINVAL for any state but the first and the last, or as online."""
    target, online = kstrtoint(buf), cpuhp_online(c.kernel)
    if target not in (CPUHP_OFFLINE, online):
        raise KernelError(errno.EINVAL, "neither offline nor online")
    c.kernel.cpus.set_target(c.id, online=target == online)


@hotplug.show
def fail_show(c: Cpu) -> str:
    """The state whose callback is to fail: none."""
    return f"{CPUHP_INVALID}\n"


@hotplug.store
def fail_store(c: Cpu, buf: str) -> None:
    """Let the callback of a state fail; only -1, none, is taken. EINVAL."""
    if kstrtoint(buf) != CPUHP_INVALID:
        raise KernelError(errno.EINVAL, "no state with a callback")


topology = AttributeGroup(
    "devices/system/cpu/cpu*/topology", cpus, is_visible=lambda kernel, c: c.online
)


def cpulist_bytes(kernel: Kernel) -> int:
    """CPULIST_FILE_MAX_BYTES, include/linux/cpumask.h: st_size of a list of CPUs."""
    return max(kernel.cpus.nr_cpus * 7 // 2, kernel.page_size)


def cpumap_bytes(kernel: Kernel) -> int:
    """CPUMAP_FILE_MAX_BYTES: st_size of a mask of CPUs."""
    size = kernel.cpus.nr_cpus * 9 // 32
    return size - 1 if size > kernel.page_size else kernel.page_size


def _siblings(
    name: str, members: Callable[[Cpu], int], visible: Callable[[Kernel, Cpu], bool] | None
) -> None:
    """Two files of one mask: NAME as hex words, NAME_list as a list."""
    doc = f"CPUs of the same {name.partition('_')[0]}"

    def mask(c: Cpu) -> bytes:
        return (cpumap(members(c), c.kernel.cpus.nr_cpu_ids) + "\n").encode()

    topology.add(
        name,
        show=mask,
        is_visible=visible,
        binary=True,
        size=lambda c: cpumap_bytes(c.kernel),
        doc=f"{doc}, as a mask.",
    )
    topology.add(
        f"{name}_list",
        show=lambda c: (cpulist(members(c)) + "\n").encode(),
        is_visible=visible,
        binary=True,
        size=lambda c: cpulist_bytes(c.kernel),
        doc=f"{doc}, as a list.",
    )


def _has_die(kernel: Kernel, c: Cpu) -> bool:
    return kernel.arch.topology_die(kernel)


def _has_cluster(kernel: Kernel, c: Cpu) -> bool:
    return kernel.arch.has_topology_cluster


for _name in ("thread_siblings", "core_cpus"):
    _siblings(_name, lambda c: c.kernel.cpus.core_mask(c), None)
for _name in ("core_siblings", "package_cpus"):
    _siblings(_name, lambda c: c.kernel.cpus.package_mask(c), None)
_siblings("die_cpus", lambda c: c.kernel.cpus.package_mask(c), _has_die)
_siblings("cluster_cpus", lambda c: c.kernel.arch.cluster_mask(c), _has_cluster)


@topology.show(is_visible=_has_cluster)
def cluster_id_show(c: Cpu) -> str:
    """The number of the CPU's cluster."""
    return f"{c.kernel.arch.cluster_id(c)}\n"


@topology.show
def core_id_show(c: Cpu) -> str:
    """The core's number in its package."""
    return f"{c.kernel.arch.core_id(c)}\n"


@topology.show
def physical_package_id_show(c: Cpu) -> str:
    """The package's number."""
    return f"{c.package}\n"


@topology.show(is_visible=_has_die)
def die_id_show(c: Cpu) -> str:
    """The die's number; -1 where there are none."""
    return f"{c.kernel.arch.die_id(c)}\n"


cpu_nodes: Kset[int] = Kset(
    names=lambda c: iter([f"node{c.node}"]),
    lookup=lambda c, name: c.node if name == f"node{c.node}" else None,
    count=lambda c: 1,
    parent=cpus,
)
node_link = Link(
    "devices/system/cpu/cpu*/node*", cpu_nodes, lambda n: f"devices/system/node/node{n}"
)
driver_link = Link(
    "devices/system/cpu/cpu*/driver",
    cpus,
    "bus/cpu/drivers/processor",
    is_visible=lambda kernel, c: (
        kernel.platform.acpi is not None and kernel.platform.acpi.bound(c.id)
    ),
)
firmware_node = Link(
    "devices/system/cpu/cpu*/firmware_node",
    cpus,
    lambda c: f"devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0010:00/LNXCPU:{c.hard_id:02x}",
    is_visible=lambda kernel, c: kernel.platform.acpi is not None,
)
processor = AttributeGroup(
    "bus/cpu/drivers/processor",
    singleton,
    is_visible=lambda kernel, obj: kernel.platform.acpi is not None,
)
bound: Kset[Cpu] = Kset(
    names=lambda kernel: named("cpu", (n for n in kernel.cpus.with_device() if _bound(kernel, n))),
    lookup=lambda kernel, name: c if (c := _cpu(kernel, name)) and _bound(kernel, c.id) else None,
    count=lambda kernel: 0,
)


def _bound(kernel: Kernel, n: int) -> bool:
    return kernel.platform.acpi is not None and kernel.platform.acpi.bound(n)


of_node = Link(
    "devices/system/cpu/cpu*/of_node",
    cpus,
    lambda c: f"firmware/devicetree/base/cpus/{c.kernel.arch.cpu_node(c.kernel, c)}",
    is_visible=lambda kernel, c: bool(kernel.arch.cpu_node(kernel, c)),
)
GROUPS: tuple[Declaration, ...] = (
    cpu,
    smt,
    device,
    hotplug,
    topology,
    node_link,
    driver_link,
    firmware_node,
    processor,
    Link("bus/cpu/drivers/processor/cpu*", bound, lambda c: c.devpath.lstrip("/")),
    power("devices/system/cpu", singleton),
    power("devices/system/cpu/cpu*", cpus, latency=True),
    of_node,
    *subsystem("cpu", cpus, "cpu"),
    AttributeGroup(
        "devices/system/cpu/cpufreq",
        singleton,
        is_visible=lambda kernel, obj: kernel.config("CPU_FREQ"),
    ),
)
