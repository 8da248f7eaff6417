"""What differs between kernels in what they say of tasks and CPUs that hang: one named change a row, as in __init__.py.

Some are dated with the first source they were seen in. Imports .change.
"""

from __future__ import annotations

from elfcorehdr.changes.change import Change

TASK_TGID = Change(
    "sched-show-task-tgid",
    "kernel/sched/core.c sched_show_task(): in 6.12, not in 6.1: the release in between is not known",
    (6, 12),
    "The line of a task that hangs has its tgid.",
)
TASK_FLAGS = Change(
    "sched-show-task-flags",
    "kernel/sched/core.c sched_show_task(): in 7.2, not in 6.12: the release in between is not known",
    (7, 2),
    "The line of a task that hangs has task_flags.",
)
PANIC_COUNTS = Change(
    "hung-task-panic-counts",
    "kernel/hung_task.c, kernel/watchdog.c sysctl tables: in 7.2, not in 6.12: the release in between is not known",
    (7, 2),
    "hung_task_panic and softlockup_panic are a number of tasks and of thresholds; before, 0 or 1.",
)
WARNING_NAMES_TASK = Change(
    "warning-names-task",
    "kernel/panic.c __warn(): in 7.2, not in 6.12: the release in between is not known",
    (7, 2),
    "`WARNING: FILE:LINE at FUNCTION, CPU#0: COMM/PID`; before, `WARNING: CPU: 0 PID: PID at FILE:LINE FUNCTION`.",
)
HARD_LOCKUP_SEEN_BY = Change(
    "hard-lockup-seen-by",
    "kernel/watchdog.c watchdog_hardlockup_check(): in 7.2, not in 6.12: the release in between is not known",
    (7, 2),
    "`watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 3`; before, without the CPU that saw it.",
)
HARD_LOCKUP_OF_WATCHDOG = Change(
    "hard-lockup-of-watchdog",
    "kernel/watchdog.c watchdog_hardlockup_check(), in 6.12; 6.1 has it in watchdog_hld.c",
    (6, 12),
    "The message of a hard lockup begins with `watchdog: `; before, with `NMI watchdog: `.",
)
TAINT_IN_WORDS = Change(
    "taint-in-words",
    "kernel/panic.c print_tainted_verbose(): in 6.12, not in 6.1",
    (6, 12),
    "A stack dump of a tainted kernel has a line `Tainted: [L]=SOFTLOCKUP`.",
)
