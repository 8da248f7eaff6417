"""One entry of a recording."""

from __future__ import annotations

import re

from elfcorehdr.lib.record import NamedTuple

DEEPEST = 3
"""How many directories may lie above sys/ and proc/: a sosreport has one."""
BESIDE = re.compile(r"(dev/(cpuset|cgroup)|cgroup|run/udev)(/|$)")
"""What hwloc reads besides, beside sys/ and proc/."""


class Recorded(NamedTuple):
    """One file (content), link (target) or directory (neither)."""

    content: bytes | None = None
    target: str | None = None
    mode: int = 0
    """Permission bits; 0 where the recording does not keep them."""
    listed: bool = False
    """Whether only its name is known."""

    @property
    def directory(self) -> bool:
        """Whether it is one."""
        return self.content is None and self.target is None and not self.listed


DIRECTORY = Recorded()
