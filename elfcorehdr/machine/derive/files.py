"""Recorded files as recorded.py and memory.py want them, and the paths that both read."""

from __future__ import annotations

from collections.abc import Mapping

from elfcorehdr.lib.typed import Any, Protocol

CPU, MEMORY = "sys/devices/system/cpu", "sys/devices/system/memory"
NODE, TREE = "sys/devices/system/node", "sys/firmware/devicetree/base"


class Files(Protocol):
    """Recorded files by their path below the root, such as `sys/kernel/vmcoreinfo`."""

    @property
    def head(self) -> Mapping[str, Any]:
        """What the recorder says: uname, page_size, symbols, kcore (hex), blocks (runs); may be empty."""

    def text(self, path: str) -> str | None:
        """A file's content without its last newline; None if it is not there."""

    def data(self, path: str) -> bytes | None:
        """A file's bytes; None if it is not there."""

    def target(self, path: str) -> str | None:
        """What a link says; None if it is no link."""

    def names(self, path: str) -> list[str]:
        """The names in a directory; none if there is no such directory."""

    def matching(self, pattern: str) -> list[str]:
        """The paths whose components match those of a regular expression, in any order; its groups have no slash in them."""
