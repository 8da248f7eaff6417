"""signal(2) by plain numbers: the module signal makes enumerations of them, 1.5 ms of a start with what it imports."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signal
else:
    import _signal as signal

__all__ = ("signal",)
