"""/proc/cpuinfo of ppc64: arch/powerpc/kernel/setup-common.c show_cpuinfo() (v7.3; 6.1 prints the same rows).

The names of processors are those of cpu_specs_book3s_64.h (v7.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from elfcorehdr.arch.powerpc.kernel.prom import TIMEBASE_FREQUENCY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

PVRS: Mapping[str, tuple[str, int]] = {
    "POWER7": ("POWER7", 0x003F0203),
    "POWER7+": ("POWER7", 0x004A0201),
    "POWER8E": ("POWER8", 0x004B0201),
    "POWER8NVL": ("POWER8", 0x004C0100),
    "POWER8": ("POWER8", 0x004D0200),
    "POWER9": ("POWER9", 0x004E1202),
    "POWER10": ("POWER10", 0x00801200),
    "Power11": ("Power11", 0x00821200),
}
"""By a core's type: the processor's name, and its version register (QEMU's target/ppc/cpu-models.h; POWER9 golden
identity ppc64). A machine says its own as cpuinfo's `revision`."""
NIBBLE_MAJOR = frozenset((0x004E, 0x0080, 0x0083))
"""PVR_VER() of which the major revision is four bits: the four above tell the chip (POWER9 to Power12, no Power11)."""
HASH_ONLY = frozenset(("POWER7", "POWER7+", "POWER8E", "POWER8NVL", "POWER8"))
"""Processors without a radix MMU: it came with ISA 3.0."""
ROWS = frozenset(
    ("cpu", "clock", "revision", "timebase", "platform", "model", "machine", "firmware", "MMU")
)
"""What a machine may say of its CPUs and of itself."""


def revision(pvr: int) -> str:
    """The row `revision` of a processor version register."""
    version, low = pvr >> 16, pvr & 0xFFFF
    major = low >> 8 & (0x0F if version in NIBBLE_MAJOR else 0xFF)
    return f"{major}.{low & 0xFF} (pvr {version:04x} {low:04x})"


def core_type(kernel: Kernel) -> str:
    """The processor, as a core's node in the device tree calls it, less the PowerPC in front."""
    return kernel.machine.cpus.type.partition(",")[2] or kernel.machine.cpus.type


def radix_enabled(kernel: Kernel) -> bool:
    """Whether the MMU is radix: since POWER9, unless disable_radix says otherwise (mmu_early_init_devtree())."""
    if "MMU" in kernel.machine.cpuinfo:
        return kernel.machine.cpuinfo["MMU"] == "Radix"
    for word in kernel.cmdline.split():
        if word == "disable_radix" or word in ("disable_radix=1", "disable_radix=y"):
            return False
    return core_type(kernel) not in HASH_ONLY


def model(kernel: Kernel) -> str:
    """The root node's `model`; empty without one."""
    value = kernel.arch.devicetree(kernel).get("model", b"")
    return bytes(value).rstrip(b"\0").decode(errors="replace")


def cpu_name(kernel: Kernel) -> str:
    """cur_cpu_spec->cpu_name: architected in a partition; on bare metal what firmware's features are called."""
    name, _ = PVRS.get(core_type(kernel), (core_type(kernel), 0))
    if kernel.platform.name == "pseries":
        return f"{name} (architected)"
    # POWER8's skiboot has no ibm,powerpc-cpu-features: the table's row of the raw PVR is taken then.
    return f"{core_type(kernel)} (raw)" if name in HASH_ONLY else name


def said(kernel: Kernel) -> Mapping[str, str]:
    """The rows less `processor`, by name."""
    _, pvr = PVRS.get(core_type(kernel), ("", 0))
    name = model(kernel)
    pseries = kernel.platform.name == "pseries"
    return {
        "cpu": f"{cpu_name(kernel)}, altivec supported",
        "clock": "1000.000000MHz",
        "revision": revision(pvr),
        "timebase": str(TIMEBASE_FREQUENCY),
        "platform": "pSeries" if pseries else "PowerNV",
        "model": name,
        "machine": f"{'CHRP' if pseries else 'PowerNV'} {name}",
        "firmware": "" if pseries else "OPAL" if kernel.machine.opal is not None else "BML",
        "MMU": "Radix" if radix_enabled(kernel) else "Hash",
        **kernel.machine.cpuinfo,
    }


def cpuinfo(kernel: Kernel) -> Iterator[str]:
    """A paragraph for each running CPU, ascending, then what the machine is."""
    known = said(kernel)
    each = (
        f"cpu\t\t: {known['cpu']}\nclock\t\t: {known['clock']}\nrevision\t: {known['revision']}\n\n"
    )
    for n in kernel.cpus.online:
        yield f"processor\t: {n}\n{each}"
    for row in ("timebase\t", "platform\t", "model\t\t", "machine\t\t", "firmware\t", "MMU\t\t"):
        name = row.rstrip("\t")
        if known[name]:
            yield f"{row}: {known[name]}\n"
