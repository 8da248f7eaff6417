"""Loaded modules and parameters: kernel/module/main.c, kernel/params.c (v7.3). A module that is loaded is a name and a size."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.kstrtox import kstrtobool, kstrtoint, sysfs_streq
from elfcorehdr.lib.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

ADDRESS = 0xFFFFFFFFC0000000
"""Where the first module would lie: MODULES_VADDR of x86_64."""


class Parameter(Record):
    """module_param(): its default, and what can be written."""

    default: str
    kind: str = "bool"
    """bool, int, or words with blanks between: those that can be chosen."""
    mode: int = 0o644


MEMORY_HOTPLUG = {
    "auto_movable_numa_aware": Parameter("Y"),
    "auto_movable_ratio": Parameter("301", "int"),
    "memmap_on_memory": Parameter("N", mode=0o444),
    "online_policy": Parameter("contig-zones", "contig-zones auto-movable"),
}
"""mm/memory_hotplug.c"""
BUILT_IN: Mapping[str, Mapping[str, Parameter]] = {
    "kernel": {
        "consoleblank": Parameter("0", "int", 0o444),
        "crash_kexec_post_notifiers": Parameter("N"),
        "ignore_rlimit_data": Parameter("N"),
        "initcall_debug": Parameter("N"),
        "module_blacklist": Parameter("(null)", "", 0o400),
        "panic_on_warn": Parameter("0", "int"),
        "panic_print": Parameter("0", "int"),
        "pause_on_oops": Parameter("0", "int"),
    },
    "memory_hotplug": MEMORY_HOTPLUG,
    "printk": {
        "always_kmsg_dump": Parameter("N"),
        "console_no_auto_verbose": Parameter("N"),
        "console_suspend": Parameter("Y"),
        "ignore_loglevel": Parameter("N"),
        "time": Parameter("Y"),
    },
}
"""What is linked into the kernel and has parameters that tools read (golden identity)."""


class Module(Record):
    """A loaded module."""

    name: str
    size: int
    """In bytes, whole pages."""
    address: int


class Modules:
    """Loaded ones in the order of /proc/modules, the last first, and the values of parameters."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.loaded: dict[str, Module] = {}
        self._values: dict[tuple[str, str], str] = {}
        for word in kernel.cmdline.split():
            name, _, value = word.partition("=")
            module, dot, key = name.replace("-", "_").partition(".")
            if not dot:
                module, key = "kernel", name
            if key in BUILT_IN.get(module, {}) and (value or not dot):
                self._values[module, key] = self._parsed(BUILT_IN[module][key], value or "1")

    def load(self, name: str, size: int) -> None:
        """init_module(2): KernelError(EEXIST) if it is there."""
        name = name.replace("-", "_")
        if name in self.loaded:
            raise KernelError(errno.EEXIST, f"module {name} is loaded")
        page = self._kernel.page_size
        at = max((m.address + m.size for m in self.loaded.values()), default=ADDRESS)
        self.loaded[name] = Module(name, -(-max(size, 1) // page) * page, at)
        self._kernel.names_changed()

    def unload(self, name: str) -> None:
        """delete_module(2): KernelError(ENOENT) if it is not there."""
        if self.loaded.pop(name.replace("-", "_"), None) is None:
            raise KernelError(errno.ENOENT, f"module {name} is not loaded")
        self._kernel.names_changed()

    def parameter(self, module: str, key: str) -> str:
        """What a parameter reads."""
        return self._values.get((module, key), BUILT_IN[module][key].default)

    def set_parameter(self, module: str, key: str, buf: str) -> None:
        """param_attr_store(). KernelError(EINVAL)."""
        self._values[module, key] = self._parsed(BUILT_IN[module][key], buf)

    def _parsed(self, parameter: Parameter, buf: str) -> str:
        if parameter.kind == "bool":
            return "Y" if kstrtobool(buf) else "N"
        if parameter.kind == "int":
            return str(kstrtoint(buf))
        for word in parameter.kind.split():
            if sysfs_streq(buf, word):
                return word
        raise KernelError(errno.EINVAL, f"{buf!r} is none of its words")
