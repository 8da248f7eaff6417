"""What was derived from a recording, less what a machine's file may not say: a real machine can be odder than an emulated one."""

from __future__ import annotations

import re

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import replace
from elfcorehdr.lib.typed import Any
from elfcorehdr.machine import Machine
from elfcorehdr.machine.checks import check
from elfcorehdr.machine.faults import Faults

ROWS = ("crash_notes", "cpuinfo", "vulnerabilities", "lparcfg", "devicetree", "config")
"""Tables of which a single row can go."""
WHOLE = (
    *("vmcoreinfo", "caches", "blocks", "resources", "nested_memory", "system_ram", "kernel_text"),
    *("kernel_end", "direct_map_base", "crashkernel", "rtas", "opal", "lmbs", "rma_size", "fadump"),
    *("auto_online_blocks", "nr_cpus", "cmdline", "build_id"),
)
"""Keys without which a machine boots as well."""
ROUNDS = 16


def fitted(machine: Machine, missing: list[str]) -> Machine:
    """The machine less the keys that a reader of its file would refuse; what went is said in missing, with the reason.

    ProfileError if that is something no machine is without.
    """
    for _ in range(ROUNDS):
        faults = Faults("its machine")
        check(machine, faults)
        if not len(faults):
            return machine
        less = _less(machine, faults.sentences(), missing)
        if less is None:
            faults.raise_if_any()
        else:
            machine = less
    raise ProfileError(
        "its machine cannot be told: too much of it is not as a machine's file may say"
    )


def _less(machine: Machine, sentences: list[str], missing: list[str]) -> Machine | None:
    """The machine without what the sentences are about; None if all of it is needed."""
    changes: dict[str, Any] = {}
    for sentence in sentences:
        m = re.match(r"(\w+)(?:\.(\w+))?(?:\.(\d+))?", sentence.replace("'", ""))
        key, row, number = m.groups() if m else ("", None, None)
        was = changes.get(key, getattr(machine, key, None))
        if key in ROWS and row is not None and isinstance(was, dict):
            left = {name: value for name, value in was.items() if _word(name) != row}
            if len(left) == len(was):
                left = {}
            changes[key] = left
        elif key in WHOLE and was != Machine._defaults[key]:
            changes[key] = Machine._defaults[key]
        elif key == "cpus" and row == "node" and number is not None:
            cpus = changes.get("cpus", machine.cpus)
            node = {n: at for n, at in cpus.node.items() if n != int(number)}
            changes["cpus"] = replace(cpus, node=node)
        else:
            continue
        if len(missing) < 40:
            missing.append(f"left out: {sentence}")
    return replace(machine, **changes) if changes else None


def _word(name: object) -> str:
    """The beginning of a row's name, as far as it is a word."""
    m = re.match(r"\w*", str(name))
    return m[0] if m else ""
