"""A table of boots: what each crashkernel= parameter reserved, and what the kernel said."""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr.init.main import Kernel
from elfcorehdr.machine import CpuTopology, KernelText, Machine
from tests.replay import compare
from tests.replay.machine import Json, memory_ranges, number
from tests.replay.verdict import Verdict

KERNEL_TEXT = KernelText(0x1000000, 0xFFFFFFFF81000000, 0x3430000)
"""Of 7.3.4, as the other cases have it."""


def replay_boots(case: Json) -> Iterator[Verdict]:
    """Boot a machine with each parameter; compare the reservation, its size and the log."""
    for n, boot in enumerate(case["boots"]):
        seen = boot["machine"]
        machine = Machine(
            name=case["case"],
            source="replay.json",
            arch=case["arch"],
            memory=memory_ranges(seen["memory"]),
            cpus=CpuTopology("0"),
            page_size=case["kernel"]["page_size"],
            memory_block_size=128 << 20,
            cmdline=boot["parameter"],
            kernel_text=KERNEL_TEXT if case["arch"] == "x86_64" else None,
        )
        kernel = Kernel.boot(machine, case["kernel"]["release"])
        verdict = Verdict(n, f"boot {boot['ram']} {boot['parameter']}")
        compare.check_crashkernel(verdict, kernel, seen["crashkernel"])
        compare.check_nested(verdict, kernel, seen["nested_memory"])
        verdict.check("crash_size", number(seen["crash_size"]), kernel.kexec.crash_size())
        said = [
            r.text for r in kernel.log if "crashkernel" in r.text and "command line" not in r.text
        ]
        verdict.check("log", boot["log"], said)
        yield verdict
