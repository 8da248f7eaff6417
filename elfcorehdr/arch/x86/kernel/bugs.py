"""Which faults of x86 processors there are and what is done: arch/x86/kernel/cpu/bugs.c (v7.3).

With mitigations=off as captured (golden identity x86_64, golden x86_64 6.1 to 7.3); without it what a kernel does on such a
processor, whose microcode offers nothing: read in bugs.c, not captured.
"""

from __future__ import annotations

from collections.abc import Mapping

from elfcorehdr.arch.x86.kernel.proc import said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

BUGS: Mapping[str, str] = {
    "cpu_meltdown": "meltdown",
    "spectre_v1": "spectre_v1",
    "spectre_v2": "spectre_v2",
    "spec_store_bypass": "spec_store_bypass",
    "l1tf": "l1tf",
    "mds": "mds",
    "itlb_multihit": "itlb_multihit",
    "its": "indirect_target_selection",
    "taa": "tsx_async_abort",
    "srbds": "srbds",
    "mmio_stale_data": "mmio_stale_data",
    "retbleed": "retbleed",
    "srso": "spec_rstack_overflow",
    "gds": "gather_data_sampling",
    "rfds": "reg_file_data_sampling",
    "tsa": "tsa",
    "vmscape": "vmscape",
    "old_microcode": "old_microcode",
}
"""Words of cpuinfo's row `bugs`, and the files that tell of them."""
_V2 = "; STIBP: disabled; {}PBRSB-eIBRS: Not affected; BHI: {}"
OFF: Mapping[str, str] = {
    "itlb_multihit": "KVM: Mitigation: VMX unsupported",
    "l1tf": "Mitigation: PTE Inversion",
    "mds": "Vulnerable; SMT Host state unknown",
    "spectre_v1": "Vulnerable: __user pointer sanitization and usercopy barriers only; no swapgs barriers",
}
ON: Mapping[str, str] = {
    **OFF,
    "meltdown": "Mitigation: PTI",
    "mds": "Vulnerable: Clear CPU buffers attempted, no microcode; SMT Host state unknown",
    "spectre_v1": "Mitigation: usercopy/swapgs barriers and __user pointer sanitization",
    "indirect_target_selection": "Mitigation: Aligned branch/return thunks",
}


def vulnerabilities(kernel: Kernel) -> Mapping[str, str]:
    """By file; what is missing is not affected. A fault that has no text here is just there."""
    off = "mitigations=off" in kernel.cmdline.split()
    bugs = said(kernel)["bugs"].split()
    known = OFF if off else ON
    found = {BUGS[bug]: known.get(BUGS[bug], "Vulnerable") for bug in bugs if bug in BUGS}
    if "spectre_v2" in found:
        first = "Vulnerable" if off else "Mitigation: Retpolines"
        bhi = ("Vulnerable" if off else "Retpoline") if "bhi" in bugs else "Not affected"
        found["spectre_v2"] = first + _V2.format("" if off else "RSB filling; ", bhi)
    return found
