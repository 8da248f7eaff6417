"""Firmware-assisted dump, as far as it is registered: arch/powerpc/kernel/fadump.c (v7.1)."""

from __future__ import annotations

import errno

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.kstrtox import kstrtoint
from elfcorehdr.machine import Machine


class Fadump:
    """struct fw_dump: whether it was asked for at boot, and whether firmware knows of it."""

    def __init__(self, machine: Machine) -> None:
        self.enabled = "fadump=on" in machine.cmdline.split()
        self.registered = self.enabled
        self.reserved = machine.fadump_reserved if self.enabled else 0
        """Bytes."""

    def store(self, buf: str) -> None:
        """registered_store(): 1 registers, 0 takes it back. KernelError: EPERM unless enabled, EINVAL."""
        if not self.enabled:
            raise KernelError(errno.EPERM, "fadump is not enabled")
        value = kstrtoint(buf)
        if value not in (0, 1):
            raise KernelError(errno.EINVAL, "neither 0 nor 1")
        self.registered = bool(value)
