"""Other files of /sys/kernel/: kernel/ksysfs.c (v7.1)."""

from __future__ import annotations

from elfcorehdr.kernel import Kernel
from elfcorehdr.parse import kstrtoint
from fsmount.kobject import AttributeGroup, Declaration, singleton

ksysfs = AttributeGroup("kernel", singleton)


@ksysfs.show
def vmcoreinfo_show(kernel: Kernel) -> str:
    """Physical address and size of the vmcoreinfo note, both hex, the size without 0x."""
    address, size = kernel.vmcoreinfo
    return f"{address:#018x} {size:x}\n"


@ksysfs.show
def uevent_seqnum_show(kernel: Kernel) -> str:
    """SEQNUM of the last uevent."""
    return f"{kernel.uevents.seqnum}\n"


@ksysfs.show
def cpu_byteorder_show(kernel: Kernel) -> str:
    """Byte order of the CPU."""
    return "little\n"


@ksysfs.show
def address_bits_show(kernel: Kernel) -> str:
    """Width of an address."""
    return "64\n"


@ksysfs.show
def fscaps_show(kernel: Kernel) -> str:
    """Whether file capabilities are on."""
    return "1\n"


@ksysfs.show
def rcu_expedited_show(kernel: Kernel) -> str:
    """Whether RCU grace periods are expedited."""
    return f"{kernel.rcu_expedited}\n"


@ksysfs.store
def rcu_expedited_store(kernel: Kernel, buf: str) -> None:
    """Expedite RCU grace periods, or not; a number, kept as it is. EINVAL."""
    kernel.rcu_expedited = kstrtoint(buf)


@ksysfs.show
def rcu_normal_show(kernel: Kernel) -> str:
    """Whether RCU grace periods are never expedited."""
    return f"{kernel.rcu_normal}\n"


@ksysfs.store
def rcu_normal_store(kernel: Kernel, buf: str) -> None:
    """Never expedite RCU grace periods, or do. EINVAL."""
    kernel.rcu_normal = kstrtoint(buf)


GROUPS: tuple[Declaration, ...] = (ksysfs,)
