"""Files that a machine has in its memory: `content = "file:PATH"` of [[use]]."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from elfcorehdr.errors import ProfileError


def opened(path: str) -> Callable[[int, int], bytes]:
    """A reader of a file: offset, size. It stays open; ProfileError if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        os.pread(fd, 1, 0)
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}") from None
    return lambda offset, size: os.pread(fd, size, offset)


class MappedFiles:
    """The files, open as long as this is; ProfileError for one that cannot be read."""

    def __init__(self, contents: Iterable[str]) -> None:
        self._fds: dict[str, int] = {}
        for content in contents:
            path = content.removeprefix("file:")
            if path == content or path in self._fds:
                continue
            try:
                self._fds[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                os.pread(self._fds[path], 1, 0)
            except OSError as error:
                raise ProfileError(f"[[use]] file:{path}: {error.strerror}") from None

    def read(self, path: str, offset: int, size: int) -> bytes:
        """At most size bytes from an offset; none behind the end."""
        return os.pread(self._fds[path], size, offset)
