"""What a run is measured under: idle CPUs that poll, and which server the mounts of ours have.

A FUSE request wakes the server and its answer wakes the client. If the other CPU is halted, each
of these costs the end of an idle state, in a virtual machine an exit to the host besides: 50 to
70 us on the machine these benchmarks were written on, against 7 us between two processes of one
CPU. On an idle machine that is most of every round trip, of a C server as of ours, and it says
nothing of either; on a busy one no CPU halts and it is not there. So a run holds the latency that
the power management may cost at 0, with which idle CPUs poll (Documentation/power/
pm_qos_interface.rst; cyclictest does the same).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

CPU_DMA_LATENCY = "/dev/cpu_dma_latency"
AWAKE = f"idle CPUs poll ({CPU_DMA_LATENCY} held at 0)"

VIA = {"": (), "libfuse": ("--libfuse",), "direct": ("--direct",)}
"""Who serves the mounts of ours, as options of `kdumpfs mount`; nothing is what it does by itself."""


@contextmanager
def awake(device: str = CPU_DMA_LATENCY) -> Iterator[str]:
    """Let no CPU halt until the block ends; gives one sentence about it.

    Without the device, or without leave to write it, the sentence says so and nothing else differs.
    """
    try:
        fd = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        yield f"idle CPUs halt ({device}: {error.strerror}): each round trip has a wake-up in it"
        return
    try:
        os.write(fd, struct.pack("=i", 0))
        yield AWAKE
    finally:
        os.close(fd)  # which takes the request back
