"""What differs between the dumps of real kernels and the tree, each with the reason; docs/fidelity.md has it in words."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of some files: a pattern of whole paths, what differs there, and why.

    what: missing (not in the tree), extra (not in the dump), size, content. Or form: the content is
    live, so its shape is compared, with everything that `number` matches made alike, and without the
    lines that `without` matches.
    """

    def is_about(self, arch: str, path: str) -> bool:
        """Whether the entry speaks of a path on an architecture."""
        return bool(re.fullmatch(self.arch, arch) and re.fullmatch(self.pattern, path))

    what: str
    pattern: str
    reason: str
    arch: str = ".*"
    """A pattern of the architectures that it is about."""
    number: str = r"\d+"
    without: str = r"(?!)"


NODE = "/sys/devices/system/node"
CPU = "/sys/devices/system/cpu"
DT = "/proc/device-tree"

CONFIG = {
    "PM": ("/sys/devices/system/memory/power", ""),
    "PM_ADVANCED_DEBUG": ("/sys/devices/system/memory/power/async", ""),
    "MEMORY_FAILURE": ("/sys/devices/system/memory/soft_offline_page", ""),
    "HUGETLB_PAGE": (NODE + r"/node\d+/hugepages", ""),
    "TRANSPARENT_HUGEPAGE": (NODE + r"/node\d+/meminfo", "AnonHugePages"),
    "SWAP": (NODE + r"/node\d+/vmstat", "nr_swapcached"),
    "ZSMALLOC": (NODE + r"/node\d+/vmstat", "nr_zspages"),
    "NUMA_BALANCING": (NODE + r"/node\d+/vmstat", "pgpromote_success"),
    "IOMMU_SUPPORT": (NODE + r"/node\d+/vmstat", "nr_iommu_pages"),
    "UNACCEPTED_MEMORY": (NODE + r"/node\d+/vmstat", "nr_unaccepted"),
    "NO_HZ_FULL": (CPU + "/nohz_full", ""),
    "CPU_FREQ": (CPU + "/cpufreq", ""),
    "PROFILING": ("/sys/kernel/profiling", ""),
    "LOCKUP_DETECTOR": ("/sys/kernel/softlockup_count", ""),
    "PPC_PERF_CTRS": (CPU + "/modalias", ",003C"),
    "PPC_UV": ("/sys/kernel/notes", r"PowerPC\x00\x01"),
    "LPARCFG": ("/proc/powerpc/lparcfg", ""),
    "BUILD_SALT": ("/sys/kernel/notes", r"[67]\.\d+[.-]"),
}
"""How a dump tells an option of the kernel's configuration: a path, and what stands in it."""

LIVE = (
    Entry(
        "form",
        "/proc/p(ower)?pc(64)?/lparcfg",
        "the machine does nothing; QEMU's -name is nowhere else in these dumps",
        number=r"(?<=\npurr=)\d+|(?<=\ntbr=)\d+|(?<=\ndispatches=)\d+",
        without=r"partition_name=.*\n",
    ),
    Entry("form", CPU + r"/cpu\d+/(idle_)?s?purr", "ticks since the boot", number="[0-9a-f]+"),
    Entry("form", "/sys/kernel/uevent_seqnum", "events of devices that are not emulated count too"),
    Entry(
        "form",
        "/sys/kernel/notes",
        "the build ID is that of a vmlinux that does not exist here",
        number=r"(?<=GNU\x00)[\s\S]{20}",
    ),
    Entry("form", "/proc/sys/kernel/panic", "CONFIG_PANIC_TIMEOUT, a number of the configuration"),
    Entry("form", NODE + r"/node\d+/meminfo", "nothing is allocated here: the rows, not the sizes"),
    Entry(
        "form", NODE + r"/node\d+/vmstat", "nothing is allocated here: the names, not the counts"
    ),
    Entry("form", NODE + r"/node\d+/numastat", "nothing is allocated here: the names alone"),
    Entry(
        "form",
        "/proc/iomem",
        "PCI host bridges and devices are not emulated; System RAM is compared byte for byte",
        arch="ppc64",
        number=r"(?!)",
        without=r" *[0-9a-f]+-[0-9a-f]+ : (pci@|0000:|virtio|nvme|eth).*\n",
    ),
    Entry(
        "form",
        "/proc/iomem",
        "rows below System RAM and below devices are early allocations and drivers, which are not "
        "emulated; System RAM, Crash kernel and the top-level rows are compared byte for byte",
        arch="arm64|riscv64|x86_64",
        number=r"(?!)",
        without=r" +[0-9a-f]+-[0-9a-f]+ : (?!Crash kernel|System RAM).*\n|"
        r"[0-9a-f]+-[0-9a-f]+ : pci@.*\n",
    ),
)
"""Files whose content is live, or partly of other devices."""

KEPT_OF_CORE = (
    r"name|device_type|reg|status|64-bit|ibm,my-drc-index|ibm,ppc-interrupt-g?server#s|"
    r"timebase-frequency|[di]-cache-(size|line-size|block-size)"
)
KEPT_OF_CHOSEN = r"name|bootargs|linux,(crashkernel-(base|size)|kernel-end|memory-limit)"
KEPT_OF_RTAS = r"name|linux,rtas-(base|entry)|rtas-size|ibm,lrdr-capacity"

TABLE = (
    Entry(
        "missing",
        CPU + r"/cpu\d+/(regs|cache)(/.*)?",
        "identification registers and caches of the real processor",
        arch="arm64",
    ),
    *(
        Entry(
            what,
            "/sys/kernel/notes",
            "notes for Xen, and a build ID of a vmlinux that does not exist here",
            arch="x86_64",
        )
        for what in ("size", "content")
    ),
    Entry("missing", NODE + r"/node\d+/x86", "memory of SGX enclaves", arch="x86_64"),
    Entry(
        "extra",
        CPU + r"/cpu\d+/cache",
        "the dumps left it out: the link count of cpuN is one more than what they have",
        arch="x86_64",
    ),
    Entry(
        "missing",
        DT + "(/.*)?",
        "the device tree of QEMU's board, which no kdump or hotplug tool reads there",
        arch="riscv64",
    ),
    Entry(
        "missing",
        CPU + r"/cpu\d+/smt_snooze_delay",
        "two of the captured boots have it with one thread a core; it has no effect, and no tool reads it",
    ),
    Entry(
        "content",
        CPU + r"/cpu\d+/pir",
        "QEMU 7.2 gives every CPU 0, where later ones give its number (golden ppc64/H, K, U, identity)",
    ),
    Entry(
        "missing",
        CPU + r"/(cpu\d+/)?cpuidle(/.*)?",
        "idle states of a running processor; no kdump or hotplug tool reads them",
    ),
    Entry(
        "missing",
        CPU + r"/hotplug(/states)?",
        "the callbacks that parts of the kernel (mostly not emulated) registered; no tool reads it",
    ),
    Entry(
        "missing",
        "/sys/kernel/debug/memblock/reserved",
        "early allocations of the real boot, whose sizes and places follow from its whole code",
    ),
    Entry(
        "missing",
        "/proc/(powerpc|ppc64)(/.*)?",
        "RTAS, EEH, dispatch statistics, the hypervisor's view of the partition: read by lparstat "
        "and other powerpc-utils, not by kdump tools",
    ),
    Entry(
        "missing",
        DT + "(/.*)?/(phandle|slof,[^/]*)",
        "numbers of the real boot's firmware (SLOF)",
    ),
    Entry(
        "missing",
        DT + "/(aliases|event-sources|ibm,persistent-memory|interrupt-controller@[^/]*|mmu|"
        "openprom|options|packages|pci@[^/]*|vdevice)(/.*)?",
        "devices and firmware packages, which are not emulated and no kdump tool reads",
    ),
    Entry(
        "missing",
        DT + "/(model|vm,uuid|ibm,partition-name|ibm,plat-res-int-priorities|ibm,drc-[^/]*)",
        "what QEMU says of itself, and connectors of memory that ibm,dynamic-memory-v2 has too",
    ),
    Entry(
        "missing",
        DT + f"/chosen/(?!({KEPT_OF_CHOSEN})$)[^/]*",
        "consoles, initrd and negotiated features of the real boot; kexec-tools writes its own",
    ),
    Entry(
        "missing",
        DT + f"/cpus/[^/]*@[^/]*/(?!({KEPT_OF_CORE})$)[^/]*",
        "features of the core that only the kernel's MMU and feature code reads",
    ),
    Entry(
        "missing",
        DT + f"/rtas/(?!({KEPT_OF_RTAS})$)[^/]*",
        "tokens of RTAS calls: there is no firmware to call",
    ),
    Entry("missing", DT + "/memory@[^/]*/available", "firmware's own use of memory before boot"),
)
"""Differences that are known."""
