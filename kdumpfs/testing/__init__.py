"""Tests with a machine: `kdump_machine`, `kdump_mount` and `kdump_run` are fixtures of pytest, found by themselves.

    def test_the_header_loses_an_offline_block(kdump_machine):
        machine = kdump_machine("pseries-16g", load=True)
        before = machine.header
        machine.write("/sys/devices/system/memory/memory30/state", "offline")
        assert machine.header != before

| fixture | what it makes | costs |
|---|---|---|
| `kdump_machine(name, ...)` | a Machine: the kernel and its files in this process, without a mount | milliseconds |
| `kdump_mount(name, ...)` | a Mounted: the same, as files below `.path`, for programs that take a path | FUSE |
| `kdump_run(command, ...)` | a command's CompletedProcess, run in the machine with its /sys, /proc and system calls | namespaces |

All take a machine's name or TOML file and, by name, what the command line has: kernel, with_, without, cpus, memory, threads,
nodes, page_size, block_size, cmdline, load, module or modules, print_mode, page_limit, debug, vmcoreinfo. Where FUSE or namespaces are missing the test is skipped with the reason, or
fails if KDUMPFS_REQUIRE names them. Without pytest, machine(), mounted() and run() do the same.
"""

from __future__ import annotations

from kdumpfs.testing.header import Header
from kdumpfs.testing.machine import Lack, Machine, machine
from kdumpfs.testing.outside import Mounted, mounted, run

__all__ = ["Header", "Lack", "Machine", "Mounted", "machine", "mounted", "run"]
