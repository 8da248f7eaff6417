"""A machine's files, wherever they are: of a machine in this process, or below a mount."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from elfcorehdr.errors import KernelError
from fsmount.host.mounted import check_answers
from kdumpfs.testing.machine import Machine


class Files(Protocol):
    """What the page needs of a machine; OSError as the shell would get it."""

    def read(self, path: str) -> str: ...
    def read_bytes(self, path: str) -> bytes: ...
    def head(self, path: str, size: int) -> bytes: ...
    def write(self, path: str, text: str) -> None: ...
    def names(self, path: str) -> list[tuple[str, str]]: ...
    def log(self) -> Iterator[tuple[int, int, int, str]]: ...


class Here(Machine):
    """A machine in this process."""

    def names(self, path: str) -> list[tuple[str, str]]:  # type: ignore[override]
        """(name, kind) in a directory: `dir`, `file`, `link`."""
        found = []
        for name in super().names(path):
            node = self.tree.child(self._node(path), name)
            found.append((name, _kind(node.type)))
        return found

    def head(self, path: str, size: int) -> bytes:
        """Its first bytes, and of what waits for more what there is."""
        try:
            file = self.tree.open(self._node(path), os.O_RDONLY | os.O_NONBLOCK)
            return file.read(size, 0) or b""
        except KernelError as refused:
            raise OSError(refused.errno, os.strerror(refused.errno), path) from None

    def write(self, path: str, text: str | bytes) -> None:
        """One write(2) to a file that is opened as the shell's `>` does; of a failed open the OSError has a filename."""
        buf = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        try:
            node = self._node(path)
        except FileNotFoundError:
            if not self.exists(os.path.dirname(path)):
                raise
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path) from None
        try:
            file = self.tree.open(node, os.O_WRONLY | os.O_TRUNC)
        except KernelError as refused:
            raise OSError(refused.errno, os.strerror(refused.errno), path) from None
        try:
            file.write(buf, 0)
        except KernelError as refused:
            raise OSError(refused.errno, os.strerror(refused.errno)) from None

    def log(self) -> Iterator[tuple[int, int, int, str]]:  # type: ignore[override]
        """Number, level, microseconds since boot and text of each record, oldest first."""
        return ((r.seq, r.level, r.ts_usec, r.text) for r in self.kernel.log)


class Below:
    """A machine that is mounted on a directory."""

    def __init__(self, directory: str) -> None:
        check_answers(directory, "control/picture")
        self.path = Path(directory)

    def _file(self, path: str) -> Path:
        """Below the mount, whatever a link or `..` says: a page reads no file of the host."""
        real = Path(os.path.realpath(self.path / path.lstrip("/")))
        if not real.is_relative_to(os.path.realpath(self.path)):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        return real

    def read(self, path: str) -> str:
        """A file's text."""
        return self.read_bytes(path).decode(errors="surrogateescape")

    def read_bytes(self, path: str) -> bytes:
        """A file's content."""
        return self._file(path).read_bytes()

    def head(self, path: str, size: int) -> bytes:
        """Its first bytes, and of what waits for more what there is."""
        fd = os.open(self._file(path), os.O_RDONLY | os.O_NONBLOCK)
        found = b""
        try:
            while len(found) < size and (piece := os.read(fd, size - len(found))):
                found += piece
        except BlockingIOError:
            pass
        finally:
            os.close(fd)
        return found

    def write(self, path: str, text: str) -> None:
        """One write(2) to a file that is opened as the shell's `>` does."""
        fd = os.open(self._file(path), os.O_WRONLY | os.O_TRUNC | os.O_CREAT)
        try:
            os.write(fd, text.encode(errors="surrogateescape"))
        finally:
            os.close(fd)

    def names(self, path: str) -> list[tuple[str, str]]:
        """(name, kind) in a directory."""
        with os.scandir(self._file(path)) as found:
            return [(one.name, _kind_of(one)) for one in found]

    def log(self) -> Iterator[tuple[int, int, int, str]]:
        """Number, level, microseconds since boot and text of each record, oldest first; of a dead machine none."""
        try:
            fd = os.open(self.path / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return
        try:
            while True:
                try:
                    record = os.read(fd, 8192)
                except BlockingIOError:
                    return
                except BrokenPipeError:
                    continue
                head, _, text = record.decode(errors="replace").partition(";")
                level, seq, usec = map(int, head.split(",")[:3])
                yield seq, level & 7, usec, text.split("\n")[0]
        finally:
            os.close(fd)


def _kind(type_: int) -> str:
    return {modes.S_IFDIR: "dir", modes.S_IFLNK: "link"}.get(type_, "file")


def _kind_of(entry: os.DirEntry[str]) -> str:
    return "link" if entry.is_symlink() else "dir" if entry.is_dir() else "file"
