"""Which threads of a core a boot starts: arch/powerpc/kernel/setup_64.c (v7.3)."""

from __future__ import annotations

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.kstrtox import kstrtoint
from elfcorehdr.machine import Machine


def check_smt_enabled(cmdline: str, machine: Machine) -> int:
    """smt_enabled_at_boot: smt-enabled=on, off or a number, else ibm,smt-enabled of the node options; 0 for off."""
    threads = machine.cpus.threads
    said = machine.devicetree.get("options/ibm,smt-enabled", "")
    number = False
    for word in cmdline.split():
        name, _, value = word.partition("=")
        if name == "smt-enabled":
            said, number = value, True
    if said == "off":
        return 0
    if said != "on" and number:
        try:
            return min(threads, kstrtoint(said, 10))
        except KernelError:
            return threads
    return threads
