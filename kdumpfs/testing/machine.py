"""A machine without a mount: a booted kernel and its files, in this process, in milliseconds."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from elfcorehdr.arch import hypervisor
from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.kexec_file import (
    KEXEC_FILE_NO_INITRAMFS,
    KEXEC_FILE_ON_CRASH,
    KEXEC_FILE_UNLOAD,
)
from fsmount.cli.boot import QUICK, BootOptions, booted
from fsmount.tree.kernfs import Node, Stat
from kdumpfs.testing.header import Header

MOST = 1 << 30
LINKS = 40
"""Symbolic links that are followed on one way: MAXSYMLINKS, include/linux/namei.h."""


class Lack(Exception):
    """What this host lacks for a mount or a run: one sentence with the remedy."""


class Machine:
    """A running machine. Paths are its own, such as /sys/kernel/kexec/loaded; links are followed.

    What the kernel refuses is an OSError with its errno, as of a real file.
    """

    def __init__(self, options: BootOptions) -> None:
        self.kernel, self.tree, self._modules = booted(options)
        """The kernel and the tree of its files, to look at and to turn: what the methods below do not do."""

    # Files

    def read(self, path: str) -> str:
        """A file's text."""
        return self.read_bytes(path).decode(errors="surrogateescape")

    def read_bytes(self, path: str) -> bytes:
        """A file's content, as one read(2) that is large enough gets it."""
        try:
            return self.tree.open(self._node(path), os.O_RDONLY).read(MOST, 0)
        except KernelError as refused:
            raise _oserror(refused, path) from None

    def write(self, path: str, text: str | bytes) -> None:
        """One write(2)."""
        buf = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        try:
            self.tree.open(self._node(path), os.O_WRONLY).write(buf, 0)
        except KernelError as refused:
            raise _oserror(refused, path) from None

    def names(self, path: str) -> list[str]:
        """The names in a directory, in its order."""
        try:
            return [name for name, _ in self.tree.names(self._node(path))]
        except KernelError as refused:
            raise _oserror(refused, path) from None

    def exists(self, path: str) -> bool:
        """Whether there is such a file, directory or link that leads to one."""
        try:
            self._node(path)
        except OSError:
            return False
        return True

    def stat(self, path: str) -> Stat:
        """stat(2): mode, nlink, size, ino, uid, gid, atime_ns, mtime_ns, ctime_ns."""
        return self.tree.getattr(self._node(path))

    def _node(self, path: str) -> Node:
        wanted = posixpath.normpath("/" + path.strip("/"))
        for _ in range(LINKS):
            node, rest = self._walk(wanted)
            if node.type != stat.S_IFLNK:
                return node
            target = self.tree.readlink(node)
            here = posixpath.dirname("/" + node.path)
            wanted = posixpath.normpath(posixpath.join(here, target, rest))
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    def _walk(self, path: str) -> tuple[Node, str]:
        """The node at a path, or the first link on the way and what comes after it."""
        parts = [part for part in path.split("/") if part]
        node = self.tree.lookup("")
        for n, part in enumerate(parts, 1):
            try:
                node = self.tree.child(node, part)
            except KernelError as refused:
                raise _oserror(refused, path) from None
            if node.type == stat.S_IFLNK:
                return node, "/".join(parts[n:])
        return node, ""

    # What comes from outside

    def load(self) -> None:
        """Load kdump, as `kexec -s -p` does, with the machine's own sizes."""
        cmdline = self.kernel.cmdline.encode()
        self._done(lambda: self.kernel.kexec.file_load(None, None, cmdline, KEXEC_FILE_ON_CRASH))

    def unload(self) -> None:
        """Unload kdump."""
        flags = KEXEC_FILE_UNLOAD | KEXEC_FILE_ON_CRASH | KEXEC_FILE_NO_INITRAMFS
        self._done(lambda: self.kernel.kexec.file_load(None, None, b"", flags))

    def plug_memory(
        self, size: int, at: int | None = None, node: int = 0, how: str = "dimm"
    ) -> int:
        """Memory is plugged in, size in bytes, at an address or behind all there is; where it went."""
        start: int = self._done(lambda: hypervisor.plug_memory(self.kernel, size, at, node, how))
        return start

    def unplug_memory(self, at: int, size: int, how: str = "dimm") -> None:
        """Memory is asked back."""
        self._done(lambda: hypervisor.unplug_memory(self.kernel, at, size, how))

    def plug_cpu(self, slot: int, node: int = 0) -> None:
        """A CPU (of ppc64 a core) is plugged in."""
        self._done(lambda: hypervisor.plug_cpu(self.kernel, slot, node))

    def unplug_cpu(self, cpu: int) -> None:
        """A CPU (of ppc64 its core) is asked back."""
        self._done(lambda: hypervisor.unplug_cpu(self.kernel, cpu))

    def _done(self, call: Any) -> Any:
        try:
            return call()
        except KernelError as refused:
            raise _oserror(refused, "") from None

    def reload(self) -> None:
        """Take the modules' files anew; ProfileError if one is wrong, and nothing has changed."""
        self._modules.load()

    # What is seen

    @property
    def header(self) -> Header | None:
        """The loaded crash image's ELF core header, as it is now; None without one."""
        data = self.kernel.kexec.elfcorehdr()
        return None if data is None else Header(data)

    @property
    def log(self) -> list[str]:
        """The kernel log's texts, oldest first."""
        return [record.text for record in self.kernel.log]

    @property
    def uevents(self) -> list[str]:
        """The uevents so far: `offline@/devices/system/memory/memory30`."""
        return [str(event) for event in self.kernel.uevents.kept]

    @property
    def mistakes(self) -> list[str]:
        """What was said of the modules' mistakes, and what they printed, line by line."""
        return list(self._modules.loader.journal.lines)


def _oserror(refused: KernelError, path: str) -> OSError:
    reason = os.strerror(refused.errno) + (f" ({refused.reason})" if refused.reason else "")
    return OSError(refused.errno, reason, path or None)


def options_of(
    name: str | os.PathLike[str] = "pseries-16g",
    *,
    module: str | os.PathLike[str] | None = None,
    modules: Iterable[str | os.PathLike[str]] = (),
    with_: Iterable[str] = (),
    without: Iterable[str] = (),
    kernel: str = "",
    cmdline: str | None = None,
    load: bool = False,
    print_mode: str = "text",
    page_limit: bool = True,
    debug: bool = False,
    vmcoreinfo: str | Iterable[str] = (),
    **sizes: int | str,
) -> BootOptions:
    """What a fixture was given, as the options of the command line.

    sizes: cpus, memory, threads, nodes, page_size, block_size, as numbers or as the command line
    has them (64, "48G"). TypeError for any other name.
    """
    unknown = sorted({*sizes} - {*QUICK})
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}, expected one of {', '.join(QUICK)}")
    files = [*([module] if module is not None else []), *modules]
    of_size: dict[str, Any] = {name: str(size) for name, size in sizes.items()}
    return BootOptions(
        machine=os.fspath(name),
        kernel=kernel,
        with_=_words(with_),
        without=_words(without),
        cmdline=cmdline,
        load=load,
        modules=tuple(str(Path(file)) for file in files),
        print_mode=print_mode,
        page_limit=page_limit,
        debug=debug,
        vmcoreinfo=_words(vmcoreinfo),
        **of_size,
    )


def _words(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def machine(name: str | os.PathLike[str] = "pseries-16g", **options: Any) -> Machine:
    """A machine without a mount; options as above. ProfileError says what is wrong."""
    return Machine(options_of(name, **options))
