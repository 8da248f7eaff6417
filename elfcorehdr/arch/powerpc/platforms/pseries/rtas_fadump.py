"""What firmware is told to dump, and tells of it after the crash: arch/powerpc/platforms/pseries/rtas-fadump.{c,h} (v7.3).

The structure is that of the property ibm,kernel-dump of /rtas, big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from elfcorehdr.lib.record import NamedTuple

PROPERTY = "rtas/ibm,kernel-dump"
CPU_STATE_DATA, HPTE_REGION, REAL_MODE_REGION, PARAM_AREA = 0x0001, 0x0002, 0x0011, 0x0100
MAX_SECTIONS = 10
_FORMAT_VERSION, _REQUEST_FLAG = 1, 1
_HEADER = struct.Struct(">IHHIIQQII")
"""Version, count of sections, status, offset of the first; the five fields of a dump to disk and max_time_auto."""
_SECTION = struct.Struct(">IHHQQQQ")


class Section(NamedTuple):
    """struct rtas_fadump_section: what is copied where, and how much of it was."""

    kind: int
    source: int
    size: int
    destination: int
    dumped: int = 0
    error: int = 0

    @property
    def whole(self) -> bool:
        """Whether all of it was dumped."""
        return self.dumped == self.size


def pack(sections: Iterable[Section]) -> bytes:
    """The property's bytes."""
    rows = [_SECTION.pack(_REQUEST_FLAG, s.kind, s.error, s.source, s.size, s.dumped, s.destination) for s in sections]  # fmt: skip
    head = _HEADER.pack(_FORMAT_VERSION, len(rows), 0, _HEADER.size, 0, 0, 0, 0, 0)
    return head + b"".join(rows)


def unpack(said: bytes) -> tuple[Section, ...]:
    """The sections of the property; none of what is no such structure, or has no boot memory in it."""
    if len(said) < _HEADER.size:
        return ()
    _, count, _, at, *_ = _HEADER.unpack_from(said)
    if count > MAX_SECTIONS or at + count * _SECTION.size > len(said):
        return ()
    found = []
    for n in range(count):
        row = _SECTION.unpack_from(said, at + n * _SECTION.size)
        _, kind, error, source, size, dumped, destination = row
        found.append(Section(kind, source, size, destination, dumped, error))
    kinds = {s.kind for s in found}
    return tuple(found) if {CPU_STATE_DATA, REAL_MODE_REGION} <= kinds else ()
