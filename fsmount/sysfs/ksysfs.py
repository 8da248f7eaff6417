"""Other files of /sys/kernel/: kernel/ksysfs.c (v7.1)."""

from __future__ import annotations

import errno
import struct

from elfcorehdr.changes import in_sysfs
from elfcorehdr.changes.change import Change
from elfcorehdr.elf import NT_GNU_BUILD_ID
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.ksysfs import build_id
from elfcorehdr.kernel.vmcore_info import vmcoreinfo_note
from elfcorehdr.lib.kstrtox import kstrtoint
from fsmount.tree.kobject import AttributeGroup, Declaration, singleton

ksysfs = AttributeGroup("kernel", singleton)

LINUX_ELFNOTE_BUILD_SALT = 0x100
LINUX_ELFNOTE_LTO_INFO = 0x101


@ksysfs.show
def vmcoreinfo_show(kernel: Kernel) -> str:
    """Physical address and size of the vmcoreinfo note, both hex, the size without 0x."""
    address, size = vmcoreinfo_note(kernel)
    return f"{address:#018x} {size:x}\n"


@ksysfs.show
def uevent_seqnum_show(kernel: Kernel) -> str:
    """SEQNUM of the last uevent."""
    return f"{kernel.uevents.seqnum}\n"


@ksysfs.show(is_visible=lambda kernel, obj: kernel.has(in_sysfs.CPU_BYTEORDER))
def cpu_byteorder_show(kernel: Kernel) -> str:
    """Byte order of the CPU."""
    return "little\n"


@ksysfs.show(is_visible=lambda kernel, obj: kernel.has(in_sysfs.ADDRESS_BITS))
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
    return f"{kernel.ksysfs.rcu_expedited}\n"


@ksysfs.store
def rcu_expedited_store(kernel: Kernel, buf: str) -> None:
    """Expedite RCU grace periods, or not; a number, kept as it is. EINVAL."""
    kernel.ksysfs.rcu_expedited = kstrtoint(buf)


@ksysfs.show
def rcu_normal_show(kernel: Kernel) -> str:
    """Whether RCU grace periods are never expedited."""
    return f"{kernel.ksysfs.rcu_normal}\n"


@ksysfs.store
def rcu_normal_store(kernel: Kernel, buf: str) -> None:
    """Never expedite RCU grace periods, or do. EINVAL."""
    kernel.ksysfs.rcu_normal = kstrtoint(buf)


def _counter(name: str, change: Change, option: str = "") -> None:
    """A count of things that went wrong with the kernel itself: those that were asked for (`kdumpfs crash`)."""
    ksysfs.add(
        name,
        show=lambda kernel: f"{kernel.panic.counts.get(name, 0)}\n",
        is_visible=lambda kernel, obj: kernel.has(change) and (not option or kernel.config(option)),
        doc=f"How often the kernel had one since boot: {name.removesuffix('_count')}.",
    )


_counter("warn_count", in_sysfs.OOPS_COUNTS)
_counter("softlockup_count", in_sysfs.LOCKUP_COUNTS, "LOCKUP_DETECTOR")
_counter("hardlockup_count", in_sysfs.LOCKUP_COUNTS, "LOCKUP_DETECTOR")
_counter("rcu_stall_count", in_sysfs.LOCKUP_COUNTS)


@ksysfs.show(is_visible=lambda kernel, obj: kernel.has(in_sysfs.OOPS_COUNTS))
def oops_count_show(kernel: Kernel) -> str:
    """Oopses since boot."""
    return f"{kernel.panic.oopses}\n"


@ksysfs.show(is_visible=lambda kernel, obj: kernel.config("PROFILING"))
def profiling_show(kernel: Kernel) -> str:
    """Whether the kernel is profiled."""
    return f"{kernel.ksysfs.profiling}\n"


@ksysfs.store(is_visible=lambda kernel, obj: kernel.config("PROFILING"))
def profiling_store(kernel: Kernel, buf: str) -> None:
    """Switch profiling on, once: EEXIST. A number is the shift of the counted addresses; no profile is kept here."""
    if kernel.ksysfs.profiling:
        raise KernelError(errno.EEXIST, "profiling is on")
    kernel.ksysfs.profiling = int(buf[:1].isdecimal())


def _note(name: str, kind: int, desc: bytes) -> bytes:
    """struct elf_note with name and desc, each padded to 4 bytes."""
    title = name.encode() + b"\0"
    head = struct.pack("<3I", len(title), len(desc), kind)
    return head + title + bytes(-len(title) % 4) + desc + bytes(-len(desc) % 4)


@ksysfs.bin_show()
def notes_show(kernel: Kernel) -> bytes:
    """The notes of the running vmlinux: build ID, LTO, salt of the build, what the architecture adds.

    The build ID is that of the image (--vmlinux) or of the machine (`build_id`); else it is made of architecture and release.
    """
    salt = kernel.release if kernel.config("BUILD_SALT") else ""
    arch_note = kernel.arch.vmlinux_note(kernel)
    return (
        _note("GNU", NT_GNU_BUILD_ID, bytes.fromhex(build_id(kernel)))
        + _note("Linux", LINUX_ELFNOTE_LTO_INFO, bytes(4))
        + _note("Linux", LINUX_ELFNOTE_BUILD_SALT, salt.encode() + b"\0")
        + (_note(*arch_note) if arch_note else b"")
    )


GROUPS: tuple[Declaration, ...] = (ksysfs,)
