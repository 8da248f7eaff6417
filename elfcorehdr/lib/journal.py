"""What changed in a list of ranges, written down for whoever keeps something that follows from it."""

from __future__ import annotations

from collections import deque
from itertools import islice

from elfcorehdr.lib.record import NamedTuple


class Edit(NamedTuple):
    """start..end (both included) were added to a list of ranges, or else taken out."""

    added: bool
    start: int
    end: int
    joins_before: bool = False
    """What was added became one range with the one that ends in front of it."""
    joins_behind: bool = False
    """The same, with the one that begins behind it."""


class Journal:
    """The last edits, numbered from 0; older ones are forgotten."""

    KEPT = 256

    def __init__(self) -> None:
        self._edits: deque[Edit] = deque(maxlen=self.KEPT)
        self.seq = 0
        """The number of the next edit."""

    def append(self, edit: Edit) -> None:
        """Write an edit down, after it was made."""
        self._edits.append(edit)
        self.seq += 1

    def forget(self) -> None:
        """Something changed that is no edit: nobody can follow from here on but by looking at all."""
        self._edits.clear()
        self.seq += 1

    def since(self, seq: int) -> list[Edit] | None:
        """The edits from number seq on, in order; None if some of them are forgotten."""
        missing = self.seq - seq
        if missing > len(self._edits):
            return None
        return list(islice(self._edits, len(self._edits) - missing, None))
