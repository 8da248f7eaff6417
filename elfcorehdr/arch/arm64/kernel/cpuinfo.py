"""/proc/cpuinfo of arm64: arch/arm64/kernel/cpuinfo.c c_show() (v7.3; 6.1 prints the same rows).

Parts are those of arch/arm64/include/asm/cputype.h (v7.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

DEFAULTS: Mapping[str, str] = {
    "BogoMIPS": "125.00",
    "Features": "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid",
    "CPU implementer": "0x41",
    "CPU architecture": "8",
    "CPU variant": "0x0",
    "CPU part": "0xd08",
    "CPU revision": "3",
}
"""A Cortex-A72 of QEMU's virt board (golden identity arm64 virt-4g, 7.3.4); in the rows' order."""
ROWS = frozenset(DEFAULTS)
"""What a machine may say of its CPUs."""
PARTS: Mapping[str, tuple[str, str]] = {
    "cortex-a35": ("0x41", "0xd04"),
    "cortex-a53": ("0x41", "0xd03"),
    "cortex-a55": ("0x41", "0xd05"),
    "cortex-a57": ("0x41", "0xd07"),
    "cortex-a72": ("0x41", "0xd08"),
    "cortex-a73": ("0x41", "0xd09"),
    "cortex-a75": ("0x41", "0xd0a"),
    "cortex-a76": ("0x41", "0xd0b"),
    "cortex-a77": ("0x41", "0xd0d"),
    "cortex-a78": ("0x41", "0xd41"),
    "cortex-a510": ("0x41", "0xd46"),
    "cortex-a520": ("0x41", "0xd80"),
    "cortex-a710": ("0x41", "0xd47"),
    "cortex-a715": ("0x41", "0xd4d"),
    "cortex-a720": ("0x41", "0xd81"),
    "neoverse-n1": ("0x41", "0xd0c"),
    "neoverse-n2": ("0x41", "0xd49"),
    "neoverse-n3": ("0x41", "0xd8e"),
    "neoverse-v1": ("0x41", "0xd40"),
    "neoverse-v2": ("0x41", "0xd4f"),
    "neoverse-v3": ("0x41", "0xd84"),
    "a64fx": ("0x46", "0x001"),
}
"""MIDR_IMPLEMENTOR and MIDR_PARTNUM by the `compatible` of a CPU's node, less the vendor in front."""


def said(kernel: Kernel) -> Mapping[str, str]:
    """The rows that all CPUs share, by name."""
    known = dict(DEFAULTS)
    part = PARTS.get(kernel.machine.cpus.compatible.partition(",")[2])
    if part is not None:
        known["CPU implementer"], known["CPU part"] = part
    return {**known, **kernel.machine.cpuinfo}


def cpuinfo(kernel: Kernel) -> Iterator[str]:
    """A paragraph for each running CPU, ascending."""
    # Quirk: no tab before the colon of the longest name.
    tabs = {"CPU architecture": ""}
    rows = (f"{name}{tabs.get(name, chr(9))}: {value}\n" for name, value in said(kernel).items())
    each = "".join(rows)
    for n in kernel.cpus.online:
        yield f"processor\t: {n}\n{each}\n"
