"""Which faults of ppc64 processors are worked around: arch/powerpc/kernel/security.c (v7.3).

Firmware tells of none in QEMU, so the kernel does what is safe (golden identity ppc64). POWER10 and later under PowerVM
or OPAL are as reported from such machines, not captured.
"""

from __future__ import annotations

from collections.abc import Mapping

from elfcorehdr.arch.powerpc.kernel.setup_common import core_type, model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

QEMU: Mapping[str, str] = {
    "l1tf": "Mitigation: RFI Flush",
    "meltdown": "Mitigation: RFI Flush",
    "spec_store_bypass": "Mitigation: Kernel entry/exit barrier (eieio)",
    "spectre_v1": "Mitigation: __user pointer sanitization",
    "spectre_v2": "Vulnerable",
}
FIRMWARE: Mapping[str, str] = {
    "spec_store_bypass": "Mitigation: Kernel entry/exit barrier (eieio)",
    "spectre_v1": "Mitigation: __user pointer sanitization, ori31 speculation barrier enabled",
    "spectre_v2": "Mitigation: Software count cache flush (hardware accelerated), Software link stack flush",
}
"""From POWER10 on, where firmware says what the processor needs."""
OFF = {"l1tf": "Vulnerable", "meltdown": "Vulnerable", "spec_store_bypass": "Vulnerable"}
"""What mitigations=off leaves of them."""


def vulnerabilities(kernel: Kernel) -> Mapping[str, str]:
    """By file; what is missing is not affected."""
    own = "emulated by qemu" not in model(kernel) and core_type(kernel) in ("POWER10", "Power11")
    known = FIRMWARE if own else QEMU
    if "mitigations=off" not in kernel.cmdline.split():
        return known
    return {name: OFF.get(name, text) for name, text in known.items()}
