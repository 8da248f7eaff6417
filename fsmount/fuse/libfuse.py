"""A tree mounted: paths and errnos in and out. The one file that imports `fuse` (fusepy, libfuse 2).

fusepy gives the library, its structures and its callback types; its own wrapper, which loses
exceptions, is not used. What is answered is in fuse_callbacks.py and, for open files, in
fuse_device.py.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from elfcorehdr.errors import ProfileError
from fsmount.fuse.callbacks import Callbacks
from fsmount.fuse.device import FuseDevice
from fsmount.fuse.nodes import NameCache
from fsmount.fuse.proto import NOTIFY_INC_EPOCH, OUT_HEADER
from fsmount.tree.boundary import attempt
from fsmount.tree.kernfs import Tree

TIMEOUT_S = 3600
"""How long the kernel may keep names and attributes; changed names are announced."""


class MountError(ProfileError):
    """The tree cannot be mounted: one sentence with the remedy."""


def load_fuse() -> Any:
    """The fusepy module. MountError if it, or libfuse 2, or /dev/fuse is missing."""
    # find_library() would start ldconfig and a compiler to find what has had one name for ever.
    given = os.environ.setdefault("FUSE_LIBRARY_PATH", "libfuse.so.2")
    try:
        import fuse
    except ImportError:
        raise MountError("fusepy is missing: pip install fusepy") from None
    except OSError:
        raise MountError(f"{given} cannot be loaded: apt install libfuse2") from None
    finally:
        if given == "libfuse.so.2":
            del os.environ["FUSE_LIBRARY_PATH"]
    if not hasattr(fuse, "FUSE"):
        raise MountError("the module `fuse` is python-fuse, not fusepy: pip install fusepy")
    if not os.path.exists("/dev/fuse"):
        raise MountError("/dev/fuse is missing: modprobe fuse")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise MountError("/dev/fuse cannot be opened: run as root, or chmod 0666 /dev/fuse")
    return fuse


def allow_other() -> bool:
    """Whether this process may mount for other users."""
    if os.geteuid() == 0:
        return True
    try:
        with open("/etc/fuse.conf", encoding="utf-8") as file:
            return any(line.strip() == "user_allow_other" for line in file)
    except OSError:
        return False


class Mount:
    """A mounted tree: made by the constructor, served by serve(), gone after close().

    fd is a /dev/fuse descriptor that is mounted already; whoever did that unmounts it, but close()
    closes it. Without it the tree is mounted on mountpoint. MountError if it cannot be mounted.
    """

    def __init__(
        self,
        tree: Tree,
        mountpoint: str,
        *,
        fd: int | None = None,
        names: NameCache = NameCache.ANNOUNCED,
    ) -> None:
        self._fuse = load_fuse()
        self._lib = ctypes.PyDLL("libfuse", handle=self._fuse._libfuse._handle)
        for name in ("fuse_mount", "fuse_kern_chan_new", "fuse_get_session"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        # libfuse 2.9 has five functions of this name; a plain look-up finds the oldest.
        self._fuse_new = ctypes.PYFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p] * 5)(
            _versioned(self._lib, b"fuse_new", b"FUSE_2.6")
        )
        self.tree = tree
        self.mountpoint = mountpoint
        self._own = fd is None
        self._chan = self._mounted() if fd is None else self._lib.fuse_kern_chan_new(fd)
        self.device = FuseDevice(
            self._lib.fuse_chan_fd(ctypes.c_void_p(self._chan)), tree.kernel, self._to_libfuse
        )
        loop = self.device.serving
        self.watch, self.unwatch, self.stop = loop.watch, loop.unwatch, loop.stop
        self.announce_names = self.device.announce_names
        if names is NameCache.ANNOUNCED and not self._announces():
            names = NameCache.NONE
        self.names = names
        """How the kernel's name cache is used, in the end."""
        self.device.announce = names is NameCache.ANNOUNCED
        self._callbacks = Callbacks(tree, self.device, self._fuse.c_stat)
        self._operations = self._table()
        try:
            self._handle = self._new()
        except MountError:
            if self._own:
                self._lib.fuse_unmount(os.fsencode(mountpoint), ctypes.c_void_p(self._chan))
            raise
        self._process = self._lib.fuse_session_process
        self._process.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
        ]
        self._process.restype = None
        self._session = self._lib.fuse_get_session(ctypes.c_void_p(self._handle))

    def serve(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Answer until the tree is unmounted or stop() is called; on_ready when it answers."""
        self.device.loop(on_ready)

    def close(self) -> None:
        """Unmount, if it was mounted here and still is, and free everything."""
        self.device.close()
        self._callbacks.close()
        chan = ctypes.c_void_p(self._chan)
        if self._own:
            self._lib.fuse_unmount(os.fsencode(self.mountpoint), chan)
        self._lib.fuse_destroy(ctypes.c_void_p(self._handle))

    # Setting up

    def _mounted(self) -> int:
        options = "fsname=kdumpfs,subtype=kdumpfs,default_permissions"
        if allow_other():
            options += ",allow_other"
        with _arguments("kdumpfs", "-o", options) as args:
            chan = self._lib.fuse_mount(os.fsencode(self.mountpoint), args)
        if not chan:
            raise MountError(f"{self.mountpoint}: cannot be mounted on")
        return int(chan)

    def _announces(self) -> bool:
        """Whether this kernel takes FUSE_NOTIFY_INC_EPOCH (since protocol 7.44, Linux 6.16)."""
        try:
            os.write(self.device.fd, OUT_HEADER.pack(OUT_HEADER.size, NOTIFY_INC_EPOCH, 0))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
        return True

    def _new(self) -> int:
        seconds = 0 if self.names is NameCache.NONE else TIMEOUT_S
        options = ",".join(f"{what}_timeout={seconds}" for what in ("entry", "attr", "negative"))
        options += ",use_ino,direct_io,big_writes,atomic_o_trunc"
        with _arguments("kdumpfs", "-o", options) as args:
            operations = ctypes.byref(self._operations)
            made = self._fuse_new(
                self._chan, args, operations, ctypes.sizeof(self._operations), None
            )
        if not made:
            raise MountError(f"{self.mountpoint}: libfuse refuses its options ({options})")
        return int(made)

    def _to_libfuse(self, length: int) -> None:
        self._process(self._session, self.device.buf, length, self._chan)

    def _table(self) -> Any:
        """struct fuse_operations with what is served here; for the rest libfuse says ENOSYS."""
        table = self._fuse.fuse_operations()
        types = dict(field[:2] for field in self._fuse.fuse_operations._fields_)
        for name, method in self._callbacks.table().items():
            setattr(table, name, types[name](partial(attempt, self.tree.kernel.log, method)))
        return table


def _versioned(lib: Any, name: bytes, version: bytes) -> int:
    """The address of a versioned symbol."""
    dlvsym = ctypes.CDLL(None).dlvsym
    dlvsym.restype = ctypes.c_void_p
    address = dlvsym(ctypes.c_void_p(lib._handle), name, version)
    if not address:
        raise MountError(f"libfuse has no {name.decode()} of version {version.decode()}")
    return int(address)


@contextmanager
def _arguments(*words: str) -> Iterator[Any]:
    """A struct fuse_args for the words, by reference; what libfuse made of it is freed after."""

    class FuseArgs(ctypes.Structure):
        _fields_ = (
            ("argc", ctypes.c_int),
            ("argv", ctypes.POINTER(ctypes.c_char_p)),
            ("allocated", ctypes.c_int),
        )

    argv = (ctypes.c_char_p * (len(words) + 1))(*map(os.fsencode, words), None)
    yield ctypes.byref(FuseArgs(len(words), argv, 0))
