"""What the language of types has that a running program names, without importing typing: 2.3 ms of a start of 50.

To a checker all of it is typing's own. NamedTuple is in record.py; what only annotations name needs no stand-in: it
is imported below `if TYPE_CHECKING:`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Any
    from typing import Generic as Generic
    from typing import Protocol as Protocol
    from typing import TypeVar as TypeVar
    from typing import overload as overload
else:
    Any = Protocol = object

    class Generic:
        """A class that can be subscripted, to no effect."""

        __slots__ = ()

        def __class_getitem__(cls, _):
            return cls

    def TypeVar(_name, **_):  # noqa: N802
        """Stands for any type."""
        return object

    def overload(function):
        """As it is: the last definition of the name stays."""
        return function
