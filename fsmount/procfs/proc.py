"""/proc as kdump tools read it: kernel/resource.c, fs/proc/*, kernel/kexec_core.c's sysctls (v7.1)."""

from __future__ import annotations

import errno
from collections.abc import Callable

from elfcorehdr.changes import in_log, in_sysfs
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_core import LoadLimit
from elfcorehdr.lib.kstrtox import kstrtoint
from fsmount.tree.kobject import CAP_SYS_ADMIN, AttributeGroup, Caller, Filesystem, Link, singleton

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


@proc.show
def iomem_show(kernel: Kernel, caller: Caller) -> str:
    """Physical memory by owner, two blanks a level; every address is 0 without CAP_SYS_ADMIN."""
    hidden = not caller.capable(CAP_SYS_ADMIN)
    lines = []
    for level, r, name in kernel.iomem.rows():
        start, end = (0, 0) if hidden else (r.start, r.end)
        lines.append(f"{'  ' * level}{start:08x}-{end:08x} : {name}\n")
    return "".join(lines)


def _cmdline_bytes(kernel: Kernel) -> int:
    """st_size of /proc/cmdline."""
    return len(cmdline_show(kernel)) if kernel.has(in_sysfs.CMDLINE_SIZE) else 0


@proc.bin_show(size=_cmdline_bytes)
def cmdline_show(kernel: Kernel) -> bytes:
    """The kernel's command line."""
    return f"{kernel.cmdline}\n".encode()


@proc.show
def version_show(kernel: Kernel) -> str:
    """What uname(2) says, and who built it: fs/proc/version.c."""
    return f"Linux version {kernel.release} (kdumpfs) {kernel.uts_version}\n"


@proc.show
def cpuinfo_show(kernel: Kernel) -> str:
    """One paragraph a running CPU."""
    return "".join(kernel.arch.cpuinfo(kernel))


sysctl = AttributeGroup("sys/kernel", singleton, fs=Filesystem.PROCFS)


@sysctl.show
def kexec_load_disabled_show(kernel: Kernel) -> str:
    """1 once loading is switched off for good."""
    return f"{int(kernel.kexec.load_disabled)}\n"


@sysctl.store
def kexec_load_disabled_store(kernel: Kernel, buf: str) -> None:
    """Switch loading off until the next boot; EINVAL for anything but 1."""
    if kstrtoint(buf) != 1:
        raise KernelError(errno.EINVAL, "can only be set to 1")
    kernel.kexec.load_disabled = True


def _say(kernel: Kernel, name: str, value: int) -> None:
    """Tell in the log that it was this machine's value, not the host's. No kernel says so."""
    kernel.log.info(f"kdumpfs: kernel.{name} = {value} (of this machine only)")


@sysctl.show
def panic_show(kernel: Kernel) -> str:
    """Seconds from a panic to the reboot; 0: none, negative: at once."""
    return f"{kernel.panic.timeout}\n"


@sysctl.store
def panic_store(kernel: Kernel, buf: str) -> None:
    """Set the seconds from a panic to the reboot; EINVAL."""
    kernel.panic.timeout = kstrtoint(buf)
    _say(kernel, "panic", kernel.panic.timeout)


@sysctl.show
def panic_on_oops_show(kernel: Kernel) -> str:
    """Whether an oops is a panic."""
    return f"{kernel.panic.on_oops}\n"


@sysctl.store
def panic_on_oops_store(kernel: Kernel, buf: str) -> None:
    """Make an oops a panic, or not; EINVAL."""
    kernel.panic.on_oops = kstrtoint(buf)
    _say(kernel, "panic_on_oops", kernel.panic.on_oops)


NMI_SYSCTLS = ("unknown_nmi_panic", "panic_on_unrecovered_nmi", "panic_on_io_nmi")
"""kernel/sysctl.c: x86's alone."""


def _switch(name: str, default: int, most: int | None, doc: str) -> None:
    """A switch that the machine keeps for those who ask; 0 to `most`, or any number."""

    def shown(kernel: Kernel) -> str:
        usual = kernel.arch.nmi_watchdog if name == "nmi_watchdog" else default
        return f"{kernel.panic.sysctl(name, usual)}\n"

    def store(kernel: Kernel, buf: str) -> None:
        value = kstrtoint(buf)
        counts = name in ("hung_task_panic", "softlockup_panic") and kernel.has(in_log.PANIC_COUNTS)
        limit = (1 << 31) - 1 if counts else most
        if limit is not None and not 0 <= value <= limit:
            raise KernelError(errno.EINVAL, f"0 to {limit}")
        kernel.panic.sysctls[name] = value
        _say(kernel, name, value)

    sysctl.add(
        name,
        show=shown,
        store=store,
        is_visible=lambda kernel, obj: name not in NMI_SYSCTLS or kernel.arch.nmi_sysctls,
        doc=doc,
        store_doc="Kept; EINVAL"
        + (" for what is no number." if most is None else f" beyond 0 to {most}."),
    )


for _name, _default, _most, _doc in (
    ("sysrq", 438, None, "Which keys of SysRq may be used from the keyboard."),
    ("panic_on_warn", 0, 1, "Whether a WARN() is a panic."),
    ("panic_print", 0, None, "What a panic prints besides, as bits."),
    ("warn_limit", 0, None, "The how manieth WARN() is a panic; 0: none."),
    ("hung_task_panic", 0, 1, "Whether a task that hangs is a panic."),
    ("hung_task_warnings", 10, None, "How many more tasks that hang are told; -1: all."),
    ("watchdog_thresh", 10, 60, "Half the seconds after which a CPU is soft locked up."),
    ("hung_task_timeout_secs", 120, None, "After how many seconds a task hangs."),
    ("softlockup_panic", 0, 1, "Whether a soft lockup is a panic."),
    ("hardlockup_panic", 0, 1, "Whether a hard lockup is a panic."),
    ("nmi_watchdog", 1, 1, "Whether hard lockups are looked for."),
    ("unknown_nmi_panic", 0, None, "Whether an NMI that nobody knows is a panic."),
    ("panic_on_unrecovered_nmi", 0, None, "Whether an NMI for broken memory is a panic."),
    ("panic_on_io_nmi", 0, None, "Whether an NMI for a broken bus is a panic."),
):
    _switch(_name, _default, _most, _doc)


def _limit(name: str, of: Callable[[Kernel], LoadLimit], what: str) -> None:
    sysctl.add(
        name,
        show=lambda kernel: f"{of(kernel).limit}\n",
        store=lambda kernel, buf: of(kernel).set(kstrtoint(buf)),
        is_visible=lambda kernel, obj: kernel.has(in_sysfs.LOAD_LIMITS),
        doc=f"How often {what} may still be loaded or unloaded; -1 without limit.",
        store_doc="Lower it; EINVAL for a higher one.",
    )


_limit("kexec_load_limit_panic", lambda kernel: kernel.kexec.limit_panic, "a crash kernel")
_limit("kexec_load_limit_reboot", lambda kernel: kernel.kexec.limit_reboot, "a kernel for kexec")

GROUPS = (
    proc,
    sysctl,
    Link(
        "device-tree",
        singleton,
        "/sys/firmware/devicetree/base",
        fs=Filesystem.PROCFS,
        is_visible=lambda kernel, obj: bool(kernel.arch.devicetree(kernel)),
    ),
)
