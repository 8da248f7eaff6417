"""Mounting through libfuse 2, for who may not call mount(2): it starts fusermount, which may.

All that is served is served without it. The one file that knows libfuse. Imports errors.
"""

from __future__ import annotations

import ctypes
import os

from elfcorehdr.errors import ProfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIBFUSE = "libfuse.so.2"
"""What ctypes.util.find_library() would start ldconfig and a compiler to find."""


class MountError(ProfileError):
    """The tree cannot be mounted: one sentence with the remedy."""


def load() -> Any:
    """The library. MountError if it or /dev/fuse is missing."""
    name = os.environ.get("FUSE_LIBRARY_PATH", LIBFUSE)
    try:
        library = ctypes.CDLL(name)
    except OSError:
        raise MountError(f"{name} cannot be loaded: apt install libfuse2") from None
    if not os.path.exists("/dev/fuse"):
        raise MountError("/dev/fuse is missing: modprobe fuse")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise MountError("/dev/fuse cannot be opened: run as root, or chmod 0666 /dev/fuse")
    library.fuse_mount.restype = ctypes.c_void_p
    return library


def allow_other() -> bool:
    """Whether this process may mount for other users."""
    if os.geteuid() == 0:
        return True
    try:
        with open("/etc/fuse.conf", encoding="utf-8") as file:
            return any(line.strip() == "user_allow_other" for line in file)
    except OSError:
        return False


class _Arguments(ctypes.Structure):
    """struct fuse_args, include/fuse_opt.h"""

    _fields_ = (
        ("argc", ctypes.c_int),
        ("argv", ctypes.POINTER(ctypes.c_char_p)),
        ("allocated", ctypes.c_int),
    )


class LibfuseMount:
    """A directory mounted on by libfuse; fd is the /dev/fuse descriptor behind it. MountError."""

    def __init__(self, directory: str) -> None:
        self._library = load()
        self._directory = os.fsencode(directory)
        options = "fsname=kdumpfs,subtype=kdumpfs,default_permissions"
        if allow_other():
            options += ",allow_other"
        words = (b"kdumpfs", b"-o", options.encode())
        arguments = _Arguments(len(words), (ctypes.c_char_p * (len(words) + 1))(*words, None), 0)
        channel = self._library.fuse_mount(self._directory, ctypes.byref(arguments))
        if not channel:
            raise MountError(f"{directory}: cannot be mounted on")
        self._channel = ctypes.c_void_p(channel)
        self.fd = int(self._library.fuse_chan_fd(self._channel))

    def unmount(self) -> None:
        """Unmount, if it still is mounted, and close fd."""
        self._library.fuse_unmount(self._directory, self._channel)
