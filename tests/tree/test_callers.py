"""Who may what: by what /proc says of the caller; the machine's owner is its root."""

from __future__ import annotations

import os

from fsmount.tree.callers import Callers
from fsmount.tree.kobject import CAP_SYS_ADMIN

GONE = 1 << 30
"""No process has this number."""


def test_an_ordinary_users_machine_is_his() -> None:
    callers = Callers(owner=1000)
    assert callers(1000, 1000, GONE).capable(CAP_SYS_ADMIN)
    assert not callers(1001, 1001, GONE).capable(CAP_SYS_ADMIN)
    callers.close()


def test_in_roots_machine_capabilities_count() -> None:
    callers = Callers()
    assert not callers(0, 0, GONE).capable(CAP_SYS_ADMIN)
    mine = callers(os.getuid(), os.getgid(), os.getpid()).capable(CAP_SYS_ADMIN)
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("CapEff"))
    assert mine == bool(int(line.split()[1], 16) >> CAP_SYS_ADMIN & 1)
    callers.close()
