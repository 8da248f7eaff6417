"""/sys/kernel/mm/{lru_gen,numa,swap}: mm/vmscan.c, memory-tiers.c, swap_state.c (v7.3)."""

from __future__ import annotations

from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.kstrtox import kstrtobool, kstrtoull
from fsmount.sysfs.mm.setting import number, truth
from fsmount.tree.kobject import AttributeGroup, Declaration, singleton

lru_gen = AttributeGroup("kernel/mm/lru_gen", singleton)
number(lru_gen, "min_ttl_ms", 0)
_ENABLED = "kernel/mm/lru_gen/enabled"


@lru_gen.show
def enabled_show(kernel: Kernel) -> str:
    """What of multi-gen LRU is on, as bits: the core, and what the processor's accessed bits allow."""
    usual = kernel.arch.lru_gen_caps(kernel)
    return f"0x{int(kernel.mm_settings.get(_ENABLED, usual)):04x}\n"


@lru_gen.store
def enabled_store(kernel: Kernel, buf: str) -> None:
    """Bits, or y and n for all of them; EINVAL."""
    caps = kernel.arch.lru_gen_caps(kernel)
    if buf[:1].lower() in ("y", "n"):
        value = caps if kstrtobool(buf) else 0
    else:
        value = kstrtoull(buf) & caps
    kernel.mm_settings[_ENABLED] = str(value)


numa = AttributeGroup("kernel/mm/numa", singleton)
truth(numa, "demotion_enabled", False)


def _has_swap(kernel: Kernel, obj: object) -> bool:
    return kernel.config("SWAP")


swap = AttributeGroup("kernel/mm/swap", singleton, is_visible=_has_swap)
truth(swap, "vma_ra_enabled", True)

GROUPS: tuple[Declaration, ...] = (lru_gen, numa, swap)
