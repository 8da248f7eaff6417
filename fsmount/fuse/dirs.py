"""Open directories: listings that go on where they were, whatever comes and goes meanwhile.

A position is a cookie that names the entry that was given last, by a hash as in fs/kernfs/dir.c
(kernfs_name_hash(); that one orders the entries too, here they keep the tree's order), and each open
directory is for itself. So an entry that is there all the time is listed once.
Imports proto, kernfs, kept.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain, dropwhile, islice

from fsmount.fuse.proto import DIRENT_PACKS, DIRENT_SIZES
from fsmount.tree.kept import Kept
from fsmount.tree.kernfs import ino_below

Name = tuple[str, int]

FEW = 32
"""Entries of a directory whose listing is packed once for all that have the same: 3 us instead of 9 for a block's 12."""
_ENTRY_BYTES = 128
"""What an entry takes that is kept: a tuple and a short str."""
_NAMED, _HASH = 1 << 62, (1 << 62) - 1


def cookie(name: str) -> int:
    """The position behind the entry of that name: 63 bits, never 0, where a listing begins."""
    return hash(name) & _HASH | _NAMED


class OpenDir:
    """One open directory.

    listed() gives name and type (S_IFDIR, ...) of everything in it, as it is now, lazily; there() says
    whether a name still is. What open directories keep of their listings is bounded by `kept` for all
    of them together: a position before the last is found again while its entry is there.
    """

    __slots__ = ("_ahead", "_entries", "_given", "_kept", "_last", "_listed", "_path", "_there")

    def __init__(
        self,
        path: str,
        listed: Callable[[], Iterator[Name]],
        there: Callable[[str], bool],
        kept: Kept,
    ) -> None:
        self._kept = kept
        self._path = path
        self._listed = listed
        self._there = there
        self._ahead: list[Name] = []
        """What comes next, before the entries: looked at, and not yet taken."""
        self._entries: Iterator[Name] = iter(())
        self._given = array("q")
        """The cookies of all entries given since the start, in order."""
        self._last: list[Name] = []
        """The entries that the last of the cookies name: those of the last call."""

    def read(self, room: int, at: int) -> bytes:
        """As many struct fuse_dirent behind position `at` as fit in room bytes; none at the end.

        KernelError if the directory has gone.
        """
        if not at:
            few = tuple(islice(self._listed(), FEW + 1))
            whole = _whole(few) if len(few) <= FEW else None
            if whole is not None and whole.size <= room:
                self._ahead, self._entries = [], iter(())
                self._last, self._given = list(few), whole.cookies[:]
                return whole.below(self._path)
        if not self._given or at != self._given[-1]:
            self._go_to(at)
        parts: list[bytes] = []
        add, crc32, parent = parts.append, zlib.crc32, ino_below(self._path)
        packs, sizes = DIRENT_PACKS, DIRENT_SIZES
        last: list[Name] = []
        given: list[int] = []
        ahead = iter([entry for entry in self._ahead if self._there(entry[0])])
        self._ahead = []
        for entry in chain(ahead, self._entries):
            name = entry[0].encode(errors="surrogateescape")
            length = len(name)
            room -= sizes[length]
            if room < 0:
                self._ahead = [entry, *ahead]
                break
            last.append(entry)
            behind = hash(entry[0]) & _HASH | _NAMED  # cookie()
            given.append(behind)
            add(packs[length](parent | crc32(name), behind, length, entry[1] >> 12, name))
        self._last = last
        self._given.extend(given)
        if len(self._given) > FEW:
            self._kept.hold(self, 8 * len(self._given) + _ENTRY_BYTES * len(last))
        return b"".join(parts)

    def forget(self) -> None:
        """Too much is kept: all but where the listing goes on."""
        self._given, self._last = self._given[-1:], []

    def close(self) -> None:
        """Nothing more is listed."""
        self._kept.drop(self)

    def _go_to(self, at: int) -> None:
        """Go on behind the entry that `at` names: the reader had no room for all, or used seekdir(3)."""
        given, first = self._given, len(self._given) - len(self._last)
        found = _index(given, at, first) if at else -1
        if found >= 0:
            self._ahead[:0] = self._last[found - first + 1 :]
            self._given = given[: found + 1]
            return
        self._ahead, self._last = [], []
        entries = self._listed()
        found = _index(given, at, 0) if at else -1
        if found >= 0:
            self._given = given[: found + 1]
            passed = set(self._given)
            self._entries = (entry for entry in entries if cookie(entry[0]) not in passed)
        elif at:  # of another opening: it is known while the entry is there
            self._given = array("q", [at])
            self._entries = islice(dropwhile(lambda e: cookie(e[0]) != at, entries), 1, None)
        else:
            self._given = array("q")
            self._entries = entries


class Whole:
    """The struct fuse_dirent of all entries of a small directory, less what differs in another one with the same names.

    That is the upper half of the inode numbers, ino_below(). The blocks, CPUs and nodes of a machine are such directories.
    """

    __slots__ = ("_parts", "cookies", "size")

    def __init__(self, entries: Iterable[Name]) -> None:
        self._parts: list[bytes] = []
        self.cookies = array("q")
        upper = 4 if sys.byteorder == "little" else 0
        part = b""
        for entry, kind in entries:
            name = entry.encode(errors="surrogateescape")
            behind = cookie(entry)
            self.cookies.append(behind)
            dirent = DIRENT_PACKS[len(name)](zlib.crc32(name), behind, len(name), kind >> 12, name)
            self._parts.append(part + dirent[:upper])
            part = dirent[upper + 4 :]
        self._parts.append(part)
        self.size = sum(map(len, self._parts)) + 4 * len(self.cookies)

    def below(self, path: str) -> bytes:
        """Those of the directory at path."""
        return (ino_below(path) >> 32).to_bytes(4, sys.byteorder).join(self._parts)


_whole = lru_cache(64)(Whole)


def _index(given: array[int], at: int, first: int) -> int:
    """Where in given, from first on, `at` is; -1 if it is not."""
    try:
        return given.index(at, first)
    except ValueError:
        return -1
