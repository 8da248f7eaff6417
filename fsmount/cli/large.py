"""The machine on which proposals are tried for size: as many CPUs as a kernel is built for, and 64 TiB."""

from __future__ import annotations

from elfcorehdr import profiles
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine

LARGE = "8,192 CPUs and 64 TiB"


def large() -> Machine:
    """pseries-64t with the most CPUs that arch/powerpc/platforms/Kconfig.cputype lets NR_CPUS be."""
    machine = profiles.load("pseries-64t")
    return replace(machine, nr_cpus=8192, cpus=replace(machine.cpus, possible="0-8191"))
