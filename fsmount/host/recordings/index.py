"""An archive of `kdumpfs record` by its index: of a directory only what is asked for is read.

format.py says how it lies in the file. Other archives, and such as were compressed anew, are read whole.
"""

from __future__ import annotations

import os
import zlib
from bisect import bisect_right
from functools import lru_cache

from fsmount.host.recordings.format import END, FOOT, HEAD, TAIL, member
from fsmount.host.recordings.tar import CutError, Member, Unusual, members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GZIP = b"\x1f\x8b"
MOST_TAIL = 1 << 27
"""Bytes that an index may have."""
FOOT_SIZE = len(member(bytes(END), 0))


class Indexed:
    """An archive opened by its index. ValueError if it has none, or not such a one; OSError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115 - for as long as the machine is: it may be renamed or removed
        file = self._file
        self._packed = file.read(2) == GZIP
        size = file.seek(0, 2)
        foot_size = FOOT_SIZE if self._packed else END
        foot_at = file.seek(max(size - foot_size, 0))
        foot = self._foot(file.read())
        tail_at = _json(foot).get("tail")
        if not isinstance(tail_at, int) or not 0 <= tail_at < foot_at:
            raise ValueError(f"{path}: no index")
        file.seek(tail_at)
        tail = file.read(foot_at - tail_at)
        if self._packed:
            tail = _unpacked(tail, MOST_TAIL)
        self.tail: dict[str, Any] = _json(_entry(tail, TAIL))
        """What TAIL says."""
        self._directories: dict[str, list[Any]] = self.tail["directories"]
        chunks = self.tail["chunks"]
        self._starts = [start for start, _ in chunks]
        self._places = [at for _, at in chunks] + [tail_at]
        if not chunks or not isinstance(self._directories.get(""), list):
            raise ValueError(f"{path}: no index")
        self._part = lru_cache(4)(self._read_part)
        self.head: dict[str, Any] = _json(_entry(self._part(0), HEAD))

    def _foot(self, data: bytes) -> bytes:
        return _entry(_unpacked(data, END) if self._packed else data, FOOT)

    def files(self, path: str, *, links: bool) -> list[Member]:
        """The files, and links if asked for, in a directory. ValueError or OSError if it is damaged."""
        if path not in self._directories:
            return []
        at = self._directories[path][0]
        if not isinstance(at, int) or at < 0:
            raise ValueError(f"{self._path}: damaged")
        found: list[Member] = []
        n = bisect_right(self._starts, at) - 1
        skip = at - self._starts[n]
        while n < len(self._starts):
            try:
                for one in members(_Held(self._part(n)[skip:])):
                    wanted = one[1] is not None or (links and one[2] is not None)
                    if not wanted or one[0].rpartition("/")[0] != path:
                        return found
                    found.append(one)
            except CutError:  # no entry is in two chunks
                n, skip = n + 1, 0
            except Unusual:
                raise ValueError(f"{self._path}: damaged") from None
        return found

    def __contains__(self, path: str) -> bool:
        """Whether it is a directory."""
        return path in self._directories

    def below(self, path: str) -> list[str]:
        """The names of the directories in a directory."""
        return self._directories[path][1:]

    def _read_part(self, n: int) -> bytes:
        """Tar data from the start of chunk n to its end."""
        size = self._places[n + 1] - self._places[n]
        data = os.pread(self._file.fileno(), size, self._places[n])
        return _unpacked(data, MOST_TAIL) if self._packed else data


class _Held:
    """Bytes as a stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


def _entry(data: bytes, name: str) -> bytes:
    """The content of the first entry, which has that name."""
    try:
        first = next(members(_Held(data)), None)
    except (CutError, Unusual):
        first = None
    if first is None or first[0] != name or first[1] is None:
        raise ValueError(f"no {name}")
    return first[1]


def _unpacked(data: bytes, most: int) -> bytes:
    """One gzip member. ValueError if it is none, is damaged or has more than that many bytes in it."""
    stream = zlib.decompressobj(31)
    try:
        found = stream.decompress(data, most)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not stream.eof:
        raise ValueError("cut")
    return found


def _json(content: bytes) -> dict[str, Any]:
    import json

    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found
