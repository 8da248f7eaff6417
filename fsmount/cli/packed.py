"""The code of the modules that starts import, in one file beside their .pyc files, and what imports them from there.

`run -- true` imports 165 modules of ours. Python looks each up in directories, opens and reads it: 6 of 62 ms. An entry is
a copy of a .pyc file, and as good: as long as its source has the same time and size. What is not packed is imported as
ever, and packed by settle() for the next start. Where nothing can be written there is no pack, and nothing else differs.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, cache_from_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, ModuleType
    from typing import Any, ClassVar

    Entry = tuple[int, int, bytes, str, bool, str]
    """Where its code is behind the index, and its length; its source's time and size; source; whether it is a
    package; .pyc file."""

_OURS = ("elfcorehdr.", "fsmount.", "printer.")
_BY_TIME = MAGIC_NUMBER + bytes(4)
"""How a .pyc file begins that is valid by its source's time and size, which follow: PEP 552."""


class _Loader(SourceFileLoader):
    """A source file's, but for where the code comes from."""

    packed = True

    def get_code(self, fullname: str) -> CodeType | None:
        """The code, which find_spec() has found to be that of the source."""
        entry = Finder.index.get(fullname)
        if entry is None:
            return super().get_code(fullname)
        code: CodeType = marshal.loads(Finder.code(entry))
        return code


class Finder:
    """In front of sys.meta_path from use() to settle()."""

    index: ClassVar[dict[str, Entry]] = {}
    before: ClassVar[frozenset[str]] = frozenset()
    """What was imported before."""
    _fd = _base = _pid = -1

    @classmethod
    def find_spec(cls, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """A module that is packed and whose source has not changed since."""
        entry = cls.index.get(name)
        # A process that was forked meanwhile may have another file at that descriptor.
        if entry is None or os.getpid() != cls._pid:
            return None
        _, _, stamp, source, is_package, cached = entry
        if _stamp(source) != stamp:
            return None
        spec = ModuleSpec(name, _Loader(name, source), origin=source, is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        spec.has_location = True
        spec.cached = cached
        return spec

    @classmethod
    def code(cls, entry: Entry) -> bytes:
        """A module's code, marshalled."""
        return os.pread(cls._fd, entry[1], cls._base + entry[0])

    @classmethod
    def take(cls, fd: int) -> None:
        """Find what is in this pack, if it is one of this Python."""
        cls.index, size = {}, 0
        try:
            head = os.read(fd, 8)
            size = int.from_bytes(head[4:], "little")
            if head[:4] == MAGIC_NUMBER:
                cls.index = marshal.loads(os.read(fd, size))
        except (OSError, ValueError, EOFError, TypeError):
            cls.index = {}
        cls._fd, cls._base, cls._pid = fd, 8 + size, os.getpid()
        sys.meta_path.insert(0, cls)

    @classmethod
    def drop(cls) -> None:
        """Find nothing any more."""
        if cls in sys.meta_path:
            sys.meta_path.remove(cls)
            os.close(cls._fd)
        cls.index = {}


def _stamp(source: str) -> bytes:
    """What a .pyc file has of its source: time and size; nothing if there is no source."""
    try:
        found = os.stat(source)
    except OSError:
        return b""
    time, size = int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF
    return time.to_bytes(4, "little") + size.to_bytes(4, "little")


def path() -> str:
    """The pack: where Python keeps this file's .pyc."""
    return f"{cache_from_source(__file__)}.all"


def use() -> None:
    """Import from the pack from here on, if there is one."""
    Finder.before = frozenset(sys.modules)
    try:
        fd = os.open(path(), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    Finder.take(fd)


def settle() -> None:
    """The start is over: let go of the pack. What was not in it will be, the next time."""
    missing = [
        module
        for name, module in sys.modules.items()
        if name.startswith(_OURS)
        and name not in Finder.before
        and not hasattr(module.__loader__, "packed")
    ]
    if missing and not sys.dont_write_bytecode:
        _write(missing)
    Finder.drop()


def _write(missing: Iterable[ModuleType]) -> None:
    """The pack anew: what still is right of it, and these."""
    codes = {
        name: (Finder.code(entry), entry[2:])
        for name, entry in Finder.index.items()
        if _stamp(entry[3]) == entry[2]
    }
    known = len(codes)
    for module in missing:
        spec = module.__spec__
        source, cached = module.__file__ or "", (spec.cached or "") if spec is not None else ""
        try:
            with open(cached, "rb") as file:
                pyc = file.read()
        except OSError:
            continue
        if pyc.startswith(_BY_TIME) and _stamp(source) == pyc[8:16]:
            rest = pyc[8:16], source, hasattr(module, "__path__"), cached
            codes[module.__name__] = pyc[16:], rest
    if len(codes) == known:
        return
    index: dict[str, Entry] = {}
    at = 0
    for name, (code, rest) in codes.items():
        index[name] = at, len(code), *rest
        at += len(code)
    packed = marshal.dumps(index)
    new = f"{path()}.{os.getpid()}"
    try:
        # As Python makes a .pyc file: nobody may write to it who may not write to the source.
        mode = os.stat(__file__).st_mode & 0o666 | 0o200
        made = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(made, "wb") as file:
            file.writelines((MAGIC_NUMBER, len(packed).to_bytes(4, "little"), packed))
            file.writelines(code for code, _ in codes.values())
        os.replace(new, path())
    except OSError:  # nowhere to write, as for a .pyc file
        try:
            os.unlink(new)
        except OSError:
            return
