"""Writes the archive of `kdumpfs record`. Part of record.py; Python 3.6, nothing else."""

import errno
import json
import os
import shutil
import subprocess
import tarfile

from fsmount.host.recordings.format import BLOCK, CHUNK, FOOT, LEVEL, TAIL, member


class Archive:
    """An archive being written, compressed as its name says; OSError if it cannot be."""

    def __init__(self, path):
        # type: (str) -> None
        self.offset = 0
        """Bytes of tar so far."""
        self.chunks = []  # type: list[tuple[int, int]]
        """Where in the tar and in the file a gzip member begins; of a plain tar the same twice."""
        self._size = 0
        self._buffer = []  # type: list[bytes]
        self._held = 0
        self._gzip = path.endswith((".gz", ".tgz"))
        self._plain = not path.endswith((".gz", ".tgz", ".xz", ".bz2", ".zst"))
        self._zstd = None  # type: subprocess.Popen[bytes] | None
        self._name = path
        if path.endswith(".zst"):
            if shutil.which("zstd") is None:
                raise OSError(
                    errno.ENOENT, "zstd is not installed; name the file .tar.gz or .tar.xz instead"
                )
            self._zstd = subprocess.Popen(
                ["zstd", "-q", "-f", "-o", path, "-"], stdin=subprocess.PIPE
            )
            self._file = self._zstd.stdin
        elif path.endswith(".xz"):
            import lzma

            self._file = lzma.open(path, "wb")  # noqa: SIM115
        elif path.endswith(".bz2"):
            import bz2

            self._file = bz2.open(path, "wb")  # noqa: SIM115
        else:
            self._file = open(path, "wb")  # noqa: SIM115

    def add(self, info, content=b""):
        # type: (tarfile.TarInfo, bytes) -> None
        """One entry; info.size is that of its content."""
        info.size = len(content)
        data = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + content
        self._put(data + b"\0" * (-len(data) % BLOCK))
        if self._held >= CHUNK:
            self.cut()

    def text(self, name, value):
        # type: (str, object) -> None
        """An entry in JSON."""
        info = tarfile.TarInfo(name)
        self.add(info, (json.dumps(value, sort_keys=True) + "\n").encode())

    def cut(self, level=LEVEL):
        # type: (int) -> None
        """End what is one member of a .gz."""
        data = b"".join(self._buffer)
        self._buffer, self._held = [], 0
        if (self._gzip or self._plain) and data:
            self.chunks.append((self.offset - len(data), self._size))
        if self._gzip and data:
            data = member(data, level)
        self._size += len(data)
        assert self._file is not None
        self._file.write(data)

    def end(self, tail):
        # type: (dict[str, object]) -> None
        """TAIL, which the chunks are added to, and FOOT; then the file is closed."""
        self.cut()
        tail_at = self._size
        self.text(TAIL, dict(tail, chunks=self.chunks))
        self.cut()
        self.text(FOOT, {"tail": tail_at})
        self._put(b"\0" * (2 * BLOCK))
        self.cut(0)
        self.close()
        if self._zstd is not None and self._zstd.wait():
            raise OSError(errno.EIO, f"zstd could not write {self._name}")

    def close(self):
        # type: () -> None
        """Close the file as it is."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _put(self, data):
        # type: (bytes) -> None
        self._buffer.append(data)
        self._held += len(data)
        self.offset += len(data)


def whole_or_not(path):
    # type: (str) -> str
    """The name to write under until it is whole: beside it, compressed as it is; a pipe or a device is written as it is."""
    if os.path.lexists(path) and not os.path.isfile(path):
        return path
    return os.path.join(os.path.dirname(path), ".part-" + os.path.basename(path))
