"""Where modules speak: the kernel log, control/log, and the terminal."""

from __future__ import annotations

import os
import sys
from collections import deque

from elfcorehdr.kernel.printk import KERN_ERR, KERN_WARNING, Printk


class Journal:
    """Where modules speak: the kernel log, control/log, and the terminal (else standard error)."""

    def __init__(self, log: Printk | None = None) -> None:
        self._log = log
        self.lines: deque[str] = deque(maxlen=1000)
        self.said: list[str] = []
        """Mistakes as sentences, without their tracebacks, where somebody counts them."""
        self.aloud = True
        """Whether the terminal hears of it, too; where not, mistakes are kept in `said`."""
        self._terminal = os.dup(2) if log is not None and os.isatty(2) else None

    def say(self, text: str, level: int = KERN_ERR) -> None:
        """One or more lines."""
        lines = text.splitlines() or [""]
        self.lines.extend(lines)
        if self._log is not None:
            for line in lines:
                self._log.emit(level, line)
        if not self.aloud:
            if level <= KERN_WARNING:
                self.said.append(lines[0])
            return
        text = "\n".join(lines) + "\n"
        try:
            if self._terminal is not None:
                os.write(self._terminal, text.encode(errors="backslashreplace"))
            else:
                sys.stderr.write(text)
                sys.stderr.flush()
        except (OSError, ValueError):
            pass  # the terminal has gone; the log has it
