"""What /sys/kernel keeps by itself: kernel/{ksysfs,profile}.c (v7.1)."""

from __future__ import annotations

from elfcorehdr.changes.change import DEFAULT_RELEASE, uts_release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel


class Ksysfs:
    """The settings behind its files."""

    def __init__(self) -> None:
        self.profiling = 0
        self.rcu_expedited = 0
        self.rcu_normal = 0


def build_id(kernel: Kernel) -> str:
    """The running vmlinux's build ID in hex, which sysfs and VMCOREINFO say: lib/buildid.c.

    Its file's; the machine's if it runs its own kernel; else one made of architecture and release.
    """
    import hashlib

    machine, vmlinux = kernel.machine, kernel.vmlinux
    if vmlinux is not None and vmlinux.build_id:
        return vmlinux.build_id
    if machine.build_id and kernel.release == uts_release(machine.kernel or DEFAULT_RELEASE):
        return machine.build_id
    made = f"{kernel.arch.name} {kernel.release}".encode()
    return hashlib.sha1(made, usedforsecurity=False).hexdigest()
