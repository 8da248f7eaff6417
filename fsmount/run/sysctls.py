"""/proc/sys in `kdumpfs run`: fs/proc/proc_sysctl.c, kernel/sysctl.c. The host's to read, never to write."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.printk import KERN_INFO
from fsmount.devfs.kmsg import Syslog
from fsmount.run.hostfs import HostNode
from fsmount.tree.kobject import File


class Sysctls:
    """/proc/sys: the host's values to read, the machine's own once one was written.

    A value that the host prints as numbers takes as many numbers, as proc_dointvec() does. What is
    below net/ is read in the host's network namespace.
    """

    fleeting_names = False

    def __init__(self, kernel: Kernel, syslog: Syslog, directory: str = "/proc/sys") -> None:
        self._kernel = kernel
        self.syslog = syslog
        self._directory = directory
        self._own: dict[str, bytes] = {}

        def set_printk(numbers: list[int]) -> None:
            syslog.console_loglevel, _, syslog.minimum_console_loglevel, _ = numbers

        self._engine: dict[str, tuple[Callable[[], object], Callable[[list[int]], None] | None]] = {
            "kernel/osrelease": (lambda: kernel.release, None),
            "kernel/version": (lambda: kernel.uts_version, None),
            "kernel/ostype": (lambda: "Linux", None),
            "kernel/printk": (
                lambda: "\t".join(
                    map(str, (syslog.console_loglevel, 4, syslog.minimum_console_loglevel, 7))
                ),
                set_printk,
            ),
            "kernel/dmesg_restrict": (
                lambda: int(kernel.log.dmesg_restrict),
                lambda n: setattr(kernel.log, "dmesg_restrict", bool(n[0])),
            ),
        }
        """Values that the emulated kernel itself goes by: how to read, how to set from numbers."""

    def restart(self) -> None:
        """A kernel starts: nothing has been written yet."""
        self._own.clear()

    def get(self, path: str, name: str) -> HostNode | None:
        """A file or directory below /proc/sys."""
        below = f"{path}/{name}".removeprefix("proc/sys/")
        try:
            mode = os.stat(f"{self._directory}/{below}").st_mode
        except OSError:
            return None
        return HostNode(
            f"{path}/{name}",
            stat.S_IFMT(mode),
            stat.S_IMODE(mode),
            opens=lambda flags, _caller: self._open(below, mode, flags),
        )

    def names(self, path: str) -> Iterator[tuple[str, int]]:
        """Everything in a directory of the host's /proc/sys."""
        try:
            entries = list(os.scandir(self._directory + path.removeprefix("proc/sys")))
        except OSError:
            return
        for entry in entries:
            yield entry.name, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG

    def _open(self, name: str, mode: int, flags: int) -> File:
        if flags & os.O_ACCMODE != os.O_RDONLY and not mode & 0o222:
            raise KernelError(errno.EACCES)  # proc_sys_permission(), for root too
        return _Sysctl(self, name)

    def read(self, name: str) -> bytes:
        """The value with its newline. KernelError: what reading the host's says."""
        if name in self._engine:
            return f"{self._engine[name][0]()}\n".encode()
        if name in self._own:
            return self._own[name]
        try:
            with open(f"{self._directory}/{name}", "rb") as file:
                return file.read()
        except OSError as error:
            raise KernelError(error.errno or errno.EIO) from error

    def write(self, name: str, data: bytes) -> None:
        """Give the machine a value of its own. KernelError(EINVAL) if it is not of the old one's form."""
        try:
            was = self.read(name).split()
        except KernelError:
            was = []
        words = data.split()
        if was and all(_is_number(word) for word in was):
            if not words or len(words) > len(was) or not all(_is_number(word) for word in words):
                raise KernelError(errno.EINVAL)
            words += was[len(words) :]
            self._own[name] = b"\t".join(words) + b"\n"
            setter = self._engine.get(name, (None, None))[1]
            if setter is not None:
                setter([int(word) for word in words])
        else:
            self._own[name] = data.rstrip(b"\n") + b"\n"
        dotted = name.replace("/", ".")
        value = self._own[name].decode(errors="replace").strip()
        self._kernel.log.emit(KERN_INFO, f"kdumpfs: {dotted} = {value} (of this machine only)")


_TMPBUFLEN = 21
"""kernel/sysctl.c: a longer word is no number."""


def _is_number(word: bytes) -> bool:
    return len(word) <= _TMPBUFLEN and word.lstrip(b"-").isdigit()


class _Sysctl:
    """An open file of /proc/sys."""

    def __init__(self, sysctls: Sysctls, name: str) -> None:
        self._sysctls = sysctls
        self._name = name

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        """The value."""
        return self._sysctls.read(self._name)[offset : offset + size]

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        """Set it; a write elsewhere than at the beginning is ignored, as by proc_first_pos_non_zero_ignore()."""
        if not offset:
            self._sysctls.write(self._name, buf)
        return len(buf)
