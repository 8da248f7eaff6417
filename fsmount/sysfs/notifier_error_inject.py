"""debugfs notifier-error-inject/memory/: lib/notifier-error-inject.c, lib/memory-notifier-error-inject.c."""

from __future__ import annotations

from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.notifier import MemAction
from elfcorehdr.lib.kstrtox import kstrtoll
from fsmount.tree.kobject import AttributeGroup, Declaration, singleton

_BASE = "kernel/debug/notifier-error-inject/memory/actions"


_SET_BUF = 24
"""sizeof(struct simple_attr.set_buf), fs/libfs.c: what is longer is cut."""


def _parse(buf: str) -> int:
    """A signed number, base 0, as simple_attr_write_signed() takes it, then as an int. KernelError."""
    value = kstrtoll(buf[: _SET_BUF - 1]) & 0xFFFFFFFF
    return value - ((value & 0x80000000) << 1)


def _action(action: MemAction) -> AttributeGroup[Kernel]:
    group = AttributeGroup(f"{_BASE}/{action.value}", singleton)

    def error_show(kernel: Kernel) -> str:
        return f"{kernel.memory_errors.errors[action]}\n"

    def error_store(kernel: Kernel, buf: str) -> None:
        """Set it; EINVAL for what is no errno."""
        kernel.memory_errors.set(action, _parse(buf))

    group.add(
        "error",
        show=error_show,
        store=error_store,
        mode=0o600,
        doc=f"The errno (0 or negative, at least -4095) that {action.value} is refused with.",
    )
    return group


GROUPS: tuple[Declaration, ...] = (
    _action(MemAction.GOING_ONLINE),
    _action(MemAction.GOING_OFFLINE),
)
