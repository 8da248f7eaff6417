"""What a ppc64 CPU shows of its registers: arch/powerpc/kernel/sysfs.c (v7.3)."""

from __future__ import annotations

import errno
import re

from elfcorehdr.arch.powerpc.kernel.prom import TIMEBASE_FREQUENCY
from elfcorehdr.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.init.main import Kernel

_HEX = r"[ \t\n]*\+?(?:0[xX])?([0-9a-fA-F]+)"


class Dscr:
    """The data stream control register: a default, and what a CPU was given."""

    def __init__(self) -> None:
        self.default = 0
        self._of: dict[int, int] = {}

    def of(self, cpu: int) -> int:
        """The value of a CPU."""
        return self._of.get(cpu, self.default)

    def store(self, buf: str, cpu: int | None = None) -> None:
        """Set it on a CPU, or on all: hexadecimal, what follows is not looked at; EINVAL."""
        digits = re.match(_HEX, buf)
        if digits is None:
            raise KernelError(errno.EINVAL, f"{buf!r} is not a hexadecimal number")
        value = int(digits[1], 16)
        if cpu is None:
            self.default = value
            self._of.clear()
        else:
            self._of[cpu] = value


def purr(kernel: Kernel) -> int:
    """Ticks that a CPU had its core's resources since the boot; all of them it was idle."""
    return kernel.timekeeping.uptime_ns() * TIMEBASE_FREQUENCY // 10**9
