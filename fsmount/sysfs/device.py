"""What every device has: uevent, subsystem, power/. drivers/base/core.c, lib/kobject_uevent.c (v7.1)."""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr.drivers.base.bus import drivers_probe
from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Kset, Link, singleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UEVENT_DOC = (
    "Writing an action word sends a synthetic uevent; reading shows the device's own variables."
)


def subsystem(
    name: str, devices: Kset[Any], prefix: str
) -> tuple[AttributeGroup[Kernel] | Link[Any], ...]:
    """/sys/bus/<name>/ and the links between it and its devices; prefix is the devices' name less the number.

    Mirrors bus_register(), drivers/base/bus.c: uevent and drivers_probe can only be written.
    """
    bus = AttributeGroup(f"bus/{name}", singleton)

    @bus.show
    def drivers_autoprobe_show(kernel: Kernel) -> str:
        """Whether new devices are bound to drivers by themselves."""
        return "1\n"

    @bus.store
    def drivers_autoprobe_store(kernel: Kernel, buf: str) -> None:
        """Accepted; there are no drivers to probe."""

    @bus.store
    def drivers_probe_store(kernel: Kernel, buf: str) -> None:
        """Look for a driver for the named device."""
        drivers_probe(kernel, name, buf)

    @bus.store
    def uevent_store(kernel: Kernel, buf: str) -> None:
        """Send a synthetic uevent for the bus."""
        kernel.uevents.synth(kernel.log, f"/bus/{name}", "bus", (), buf)

    root = AttributeGroup(f"devices/system/{name}", singleton)

    @root.show(name="uevent")
    def root_uevent_show(kernel: Kernel) -> str:
        """Empty: the subsystem's root device has no variables."""
        return ""

    @root.store(name="uevent")
    def root_uevent_store(kernel: Kernel, buf: str) -> None:
        """Parsed as any device's, but nothing is sent: the device is on no bus."""
        kernel.uevents.synth(kernel.log, f"/devices/system/{name}", "", (), buf, send=False)

    return (
        bus,
        AttributeGroup(f"bus/{name}/devices", singleton),
        AttributeGroup(f"bus/{name}/drivers", singleton),
        root,
        Link(f"devices/system/{name}/{prefix}*/subsystem", devices, f"bus/{name}"),
        Link(f"bus/{name}/devices/{prefix}*", devices, lambda d: str(d.devpath).lstrip("/")),
    )


def device_uevent(group: AttributeGroup[Any], name: str) -> None:
    """Give a family of devices its uevent file; the object has devpath and uevent_env()."""

    @group.show
    def uevent_show(device: Any) -> str:
        """The device's own variables, one KEY=value a line."""
        return "".join(f"{key}={value}\n" for key, value in device.uevent_env())

    @group.store
    def uevent_store(device: Any, buf: str) -> None:
        """Send a synthetic uevent: an action word, optionally a UUID and KEY=value pairs. EINVAL."""
        kernel = device.kernel
        kernel.uevents.synth(kernel.log, device.devpath, name, device.uevent_env(), buf)


def named(prefix: str, numbers: Iterator[int]) -> Iterator[str]:
    """The names of these numbers."""
    return (f"{prefix}{n}" for n in numbers)
