"""What differs between kernels in how CPUs come and go: one named change a row, as in __init__.py.

Imports .change.
"""

from __future__ import annotations

from elfcorehdr.changes.change import Change

NO_CPU0_HOTPLUG = Change(
    "no-cpu0-hotplug",
    "arch/x86/kernel/topology.c arch_register_cpu(): cpu0_hotplug in 6.1, gone in 6.12 (x86/topology: Remove CPU0 hotplug option)",
    (6, 5),
    "x86_64 no longer has an `online` file for cpu0 with cpu0_hotplug on the command line.",
)
SMT_NUMBERS = Change(
    "smt-control-numbers",
    "commit 7f48405c3c34 (cpu/SMT: Allow enabling partial SMT states via sysfs)",
    (6, 6),
    "smt/control takes a number of threads; what cannot change is refused before what is written is looked at.",
)
HOTPLUG_SMT_PPC64 = Change(
    "hotplug-smt-ppc64",
    "arch/powerpc/Kconfig HOTPLUG_SMT: in 6.12, not in 6.1 (powerpc: Add HOTPLUG_SMT support)",
    (6, 6),
    "smt/control works on ppc64, nosmt and DLPAR obey it; before, it reads notimplemented.",
)
SMT_SKIPS_OFFLINE_CORES = Change(
    "smt-skips-offline-cores",
    "arch/powerpc/include/asm/topology.h topology_is_core_online(): in 6.12, not in 6.1",
    (6, 12),
    "Switching SMT on leaves a ppc64 core alone of which no thread runs.",
)
HOTPLUG_SMT_ARM64 = Change(
    "hotplug-smt-arm64",
    "arch/arm64/Kconfig HOTPLUG_SMT: in 7.2, not in 6.12; golden arm64 7.3.4",
    (6, 16),
    "smt/control works on arm64; before, it reads notimplemented.",
)
