"""Objects of the kernel's types in its memory: those of the image, and copies of them; offsets are its BTF's."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from elfcorehdr.kernel.vmlinux.btf import POINTER
from elfcorehdr.kernel.vmlinux.image import Vmlinux


class Obj:
    """One object: where it is, what its bytes are."""

    def __init__(self, of: Objects, kind: str, va: int, content: bytes) -> None:
        self._of, self._kind = of, kind
        self.va = va
        self.bytes = bytearray(content)

    def has(self, member: str) -> bool:
        """Whether its type has a member."""
        return self._of.btf.offset(f"{self._kind}.{member}") is not None

    def at(self, member: str) -> int:
        """The address of a member, or of the object without one. KeyError if there is none."""
        if not member:
            return self.va
        offset = self._of.btf.offset(f"{self._kind}.{member}")
        if offset is None:
            raise KeyError(f"{self._kind}.{member}")
        return self.va + offset

    def set(self, member: str, value: int | str) -> None:
        """A number or a text; nothing happens where this kernel's type has no such member."""
        if self.has(member):
            size = self._of.btf.size(f"{self._kind}.{member}")
            if isinstance(value, str):
                self.write(self.at(member), value.encode()[: size - 1].ljust(size, b"\0"))
            else:
                self.write(self.at(member), (value % (1 << 8 * size)).to_bytes(size, "little"))

    def write(self, va: int, content: bytes) -> None:
        """Bytes at an address within it."""
        at = va - self.va
        self.bytes[at : at + len(content)] = content


class Objects:
    """All objects that are made. alloc(size, align) gives memory, va() its address; slide: how far the image was moved."""

    def __init__(
        self,
        vmlinux: Vmlinux,
        alloc: Callable[[int, int], int],
        va: Callable[[int], int],
        slide: int,
    ) -> None:
        self.vmlinux, self.btf = vmlinux, vmlinux.btf
        self._alloc, self._va = alloc, va
        self.slide = slide
        self.made: list[tuple[int | None, Obj]] = []
        """With its physical address; None in the image."""
        self.words: list[tuple[int, bytes]] = []
        """Bytes at other addresses."""
        self.pids: list[tuple[int, Obj]] = []
        """Each struct pid that is in use, by its number."""

    def address(self, symbol: str) -> int | None:
        """Where a symbol of the image is now."""
        value = self.vmlinux.symbols.get(symbol)
        return value + self.slide if value is not None else None

    def _content(self, symbol: str, size: int) -> bytes:
        return self.vmlinux.moved(self.vmlinux.symbols[symbol], size, self.slide)

    def symbol(self, name: str, kind: str) -> Obj:
        """An object of the image. KeyError if there is none."""
        made = Obj(self, kind, self.vmlinux.symbols[name] + self.slide, self._content(name, self.btf.size(kind)))  # fmt: skip
        self.made.append((None, made))
        return made

    def new(self, kind: str, more: int = 0) -> Obj:
        """An object of zeros; more: bytes of an array at its end."""
        size = self.btf.size(kind) + more
        phys = self._alloc(max(size, 64), 64)
        made = Obj(self, kind, self._va(phys), bytes(size))
        self.made.append((phys, made))
        return made

    def copy(self, name: str, kind: str, more: int = 0) -> Obj:
        """A copy of an object of the image: its pointers into itself point into the copy."""
        made = self.new(kind, more)
        was = self.vmlinux.symbols[name] + self.slide
        made.bytes[:] = _rebased(self._content(name, len(made.bytes)), was, made.va - was)
        return made

    def stack(self, size: int) -> int:
        """Memory for a stack; its lowest address."""
        return self._va(self._alloc(size, size))

    def ring(self, members: Iterable[tuple[Obj, str]]) -> None:
        """A list_head's circle, the head first."""
        found = list(members)
        for n, (obj, member) in enumerate(found):
            behind, before = found[(n + 1) % len(found)], found[n - 1]
            obj.set(f"{member}.next".lstrip("."), behind[0].at(behind[1]))
            obj.set(f"{member}.prev".lstrip("."), before[0].at(before[1]))


def _rebased(content: bytes, start: int, by: int) -> bytes:
    """The words in it that point into start..start+len-1, moved."""
    whole, end = len(content) // POINTER, start + len(content)
    words = struct.unpack_from(f"<{whole}Q", content)
    moved = ((w + by) % (1 << 64) if start <= w < end else w for w in words)
    return struct.pack(f"<{whole}Q", *moved) + content[whole * POINTER :]
