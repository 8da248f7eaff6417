"""/proc/cpuinfo of x86_64: arch/x86/kernel/cpu/proc.c show_cpuinfo() (v7.3; 6.1 prints the same rows)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from elfcorehdr.changes import in_sysfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel
    from elfcorehdr.machine import Machine

FLAGS = (
    "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush acpi mmx fxsr sse sse2 ss ht "
    "syscall nx mmxext pdpe1gb rdtscp lm 3dnowext 3dnow nopl xtopology cpuid pni pclmulqdq monitor ssse3 fma "
    "cx16 sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c rdrand hypervisor lahf_lm cmp_legacy svm "
    "cr8_legacy abm sse4a 3dnowprefetch vmmcall fsgsbase bmi1 avx2 smep bmi2 erms mpx rdseed adx smap "
    "clflushopt clwb sha_ni xsaveopt xgetbv1 xsaveerptr wbnoinvd arat npt vgif umip pku ospke vaes rdpid fsrm"
)
"""x86_cap_flags[] of QEMU's `max` under KVM's signature (golden identity x86_64 pc-2g, 7.3.4)."""

HEAD: tuple[str, ...] = (
    *("vendor_id\t", "cpu family\t", "model\t\t", "model name\t", "stepping\t", "microcode\t"),
    *("cpu MHz\t\t", "cache size\t"),
)
"""The rows in front of those that tell a CPU's place; each with the tabs that it is padded with."""
TAIL: tuple[str, ...] = (
    *("fpu\t\t", "fpu_exception\t", "cpuid level\t", "wp\t\t", "flags\t\t", "vmx flags\t"),
    *("bugs\t\t", "bogomips\t", "TLB size\t", "clflush size\t", "cache_alignment\t"),
    *("address sizes\t", "power management"),
)

DEFAULTS: Mapping[str, str] = {
    "vendor_id": "AuthenticAMD",
    "cpu family": "6",
    "model": "6",
    "model name": "QEMU TCG CPU version 2.5+",
    "stepping": "3",
    "microcode": "0x1000065",
    "cpu MHz": "2596.320",
    "cache size": "512 KB",
    "fpu": "yes",
    "fpu_exception": "yes",
    "cpuid level": "13",
    "wp": "yes",
    "flags": FLAGS,
    "bugs": "sysret_ss_attrs null_seg spectre_v1 spectre_v2 spec_store_bypass spectre_v2_user",
    "bogomips": "5192.64",
    "TLB size": "1024 4K pages",
    "clflush size": "64",
    "cache_alignment": "64",
    "address sizes": "40 bits physical, 48 bits virtual",
    "power management": "",
}
"""A QEMU pc's CPU where the machine says nothing (golden identity x86_64 pc-2g, 7.3.4)."""
INTEL: Mapping[str, str] = {
    "vendor_id": "GenuineIntel",
    "microcode": "0x1",
    "cpu MHz": "2599.975",
    "cache size": "16384 KB",
    "flags": " ".join(word for word in FLAGS.split() if word not in ("vmmcall", "pat")),
    "bugs": "cpu_meltdown spectre_v1 spectre_v2 spec_store_bypass l1tf mds swapgs itlb_multihit bhi spectre_v2_user its",
    "bogomips": "5199.95",
    "TLB size": "",
}
"""What is different on one whose cores have threads (golden identity x86_64 pc-numa2-2s2c2t): Linux counts them on
QEMU's CPU only if it calls itself Intel's."""
ROWS = frozenset(row.rstrip("\t") for row in HEAD + TAIL)
"""What a machine may say of its CPUs; the rest follows from their places."""
ALWAYS = frozenset(("flags", "bugs", "power management"))
"""Rows that are there without a word in them; every other one needs a value."""


def vendor(machine: Machine) -> str:
    """vendor_id: what the machine says, else that of its kind."""
    kind = INTEL if machine.cpus.threads > 1 else DEFAULTS
    return machine.cpuinfo.get("vendor_id", kind["vendor_id"])


def said(kernel: Kernel) -> Mapping[str, str]:
    """The rows that all CPUs share, by name."""
    own = kernel.machine.cpuinfo
    intel = vendor(kernel.machine) == INTEL["vendor_id"]
    known = {**DEFAULTS, **(INTEL if intel else {}), **own}
    if not kernel.has(in_sysfs.BUG_SPECTRE_V2_USER) and "bugs" not in own:
        known["bugs"] = " ".join(w for w in known["bugs"].split() if w != "spectre_v2_user")
    return known


def _rows(names: tuple[str, ...], known: Mapping[str, str]) -> str:
    """The rows of these names that have something to say."""
    lines = []
    for row in names:
        name = row.rstrip("\t")
        value = known.get(name, "")
        if value or name in ALWAYS:
            # flags and bugs print each word with a blank before it, and none without one.
            lines.append(f"{row}: {value}\n" if value else f"{row}:\n")
    return "".join(lines)


def cpuinfo(kernel: Kernel) -> Iterator[str]:
    """A paragraph for each running CPU, ascending."""
    known = said(kernel)
    head, tail = _rows(HEAD, known), _rows(TAIL, known)
    cpus = kernel.cpus
    running = [(n, cpus.package_of(n), cpus.core_of(n)) for n in cpus.online]
    siblings = Counter(package for _, package, _ in running)
    cores = Counter(package for package, _ in {(package, core) for _, package, core in running})
    for n, package, _ in running:
        cpu = cpus.cpu(n)
        assert cpu is not None
        apic = cpu.hard_id
        yield (
            f"processor\t: {n}\n{head}"
            f"physical id\t: {package}\nsiblings\t: {siblings[package]}\n"
            f"core id\t\t: {kernel.arch.core_id(cpu)}\ncpu cores\t: {cores[package]}\n"
            f"apicid\t\t: {apic}\ninitial apicid\t: {apic}\n{tail}\n"
        )
