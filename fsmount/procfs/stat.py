"""/proc/stat, uptime, loadavg, softirqs, interrupts: fs/proc/{stat,uptime,loadavg,softirqs}.c, kernel/irq/proc.c (v7.3).

The machine does nothing, so its CPUs are idle from the start and every other counter is 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfcorehdr.changes import in_sysfs
from elfcorehdr.init.main import Kernel
from fsmount.tree.kobject import AttributeGroup, Declaration, Filesystem, singleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.kernel.irq.irqdesc import ArchRows, DeviceIrq

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)

USER_HZ = 100
SOFTIRQS = (
    *("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL"),
    *("TASKLET", "SCHED", "HRTIMER", "RCU"),
)
"""softirq_to_name[], kernel/softirq.c."""
INIT_PID = 1


@proc.show
def stat_show(kernel: Kernel) -> str:
    """Time of each running CPU in ticks, interrupts, context switches, when it booted, processes."""
    ticks = kernel.timekeeping.uptime_ns() * USER_HZ // 10**9
    running = list(kernel.cpus.online)
    zeros = " 0 0 0 {} 0 0 0 0 0 0\n"
    lines = [f"cpu {zeros.format(ticks * len(running))}"]
    own = zeros.format(ticks)
    lines += (f"cpu{n}{own}" for n in running)
    nr_irqs = kernel.arch.interrupts(kernel).nr_irqs
    btime = kernel.timekeeping.boot_realtime_ns // 10**9
    lines.append(
        f"intr 0{' 0' * nr_irqs}\nctxt 0\nbtime {btime}\nprocesses {INIT_PID}\n"
        f"procs_running 1\nprocs_blocked 0\nsoftirq 0{' 0' * len(SOFTIRQS)}\n"
    )
    return "".join(lines)


@proc.show
def uptime_show(kernel: Kernel) -> str:
    """Seconds since the boot, and how many of them each CPU was idle, added up."""
    hundredths = kernel.timekeeping.uptime_ns() // 10**7
    idle = hundredths * len(kernel.cpus.online)
    return f"{hundredths // 100}.{hundredths % 100:02} {idle // 100}.{idle % 100:02}\n"


@proc.show
def loadavg_show(kernel: Kernel) -> str:
    """Load over 1, 5 and 15 minutes; processes that run, that there are; the last one's number."""
    return f"0.00 0.00 0.00 1/1 {INIT_PID}\n"


@proc.show
def softirqs_show(kernel: Kernel) -> str:
    """A column for each possible CPU."""
    possible = kernel.cpus.possible
    head = "".join(f"CPU{n:<8}" for n in possible)
    zeros = f"{0:>11}" * len(possible)
    return f"{'':20}{head}\n" + "".join(f"{name:>12}:{zeros}\n" for name in SOFTIRQS)


@proc.show
def interrupts_show(kernel: Kernel) -> str:
    """show_interrupts(): a column for each running CPU."""
    return "".join(_interrupts(kernel))


def _interrupts(kernel: Kernel) -> Iterator[str]:
    said = kernel.arch.interrupts(kernel)
    new = kernel.has(in_sysfs.IRQ_SHOW_7_2)
    prec, limit = (4, 10000) if new else (3, 1000)
    while prec < 10 and limit <= said.nr_irqs:
        prec, limit = prec + 1, limit * 10
    running = list(kernel.cpus.online)
    yield f"{'':{prec + 8}}{''.join(f'CPU{n:<8}' for n in running)}\n"
    chip_width = max(8, *(len(d.chip) for d in said.devices), 0)
    blank = "" if kernel.has(in_sysfs.IRQ_SHOW_6_14) else " "
    for device in said.devices:
        if new:
            yield _new_row(device, said.arch, prec, chip_width, len(running))
        else:
            yield _old_row(device, said.arch, prec, len(running), blank)
    arch = said.arch
    cells = arch.cell.format(0) * len(running)
    for label, text in arch.rows:
        yield f"{label:>{prec}}{arch.colon}{cells}{arch.tail}{text}\n"
    for label in arch.totals:
        yield f"{label:>{prec}}: {0:>10}\n"
    for label, text in arch.behind:
        yield f"{label:>{prec}}{arch.colon}{cells}{arch.tail}{text}\n"


def _named(device: DeviceIrq, arch: ArchRows) -> str:
    level = f" {'Level' if device.level else 'Edge':<8}" if arch.shows_level else ""
    flow = f"-{device.flow:<8}" if device.flow else ""
    return f"{level}{flow}  {device.action}\n"


def _old_row(device: DeviceIrq, arch: ArchRows, prec: int, cpus: int, blank: str) -> str:
    """show_interrupts(), kernel/irq/proc.c (v6.12, and with one blank less v7.1)."""
    cells = f" {0:>10}" * cpus + blank
    chip = f" {device.chip:>8} {device.hwirq:>{prec}}"
    return f"{device.irq:>{prec}}:{cells}{chip}{_named(device, arch)}"


def _new_row(device: DeviceIrq, arch: ArchRows, prec: int, width: int, cpus: int) -> str:
    """irq_seq_show(), kernel/irq/proc.c (v7.3)."""
    cells = f" {0:>10}" * cpus
    chip = f"  {device.chip:<{width}} {device.hwirq:>{prec}}"
    return f"{device.irq:>{prec}}:{cells}{chip}{_named(device, arch)}"


GROUPS: tuple[Declaration, ...] = (proc,)
