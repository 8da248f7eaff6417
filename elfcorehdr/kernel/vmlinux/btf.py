"""Types of a kernel, from its section .BTF: Documentation/bpf/btf.rst (v7.2). Sizes and offsets are in bytes.

A name may be a path: `task_struct.thread_info.cpu`, `radix_tree_node.slots`; members of anonymous members are found
as in C. Nothing is kept of a type but where it stands.
"""

from __future__ import annotations

import struct
from array import array

from elfcorehdr.errors import ElfFormatError

MAGIC = 0xEB9F
INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(1, 12)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)
_BEHIND = {INT: (4, 0), ARRAY: (12, 0), STRUCT: (0, 12), UNION: (0, 12), ENUM: (0, 8), FUNC_PROTO: (0, 8), VAR: (4, 0), DATASEC: (0, 12), DECL_TAG: (4, 0), ENUM64: (0, 12)}  # fmt: skip
"""Bytes behind a struct btf_type, and how many more for each of its vlen."""
_SAME = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
POINTER = 8
_TYPE = struct.Struct("<3I")


class Btf:
    """The types. ElfFormatError if the bytes are no BTF."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 24 or struct.unpack_from("<H", data)[0] != MAGIC:
            raise ElfFormatError("section .BTF: no BTF, expected magic 0xeb9f")
        head, types, types_len, strings, strings_len = struct.unpack_from("<5I", data, 4)
        self._data = data
        self._strings = data[head + strings : head + strings + strings_len]
        self._at = array("I", [0])
        self._named: dict[tuple[int, int], int] = {}
        """By kind and where its name stands: the first type's number."""
        at, end = head + types, head + types + types_len
        if len(self._strings) != strings_len or end > len(data):
            raise ElfFormatError("section .BTF: cut off")
        unpack, named, places = _TYPE.unpack_from, self._named, self._at
        while at + 12 <= end:
            name, info, _ = unpack(data, at)
            kind = info >> 24 & 0x1F
            named.setdefault((kind, name), len(places))
            places.append(at)
            fixed, each = _BEHIND.get(kind, (0, 0))
            at += 12 + fixed + each * (info & 0xFFFF)

    def _name(self, at: int) -> str:
        return self._strings[at : self._strings.index(b"\0", at)].decode()

    def _find(self, name: str) -> int | None:
        """The number of the struct, union, typedef or enum of a name."""
        key = b"\0" + name.encode() + b"\0"
        at = self._strings.find(key)
        while at >= 0:
            for kind in (STRUCT, UNION, TYPEDEF, ENUM, ENUM64, INT):
                found = self._named.get((kind, at + 1))
                if found is not None:
                    return found
            at = self._strings.find(key, at + 1)
        return None

    def _type(self, number: int) -> tuple[int, int, int, int]:
        """Kind, vlen and kind_flag, size or type, and where it stands; typedefs and qualifiers are looked through."""
        while True:
            at = self._at[number]
            if not number:
                return 0, 0, 0, 0
            _, info, size = _TYPE.unpack_from(self._data, at)
            kind = info >> 24 & 0x1F
            if kind not in _SAME:
                return kind, info & 0x8000FFFF, size, at
            number = size

    def _size(self, number: int) -> int:
        kind, _, size, at = self._type(number)
        if kind == PTR:
            return POINTER
        if kind == ARRAY:
            element, _, count = struct.unpack_from("<3I", self._data, at + 12)
            return self._size(element) * int(count)
        return size if kind in (INT, STRUCT, UNION, ENUM, ENUM64, FLOAT) else 0

    def _member(self, number: int, wanted: str) -> tuple[int, int] | None:
        """Offset and type of a member, also of a member without a name."""
        kind, vlen, _, at = self._type(number)
        if kind not in (STRUCT, UNION):
            return None
        for n in range(vlen & 0xFFFF):
            name, member, offset = _TYPE.unpack_from(self._data, at + 12 + 12 * n)
            bits = offset & 0xFFFFFF if vlen >> 31 else offset
            if name:
                if self._name(name) == wanted:
                    return bits // 8, member
            else:
                inner = self._member(member, wanted)
                if inner is not None:
                    return bits // 8 + inner[0], inner[1]
        return None

    def _path(self, path: str) -> tuple[int, int] | None:
        """Offset and type of what a path names."""
        name, *members = path.split(".")
        number = self._find(name)
        if number is None:
            return None
        offset = 0
        for member in members:
            found = self._member(number, member)
            if found is None:
                return None
            offset, number = offset + found[0], found[1]
        return offset, number

    def size(self, path: str) -> int:
        """Of a type or a member; 0 if there is none."""
        found = self._path(path)
        return self._size(found[1]) if found is not None else 0

    def offset(self, path: str) -> int | None:
        """Of a member; None if there is none."""
        found = self._path(path)
        return found[0] if found is not None else None

    def length(self, path: str) -> int:
        """How many elements an array has; 0 for what is none."""
        found = self._path(path)
        if found is None:
            return 0
        kind, _, _, at = self._type(found[1])
        return int(struct.unpack_from("<I", self._data, at + 20)[0]) if kind == ARRAY else 0

    def enumerator(self, name: str) -> int | None:
        """The value of an enumerator; None if no enum has it."""
        key = self._strings.find(b"\0" + name.encode() + b"\0")
        if key < 0:
            return None
        for at in self._at[1:]:
            _, info, _ = _TYPE.unpack_from(self._data, at)
            if info >> 24 & 0x1F == ENUM:
                for n in range(info & 0xFFFF):
                    word, value = struct.unpack_from("<Ii", self._data, at + 12 + 8 * n)
                    if word == key + 1:
                        return int(value)
        return None
