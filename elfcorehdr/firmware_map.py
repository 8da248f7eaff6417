"""The firmware's memory map, /sys/firmware/memmap: drivers/firmware/memmap.c (v7.1). Imports .iomem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .iomem import SYSTEM_RAM


class FirmwareMapEntry(NamedTuple):
    """One entry: start..end in bytes, both included, and its type in the firmware's words."""

    start: int
    end: int
    type: str


class FirmwareMap:
    """The entries by the number of their directory; numbers are never used again."""

    def __init__(self) -> None:
        self.entries: dict[int, FirmwareMapEntry] = {}
        self._next = 0
        self._at_boot = True

    def add(self, start: int, end: int, type_: str) -> None:
        """firmware_map_add_early(): an entry of the map at boot."""
        self.entries[self._next] = FirmwareMapEntry(start, end, type_)
        self._next += 1

    def add_hotplug(self, start: int, end: int) -> None:
        """firmware_map_add_hotplug(): System RAM that was plugged in; nothing if it is there already."""
        entry = FirmwareMapEntry(start, end, SYSTEM_RAM)
        if entry not in self.entries.values():
            self.add(*entry)

    def remove(self, start: int, end: int) -> None:
        """firmware_map_remove(): the entry with exactly these ends."""
        entry = FirmwareMapEntry(start, end, SYSTEM_RAM)
        for number, other in self.entries.items():
            if other == entry:
                del self.entries[number]
                return

    def __iter__(self) -> Iterator[int]:
        return iter(list(self.entries))
