"""VMCOREINFO as the image says it: symbols of its table, sizes and offsets of its types: kernel/vmcore_info.c (v7.2)."""

from __future__ import annotations

import re

from elfcorehdr.kernel.vmcoreinfo.text import VmcoreInfo
from elfcorehdr.kernel.vmlinux.image import Vmlinux

_ALIASES = {"swapper_pg_dir": ("swapper_pg_dir", "init_top_pgt")}
"""What the C preprocessor calls otherwise."""
_KEPT = ("vmemmap", "mem_section")
"""Not addresses of the image: what they point to."""
_ELSEWHERE = {
    "printk_info_subsystem": "dev_printk_info.subsystem",
    "printk_info_device": "dev_printk_info.device",
}
"""Lengths of what has a name of its own in VMCOREINFO."""


def symbol_of(vmlinux: Vmlinux, name: str) -> int | None:
    """The linked address of what VMCOREINFO calls by a name; None if the image has none."""
    if name == "node_online_map":  # node_states[N_ONLINE]
        states, online = vmlinux.symbols.get("node_states"), vmlinux.btf.enumerator("N_ONLINE")
        if states is None or online is None:
            return None
        return states + online * vmlinux.btf.size("nodemask_t")
    for word in _ALIASES.get(name, (name,)):
        if word in vmlinux.symbols:
            return vmlinux.symbols[word]
    return None


def describe(info: VmcoreInfo, vmlinux: Vmlinux) -> None:
    """Give the lines the image's own values; a line whose symbol or member it lacks is taken away.

    Of a type that it does not describe at all a line stays as captured.
    """
    btf = vmlinux.btf
    for key in list(info.lines):
        found = re.fullmatch(r"([A-Z]+)\((.+)\)", key)
        kind, name = found.groups() if found else ("", "")
        if kind == "SYMBOL" and name not in _KEPT:
            address = symbol_of(vmlinux, name)
            info.put(key, f"{address:x}" if address is not None else None)
        elif kind == "SIZE":
            info.put(key, str(btf.size(name) or info.lines[key]))
        elif kind == "OFFSET" and btf.size(name.split(".")[0]):
            offset = btf.offset(name)
            info.put(key, str(offset) if offset is not None else None)
        elif kind == "LENGTH" and name == "node_data":
            info.put(key, str(8 * btf.size("nodemask_t")))
        elif kind == "LENGTH":
            length = btf.length(_ELSEWHERE.get(name, name))
            info.put(key, str(length) if length else info.lines[key])
        elif kind == "NUMBER" and name == "PG_head_mask":
            bit = btf.enumerator("PG_head")
            info.put(key, str(1 << bit) if bit is not None else info.lines[key])
        elif kind == "NUMBER":
            value = btf.enumerator(name)
            info.put(key, str(value) if value is not None else info.lines[key])
