"""What open files keep of their content between two reads, and directories of their listings, each bounded for all together.

seq_file keeps a buffer for each open file as well, of the reader's memory; ours are the server's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Keeper(Protocol):
        """An open file that keeps something."""

        def forget(self) -> None:
            """Let go of it: the next read makes it anew, as the machine is then."""


class Keeps:
    """An open file with operations of its own that keeps so much from its open on."""

    size = 0
    _kept: Kept | None = None

    def kept_by(self, kept: Kept) -> None:
        """Its tree has opened it."""
        self._kept = kept
        kept.hold(self, self.size)

    def forget(self) -> None:
        """See Keeper."""

    def close(self) -> None:
        """Nothing more is read."""
        if self._kept is not None:
            self._kept.drop(self)


KEPT_MAX = 1 << 24
"""Bytes that all open files together keep, and all directories; whose content was made longest ago forgets it."""


class Kept:
    """Who keeps how much, the latest last."""

    __slots__ = ("_sizes", "_total")

    def __init__(self) -> None:
        self._sizes: dict[Keeper, int] = {}
        self._total = 0

    def hold(self, file: Keeper, size: int) -> None:
        """A file now keeps so many bytes."""
        self.drop(file)
        self._sizes[file] = size
        self._total += size
        while self._total > KEPT_MAX and len(self._sizes) > 1:
            oldest = next(iter(self._sizes))
            self.drop(oldest)
            oldest.forget()

    def drop(self, file: Keeper) -> None:
        """It keeps nothing, or is closed."""
        self._total -= self._sizes.pop(file, 0)
