"""/sys/kernel/mm/ksm/: mm/ksm.c (v6.1, v6.12, v7.3). Nothing is ever merged."""

from __future__ import annotations

from elfcorehdr.changes import in_mm
from elfcorehdr.init.main import Kernel
from fsmount.sysfs.mm.setting import choice, counters, number, since
from fsmount.tree.kobject import AttributeGroup, Declaration, singleton

TOP = "kernel/mm/ksm"
U31 = (1 << 31) - 1


def _has_ksm(kernel: Kernel, obj: object) -> bool:
    return kernel.config("KSM")


ksm = AttributeGroup(TOP, singleton, is_visible=_has_ksm)
number(ksm, "sleep_millisecs", 20)
number(ksm, "pages_to_scan", 100)
number(ksm, "run", 0, 2)  # KSM_RUN_UNMERGE
counters(ksm, "pages_scanned", visible=since(in_mm.KSM_SCANNED))
counters(ksm, "pages_shared pages_sharing pages_unshared pages_volatile")
counters(ksm, "pages_skipped", visible=since(in_mm.KSM_SMART_SCAN))
counters(ksm, "ksm_zero_pages", visible=since(in_mm.KSM_SCANNED))
counters(ksm, "full_scans")
number(ksm, "merge_across_nodes", 1, 1)
number(ksm, "max_page_sharing", 256, U31, least=2)
counters(ksm, "stable_node_chains stable_node_dups")
number(ksm, "stable_node_chains_prune_millisecs", 2000)
number(ksm, "use_zero_pages", 0, 1)
counters(ksm, "general_profit", visible=since(in_mm.KSM_PROFIT))
number(ksm, "smart_scan", 1, 1, visible=since(in_mm.KSM_SMART_SCAN))
choice(
    ksm,
    "advisor_mode",
    "none scan-time",
    "none",
    lambda obj: f"{TOP}/advisor_mode",
    visible=since(in_mm.KSM_ADVISOR),
)
for _name, _usual in (
    ("advisor_max_cpu", 70),
    ("advisor_min_pages_to_scan", 500),
    ("advisor_max_pages_to_scan", 30000),
    ("advisor_target_scan_time", 200),
):
    number(ksm, _name, _usual, visible=since(in_mm.KSM_ADVISOR))

GROUPS: tuple[Declaration, ...] = (ksm,)
