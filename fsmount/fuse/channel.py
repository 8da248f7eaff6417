"""A mount's /dev/fuse descriptor: requests in, answers and notices out. fs/fuse/dev.c is its other side.

Nothing here waits, and nothing that is to be sent ends the server. Imports proto, boundary.
"""

from __future__ import annotations

import errno
import os
from io import FileIO

from fsmount.fuse.proto import OUT_HEADER

MAX_WRITE = 1 << 17
"""Bytes of a WRITE's data; what is read at once is larger by the request's header."""

MAX_READ = 1 << 20
"""Bytes of a READ's answer at most."""

MAX_FUSE_ERRNO = 511
"""fuse_dev_do_write() refuses an answer with -512 (ERESTARTSYS) or less; the request then stays."""

_LARGE = 1 << 14
"""Bytes from which on a second buffer costs less than a copy."""

_header = OUT_HEADER.pack
_GONE = (errno.ENOENT, errno.ENODEV)  # nobody waits for the answer any more; the mount has gone


class Channel:
    """The descriptor, not blocking, and the request that was received last."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.mounted = True
        self.buf = bytearray(MAX_WRITE + 4096)
        self.view = memoryview(self.buf)
        # Where there is nothing to read its readinto() takes 0.8 us, with readv(2) what is raised takes 1.2.
        self._read = FileIO(fd, closefd=False).readinto

    def receive(self) -> int:
        """The next request's length, it lies in buf; 0 if there is none, or `mounted` is no longer so."""
        while True:
            try:
                return self._read(self.buf) or 0
            except OSError as error:
                if error.errno == errno.ENODEV:
                    self.mounted = False
                    return 0
                # ENOENT: the request was interrupted before we read it.
                if error.errno not in (errno.EINTR, errno.ENOENT):
                    raise

    def reply(self, unique: int, error: int, payload: bytes = b"") -> None:
        """Answer a request with data, or with error < 0; what the protocol refuses becomes an EIO.

        An errno that it has no room for becomes its last, which like the kernel's own has no name.
        """
        size = len(payload)
        if error < -MAX_FUSE_ERRNO:
            error = -MAX_FUSE_ERRNO
        header = _header(16 + size, error, unique)
        try:
            if size < _LARGE:
                os.write(self.fd, header + payload)
            else:
                os.writev(self.fd, (header, payload))
        except OSError as refused:
            if refused.errno in _GONE:
                return
            self._reply_eio(unique)

    def _reply_eio(self, unique: int) -> None:
        try:
            os.write(self.fd, OUT_HEADER.pack(16, -errno.EIO, unique))
        except OSError as refused:
            if refused.errno not in _GONE:
                raise

    def notify(self, code: int, payload: bytes = b"") -> bool:
        """Send a notice; False if this kernel does not know it, or has nothing to notify."""
        try:
            os.write(self.fd, OUT_HEADER.pack(16 + len(payload), code, 0) + payload)
        except OSError as error:
            if error.errno in (errno.EINVAL, *_GONE):
                return False
            raise
        return True
