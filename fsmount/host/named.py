"""Machines that have a name instead of a directory of their user's: `kdumpfs run --name X`.

Each is mounted at a directory that nobody else can enter, found by the name alone.
"""

from __future__ import annotations

import errno
import os
import stat

from elfcorehdr.errors import ProfileError, suppress

_MOST = 64
"""Characters of a name."""


def directory_of(name: str) -> str:
    """Where the machine of a name is, or would be, mounted. ProfileError if it is no name."""
    known = name.isascii() and name[:1].isalnum() and len(name) <= _MOST
    if not known or not all(one.isalnum() or one in "._-" for one in name):
        raise ProfileError(
            f"--name {name[:_MOST]!r}: expected at most {_MOST} letters, digits, '.', '_' or '-', the first a letter or digit"
        )
    return f"{_top()}/{name}"


def made(name: str) -> str:
    """directory_of(), which is there now. ProfileError if somebody else could have made it."""
    directory = directory_of(name)
    top = os.path.dirname(directory)
    while True:
        with suppress(FileExistsError):
            os.mkdir(top, 0o700)
        try:
            found = os.lstat(top)
            if (
                not stat.S_ISDIR(found.st_mode)
                or found.st_uid != os.geteuid()
                or found.st_mode & 0o077
            ):
                raise ProfileError(f"{top}: expected a directory that is yours alone, mode 0700")
            os.mkdir(directory, 0o700)
        except FileExistsError:  # something may be mounted there: it is not to be asked
            return directory
        except FileNotFoundError:  # the last machine's end has just taken the other one away
            continue
        return directory


def found(words: str) -> str:
    """The directory of a machine of this name, if one is mounted; else the words, which are a path then."""
    if "/" in words or words in ("", ".", "..") or _is_there(words):
        return words
    try:
        directory = directory_of(words)
    except ProfileError:
        return words
    from fsmount.host.mounting import mounted_at  # 2 ms that a path does without

    return directory if mounted_at(directory) is not None else words


def _is_there(path: str) -> bool:
    """Whether a path exists; lstat(2) would ask the server of what is mounted there, which may be stuck."""
    try:
        os.readlink(path)
    except OSError as error:
        return error.errno != errno.ENOENT
    return True


def forget(directory: str) -> None:
    """Take away the directory of a named machine that was unmounted, and the last one's with it."""
    top = _top()
    if os.path.dirname(directory) == top:
        with suppress(OSError):
            os.rmdir(directory)
            os.rmdir(top)


def _top() -> str:
    """A directory of this user's: where the session has such things, else in /run or /tmp."""
    uid = os.geteuid()
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    with suppress(OSError):
        if session.startswith("/") and os.stat(session).st_uid == uid:
            return f"{session.rstrip('/')}/kdumpfs-{uid}"
    return f"/run/kdumpfs-{uid}" if uid == 0 else f"/tmp/kdumpfs-{uid}"
