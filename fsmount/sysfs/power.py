"""The power/ directory of a device without runtime power management: drivers/base/power/sysfs.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError, short
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kstrtox import kstrtoint, sysfs_streq
from fsmount.tree.kobject import AttributeGroup, Kset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PM_QOS_RESUME_LATENCY_NO_CONSTRAINT = (1 << 31) - 1
CONSTANT = {
    "runtime_status": "unsupported",
    "runtime_active_time": "0",
    "runtime_suspended_time": "0",
}
DEBUG = {"runtime_active_kids": "0", "runtime_enabled": "disabled"}
"""Read only; the second with CONFIG_PM_ADVANCED_DEBUG."""


def _has_pm(kernel: Kernel, device: object) -> bool:
    return kernel.config("PM")


def _has_debug(kernel: Kernel, device: object) -> bool:
    return kernel.config("PM_ADVANCED_DEBUG")


def _word(device: Any, buf: str, words: tuple[str, str]) -> str:
    """The word that was written; KernelError(EINVAL) for any other."""
    for word in words:
        if sysfs_streq(buf, word):
            return word
    raise KernelError(errno.EINVAL, f"{short(buf)} is neither {words[0]} nor {words[1]}")


def _setting_of(device: Any, path: str, name: str, usual: str = "") -> str:
    """What was set on a device, else the usual value: of the kernel for a subsystem's own device."""
    kernel = getattr(device, "kernel", device)
    found: str | None = kernel.pm.get(getattr(device, "devpath", path), name)
    return usual if found is None else found


def _set(device: Any, path: str, name: str, value: str) -> None:
    kernel = getattr(device, "kernel", device)
    kernel.pm.set(getattr(device, "devpath", path), name, value)


def power(path: str, kset: Kset[Any], *, latency: bool = False) -> AttributeGroup[Any]:
    """The group below a device's path; latency adds the resume latency, which CPUs have."""
    group: AttributeGroup[Any] = AttributeGroup(f"{path}/power", kset, is_visible=_has_pm)
    for values, visible in ((CONSTANT, None), (DEBUG, _has_debug)):
        for name, value in values.items():
            group.add(name, show=_showing(value), is_visible=visible, doc=f"Always {value}.")

    group.add(
        "runtime_usage",
        show=lambda d: f"{int(_setting_of(d, path, 'control') == 'on')}\n",
        is_visible=_has_debug,
        doc="Users that keep the device active: one if control is on.",
    )

    def autosuspend(device: Any, buf: str = "") -> str:
        """The device cannot suspend by itself: EIO."""
        raise KernelError(errno.EIO, "no autosuspend")

    def set_autosuspend(device: Any, buf: str) -> None:
        """EIO, as reading."""
        autosuspend(device)

    group.add(
        "autosuspend_delay_ms",
        show=lambda d: autosuspend(d),
        store=set_autosuspend,
        doc=autosuspend.__doc__ or "",
    )
    _setting(group, path, "control", ("auto", "on"), "auto")
    _setting(group, path, "async", ("disabled", "enabled"), "disabled", _has_debug)
    if latency:

        def store(device: Any, buf: str) -> None:
            """A limit in microseconds, or n/a; EINVAL."""
            value = -1 if sysfs_streq(buf, "n/a") else kstrtoint(buf)
            if value < -1 or value == PM_QOS_RESUME_LATENCY_NO_CONSTRAINT or buf[:1] == "-":
                raise KernelError(errno.EINVAL, "not a latency")
            _set(device, path, "latency", str(value) if value >= 0 else "n/a")

        group.add(
            "pm_qos_resume_latency_us",
            show=lambda d: _setting_of(d, path, "latency", "0") + "\n",
            store=store,
            doc="How long waking up may take, in microseconds; 0 is no limit.",
        )
    return group


def _showing(value: str) -> Any:
    return lambda device: f"{value}\n"


def _setting(
    group: AttributeGroup[Any],
    path: str,
    name: str,
    words: tuple[str, str],
    usual: str,
    visible: Any = None,
) -> None:
    """A file of two words, kept as written."""

    def store(device: Any, buf: str) -> None:
        _set(device, path, name, _word(device, buf, words))

    group.add(
        name,
        show=lambda d: _setting_of(d, path, name, usual) + "\n",
        store=store,
        is_visible=visible,
        doc=f"{words[0]} or {words[1]}.",
        store_doc="Kept, nothing follows from it; EINVAL for any other word.",
    )
