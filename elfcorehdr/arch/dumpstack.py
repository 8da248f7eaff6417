"""What a kernel says when it panics: lib/dump_stack.c, arch/*/kernel/{dumpstack,traps,process}.c (v6.1 to v7.3).

Functions with their offsets as seen on consoles of kernels that crashed (golden panic/, identity/); those of a
release that was not seen are the nearest one's. Registers of the user's program are not known here, but for what a
write(2) has in them. Only a kernel that crashes imports this.
"""

from __future__ import annotations

from elfcorehdr.changes import in_log
from elfcorehdr.kernel.panic import Crash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

FRAMES: dict[str, dict[tuple[int, int], str]] = {
    "x86_64": {
        (6, 1): "dump_stack_lvl+0x44/0x5c panic+0x118/0x2f4 sysrq_handle_crash+0x16/0x20"
        " __handle_sysrq.cold+0x41/0x11c write_sysrq_trigger+0x24/0x40 proc_reg_write+0x53/0xa0"
        " vfs_write+0xc4/0x3f0 ksys_write+0x6b/0xf0 do_syscall_64+0x5d/0xb0"
        " entry_SYSCALL_64_after_hwframe+0x6e/0xd8",
        (6, 12): "dump_stack_lvl+0x5d/0x80 panic+0x118/0x2db sysrq_handle_crash+0x1a/0x20"
        " __handle_sysrq.cold+0x9c/0xe6 write_sysrq_trigger+0x59/0x90 proc_reg_write+0x57/0xa0"
        " vfs_write+0xf5/0x440 ksys_write+0x6d/0xf0 do_syscall_64+0x87/0x1b0"
        " entry_SYSCALL_64_after_hwframe+0x76/0x7e",
        (6, 18): "dump_stack_lvl+0x5d/0x80 vpanic+0x116/0x310 panic+0x6b/0x6b"
        " sysrq_handle_crash+0x1a/0x20 __handle_sysrq.cold+0x91/0x141 write_sysrq_trigger+0x59/0xb0"
        " proc_reg_write+0x5a/0xa0 vfs_write+0xcf/0x450 ksys_write+0x6b/0xe0 do_syscall_64+0x84/0x800"
        " entry_SYSCALL_64_after_hwframe+0x76/0x7e",
        (7, 1): "dump_stack_lvl+0x5d/0x80 vpanic+0x249/0x440 panic+0x6b/0x70"
        " sysrq_handle_crash+0x1a/0x20 __handle_sysrq.cold+0x91/0x141 write_sysrq_trigger+0x59/0x90"
        " proc_reg_write+0x5a/0xa0 vfs_write+0xcf/0x450 ksys_write+0x6b/0xe0 do_syscall_64+0xea/0x640"
        " entry_SYSCALL_64_after_hwframe+0x76/0x7e",
        (7, 3): "dump_stack_lvl+0x5d/0x80 vpanic+0x166/0x360 panic+0x6b/0x70"
        " sysrq_handle_crash+0x1a/0x20 __handle_sysrq.cold+0x91/0x141 write_sysrq_trigger+0x59/0xb0"
        " proc_reg_write+0x5a/0xa0 vfs_write+0xcf/0x450 ksys_write+0x6b/0xe0 do_syscall_64+0xc4/0x560"
        " entry_SYSCALL_64_after_hwframe+0x76/0x7e",
    },
    "arm64": {
        (
            7,
            3,
        ): "show_stack+0x20/0x40 dump_stack_lvl+0x60/0x80 dump_stack+0x18/0x24 vpanic+0x1a0/0x3a0"
        " panic+0x68/0x70 sysrq_handle_crash+0x24/0x38 __handle_sysrq+0xb0/0x250"
        " write_sysrq_trigger+0xc8/0xe0 proc_reg_write+0xa4/0x100 vfs_write+0xdc/0x380 ksys_write+0x78/0x120"
        " __arm64_sys_write+0x20/0x40 invoke_syscall+0xa4/0x120 el0_svc_common.constprop.0+0x48/0xf0"
        " do_el0_svc+0x24/0x38 el0_svc+0x40/0x268 el0t_64_sync_handler+0xa0/0xe8 el0t_64_sync+0x198/0x1a0",
    },
    "ppc64": {
        (7, 1): "dump_stack_lvl+0x88/0xc4 vpanic+0x35c/0x610 do_panic_on_target_cpu+0x0/0x28"
        " sysrq_handle_crash+0x28/0x30 __handle_sysrq+0xf4/0x360 write_sysrq_trigger+0x144/0x210"
        " proc_reg_write+0xfc/0x160 vfs_write+0x164/0x550 ksys_write+0x88/0x150"
        " system_call_exception+0x158/0x2b0 system_call_vectored_common+0x15c/0x2ec",
    },
    "riscv64": {
        # Not seen: the functions of the source, without offsets that would be made up.
        (
            7,
            2,
        ): "dump_backtrace show_stack dump_stack_lvl dump_stack vpanic panic sysrq_handle_crash"
        " __handle_sysrq write_sysrq_trigger proc_reg_write vfs_write ksys_write __riscv_sys_write"
        " do_trap_ecall_u handle_exception",
    },
}
"""From dump_stack() outwards, by architecture and release."""

INNER = {
    "dump_backtrace",
    "show_stack",
    "dump_stack_lvl",
    "dump_stack",
    "vpanic",
    "panic",
    "do_panic_on_target_cpu",
}
"""What each panic goes through."""


def _version(release: str) -> tuple[int, int]:
    major, minor = release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def frames(kernel: Kernel, crash: Crash) -> list[str]:
    """The call trace: of a sysrq's, all; of another panic's, what every panic has and the path that is known.

    Without a panic (a warning, a lockup that the kernel goes on after) the path alone.
    """
    if not crash.why:
        return [*crash.path]
    known = FRAMES[kernel.arch.name]
    version = _version(kernel.release)
    nearest = max((v for v in known if v <= version), default=min(known))
    rows = known[nearest].split()
    if version < (6, 18):
        rows = [r.replace("vpanic+", "panic+") for r in rows if not r.startswith("panic+0x6")]
    names = [r.partition("+")[0].partition(".")[0] for r in rows]
    if set(crash.path) & set(names):
        return rows
    inner = [r for r, name in zip(rows, names, strict=True) if name in INNER]
    return [*inner, *crash.path]


def header(kernel: Kernel, crash: Crash) -> list[str]:
    """dump_stack_print_info(): who ran, on what. The user id from 6.10 on, the preemption model from 6.15 on."""
    version = _version(kernel.release)
    uid = "UID: 0 " if version >= (6, 10) else ""
    kdump = "Kdump: loaded " if kernel.kexec.crash_image is not None else ""
    word = kernel.uts_version.partition(" ")[0]
    words = kernel.panic.tainted(verbose=True)
    model = ""
    if version >= (6, 15):
        model = "PREEMPT(lazy) " if kernel.arch.name == "x86_64" else "PREEMPTLAZY "
    return [
        f"CPU: {crash.cpu} {uid}PID: {crash.pid} Comm: {crash.comm:.20} {kdump}{kernel.panic.tainted()}"
        f" {kernel.release} {word} {model}",
        *([words] if words and kernel.has(in_log.TAINT_IN_WORDS) else []),
        f"Hardware name: {hardware(kernel)}",
    ]


def oops(kernel: Kernel, count: int) -> tuple[str, str]:
    """What a read through a NULL pointer is called, and how the count-th oops begins.

    show_fault_oops(), __die_header() of arch/x86 (`Oops: ` in front from 6.10 on, no preemption from 6.15 on);
    __bad_page_fault(), __die() of arch/powerpc; die_kernel_fault(), die() of arch/{arm64,riscv}.
    """
    match kernel.arch.name:
        case "x86_64":
            version = _version(kernel.release)
            front = "Oops: " if version >= (6, 10) else ""
            preempt = " PREEMPT" if version < (6, 15) else ""
            return (
                "BUG: kernel NULL pointer dereference, address: 0000000000000000",
                f"{front}Oops: 0000 [#{count}]{preempt} SMP NOPTI",
            )
        case "ppc64":
            return (
                "BUG: Kernel NULL pointer dereference on read at 0x00000000",
                f"Oops: Kernel access of bad area, sig: 11 [#{count}]",
            )
    where = "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000"
    if kernel.arch.name == "arm64":
        return where, f"Internal error: Oops: 0000000096000004 [#{count}] SMP"
    return where, f"Oops [#{count}]"


def hardware(kernel: Kernel) -> str:
    """dump_stack_set_arch_desc(): what firmware calls the machine, as far as a machine file says it."""
    match kernel.arch.name:
        case "x86_64":
            return "QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.3-debian-1.16.3-2~bpo12+1 04/01/2014"
        case "ppc64":
            name = kernel.machine.cpus.type.partition(",")[2]
            return (
                f"IBM pSeries {name} (architected)"
                if kernel.platform.name == "pseries"
                else f"IBM PowerNV {name}"
            )
        case _:
            return (
                f"{'linux,dummy-virt' if kernel.arch.name == 'arm64' else 'riscv-virtio,qemu'} (DT)"
            )


def x86(kernel: Kernel, crash: Crash) -> list[str]:
    """show_stack() between <TASK> and </TASK>, with the registers that write(2) has."""
    rows = [" " + row for row in frames(kernel, crash)]
    user = []
    if any("entry_SYSCALL" in row for row in rows):
        user = [
            "RIP: 0033:0x0",
            "RSP: 002b:0000000000000000 EFLAGS: 00000202 ORIG_RAX: 0000000000000001",
            f"RAX: ffffffffffffffda RBX: {0:016x} RCX: {0:016x}",
            f"RDX: {2:016x} RSI: {0:016x} RDI: {1:016x}",
            f"RBP: {0:016x} R08: {0:016x} R09: {0:016x}",
            f"R10: {0:016x} R11: {0x202:016x} R12: {0:016x}",
            f"R13: {0:016x} R14: {0:016x} R15: {0:016x}",
        ]
    return [*header(kernel, crash), "Call Trace:", " <TASK>", *rows, *user, " </TASK>"]


def plain(kernel: Kernel, crash: Crash) -> list[str]:
    """arm64 and riscv64: functions alone; arm64 marks the first as certain."""
    rows = [" " + row for row in frames(kernel, crash)]
    if kernel.arch.name == "arm64" and rows and _version(kernel.release) >= (6, 12):
        rows[0] += " (C)"
    return [
        *header(kernel, crash),
        "Call trace:" if kernel.arch.name == "arm64" else "Call Trace:",
        *rows,
    ]


def powerpc(kernel: Kernel, crash: Crash) -> list[str]:
    """show_stack(): stack pointer and address in front; both follow from the CPU's note here."""
    stack = kernel.arch.va(kernel, kernel.arch.crash_note(kernel, crash.cpu)) & ~0x3FFF | 0x3930
    text = kernel.arch.va(kernel, 0)
    rows = []
    for n, row in enumerate(frames(kernel, crash)):
        unreliable = "" if n else " (unreliable)"
        rows.append(
            f"[{stack + 0x60 * n:016x}] [{text + 0x1000000 + 0x1000 * n:016x}] {row}{unreliable}"
        )
    return [*header(kernel, crash), "Call Trace:", *rows]
