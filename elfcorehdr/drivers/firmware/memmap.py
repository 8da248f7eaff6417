"""The firmware's memory map, /sys/firmware/memmap: drivers/firmware/memmap.c (v7.1)."""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr.kernel.resource import SYSTEM_RAM
from elfcorehdr.lib.record import NamedTuple


class FirmwareMapEntry(NamedTuple):
    """One entry: start..end in bytes, both included, and its type in the firmware's words."""

    start: int
    end: int
    type: str


class FirmwareMap:
    """The entries by the number of their directory; numbers are never used again."""

    def __init__(self) -> None:
        self.entries: dict[int, FirmwareMapEntry] = {}
        self._numbers: dict[FirmwareMapEntry, int] = {}
        self._next = 0

    def add(self, start: int, end: int, type_: str) -> None:
        """firmware_map_add_early(): an entry of the map at boot."""
        entry = FirmwareMapEntry(start, end, type_)
        self.entries[self._next] = entry
        self._numbers.setdefault(entry, self._next)
        self._next += 1

    def add_hotplug(self, start: int, end: int) -> None:
        """firmware_map_add_hotplug(): System RAM that was plugged in; nothing if it is there already."""
        entry = FirmwareMapEntry(start, end, SYSTEM_RAM)
        if entry not in self._numbers:
            self.add(*entry)

    def remove(self, start: int, end: int) -> None:
        """firmware_map_remove(): the entry with exactly these ends."""
        number = self._numbers.pop(FirmwareMapEntry(start, end, SYSTEM_RAM), None)
        if number is not None:
            del self.entries[number]

    def __iter__(self) -> Iterator[int]:
        return iter(list(self.entries))
