"""Machines that have crashed, for tests."""

from __future__ import annotations

from elfcorehdr import profiles
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.kernel.panic import Crash
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Machine


def crashed(
    machine: str | Machine = "pc-2g",
    release: str = "",
    *,
    append: str = "nr_cpus=1",
    **changed: object,
) -> Kernel:
    """A machine, by its name if it is a shipped one, loaded, crashed by sysrq, its capture kernel running."""
    if isinstance(machine, str):
        machine = profiles.load(machine)
    kernel = Kernel.boot(replace(machine, **changed), release)
    words = [w for w in kernel.cmdline.split(" ") if not w.startswith("crashkernel=")]
    cmdline = " ".join([*words, append]).encode()
    kernel.kexec.file_load(None, None, cmdline, KEXEC_FILE_ON_CRASH)
    kernel.panic.sysrq("c", Crash(pid=4711, comm="bash", time=1_795_884_422))
    return kernel
