"""The hypervisor's side of a partition: what it hands out. arch/powerpc/platforms/pseries/firmware.c (v7.1)."""

from __future__ import annotations


class Firmware:
    """What RTAS answers when a connector is asked for."""

    def __init__(self) -> None:
        self.refuses = False
        """Whether it hands out no more: what dlpar_acquire_drc() meets on a real one."""
