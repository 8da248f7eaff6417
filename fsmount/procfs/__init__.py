"""/proc, as far as the emulated kernel answers for it: fs/proc/, kernel/resource.c, drivers/tty/sysrq.c.

May import tree/ and the engine. Start with proc.py.
"""

from __future__ import annotations

from fsmount.procfs import kcore, proc, sysrq
from fsmount.tree.kobject import Declaration

GROUPS: tuple[Declaration, ...] = (*proc.GROUPS, *sysrq.GROUPS, *kcore.GROUPS)
"""All of /proc."""
