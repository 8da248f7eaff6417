"""What differs between the identity captures and the tree, each with the reason; docs/fidelity.md has it in words."""

from __future__ import annotations

from tests import sysfs_dump_table
from tests.sysfs_dump_table import Entry

LIVE: tuple[Entry, ...] = (
    Entry("form", "/proc/stat", "the machine does nothing", without="(?<=cpu ) "),
    Entry("form", "/proc/(meminfo|vmstat|buddyinfo|pagetypeinfo)", "nothing is allocated here"),
    Entry("form", "/proc/zoneinfo", "nothing is allocated here", without=r" +(?=\d)"),
    Entry(
        "form",
        "/proc/powerpc/lparcfg",
        "the machine does nothing",
        number=r"(?<=\npurr=)\d+|(?<=\ntbr=)\d+|(?<=\ndispatches=)\d+",
    ),
    Entry("form", "/proc/(uptime|loadavg|softirqs)", "the machine does nothing"),
    Entry(
        "form",
        "/proc/interrupts",
        "none ever comes, and no device on PCI is there to ask for one",
        number=r"\d+",
        without=r".*virtio.*\n",
    ),
    Entry("form", "/proc/cpuinfo", "calibrated", number=r"(?<=(?:bogomips\t|cpu MHz\t\t): )[\d.]+"),
    Entry(
        "form",
        "/sys/kernel/mm/transparent_hugepage/(khugepaged/full_scans|.*/stats/anon_fault_alloc)",
        "nothing is allocated here",
    ),
    Entry("form", "/proc/sys/kernel/threads-max", "of what was free when fork_init() asked"),
    Entry(
        "form",
        "/proc/sys/vm/(min_free|user_reserve|admin_reserve)_kbytes",
        "of what was free at the boot",
    ),
    *sysfs_dump_table.LIVE,
)
"""Files whose content is live: compared by form."""
SK = "/proc/sys/kernel"
DT = "/(sys/firmware/devicetree(/base)?|proc/device-tree)"
TABLE: tuple[Entry, ...] = (
    Entry(
        "missing",
        SK + "/(acct|apparmor_.*|auto_msgmni|cad_pid|cap_last_cap|core_.*|domainname|hostname|"
        "firmware_config(/.*)?|io_uring_.*|keys(/.*)?|modprobe|modules_disabled|msg.*|ngroups_max|"
        "ns_last_pid|overflow.id|perf_user_access|pid_max|poweroff_cmd|pty(/.*)?|random(/.*)?|"
        "randomize_va_space|seccomp(/.*)?|sem|sem_next_id|shm.*|unprivileged_userns_.*|"
        "usermodehelper(/.*)?|yama(/.*)?)",
        "limits and ids of processes: `run` shows the host's, whose processes they are",
    ),
    Entry(
        "missing",
        "/proc/sys/vm/(mmap_.*|legacy_va_layout|memfd_noexec|unprivileged_userfaultfd)",
        "address spaces of processes: `run` shows the host's, whose processes they are",
    ),
    Entry(
        "missing",
        SK + "/printk(_devkmsg)?",
        "the console's level: `run` has them, with syslog(2); a mount has no console",
    ),
    Entry(
        "content", SK + "/dmesg_restrict", "0: the log is of a machine that the user himself made"
    ),
    Entry(
        "content",
        "/proc/(version|sys/kernel/version)",
        "who built the kernel, with what, and when: it was not built",
    ),
    Entry(
        "missing",
        "/proc/(cgroups|crypto|filesystems|fs|irq|key-users|keys|locks|mounts|net|pressure|"
        "sysvipc|tty(/.*)?)",
        "of processes and file systems: `run` shows the host's where a process needs them",
    ),
    Entry(
        "missing",
        "/proc/(acpi|bus|devices|driver|dynamic_debug|ioports|misc|mtrr|rtas|schedstat|slabinfo|"
        "timer_list|vmallocinfo|kpage(cgroup|count|flags)|kmsg)",
        "drivers, allocators and the scheduler are not emulated; the log is /dev/kmsg and syslog(2)",
    ),
    Entry("content", "/proc/modules", "the capture loaded 9p to write to its host"),
    Entry("missing", "/sys/module/9p(/.*)?", "the capture loaded it to write to its host"),
    Entry(
        "missing",
        "/sys/module/(firmware_class|rcupdate|workqueue|kernel)(/.*)?",
        "parameters that no kdump or hotplug tool reads",
    ),
    Entry("missing", "/sys/module/[^/]*/uevent", "udev does not trigger built-in modules' events"),
    Entry("missing", "/sys/class/dmi/id(/.*)?", "firmware's tables (DMI) are not emulated"),
    Entry(
        "missing",
        "/sys/devices/system/clocksource(/.*)?",
        "clocks are the host's, from the machine's boot on",
    ),
    Entry(
        "missing",
        "/sys/kernel/mm/(cma|damon|mempolicy)(/.*)?",
        "areas of drivers, access monitoring and policies: no kdump or hotplug tool reads them",
    ),
    Entry("missing", "/sys/kernel/debug/powerpc(/.*)?", "of drivers, EEH and the hypervisor"),
    Entry(
        "missing",
        DT + "(/.*)?",
        "the device tree of QEMU's board, which no kdump or hotplug tool reads there",
        arch="arm64",
    ),
    Entry(
        "missing",
        "/proc/device-tree/(host-(model|serial)|system-id|ibm,(lpar-capable|lrdr-capacity|partition-no)|"
        "memory|reserved-(memory|ranges)|rtas/ibm,lrdr-capacity|rtas/linux,rtas-entry)",
        "what QEMU says of itself, and nodes without content",
    ),
    Entry(
        "content",
        "/proc/device-tree/cpus/ibm,drc-(indexes|names)",
        "QEMU names the cores in the order of its own tables",
    ),
    Entry(
        "type",
        "/sys/kernel/(kexec_.*|crash_elfcorehdr_size)",
        "named on the command line of the recorder, which follows links then (golden README)",
    ),
    Entry(
        "content",
        "/sys/(kernel/kexec/crash_loaded|devices/system/(cpu|memory)/crash_hotplug)",
        "a crash kernel was loaded when this was read",
    ),
    Entry(
        "extra",
        "/sys/kernel/config",
        "configfs is a module, which the captured boots had no need of",
    ),
    Entry("missing", "/proc/vmcore", "its directory was listed in the capture kernel"),
    Entry(
        "extra",
        "/sys/kernel/kexec/crash_elfcorehdr_print",
        "the proposal that this project exists for",
    ),
    Entry(
        "content",
        "/proc/interrupts",
        "chips are padded to the longest name, which is that of a device on PCI",
        arch="ppc64",
    ),
    *sysfs_dump_table.TABLE,
)
"""Differences that are known."""
