"""/sys/devices/system/cpu/: drivers/base/cpu.c, drivers/base/topology.c, kernel/cpu.c (v7.1)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable

from elfcorehdr import changes
from elfcorehdr.cpu import Cpu
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel import Kernel
from elfcorehdr.parse import kstrtobool, kstrtoint, kstrtou32
from elfcorehdr.ranges import format_ids
from fsmount.kobject import AttributeGroup, Declaration, Kset, Link, singleton
from fsmount.sysfs.device import device_uevent, named, numbered, subsystem
from fsmount.sysfs.kexec_core import has_crash_hotplug

cpu = AttributeGroup("devices/system/cpu", singleton)


def cpumap(ids: Iterable[int], nr_bits: int) -> str:
    """Ids as the kernel's %*pb: hex words of 32 bits, comma between, the highest first, nr_bits wide."""
    mask = sum(1 << n for n in ids)
    words: list[str] = []
    while nr_bits > 0:
        digits = (min(nr_bits, 32) + 3) // 4
        words.append(f"{mask & 0xFFFFFFFF:0{digits}x}")
        mask >>= 32
        nr_bits -= 32
    return ",".join(reversed(words))


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


@cpu.show(is_visible=lambda kernel, obj: kernel.has(changes.CPU_ENABLED))
def enabled_show(kernel: Kernel) -> str:
    """CPUs that can be brought online."""
    return _list(kernel.arch.cpus_enabled(kernel))


@cpu.show
def isolated_show(kernel: Kernel) -> str:
    """CPUs kept free by isolcpus=."""
    return "\n"


@cpu.show
def nohz_full_show(kernel: Kernel) -> str:
    """CPUs without a tick; unused here, and printed as the kernel prints a mask that is not there."""
    return " (null)\n"  # Quirk: %*pbl of a NULL mask, with a blank


@cpu.show
def kernel_max_show(kernel: Kernel) -> str:
    """The highest number a CPU can have in this kernel."""
    return f"{kernel.machine.nr_cpus - 1}\n"


@cpu.show(is_visible=has_crash_hotplug)
def crash_hotplug_show(kernel: Kernel) -> str:
    """1 if the kernel itself keeps the loaded crash image up to date on CPU hotplug, else 0."""
    return f"{int(kernel.kexec.crash_hotplug())}\n"


@cpu.show(is_visible=lambda kernel, obj: kernel.arch.has_cpu_modalias)
def modalias_show(kernel: Kernel) -> str:
    """The CPU's type and features, for module loading."""
    return f"{kernel.cpu_modalias}\n"


def _has_dlpar(kernel: Kernel, obj: object) -> bool:
    return kernel.dlpar is not None


@cpu.store(is_visible=_has_dlpar)
def probe_store(kernel: Kernel, buf: str) -> None:
    """dlpar_cpu_probe(): add the core with this DRC index; EINVAL."""
    try:
        drc = kstrtou32(buf)
    except KernelError:
        raise KernelError(errno.EINVAL, "not a DRC index") from None
    assert kernel.dlpar is not None
    kernel.dlpar.cpu.add(drc)


@cpu.store(is_visible=_has_dlpar)
def release_store(kernel: Kernel, buf: str) -> None:
    """dlpar_cpu_release(): remove the core whose device-tree path this is; EINVAL."""
    assert kernel.dlpar is not None
    kernel.dlpar.cpu.release(buf)


smt = AttributeGroup("devices/system/cpu/smt", singleton)


@smt.show(name="active")
def smt_active_show(kernel: Kernel) -> str:
    """1 if a core runs more than one thread."""
    return f"{int(kernel.cpus.smt_active())}\n"


@smt.show(name="control")
def smt_control_show(kernel: Kernel) -> str:
    """on, off, or notsupported without threads."""
    return "on\n" if kernel.machine.cpus.threads > 1 else "notsupported\n"


@smt.store(name="control")
def smt_control_store(kernel: Kernel, buf: str) -> None:
    """Switch threads on or off; ENODEV without threads, EINVAL for another word."""
    kernel.cpus.smt_control(buf)


cpus: Kset[Cpu] = Kset(
    names=lambda kernel: named("cpu", kernel.cpus.with_device()),
    lookup=lambda kernel, name: _cpu(kernel, name),
    count=lambda kernel: kernel.cpus.device_count(),
)


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


@device.show(is_visible=lambda kernel, c: kernel.dlpar is not None)
def physical_id_show(c: Cpu) -> str:
    """Hardware number of the thread; 0 for a CPU that is not there."""
    return f"{c.hard_id if c.present else 0}\n"


device_uevent(device, "cpu")

hotplug = AttributeGroup("devices/system/cpu/cpu*/hotplug", cpus)
CPUHP_OFFLINE, CPUHP_INVALID = 0, -1


def cpuhp_online(kernel: Kernel) -> int:
    """CPUHP_ONLINE, the last of enum cpuhp_state."""
    return 235 if kernel.has(changes.CPUHP_ONLINE_235) else 236


@hotplug.show
def state_show(c: Cpu) -> str:
    """The hotplug state that the CPU is in: that of a running one, or 0."""
    return f"{cpuhp_online(c.kernel) if c.online else CPUHP_OFFLINE}\n"


@hotplug.show
def target_show(c: Cpu) -> str:
    """The state that the CPU is to be in."""
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


def _siblings(name: str, members: Callable[[Cpu], list[int]]) -> None:
    """Two files of one mask: NAME as hex words, NAME_list as a list."""
    doc = f"CPUs of the same {name.partition('_')[0]}"
    topology.add(
        name,
        show=lambda c: cpumap(members(c), c.kernel.cpus.nr_cpu_ids) + "\n",
        doc=f"{doc}, as a mask.",
    )
    topology.add(f"{name}_list", show=lambda c: _list(members(c)), doc=f"{doc}, as a list.")


for _name in ("thread_siblings", "core_cpus"):
    _siblings(_name, lambda c: c.kernel.cpus.online_threads(c))
for _name in ("core_siblings", "package_cpus", "die_cpus"):
    _siblings(_name, lambda c: c.kernel.cpus.online_package(c))


@topology.show
def core_id_show(c: Cpu) -> str:
    """The core's number in its package."""
    return f"{c.core_id}\n"


@topology.show
def physical_package_id_show(c: Cpu) -> str:
    """The package's number."""
    return f"{c.package}\n"


@topology.show
def die_id_show(c: Cpu) -> str:
    """The die's number; -1 where there are none."""
    return f"{c.kernel.arch.die_id}\n"


cpu_nodes: Kset[int] = Kset(
    names=lambda c: iter([f"node{c.node}"]),
    lookup=lambda c, name: c.node if name == f"node{c.node}" else None,
    count=lambda c: 1,
    parent=cpus,
)
node_link = Link(
    "devices/system/cpu/cpu*/node*", cpu_nodes, lambda n: f"devices/system/node/node{n}"
)
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
    of_node,
    *subsystem("cpu", cpus, "cpu"),
)
