"""/sys/firmware/memmap/: drivers/firmware/memmap.c (v7.1)."""

from __future__ import annotations

from elfcorehdr.drivers.firmware.memmap import FirmwareMapEntry
from elfcorehdr.init.main import Kernel
from fsmount.tree.entries import numbered
from fsmount.tree.kobject import AttributeGroup, Declaration, Kset, singleton


def _names(kernel: Kernel) -> list[str]:
    return [str(n) for n in kernel.firmware_map] if kernel.arch.has_firmware_memmap else []


def _entry(kernel: Kernel, name: str) -> FirmwareMapEntry | None:
    number = numbered("", name)
    if number is None or not kernel.arch.has_firmware_memmap:
        return None
    return kernel.firmware_map.entries.get(number)


entries: Kset[FirmwareMapEntry] = Kset(
    names=_names,
    lookup=_entry,
    count=lambda kernel: len(kernel.firmware_map.entries) if kernel.arch.has_firmware_memmap else 0,
)
memmap = AttributeGroup("firmware/memmap/*", entries)


@memmap.show
def start_show(entry: FirmwareMapEntry) -> str:
    """The first byte, 0x and hex digits."""
    return f"{entry.start:#x}\n"


@memmap.show
def end_show(entry: FirmwareMapEntry) -> str:
    """The last byte."""
    return f"{entry.end:#x}\n"


@memmap.show
def type_show(entry: FirmwareMapEntry) -> str:
    """What the firmware says it is."""
    return f"{entry.type}\n"


GROUPS: tuple[Declaration, ...] = (
    AttributeGroup(
        "firmware/memmap",
        singleton,
        is_visible=lambda kernel, obj: kernel.arch.has_firmware_memmap,
    ),
    memmap,
)
