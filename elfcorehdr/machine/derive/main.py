"""A machine from the files that a real one was recorded with: /sys and /proc to the keys of a machine's file.

What follows from the files is derived; what does not is said, each with its reason. memory.py
does the memory. Knows nothing of where the files lie.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from elfcorehdr.changes.change import RELEASES, parse_version
from elfcorehdr.elf import gnu_build_id
from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import format_ids, ids_of
from elfcorehdr.lib.record import Record
from elfcorehdr.lib.typed import Any
from elfcorehdr.machine import CpuTopology, Machine
from elfcorehdr.machine.derive.files import CPU, MEMORY, NODE, TREE, Files
from elfcorehdr.machine.derive.fit import fitted
from elfcorehdr.machine.derive.identity import (
    caches_of,
    cpuinfo_of,
    lparcfg_of,
    vulnerabilities_of,
)
from elfcorehdr.machine.derive.memory import memory_of
from elfcorehdr.machine.facts import CONFIG as KNOWN_OPTIONS

ARCH_OF_UNAME = {
    "x86_64": "x86_64",
    "aarch64": "arm64",
    "ppc64le": "ppc64",
    "ppc64": "ppc64",
    "riscv64": "riscv64",
}
_ARCH_OF_MODALIAS = (
    ("cpu:type:x86", "x86_64"),
    ("cpu:type:aarch64", "arm64"),
    ("cpu:type:power", "ppc64"),
)
_ARCH_OF_CPUINFO = (
    (r"(?m)^vendor_id\t", "x86_64"),
    (r"(?m)^CPU implementer\t", "arm64"),
    (r"(?m)^revision\t+: .*\(pvr ", "ppc64"),
    (r"(?m)^hart\t", "riscv64"),
)

CONFIG = {
    "PM": (f"{MEMORY}/power", ""),
    "PM_ADVANCED_DEBUG": (f"{MEMORY}/power/async", ""),
    "MEMORY_FAILURE": (f"{MEMORY}/soft_offline_page", ""),
    "HUGETLB_PAGE": (rf"{NODE}/node\d+/hugepages", ""),
    "TRANSPARENT_HUGEPAGE": (rf"{NODE}/node\d+/meminfo", "AnonHugePages"),
    "SWAP": (rf"{NODE}/node\d+/vmstat", "nr_swapcached"),
    "ZSMALLOC": (rf"{NODE}/node\d+/vmstat", "nr_zspages"),
    "NUMA_BALANCING": (rf"{NODE}/node\d+/vmstat", "pgpromote_success"),
    "IOMMU_SUPPORT": (rf"{NODE}/node\d+/vmstat", "nr_iommu_pages"),
    "UNACCEPTED_MEMORY": (rf"{NODE}/node\d+/vmstat", "nr_unaccepted"),
    "NO_HZ_FULL": (f"{CPU}/nohz_full", ""),
    "CPU_FREQ": (f"{CPU}/cpufreq", ""),
    "PROFILING": ("sys/kernel/profiling", ""),
    "LOCKUP_DETECTOR": ("sys/kernel/softlockup_count", ""),
    "PPC_PERF_CTRS": (f"{CPU}/modalias", ",003C"),
    "PPC_UV": ("sys/kernel/notes", r"PowerPC\x00\x01"),
    "LPARCFG": ("proc/powerpc/lparcfg", ""),
    "BUILD_SALT": ("sys/kernel/notes", r"[67]\.\d+[.-]"),
}
"""How files tell an option of the kernel's configuration: by a path, and by what stands in it."""


class Derived(Record):
    """A machine, the release of its kernel ("" if nothing tells it), and what could not be known."""

    machine: Machine
    missing: tuple[str, ...]
    """Sentences."""


def derive(
    files: Files,
    name: str,
    cpuinfo_rows: Callable[[str], frozenset[str]],
    *,
    arch: str = "",
    release: str = "",
) -> Derived:
    """The machine that boots to these files. ProfileError where not even its kind or its memory can be known.

    cpuinfo_rows says which rows of /proc/cpuinfo a machine of an architecture may say. arch and
    release are for recordings that do not tell them.
    """
    missing: list[str] = []
    arch = arch or arch_of(files)
    release = own = release or release_of(files)
    if not release:
        missing.append("the kernel's release: neither uname, /proc/version nor a note says it")
    else:
        release = _emulated(release, missing)
    fields: dict[str, Any] = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or "recorded",
        "source": f"recorded: {name}",
        "arch": arch,
        "kernel": release,
        "page_size": page_size_of(files, arch, missing),
        "cmdline": files.text("proc/cmdline") or "",
        "config": config_of(files, arch),
        "cpus": cpus_of(files, arch, missing),
        "cpuinfo": cpuinfo_of(files, cpuinfo_rows(arch)),
        "caches": caches_of(files),
        "vulnerabilities": vulnerabilities_of(files),
    }
    kernel, printed = "sys/kernel", "crash_elfcorehdr_print"
    has_it = files.matching(f"{kernel}/{printed}") or files.matching(f"{kernel}/kexec/{printed}")
    if files.matching(f"{kernel}/notes") and not has_it:
        fields["without"] = ("crash-elfcorehdr-print",)
    if (options := configuration(files)) and "CONFIG_KEXEC_FILE" not in options:
        fields["kexec_file"] = False
    if options and not options & {"CONFIG_KEXEC", "CONFIG_KEXEC_FILE"}:
        missing.append("a kernel without kexec: the machine's has it, with its files")
    if files.text("proc/cmdline") is None:
        missing.append("the command line: no /proc/cmdline")
    if maximum := files.text(f"{CPU}/kernel_max"):
        fields["nr_cpus"] = int(maximum) + 1
    if auto := files.text(f"{MEMORY}/auto_online_blocks"):
        fields["auto_online_blocks"] = auto
    if own and own == release:
        fields["build_id"] = gnu_build_id(files.data(f"{kernel}/notes") or b"")
    fields |= platform_of(files, arch)
    fields |= memory_of(files, arch, missing)
    fields |= notes_of(files, fields["cpus"], missing)
    for loaded in ("kexec_crash_loaded", "kexec/crash_loaded"):
        if files.text(f"sys/kernel/{loaded}") == "1":
            missing.append("the crash image that was loaded: load one (--load)")
            break
    machine = fitted(Machine(**fields), missing)
    return Derived(machine, tuple(missing))


def _emulated(release: str, missing: list[str]) -> str:
    """The release, or the oldest or newest that is known where it is older or newer, or none at all."""
    try:
        parse_version(release)
    except ProfileError as error:
        old = "older" in str(error) or not release[:1].isdigit()
        known = RELEASES[0] if old else RELEASES[-1]
        missing.append(f"how its kernel behaves: {error}; as {known} is assumed")
        return known
    return release


def arch_of(files: Files) -> str:
    """The architecture, by whatever tells it first. ProfileError if nothing does."""
    machine = str(files.head.get("uname", {}).get("machine", ""))
    if machine in ARCH_OF_UNAME:
        return ARCH_OF_UNAME[machine]
    modalias = (files.text(f"{CPU}/modalias") or "").lower()
    for start, arch in _ARCH_OF_MODALIAS:
        if modalias.startswith(start):
            return arch
    cpuinfo = files.text("proc/cpuinfo") or ""
    for pattern, arch in _ARCH_OF_CPUINFO:
        if re.search(pattern, cpuinfo):
            return arch
    for base in (TREE, "proc/device-tree"):
        if files.data(f"{base}/rtas/linux,rtas-base") or files.names(f"{base}/ibm,opal"):
            return "ppc64"
        if files.matching(re.escape(base) + r"/cpus/cpu@\w+/riscv,isa(-base)?"):
            return "riscv64"
        compatible = files.text(f"{base}/cpus/cpu@0/compatible") or ""
        if compatible.startswith("arm,"):
            return "arm64"
    if files.names(f"{CPU}/vulnerabilities") and files.text(f"{CPU}/microcode/version"):
        return "x86_64"
    raise ProfileError(
        "nothing in the recording says which architecture it is of; say it with --arch, one of"
        " x86_64, ppc64, arm64, riscv64"
    )


def release_of(files: Files) -> str:
    """uname -r of the recorded kernel; "" if nothing says it."""
    if said := files.head.get("uname", {}).get("release"):
        return str(said)
    if said := files.text("proc/sys/kernel/osrelease"):
        return said
    if m := re.match(r"Linux version (\S+)", files.text("proc/version") or ""):
        return m[1]
    # CONFIG_BUILD_SALT: a note of the name Linux, type 0x100, with the distribution's release.
    notes = files.data("sys/kernel/notes") or b""
    if salt := re.search(rb"\x00\x01\x00\x00Linux\x00\x00\x00(\d+\.\d+[\x21-\x7e]*)\x00", notes):
        return salt[1].decode()
    return ""


def page_size_of(files: Files, arch: str, missing: list[str]) -> int:
    """PAGE_SIZE: the recorder's word, the size of vmcoreinfo's note, else the architecture's usual one."""
    if said := files.head.get("page_size"):
        return int(said)
    # VMCOREINFO_NOTE_SIZE is a page and the heads of two notes: include/linux/vmcore_info.h.
    words = (files.text("sys/kernel/vmcoreinfo") or "").split()
    if len(words) == 2 and re.fullmatch(r"[0-9a-f]{4,6}", words[1]):
        for size in (65536, 16384, 4096):
            if 0 < int(words[1], 16) - size < 256:
                return size
    size = 65536 if arch == "ppc64" else 4096
    missing.append(f"the page size: only `kdumpfs record` keeps it; {size} bytes are assumed")
    return size


def config_of(files: Files, arch: str) -> dict[str, bool]:
    """Options of the kernel's configuration that /proc/config.gz says, or the files show to be off, or on."""
    found = {}
    said = configuration(files)
    for option, (pattern, word) in CONFIG.items():
        if option.startswith("PPC_") and arch != "ppc64":
            continue
        paths = files.matching(pattern)
        if word and all(files.data(path) is None for path in paths):
            continue  # the file in which it would stand was not recorded
        directory = pattern.rpartition("/")[0].replace(r"node\d+", "node0")
        always = "notes" if directory == "sys/kernel" else "uevent"
        if not word and not files.matching(f"{directory.removesuffix('/power')}/{always}"):
            continue  # the directory was not recorded whole
        wanted = word.encode()
        has = any(not word or re.search(wanted, files.data(path) or b"") for path in paths)
        found[option] = has
    found |= {
        option: f"CONFIG_{option}" in said
        for option in (KNOWN_OPTIONS if said else ())
        if option not in CONFIG and (arch == "ppc64" or not option.startswith(("PPC_", "LPARCFG")))
    }
    return {
        option: has
        for option, has in found.items()
        if not has or option not in CONFIG or option == "UNACCEPTED_MEMORY"
    }


def configuration(files: Files) -> frozenset[str]:
    """The options that /proc/config.gz has as y; none if it is not there."""
    packed = files.data("proc/config.gz")
    if not packed:
        return frozenset()
    import zlib

    try:
        text = zlib.decompressobj(31).decompress(packed, 1 << 22)
    except zlib.error:
        return frozenset()
    return frozenset(re.findall(r"(?m)^(CONFIG_\w+)=y$", text.decode("ascii", "replace")))


def cpus_of(files: Files, arch: str, missing: list[str]) -> CpuTopology:
    """Masks, threads, packages and nodes of the CPUs."""
    possible = files.text(f"{CPU}/possible")
    present, online = files.text(f"{CPU}/present"), files.text(f"{CPU}/online")
    if possible is None:
        possible = present or online
    cpus = [int(m[1]) for p in files.matching(rf"{CPU}/cpu\d+") if (m := re.search(r"(\d+)$", p))]
    cpus.sort()
    threads = _threads(files, cpus, missing)
    if not cpus:
        told = re.findall(r"(?m)^processor\t*: *(\d+)$", files.text("proc/cpuinfo") or "")
        cpus = sorted({int(n) for n in told})
    if possible is None and cpus:
        # On ppc64 CPUs are numbered core by core, and cores are whole.
        whole = threads if arch == "ppc64" else 1
        cores = sorted({n // whole for n in cpus})
        possible = format_ids(core * whole + n for core in cores for n in range(whole))
        online = format_ids(cpus)
        missing.append("which CPUs are possible, present and online: all that have a directory")
    if possible is None:
        raise ProfileError(
            f"{CPU}/possible is not in the recording, expected at least one CPU mask"
        )
    nodes = {}
    for n in cpus:
        for found in files.names(f"{CPU}/cpu{n}"):
            if (m := re.fullmatch(r"node(\d+)", found)) and int(m[1]):
                nodes[n] = int(m[1])
    modalias = files.text(f"{CPU}/modalias") or ""
    core, compatible = "", ""
    for n in cpus:
        node = files.target(f"{CPU}/cpu{n}/of_node")
        core = core or (node or "").rpartition("/")[2].partition("@")[0]
        if m := re.search(r"OF_COMPATIBLE_0=(.*)", files.text(f"{CPU}/cpu{n}/uevent") or ""):
            compatible = compatible or m[1]
    type_ = core if arch == "ppc64" and core else CpuTopology("0").type
    return CpuTopology(
        possible,
        present or "",
        online or "",
        threads=threads,
        node=nodes,
        cores_per_package=_cores_per_package(files, cpus, threads) if arch == "x86_64" else 0,
        type=type_,
        compatible=compatible if arch in ("arm64", "riscv64") else "",
        modalias=modalias if arch != "ppc64" else "",
    )


def _threads(files: Files, cpus: list[int], missing: list[str]) -> int:
    """CPUs of a core, those included that are offline."""
    siblings = [
        len(ids_of(text))
        for n in cpus
        if (text := files.text(f"{CPU}/cpu{n}/topology/thread_siblings_list"))
    ]
    threads = max(siblings, default=1)
    if len(siblings) < len(cpus):  # those of CPUs that are offline are not listed
        threads = max(_served(files), 1 << (threads - 1).bit_length())
    cores, told = cores_told(files)
    if not siblings and told:
        threads = max(told // cores, 1)
    elif not siblings:
        missing.append("threads of a core: no topology; 1 is assumed")
    return threads


def cores_told(files: Files) -> tuple[int, int]:
    """Cores and CPUs of a package, by x86's /proc/cpuinfo; 0 and 0 if it does not tell them."""
    text = files.text("proc/cpuinfo") or ""
    cores = re.search(r"(?m)^cpu cores\t*: (\d+)$", text)
    siblings = re.search(r"(?m)^siblings\t*: (\d+)$", text)
    if cores is None or siblings is None or not int(cores[1]):
        return 0, 0
    of_core, left = divmod(int(siblings[1]), int(cores[1]))
    listed = len(re.findall(r"(?m)^processor\t*: ", text))
    if left or of_core not in (1, 2, 4) or int(siblings[1]) > listed:
        return 0, 0  # some are offline, or it was edited
    return int(cores[1]), int(siblings[1])


def _served(files: Files) -> int:
    """Threads of a core as a device tree tells them, whichever are online; 0 without one."""
    found = files.matching(rf"{TREE}/cpus/.*@\w+/ibm,ppc-interrupt-server#s")
    return max((len(files.data(path) or b"") // 4 for path in found), default=0)


def _cores_per_package(files: Files, cpus: list[int], threads: int) -> int:
    """The most cores that a package has, those included of which no CPU is online."""
    packages: dict[str, set[int]] = {}
    offline = 0
    for n in cpus:
        package = files.text(f"{CPU}/cpu{n}/topology/physical_package_id")
        core = files.text(f"{CPU}/cpu{n}/topology/core_id") or ""
        if package is not None and core.isdecimal():
            packages.setdefault(package, set()).add(int(core))
        else:
            offline += 1
    most = max(packages.values(), key=len, default=set())
    if not most:
        return cores_told(files)[0]
    if not offline or not most:
        return len(most)
    return min(max(most) + 1, len(most) + -(-offline // threads))


def platform_of(files: Files, arch: str) -> dict[str, Any]:
    """Whose firmware it is."""
    if arch != "ppc64":
        return {}
    said = files.text("proc/cpuinfo") or ""
    for base in (TREE, "proc/device-tree"):
        if files.names(f"{base}/ibm,opal") or re.search(r"(?m)^platform\t+: PowerNV$", said):
            return {"platform": "powernv"}
    return {"platform": "pseries", **lparcfg_of(files)}


def notes_of(files: Files, cpus: CpuTopology, missing: list[str]) -> dict[str, Any]:
    """Where the crash notes and vmcoreinfo lie."""
    notes = {}
    for path in files.matching(rf"{CPU}/cpu\d+/crash_notes"):
        text = files.text(path)
        if text and re.fullmatch(r"[0-9a-f]+", text):
            notes[int(path.split("/")[-2][3:])] = int(text, 16)
    absent = len(ids_of(cpus.possible)) - len(notes)
    if absent > 0:
        missing.append(
            f"crash notes of {absent} CPUs: root alone reads them, and only of CPUs with a directory"
        )
    fields: dict[str, Any] = {"crash_notes": notes}
    words = (files.text("sys/kernel/vmcoreinfo") or "").split()
    if len(words) == 2 and int(words[0], 16):
        fields["vmcoreinfo"] = int(words[0], 16)
    else:
        missing.append("where vmcoreinfo lies: /sys/kernel/vmcoreinfo is not there or hidden")
    return fields
