"""/sys/devices/system/cpu/vulnerabilities/: drivers/base/cpu.c (v7.1)."""

from __future__ import annotations

from elfcorehdr.changes import in_sysfs
from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Declaration, singleton

vulnerabilities = AttributeGroup("devices/system/cpu/vulnerabilities", singleton)

ALWAYS = (
    "gather_data_sampling",
    "indirect_target_selection",
    "itlb_multihit",
    "l1tf",
    "mds",
    "meltdown",
    "mmio_stale_data",
    "reg_file_data_sampling",
    "retbleed",
    "spec_rstack_overflow",
    "spec_store_bypass",
    "spectre_v1",
    "spectre_v2",
    "srbds",
    "tsa",
    "tsx_async_abort",
    "vmscape",
)
"""Names in every release and its stable series (golden x86_64: 6.1, 6.12.107 and 7.3.4)."""


def not_affected_show(kernel: Kernel) -> str:
    """Not affected: what cpu_show_not_affected() says. Firmware that would tell more is not emulated."""
    return "Not affected\n"


for _name in ALWAYS:
    vulnerabilities.add(_name, show=not_affected_show)
for _name in ("ghostwrite", "old_microcode"):
    vulnerabilities.add(
        _name,
        show=not_affected_show,
        is_visible=lambda kernel, obj: kernel.has(in_sysfs.VULNERABILITIES_6_16),
    )

GROUPS: tuple[Declaration, ...] = (vulnerabilities,)
