"""A change between kernels, and the versions that have it.

The changes themselves are in __init__.py and in_sysfs.py.
"""

from __future__ import annotations

import re
from enum import Enum

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import Record

Version = tuple[int, ...]
"""A release as numbers: (6, 12) is 6.12, (6, 12, 107) is 6.12.107."""

NEVER: Version = (1 << 16,)
"""Not in any release: a proposal, or a kernel bug that is off unless asked for."""


class Kind(Enum):
    """What a change is to somebody who reads `kdumpfs changes`."""

    MERGED = "merged"
    PROPOSED = "proposed"
    BUG = "bug"
    CONFIG = "config"


class Change(Record):
    """One observable difference between kernels.

    since: the first mainline release with it (NEVER: none); stable: the first release of each
    stable series that has it, or the earliest one seen with it; source: commit, mail or golden
    case; alters: one sentence on what a user sees; until: the first release without it again.
    """

    name: str
    source: str
    since: Version
    alters: str
    stable: tuple[Version, ...] = ()
    kind: Kind = Kind.MERGED
    until: Version = ()

    __eq__ = object.__eq__  # there is one of each, and kernels are asked for them at every turn
    __hash__ = object.__hash__

    def in_release(self, version: Version) -> bool:
        """Whether the release has this change, by mainline or by its stable series."""
        if self.until and version[:2] >= self.until[:2]:
            return False
        if version[:2] >= self.since[:2]:
            return True
        return any(version[:2] == s[:2] and version >= s for s in self.stable)


RELEASES: tuple[str, ...] = (
    *("6.1", "6.12", "6.16", "6.17", "6.18", "6.19"),
    *("7.0", "7.1", "7.2", "7.3"),
)
"""The versions that `kdumpfs kernels` lists; any other X.Y or X.Y.Z from 6.1 on is taken too."""

DEFAULT_RELEASE = "7.1"
"""Both patches of the seed."""


_VERSION = r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\+|[-+~_.]\w[\w.+~-]*)?"
LAST_OF_SERIES = {6: 19}
"""The last release before Linus raised the first number."""
UTS_LEN = 64
"""__NEW_UTS_LEN: the longest release that uname can say."""


def parse_version(text: str) -> Version:
    """The numbers at the start of a release: "v7.2.13+deb14-..." is (7, 2, 13), "7.1-rc1" (7, 1).

    ProfileError if it does not begin with X.Y, is longer than uname's, older than 6.1, newer than
    what is known here, or a release that never was.
    """
    if text in RELEASES:  # no start compiles the pattern
        return tuple(map(int, text.split(".")))
    match = re.fullmatch(_VERSION, text, re.ASCII)
    shown = text if len(text) <= UTS_LEN else text[:UTS_LEN] + "..."
    if match and match[3] is None and re.match(r"\.\d", text[match.end(2) :]):
        match = None  # a third number of too many digits
    if not match or len(text) > UTS_LEN:
        raise ProfileError(
            f"kernel {shown!r}: expected a release such as {', '.join(RELEASES)} or 6.12.107"
        )
    version = tuple(int(part) for part in match.group(1, 2, 3) if part is not None)
    if version < (6, 1):
        raise ProfileError(f"kernel {text!r}: older than 6.1, the oldest that is known here")
    newest = RELEASES[-1]
    if version[:2] > tuple(map(int, newest.split("."))):
        raise ProfileError(
            f"kernel {text!r}: newer than anything known here, of which the newest is {newest}"
        )
    if version[1] > LAST_OF_SERIES.get(version[0], version[1]):
        last = f"{version[0]}.{LAST_OF_SERIES[version[0]]}"
        raise ProfileError(f"kernel {text!r}: there never was one, {last} was the last of its kind")
    return version


def uts_release(text: str) -> str:
    """What uname says of a kernel that was asked for: of "7.1" 7.1.0, else what was asked for, less a leading v.

    A distribution's name may lack the third number (golden ppc64/H: 7.3-powerpc64le-64k).
    """
    release = text.removeprefix("v")
    return f"{release}.0" if release.replace(".", "", 1).isdecimal() else release
