"""The hypervisor's side of a partition: what it hands out. arch/powerpc/platforms/pseries/firmware.c (v7.1)."""

from __future__ import annotations


class Firmware:
    """What RTAS answers when a connector is asked for."""

    def __init__(self) -> None:
        self.refuses = False
        """Whether it hands out no more: what dlpar_acquire_drc() meets on a real one."""


CPU_STATE_HEAD, CPU_STATE = 32, 79 * 16
"""QEMU's register save area: a header and a count, then 79 entries a CPU (golden ppc64/FA: 0x13e0 for four)."""


def cpu_state_size(cpus: int) -> int:
    """Bytes that RTAS saves the registers of so many CPUs in: ibm,configure-kernel-dump-sizes."""
    return CPU_STATE_HEAD + CPU_STATE * cpus
