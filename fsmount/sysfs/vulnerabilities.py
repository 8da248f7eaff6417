"""/sys/devices/system/cpu/vulnerabilities/: drivers/base/cpu.c (v7.1)."""

from __future__ import annotations

from collections.abc import Callable

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


def _add(name: str, is_visible: Callable[[Kernel, Kernel], bool] | None = None) -> None:
    def show(kernel: Kernel) -> str:
        known = {**kernel.arch.vulnerabilities(kernel), **kernel.machine.vulnerabilities}
        return f"{known.get(name, 'Not affected')}\n"

    doc = f"Whether the processors have {name}, and what is done about it."
    vulnerabilities.add(name, show=show, is_visible=is_visible, doc=doc)


for _name in ALWAYS:
    _add(_name)
for _name in ("ghostwrite", "old_microcode"):
    _add(_name, lambda kernel, obj: kernel.has(in_sysfs.VULNERABILITIES_6_16))

GROUPS: tuple[Declaration, ...] = (vulnerabilities,)
