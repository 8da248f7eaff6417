"""What a sosreport says in the output of commands: uname -a, lsmem. /sys/devices/system/memory is not in one."""

from __future__ import annotations

import re

from elfcorehdr.machine.sizes import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SAID = re.compile(r"(^|/)sos_commands/(kernel/uname_-a|memory/lsmem_[^/]*)$")
DIRECTORIES = ("sos_commands", "kernel", "memory")
_ROW = re.compile(
    r"0x[0-9a-f]+-0x[0-9a-f]+ +\S+ +(online|offline|going-offline) +\S+ +(\S+) +(\S+) +(\d+)(?:-(\d+))?"
)
"""RANGE SIZE STATE REMOVABLE ZONES NODE BLOCK, as sos asks for it; util-linux's lsmem.c."""


def told(head: dict[str, Any], name: str, content: bytes) -> None:
    """Put what a command's output says where `kdumpfs record` puts it: uname; blocks, block_size in bytes."""
    text = content.decode("utf-8", "replace")
    if name.endswith("uname_-a"):
        words = text.split()
        if len(words) > 4 and words[0] == "Linux":
            machine = words[-2] if words[-1] == "GNU/Linux" else words[-1]
            head["uname"] = {"release": words[2], "machine": machine, "nodename": words[1]}
        return
    rows = [m.groups() for line in text.splitlines() if (m := _ROW.match(line))]
    size = re.search(r"(?m)^Memory block size: +(\S+)$", text)
    if rows and size and (block := parse_size(size[1])):
        head["block_size"] = block
        head["blocks"] = [
            [int(first), int(last or first), state, _zones(zones), _nodes(node)]
            for state, zones, node, first, last in rows
        ]


def _zones(shown: str) -> str:
    """valid_zones of what lsmem shows: `Normal/Movable`, `None` or `-`."""
    return "" if shown == "-" else shown.replace("/", " ").replace("None", "none")


def _nodes(shown: str) -> list[int]:
    return [int(shown)] if shown.isdecimal() else []
