"""/proc/powerpc/lparcfg: arch/powerpc/platforms/pseries/lparcfg.c (v7.3; 6.1 prints the same rows).

Firmware's answers are those of QEMU, or, where the model is not QEMU's, those that PowerVM gives a partition by PAPR:
the names and their order are LoPAR's (SPLPAR characteristics) and lparcfg(5)'s, the numbers inferred from the machine.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from elfcorehdr.arch.powerpc.kernel.prom import TIMEBASE_FREQUENCY
from elfcorehdr.arch.powerpc.kernel.setup_common import core_type, model, radix_enabled
from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

QEMU_HOST_THREADS = {"POWER8": 8, "POWER8E": 8, "POWER8NVL": 8}
"""What QEMU calls n_host_threads, by a core's type; 4 from POWER9 on (target/ppc/cpu_init.c)."""
SETTABLE = {
    "partition_entitled_capacity": 64,
    "capacity_weight": 8,
    "entitled_memory": 64,
    "entitled_memory_weight": 8,
}
"""What lparcfg_write() takes, and how many bits of the number it keeps."""
DEDICATED_POOL = 0xFFFF
"""The pool of a partition whose memory is its own."""
SLB_SIZE = 32
"""Entries of the segment lookaside buffer, with hash (golden identity ppc64 hash)."""
KBUF = 64
"""The longest write."""
DIGITS = re.compile(r"[0-9]+")


def is_qemu(kernel: Kernel) -> bool:
    """Whether the hypervisor is QEMU: what powerpc-utils goes by, too."""
    return "emulated by qemu" in model(kernel)


def lparcfg(kernel: Kernel) -> str:
    """lparcfg_data()"""
    return "lparcfg 1.9\n" + "".join(f"{name}={value}\n" for name, value in _rows(kernel))


def _rows(kernel: Kernel) -> Iterator[tuple[str, object]]:
    root = kernel.arch.devicetree(kernel)

    def said(name: str) -> str:
        return bytes(root.get(name, b"")).rstrip(b"\0").decode(errors="replace")

    yield "serial_number", said("system-id")
    yield "system_type", model(kernel)
    yield "partition_id", int.from_bytes(root.get("ibm,partition-no", b"")[:4], "big")
    if name := said("ibm,partition-name"):
        yield "partition_name", name
    answers = _qemu(kernel) if is_qemu(kernel) else _powervm(kernel)
    own = _own(kernel)
    yield from ((name, own.get(name, value)) for name, value in answers.items())
    tb = kernel.timekeeping.uptime_ns() * TIMEBASE_FREQUENCY // 10**9
    yield "cmo_enabled", 0
    yield "dispatches", 0
    yield "dispatch_dispersions", 0
    yield "purr", tb * len(kernel.cpus.online)
    yield "tbr", tb
    if "partition_affinity_score" in own:
        yield "partition_affinity_score", own["partition_affinity_score"]
    yield "partition_active_processors", active_cores(kernel)
    yield "partition_potential_processors", possible_cores(kernel)
    yield "shared_processor_mode", own.get("shared_processor_mode", int(is_qemu(kernel)))
    if not radix_enabled(kernel):
        yield "slb_size", SLB_SIZE
    yield "MaxMem", _max_mem(kernel)
    yield "security_flavor", own.get("security_flavor", 2)


def _own(kernel: Kernel) -> dict[str, int]:
    """What the machine says, and what was written since."""
    return {**kernel.machine.lparcfg, **kernel.platform.lparcfg}


def active_cores(kernel: Kernel) -> int:
    """Cores that the device tree has a node of."""
    return len({kernel.cpus.core_of(n) for n in kernel.cpus.present})


def possible_cores(kernel: Kernel) -> int:
    """Cores there can be: the last number of ibm,lrdr-capacity."""
    return -(-len(kernel.cpus.possible) // kernel.machine.cpus.threads)


def _max_mem(kernel: Kernel) -> int:
    """All LMBs and huge pages, in bytes: maxmem_data()."""
    dlpar = kernel.platform.dlpar
    lmbs = len(dlpar.lmbs) * kernel.machine.memory_block_size if dlpar is not None else 0
    return lmbs + (kernel.hugetlb.total_kib() << 10)


def _qemu(kernel: Kernel) -> dict[str, int]:
    """What QEMU's ibm,get-system-parameter says (hw/ppc/spapr_rtas.c, golden identity ppc64): it has neither H_GET_PPP nor H_GET_MPP."""
    possible = len(kernel.cpus.possible)
    return {
        "partition_max_entitled_capacity": possible,
        "DesMem": _boot_memory(kernel) >> 20,
        "DesProcs": len(kernel.cpus.present_at_boot),
        "system_potential_processors": possible,
        "HostThrs": QEMU_HOST_THREADS.get(core_type(kernel), 4),
    }


def _powervm(kernel: Kernel) -> dict[str, int]:
    """A partition's own cores and memory: capped, in no pool, with all that it asked for. Inferred, not captured."""
    cores, most, memory = active_cores(kernel), possible_cores(kernel), _boot_memory(kernel)
    group = 0x8000 | int.from_bytes(
        kernel.arch.devicetree(kernel).get("ibm,partition-no", b"")[:4], "big"
    )
    rows = {
        "BoundThrds": 1,
        "CapInc": 1,
        "DisWheRotPer": TIMEBASE_FREQUENCY // 100,
        "MinEntCap": 100,
        "MinEntCapPerVP": 100,
        "MinMem": kernel.machine.memory_block_size >> 20,
        "MinProcs": 1,
        "partition_max_entitled_capacity": most * 100,
        "system_potential_processors": most,
        "DesEntCap": cores * 100,
        "DesMem": memory >> 20,
        "DesProcs": cores,
        "DesVarCapWt": 0,
        "DedDonMode": 0,
        "partition_entitled_capacity": cores * 100,
        "group": group,
        "system_active_processors": most,
    }
    if _own(kernel).get("shared_processor_mode"):
        rows |= {
            "pool": 0,
            "pool_capacity": most * 100,
            "pool_idle_time": 0,
            "pool_num_procs": 0,
        }
    return rows | {
        "unallocated_capacity_weight": 0,
        "capacity_weight": 0,
        "capped": 1,
        "unallocated_capacity": 0,
        "physical_procs_allocated_to_virtualization": most,
        "max_proc_capacity_available": most * 100,
        "entitled_proc_capacity_available": cores * 100,
        "entitled_memory": memory,
        "entitled_memory_group_number": group,
        "entitled_memory_pool_number": DEDICATED_POOL,
        "entitled_memory_weight": 0,
        "unallocated_entitled_memory_weight": 0,
        "unallocated_io_mapping_entitlement": 0,
        "entitled_memory_loan_request": 0,
    }


def _boot_memory(kernel: Kernel) -> int:
    return sum(m.size for m in kernel.machine.memory)


def lparcfg_write(kernel: Kernel, buf: str) -> None:
    """lparcfg_write(): `name=number`, what follows is not looked at. EINVAL; ENOENT under QEMU, whose H_FUNCTION it is."""
    if len(buf) > KBUF:
        raise KernelError(errno.EINVAL, f"more than {KBUF} bytes")
    name, equals, value = buf[:-1].partition("=")
    digits = DIGITS.match(value)
    if not equals or name not in SETTABLE or digits is None:
        raise KernelError(errno.EINVAL, f"expected one of {', '.join(SETTABLE)}, = and a number")
    if is_qemu(kernel):
        raise KernelError(errno.ENOENT, "QEMU has no H_GET_PPP and no H_GET_MPP: H_FUNCTION is -2")
    kernel.platform.lparcfg[name] = int(digits[0]) & (1 << SETTABLE[name]) - 1
