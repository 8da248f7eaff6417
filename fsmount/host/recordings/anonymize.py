"""What `kdumpfs record --anonymize` takes out. Part of record.py; Python 3.6, nothing else.

What names a person, a customer, a place or one piece of hardware goes; lengths stay where a file has them. A command line
keeps the parameters of KEPT, which a machine's behaviour hangs on; of all others the name alone.
"""

import functools
import re
import zlib

_KEPT = """
    apic_extnmi cma console coredump_filter cpu0_hotplug cpuidle.off crash_kexec_post_notifiers crashkernel
    debug default_hugepagesz disable_radix dyndbg earlycon earlyprintk efi elfcorehdr fadump fadump_reserve_mem
    hugepages hugepagesz hugetlb_cma idle ima intel_idle.max_cstate intel_iommu iommu irqpoll isolcpus kaslr kernelcore
    ksm log_buf_len loglevel maxcpus mce mem memblock memhp_default_state memmap memory_hotplug.auto_movable_numa_aware
    memory_hotplug.auto_movable_ratio memory_hotplug.memmap_on_memory memory_hotplug.online_policy memtest mitigations
    movablecore movable_node nmi_watchdog nohz nohz_full nokaslr nosmp nosmt nox2apic nr_cpus numa numa_balancing panic
    panic_on_oops pci possible_cpus printk.devkmsg processor.max_cstate rcu_nocbs reset_devices sched_debug smt-enabled
    softlockup_panic swiotlb sysrq_always_enabled topology_updates transparent_hugepage tsc udev.children-max vmalloc
    x2apic_phys xmon
"""
KEPT = frozenset(_KEPT.encode().split())
"""Parameters whose values say nothing of who runs the machine: Documentation/admin-guide/kernel-parameters.txt."""

SECRETS = (
    (re.compile(rb"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), b"0"),
    (re.compile(rb"\b(?:[0-9a-fA-F]{2}[:-]){5,}[0-9a-fA-F]{2}\b"), b"0"),
    (re.compile(rb"\b(?:\d{1,3}\.){3}\d{1,3}\b"), b"0"),
    (re.compile(rb"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), b"x"),
    (re.compile(rb"(?<=\()[^()@\s]+@[^()\s]+(?=\))"), b"x"),
    (re.compile(rb"(?<=/home/)[^/\s:\"'\0]+|(?<=/Users/)[^/\s:\"'\0]+"), b"x"),
    (re.compile(rb"(?<=/dev/mapper/)[^/\s\0]+|(?<=/dev/disk/by-)[^\s\0]+"), b"x"),
)
SECRET_FILES = re.compile(
    r".*/(system-id|host-serial|ibm,partition-name|ibm,partition-uuid|ibm,loc-code|serial-number|serial#"
    r"|part-number|ibm,vpd|(local-)?mac-address|vm,uuid|host-model|hostname|domainname|hostid|boot_id|bootid"
    r"|kaslr-seed|rng-seed|machine-id|product_uuid)$|proc/(mounts|partitions|swaps|key-users)$"
)
SECRET_ROWS = re.compile(
    rb"(?m)^(serial_number|system_id|partition_name|host_serial|Serial\s*:|Hardware Serial\s*:)([= ]?).*$"
)
SECRET_OPTIONS = re.compile(
    rb'(?m)^(CONFIG_\w*(?:KEYS?|SOURCE|HOSTNAME|DIR|PATH|CMDLINE|FILE|SIG\w*|USER|HOST)\w*=")[^"\n]*(?=")'
)
COMMAND_LINES = re.compile(r"proc/(cmdline|bootconfig)$|.*/chosen/bootargs$")
_COMMON = frozenset((b"localhost", b"linux", b"memory", b"kernel", b"system", b"debian", b"ubuntu"))


def host_names(text):
    # type: (bytes) -> "list[re.Pattern[bytes]]"
    """What finds a host's name in a text, with its domain and without; none for names that are common words."""
    name = text.strip()
    return [
        re.compile(rb"(?<![\w-])" + re.escape(one) + rb"(?![\w-])", re.I)
        for one in (name, name.partition(b".")[0])
        if len(one) > 3 and one.lower() not in _COMMON
    ]


def without_secrets(path, content, hosts=()):
    # type: (str, bytes, object) -> bytes
    """The content with names, addresses and serial numbers taken out; hosts are what host_names() gives."""
    if SECRET_FILES.match(path):
        return re.sub(rb"[^\0\n ]", b"x", content)
    if path.endswith("config.gz"):
        return _configuration(content)
    if b"\0" in content.rstrip(b"\0"):
        return content  # binary: numbers of the machine
    if COMMAND_LINES.match(path):
        content = command_line(content)
    for pattern, letter in SECRETS:
        content = pattern.sub(functools.partial(_instead, letter), content)
    for pattern in hosts:  # type: ignore[attr-defined]
        content = pattern.sub(functools.partial(_instead, b"x"), content)
    return SECRET_ROWS.sub(lambda found: found.group(1) + found.group(2) + b"x", content)


def _instead(letter, found):
    # type: (bytes, re.Match[bytes]) -> bytes
    return letter * len(found.group())


def command_line(content):
    # type: (bytes) -> bytes
    """A kernel command line with x for the values of parameters that are not KEPT, and for what is init's own."""

    def less(found):
        # type: (re.Match[bytes]) -> bytes
        name, value = found.group(1), found.group(2)
        if name.replace(b"_", b"-") in _DASHED:
            return found.group()
        return name + b"=" + re.sub(rb'[^"\s]', b"x", value)

    kernel, dashes, init = content.partition(b" -- ")
    kernel = re.sub(rb'([^\s="\0]+)=("[^"]*"|[^\s\0]*)', less, kernel)
    return kernel + dashes + re.sub(rb"[^\s\0]", b"x", init)


_DASHED = frozenset(name.replace(b"_", b"-") for name in KEPT)


def _configuration(packed):
    # type: (bytes) -> bytes
    try:
        text = zlib.decompress(packed, 31)
    except zlib.error:
        return b""
    text = SECRET_OPTIONS.sub(lambda found: found.group(1), text)
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    return stream.compress(text) + stream.flush()
