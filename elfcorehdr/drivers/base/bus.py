"""Binding by hand: drivers/base/bus.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError, short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


def drivers_probe(kernel: Kernel, bus: str, device: str) -> None:
    """drivers_probe_store(): KernelError(ENODEV) if the bus has no such device, else nothing happens."""
    name = device.removesuffix("\n")
    digits = name.removeprefix(bus)
    named = name.startswith(bus) and digits.isdecimal() and len(digits) < 20
    n = int(digits) if named else -1
    known = {
        "memory": kernel.memory.block(n) is not None,
        "cpu": kernel.cpus.device(n) is not None,
        "node": n in kernel.nodes.ids(),
    }
    if not known[bus]:
        raise KernelError(errno.ENODEV, f"no device {short(name)} on bus {bus}")
