"""A tar read as a stream, whole: plain members by their headers alone, whatever else by tarfile.

A recording of 8,192 memory blocks has 180,000 members. tarfile makes an object of 25 us of each; here a plain one costs one.
"""

from __future__ import annotations

from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Stream(Protocol):
        """What is read."""

        def read(self, size: int, /) -> bytes: ...


BLOCK = 512
PART = 1 << 20


Member = tuple[str, bytes | None, str | None, int]
"""Path without slashes at its ends; content of a file, target of a link, else a directory; permission bits."""


class Unusual(Exception):
    """A tar that has members of kinds that are not read here: sparse, hard links, devices, base-256 numbers."""


class CutError(Exception):
    """The tar ends in a member, or without its end."""


def members(stream: Stream) -> Iterator[Member]:
    """The files, links and directories, in order. Unusual, CutError; OSError and EOFError as the stream gives them."""
    held, at, first = b"", 0, True
    long: dict[str, str] = {}

    def more(size: int) -> bool:
        """Whether that many bytes are held."""
        nonlocal held, at
        parts = [held[at:]]
        had = len(parts[0])
        while had < size:
            part = stream.read(max(PART, size - had))
            if not part:
                break
            parts.append(part)
            had += len(part)
        held, at = b"".join(parts), 0
        return had >= size

    while True:
        if len(held) - at < BLOCK and not more(BLOCK):
            if not first:
                raise CutError("no end of the archive")
            raise Unusual  # shorter than one header: tarfile says what it is not
        start, first = at, False
        kind = held[start + 156]
        if held[start + 257 : start + 262] != b"ustar":
            if not held[start : start + BLOCK].strip(b"\0"):
                return
            raise Unusual
        try:
            size = int(held[start + 124 : start + 135], 8)
        except ValueError:
            raise Unusual from None
        if kind in b"xLK" or kind in b"0\0":
            room = BLOCK + size + (-size % BLOCK)
            if len(held) - at < room:
                if not more(room):
                    raise CutError("ends in the middle of a member")
                start = at
            at += room
            content = held[start + BLOCK : start + BLOCK + size]
            if kind == 120:  # x
                long.update(_pax(content))
                continue
            if kind in b"LK":
                long["path" if kind == 76 else "linkpath"] = _text(content.rstrip(b"\0"))
                continue
        elif kind in b"52" and not size:
            at += BLOCK
            content = None
        else:
            raise Unusual
        if long:
            path = long.pop("path", None) or _name(held, start)
            target = long.pop("linkpath", None)
            if long:
                raise Unusual  # a size, or a sparse file's map
        else:
            path, target = _name(held, start), None
        if kind == 50:
            target = target or _text(held[start + 157 : start + 257].partition(b"\0")[0])
        try:
            mode = int(held[start + 100 : start + 107].strip(b" \0") or b"0", 8) & 0o7777
        except ValueError:
            raise Unusual from None
        yield path.strip("/"), content, target, mode


def _name(held: bytes, start: int) -> str:
    name = held[start : start + 100].partition(b"\0")[0]
    if held[start + 345] and held[start + 257 : start + 263] == b"ustar\0":
        name = held[start + 345 : start + 500].partition(b"\0")[0] + b"/" + name
    return _text(name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


TIMES = ("atime", "ctime", "mtime", "uid", "gid", "uname", "gname")
"""What a pax header may say besides, and nothing here depends on."""


def _pax(content: bytes) -> dict[str, str]:
    """The records of a pax header but for TIMES and what a vendor added, POSIX.1-2001. Unusual if they are not such."""
    found, at = {}, 0
    while at < len(content):
        digits, space, _ = content[at : at + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        key, equals, value = content[at + len(digits) + 1 : at + length - 1].partition(b"=")
        if not length or not equals:
            raise Unusual
        name = _text(key)
        if name not in TIMES and not name.startswith(("LIBARCHIVE.", "SCHILY.", "RHT.")):
            found[name] = _text(value)
        at += length
    return found
