"""What the supervised system calls mean to the emulated kernel: one function each, named as in C.

Mirrors the entry code of kernel/kexec.c, kernel/kexec_file.c, kernel/reboot.c, kernel/printk,
kernel/sys.c, kernel/module/main.c and fs/statfs.c: capability, copies from the caller, then one
call of the engine.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import struct
from collections.abc import Callable
from functools import partial

from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import (
    KEXEC_FILE_NO_INITRAMFS,
    KEXEC_FILE_UNLOAD,
    KEXEC_SEGMENT_MAX,
    FileArg,
    FileKind,
    LazySegment,
    regular,
)
from fsmount.devfs.kmsg import Syslog
from fsmount.host import mountns
from fsmount.host.files import HEAD, head_of
from fsmount.run.hostfs import Processes
from fsmount.run.supervisor import LET_THE_KERNEL, Answer
from fsmount.run.sysctls import Sysctls
from fsmount.run.task import Later, Task
from fsmount.tree.kobject import Caller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CAP_SYS_MODULE, CAP_SYS_ADMIN, CAP_SYS_BOOT = 16, 21, 22
COMMAND_LINE_SIZE = 2048
"""Of x86 and ppc64; kexec_file_load itself takes any length, the architectures refuse more."""
_PIECE = 1 << 20
"""Bytes of a segment that are copied at once."""
READ_FILE_MAX = (1 << 31) - 1
"""kernel_read_file() gives EFBIG for more: it reads into an int's worth of bytes."""

# include/uapi/linux/reboot.h
_MAGIC1, _MAGIC2 = 0xFEE1DEAD, (672274793, 85072278, 369367448, 537993216)
REBOOT = {
    0x01234567: "Restarting system",
    0xCDEF0123: "System halted",
    0x4321FEDC: "Power down",
    0xA1B2C3D4: "Restarting system with command",
    0xD000FCE2: "Suspend requested",
    0x45584543: "Starting new kernel",
    0x89ABCDEF: "Ctrl-Alt-Del reboots at once from now on",
    0x00000000: "Ctrl-Alt-Del signals init from now on",
}
"""reboot(2)'s commands, and what kernel/reboot.c or we would say. The last two change no state."""
_CAD_COMMANDS = (0x89ABCDEF, 0)
_KEXEC = 0x45584543

# include/uapi/linux/magic.h
SYSFS_MAGIC, PROC_SUPER_MAGIC, TMPFS_MAGIC = 0x62656572, 0x9FA0, 0x01021994
_MAGIC = {"sys": SYSFS_MAGIC, "proc": PROC_SUPER_MAGIC, "dev": TMPFS_MAGIC}
_STATFS = struct.Struct("=7Q2i3Q4Q")  # struct statfs of the 64-bit ABIs
_ST_VALID_RELATIME = 0x0020 | 0x1000
_UTS_LEN = 65
MODULE_MAX = 64 << 20
"""More of a module's image is not looked at."""
_SYSINFO = struct.Struct("=q3Q6QHxxxxxx2QIxxxx")  # struct sysinfo of the 64-bit ABIs
BUILT_FOR_ONE_MACHINE = frozenset(("kexec",))
"""Programs, by current->comm, that refuse to work where uname(2) says another machine than their own."""

ARGUMENTS = {
    "kexec_load": 4, "kexec_file_load": 5, "reboot": 4, "syslog": 3, "uname": 1,
    "init_module": 3, "finit_module": 3, "delete_module": 2, "statfs": 2, "fstatfs": 2,
    "connect": 3, "socketpair": 4, "sethostname": 2,
    "sysinfo": 1, "sched_getaffinity": 3, "sched_setaffinity": 3,
}  # fmt: skip
"""How many arguments each call has."""


class Syscalls:
    """The answers for one kernel. user_namespace is the machine's, as readlink of ns/user says it."""

    def __init__(
        self,
        kernel: Kernel,
        syslog_state: Syslog,
        has_path: Callable[[str], bool],
        user_namespace: str | None = None,
        uname_machine: bool = True,
        sysctls: Sysctls | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes
        self._affinity: dict[int, int] = {}
        """What sched_setaffinity(2) was told, by a thread's number inside: bit n is CPU n."""
        self.kernel = kernel
        self.syslog_state = syslog_state
        self.rebooted = False
        """Whether a capture kernel was asked to reboot: the run ends."""
        self.has_path = has_path
        """Whether the tree has a path (sys/..., proc/..., dev/...)."""
        self.user_namespace = user_namespace
        self.uname_machine = uname_machine
        self.sysctls = sysctls or Sysctls(kernel, syslog_state)

    def answers(self) -> dict[str, Answer]:
        """By name, for the Supervisor."""
        return {
            "kexec_load": self.kexec_load,
            "kexec_file_load": self.kexec_file_load,
            "reboot": self.reboot,
            "syslog": self.syslog,
            "uname": self.uname,
            "sethostname": self.sethostname,
            "init_module": self.init_module,
            "finit_module": self.finit_module,
            "delete_module": self.delete_module,
            "statfs": self.statfs,
            "fstatfs": self.fstatfs,
            "sysinfo": self.sysinfo,
            "sched_getaffinity": self.sched_getaffinity,
            "sched_setaffinity": self.sched_setaffinity,
        }

    def caller(self, task: Task) -> Caller:
        """Who calls, as the tree's methods want it."""

        def capable(cap: int) -> bool:
            return task.capable(cap, self.user_namespace)

        return Caller(uid=task.uid, pid=task.tgid, capable=capable)

    def _need(self, task: Task, cap: int) -> None:
        if not task.capable(cap, self.user_namespace):
            raise KernelError(errno.EPERM, f"capability {cap}")

    def _debug(self, task: Task, text: str) -> None:
        self.kernel.log.info(f"kdumpfs: {task.comm}[{task.pid_inside}]: {text}")

    # kexec

    def kexec_load(self, task: Task, args: tuple[int, ...]) -> int:
        """kexec_load(entry, nr_segments, segments, flags)"""
        entry, count, array, flags = args[0], args[1], args[2], args[3] & 0xFFFFFFFF
        self._need(task, CAP_SYS_BOOT)
        if count > KEXEC_SEGMENT_MAX:
            raise KernelError(errno.EINVAL, f"{count} segments")
        raw = task.read(array, 32 * count)
        segments: list[LazySegment] = [
            (partial(self._content, task, buf, bufsz), bufsz, mem, memsz)
            for buf, bufsz, mem, memsz in struct.iter_unpack("=4Q", raw)
        ]
        self.kernel.kexec.load(entry, segments, flags)
        return 0

    def _content(self, task: Task, buf: int, bufsz: int) -> bytes:
        """kimage_load_segment(): all is copied, in pieces; the first HEAD bytes, in which a header ends, are kept."""
        kept = bytearray()
        for at in range(0, bufsz, _PIECE):
            piece = task.read(buf + at, min(_PIECE, bufsz - at), self.kernel.cond_resched)
            if at < HEAD:
                kept += piece
            self.kernel.cond_resched()
        return bytes(kept)

    def kexec_file_load(self, task: Task, args: tuple[int, ...]) -> int:
        """kexec_file_load(kernel_fd, initrd_fd, cmdline_len, cmdline, flags)"""
        kernel_fd, initrd_fd, length, cmdline_ptr = args[0], args[1], args[2], args[3]
        flags = args[4]
        self._need(task, CAP_SYS_BOOT)
        if flags & KEXEC_FILE_UNLOAD:
            self.kernel.kexec.file_load(None, None, b"", flags)
            return 0
        kernel_file = self._file(task, kernel_fd)
        initrd = None if flags & KEXEC_FILE_NO_INITRAMFS else self._file(task, initrd_fd)
        if length > COMMAND_LINE_SIZE:
            raise KernelError(errno.EINVAL, f"a command line of {length} bytes")
        cmdline = task.read(cmdline_ptr, length)
        if length and cmdline[-1]:
            raise KernelError(errno.EINVAL, "the command line does not end in NUL")
        self.kernel.kexec.file_load(kernel_file, initrd, cmdline, flags)
        return 0

    def _file(self, task: Task, fd: int) -> FileArg:
        """kernel_read_file_from_fd()"""
        fd &= 0xFFFFFFFF
        try:
            if self._mount_of(task, f"fd/{fd}", f"fdinfo/{fd}") is not None:
                return regular(
                    b""
                )  # a file of ours: no kernel, and asking for it would wait for us
            head = task.with_file(fd, head_of)
        except (KernelError, OSError) as error:
            if error.errno == errno.EBADF:  # none, or opened for writing only
                return FileArg(FileKind.BAD)
            if error.errno in (
                errno.EINVAL,
                errno.EISDIR,
            ):  # i_size < 1 or not S_ISREG: EINVAL alike
                return FileArg(FileKind.DIRECTORY)
            raise KernelError(error.errno or errno.EIO) from error
        if head.size > READ_FILE_MAX:
            raise KernelError(errno.EFBIG, f"{head.size} bytes")
        return FileArg(FileKind.REGULAR, head.data, head.size)

    # reboot, modules

    def reboot(self, task: Task, args: tuple[int, ...]) -> int:
        """reboot(magic1, magic2, cmd, arg): said in the log, never done."""
        magic1, magic2, cmd = (arg & 0xFFFFFFFF for arg in args[:3])
        self._need(task, CAP_SYS_BOOT)
        if magic1 != _MAGIC1 or magic2 not in _MAGIC2 or cmd not in REBOOT:
            raise KernelError(errno.EINVAL)
        if cmd == _KEXEC and self.kernel.kexec.image is None:
            raise KernelError(errno.EINVAL, "no image to start")
        if cmd not in _CAD_COMMANDS and self.kernel.after_crash:
            self.rebooted = True  # a capture kernel has done its work
            raise Later
        if cmd not in _CAD_COMMANDS:
            self._debug(task, "reboot(2) asked for; the machine stays up")
            self.kernel.panic.reboot(REBOOT[cmd])
        return 0

    def init_module(self, task: Task, args: tuple[int, ...]) -> int:
        """init_module(image, length, parameters): a name and a size; nothing of it runs."""
        self._need(task, CAP_SYS_MODULE)
        size = args[1]
        image = task.read(args[0], min(size, MODULE_MAX))
        named = re.search(rb"\0name=([\w-]+)\0", image)
        if not image.startswith(b"\x7fELF") or named is None:
            raise KernelError(errno.ENOEXEC, "no module")
        self._load_module(task, named[1].decode(), size)
        return 0

    def finit_module(self, task: Task, args: tuple[int, ...]) -> int:
        """finit_module(fd, parameters, flags): as init_module(); the file's name is the module's."""
        self._need(task, CAP_SYS_MODULE)
        path = task.link(f"fd/{args[0] & 0xFFFFFFFF}")
        name = posixpath.basename(path).partition(".")[0]
        file = self._file(task, args[0])
        if file.kind is FileKind.BAD:
            raise KernelError(errno.EBADF)
        if not file.size:
            raise KernelError(errno.EINVAL, "no regular file, or an empty one")
        self._load_module(task, name, file.size)
        return 0

    def _load_module(self, task: Task, name: str, size: int) -> None:
        self.kernel.modules.load(name, size)
        self._debug(task, f"module {name}: loaded by name alone")

    def delete_module(self, task: Task, args: tuple[int, ...]) -> int:
        """delete_module(name, flags): ENOENT for one that is not loaded."""
        self._need(task, CAP_SYS_MODULE)
        name = task.read_string(args[0], 56).decode(errors="replace")  # MODULE_NAME_LEN
        self.kernel.modules.unload(name)
        self._debug(task, f"module {name}: gone")
        return 0

    # the log, names

    def syslog(self, task: Task, args: tuple[int, ...]) -> int:
        """syslog(action, buf, len)"""
        action, buf = args[0] & 0xFFFFFFFF, args[1]
        length = (args[2] & 0xFFFFFFFF) - ((args[2] & 0x80000000) << 1)
        done = self.syslog_state.action(action, length, self.caller(task), buf=bool(buf))
        if done is None:
            raise Later
        result, text = done
        task.write(buf, text)
        return result

    def uname(self, task: Task, args: tuple[int, ...]) -> int:
        """uname(buf): the emulated release, version and machine.

        kexec(8) is told the host's machine, which it was built for: it refuses to say anything on another.
        """
        host = os.uname()
        foreign = self.uname_machine and task.comm not in BUILT_FOR_ONE_MACHINE
        machine = self.kernel.arch.uts_machine if foreign else host.machine
        fields = (
            "Linux",
            self.sysctls.read("kernel/hostname").decode().strip(),
            self.kernel.release,
            self.kernel.uts_version,
            machine,
            "(none)",
        )
        packed = (field.encode()[: _UTS_LEN - 1].ljust(_UTS_LEN, b"\0") for field in fields)
        task.write(args[0], b"".join(packed))
        return 0

    def sethostname(self, task: Task, args: tuple[int, ...]) -> int:
        """sethostname(name, length): the machine's, as /proc/sys/kernel/hostname."""
        self._need(task, CAP_SYS_ADMIN)
        length = args[1] & 0xFFFFFFFF
        if length >= _UTS_LEN:
            raise KernelError(errno.EINVAL)
        self.sysctls.write("kernel/hostname", task.read(args[0], length))
        return 0

    # who the machine is

    def sysinfo(self, task: Task, args: tuple[int, ...]) -> int:
        """sysinfo(info): do_sysinfo(), kernel/sys.c. Nothing but the kernel and huge pages takes memory."""
        kernel = self.kernel
        total = free = 0
        for node in kernel.nodes.ids():
            node_total, node_free = kernel.nodes.memory(node)
            total, free = total + node_total, free + node_free
        uptime = -(-kernel.timekeeping.uptime_ns() // 10**9)
        procs = self.processes.count() if self.processes is not None else 1
        packed = _SYSINFO.pack(uptime, 0, 0, 0, total, free, 0, 0, 0, 0, procs, 0, 0, 1)
        task.write(args[0], packed)
        return 0

    def _running(self) -> int:
        """cpu_active_mask: bit n is CPU n."""
        return sum(1 << n for n in self.kernel.cpus.online)

    def _thread(self, task: Task, pid: int) -> int:
        """The number inside of the thread that a pid argument means. KernelError(ESRCH)."""
        if not pid:
            return task.pid_inside
        if self.processes is not None and not self.processes.status(pid):
            raise KernelError(errno.ESRCH, f"no thread {pid}")
        return pid

    def _affinity_of(self, thread: int) -> int | None:
        """What was set for the thread, or for the one that it descends from."""
        for _ in range(64):
            if thread in self._affinity or self.processes is None or not thread:
                break
            thread = int(self.processes.status(thread).get("PPid", "0"))
        return self._affinity.get(thread)

    def sched_getaffinity(self, task: Task, args: tuple[int, ...]) -> int:
        """sched_getaffinity(pid, len, mask): the running CPUs, or of them what was asked for. kernel/sched/syscalls.c."""
        pid, length = args[0] & 0xFFFFFFFF, args[1] & 0xFFFFFFFF
        nr_cpu_ids = self.kernel.cpus.nr_cpu_ids
        if length * 8 < nr_cpu_ids or length & 7:
            raise KernelError(errno.EINVAL, f"a mask of {length} bytes")
        mask = self._running()
        if self._affinity:
            asked = self._affinity_of(self._thread(task, pid))
            mask = asked & mask or mask if asked is not None else mask
        elif pid:
            self._thread(task, pid)
        size = min(length, -(-nr_cpu_ids // 64) * 8)
        task.write(args[2], mask.to_bytes(size, "little"))
        return size

    def sched_setaffinity(self, task: Task, args: tuple[int, ...]) -> int:
        """sched_setaffinity(pid, len, mask): remembered; the host's scheduler is not told. EINVAL if none of them runs."""
        thread = self._thread(task, args[0] & 0xFFFFFFFF)
        nr_cpu_ids = self.kernel.cpus.nr_cpu_ids
        size = min(args[1] & 0xFFFFFFFF, -(-nr_cpu_ids // 64) * 8)
        mask = int.from_bytes(task.read(args[2], size), "little")
        if not mask & self._running():
            raise KernelError(errno.EINVAL, "none of these CPUs runs")
        self._affinity[thread] = mask
        return 0

    # statfs

    def _mount_of(self, task: Task, link: str, info: str | None = None) -> mountns.Mount | None:
        """The mount of ours that an open file lies on, None if it is another's.

        Read from /proc only: asking the file itself would ask ourselves.
        """
        mounts = mountns.mounts(task.text("mountinfo"))
        if info is not None:
            lines = dict(line.split(":", 1) for line in task.text(info).splitlines() if ":" in line)
            number = int(lines.get("mnt_id", "-1"))
            found = [mount for mount in mounts if mount.id == number]
        else:
            path = task.link(link)
            found = [m for m in (mountns.mount_at(path, task.text("mountinfo")),) if m]
        return found[0] if found and found[0].fstype == mountns.FSTYPE else None

    def _statfs(self, task: Task, buf: int, path: str) -> int:
        """Write a struct statfs as the file system that stands at the tree's path would."""
        page = self.kernel.page_size
        magic = _MAGIC.get(path.strip("/").partition("/")[0], SYSFS_MAGIC)
        task.write(
            buf,
            _STATFS.pack(
                magic, page, 0, 0, 0, 0, 0, 0, 0, 255, page, _ST_VALID_RELATIME, 0, 0, 0, 0
            ),
        )
        return 0

    def fstatfs(self, task: Task, args: tuple[int, ...]) -> Any:
        """fstatfs(fd, buf): of our files what sysfs says; others ask the host."""
        fd = args[0] & 0xFFFFFFFF
        try:
            mount = self._mount_of(task, f"fd/{fd}", f"fdinfo/{fd}")
        except KernelError:
            return LET_THE_KERNEL
        return LET_THE_KERNEL if mount is None else self._statfs(task, args[1], mount.root)

    def statfs(self, task: Task, args: tuple[int, ...]) -> Any:
        """statfs(path, buf): as fstatfs; the path is followed through our own links only."""
        try:
            path = os.fsdecode(task.read_string(args[0], 4096))
            if not path:
                return LET_THE_KERNEL
            # In a chroot mountinfo counts from its root, the working directory's link does not.
            cwd, root = task.link("cwd"), task.link("root").rstrip("/")
            if not path.startswith("/") and not f"{cwd}/".startswith(f"{root}/"):
                return LET_THE_KERNEL
            full = posixpath.normpath(posixpath.join("/", cwd.removeprefix(root), path))
            mount = mountns.mount_at(full, task.text("mountinfo"))
        except KernelError:
            return LET_THE_KERNEL
        if mount is None or mount.fstype != mountns.FSTYPE:
            return LET_THE_KERNEL
        inside = posixpath.join(mount.root, posixpath.relpath(full, mount.point))
        if not self.has_path(posixpath.normpath(inside)):
            return LET_THE_KERNEL
        return self._statfs(task, args[1], mount.root)
