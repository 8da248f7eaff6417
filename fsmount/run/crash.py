"""What `kdumpfs run` does when its machine dies: the power goes for what runs inside, and the capture kernel's command starts.

The mounts and what was written stay, as a disk does. Imports inside.
"""

from __future__ import annotations

from collections.abc import Callable

from elfcorehdr.init.main import Kernel
from fsmount.fuse.direct import Connection
from fsmount.run.inside import session

STATUS = 1
"""The run's exit status when the machine died and nothing runs on a capture kernel."""


class CrashWatch:
    """Looks, after each request, whether the kernel that the command started on is still there."""

    def __init__(self, kernel: Kernel, goes_on: bool) -> None:
        self._kernel = kernel
        self._goes_on = goes_on
        """Whether there is a command for the capture kernel."""
        self._was = kernel.boots, kernel.dead
        self._fuse: Connection | None = None
        self.waiting = False
        """Whether init is killing what runs: until then nothing of it is answered."""
        self._forget: Callable[[], None] = lambda: None
        self.status: int | None = None
        """How the run ends, if not with a command's status."""

    def serves(self, fuse: Connection) -> None:
        """From now on: whoever made the kernel die gets no answer while he lives."""
        self._fuse = fuse
        fuse.holds_answers = True

    @property
    def gone(self) -> bool:
        """Whether the kernel has gone since look() last looked."""
        return self._was != (self._kernel.boots, self._kernel.dead)

    def look(self, tell_init: Callable[..., None], forget: Callable[[], None]) -> None:
        """Tell init when the kernel has gone. forget() lets go of what belonged to the command, once it is dead."""
        kernel = self._kernel
        if not self.gone:
            return
        self._was = kernel.boots, kernel.dead
        self.waiting, self._forget = True, forget
        if kernel.after_crash and self._goes_on:
            self._goes_on = False
            tell_init("crashed", "then")
            return
        tell_init("crashed")
        if kernel.dead:
            told = f"the machine is dead: Kernel panic - not syncing: {kernel.panic.why}"
        elif kernel.after_crash:
            told = "the machine crashed; --then COMMAND runs on its capture kernel"
        else:
            told = "the machine panicked and started anew; what ran in it is gone"
        session.remark(told)
        self.status = STATUS

    def rebooted(self, tell_init: Callable[..., None], forget: Callable[[], None]) -> None:
        """A capture kernel was asked to reboot: the run ends, with 0."""
        if not self.waiting:
            self.waiting, self._forget, self.status = True, forget, 0
            tell_init("crashed")

    def killed(self) -> None:
        """All of the old kernel's processes have been killed: those that wait for an answer end with one."""
        self.waiting = False
        self._forget()
        if self._fuse is not None:
            self._fuse.answer_held()
