"""A recorded /sys and /proc, read: a folder or a tar of `kdumpfs record`, hwloc, util-linux, sosreport or cp.

A recording is exact, or it is mended and says how, or it is refused with a sentence: what `tar`
makes of an attribute (a page of NULs behind its text, or of NULs alone) is not what the kernel said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache

from elfcorehdr.errors import ProfileError
from fsmount.host.recordings.entry import BESIDE, DEEPEST, DIRECTORY, Recorded
from fsmount.host.recordings.format import FOOT, HEAD, TAIL
from fsmount.host.recordings.sos import SAID, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from fsmount.host.recordings.index import Indexed

MOST = 1 << 30
"""Bytes of content that a recording may have, at most."""
REMEDY = "record it with `kdumpfs record`, which reads each file to its end"

# Files that are never empty, and what their one line looks like.
LINES = (
    (re.compile(r"sys/devices/system/memory/memory\d+/state"), r"online|offline|going-offline"),
    (re.compile(r"sys/devices/system/memory/memory\d+/phys_index"), r"[0-9a-f]{8}|[0-9a-f]{1,16}"),
    (re.compile(r"sys/devices/system/memory/block_size_bytes"), r"[0-9a-f]+"),
    (re.compile(r"sys/devices/system/cpu/(possible|present|online)"), r"[0-9]+([-,][0-9]+)*"),
    (re.compile(r"sys/devices/system/node/(possible|online)"), r"[0-9]+([-,][0-9]+)*"),
)


NEVER_EMPTY = ("state", "phys_index", "block_size_bytes", "possible", "present", "online")
"""The last components of what LINES matches."""
TOPS = ("cgroup", "dev", "run")
"""The first components of BESIDE."""
PROC = ("cpuinfo", "meminfo", "iomem", "cmdline", "version", "stat", "uptime", "zoneinfo", "vmstat")
"""Files of /proc that are never empty; their st_size is 0, and what believes that reads nothing."""
STATES = ("online", "offline", "going-offline")


class Recording:
    """The files of a machine by their path below its root, such as `sys/kernel/vmcoreinfo`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.head: dict[str, Any] = {}
        """What `kdumpfs record` says of the machine: uname, page_size, symbols, kcore; empty for other recordings."""
        self.errors: dict[str, str] = {}
        """Files that could not be read, by path, with the errno's name."""
        self.mended: list[str] = []
        """Sentences: what was not as the kernel gave it, and was put right."""
        self._directories: dict[str, dict[str, Recorded]] = {"": {}}

    def add(self, path: str, one: Recorded) -> None:
        """Put a file, link or directory there, with the directories above it; nothing is put over what is known better."""
        parent, _, name = path.rpartition("/")
        names = self._directories.get(parent)
        if names is None:
            self.add(parent, DIRECTORY)
            names = self._directories[parent]
        if one.directory:
            self._directories.setdefault(path, {})
        elif one.listed and name in names:
            return
        names[name] = one

    def take(self, top: str, one: Recorded, other: Recording) -> None:
        """Put what another recording has at a name of its root here."""
        self._directories[""][top] = one
        for path, names in other._directories.items():
            if path == top or path.startswith(f"{top}/"):
                self._directories[path] = names

    def directory(self, path: str) -> dict[str, Recorded] | None:
        """What is in a directory, by name; None if there is no such directory."""
        return self._directories.get(path)

    def find(self, path: str) -> Recorded | None:
        """What is at a path; links are not followed."""
        parent, _, name = path.rpartition("/")
        names = self.directory(parent)
        return names.get(name) if names is not None else None

    def paths(self) -> Iterator[tuple[str, Recorded]]:
        """All there is, directories before what is in them."""
        below = [""]
        while below:
            parent = below.pop()
            for name, one in (self.directory(parent) or {}).items():
                path = f"{parent}/{name}" if parent else name
                yield path, one
                if one.directory:
                    below.append(path)

    def data(self, path: str) -> bytes | None:
        """A file's content; None if it is not there or could not be read. A link is followed."""
        for _ in range(8):
            found = self.find(path)
            if found is None or path in self.errors:
                return None
            if found.target is None:
                return found.content
            path = _joined(path, found.target)
        return None

    def text(self, path: str) -> str | None:
        """As data(), as text without the newline at its end."""
        content = self.data(path)
        if content is None:
            return None
        return content.decode("utf-8", "surrogateescape").removesuffix("\n")

    def target(self, path: str) -> str | None:
        """What a link says; None if it is none."""
        found = self.find(path)
        return found.target if found is not None else None

    def names(self, path: str) -> list[str]:
        """The names directly in a directory."""
        return list(self.directory(path) or ())

    def matching(self, pattern: str) -> list[str]:
        """The paths whose components match those of a regular expression; none of its groups has a slash in it."""
        found = [""]
        for part in pattern.split("/"):
            if re.escape(part) == part:
                found = [f"{parent}/{part}" if parent else part for parent in found]
                continue
            match = re.compile(part).fullmatch
            found = [
                f"{parent}/{name}"
                for parent in found
                for name in self.directory(parent) or ()
                if match(name)
            ]
        return [path for path in found if self.find(path) is not None]


def _joined(path: str, target: str) -> str:
    """Where a link at path leads to, from the recording's root."""
    if target.startswith("/"):
        return target.lstrip("/")
    return os.path.normpath(os.path.join(os.path.dirname(path), target))


class IndexedRecording(Recording):
    """An archive of `kdumpfs record`, of which a directory is read when it is asked for."""

    def __init__(self, name: str, indexed: Indexed) -> None:
        super().__init__(name)
        self._indexed = indexed
        self.head = indexed.head | {"blocks": indexed.tail["blocks"]}
        self.errors = indexed.tail["errors"]
        self._files = lru_cache(1024)(self._read_files)

    def directory(self, path: str) -> dict[str, Recorded] | None:
        """As Recording.directory()."""
        if path not in self._indexed:
            return None
        return {
            **self._files(path, links=True),
            **dict.fromkeys(self._indexed.below(path), DIRECTORY),
        }

    def find(self, path: str) -> Recorded | None:
        """As Recording.find()."""
        if path in self._indexed:
            return DIRECTORY
        parent, _, name = path.rpartition("/")
        return self._files(parent, links=False).get(name) or self._files(parent, links=True).get(
            name
        )

    def _read_files(self, path: str, *, links: bool) -> dict[str, Recorded]:
        try:
            found = self._indexed.files(path, links=links)
        except (ValueError, OSError) as error:
            raise ProfileError(f"{self.name}: damaged: {error}") from None
        return {
            name.rpartition("/")[2]: Recorded(content, target, mode, False)
            for name, content, target, mode in found
            if "/" in name
        }


def check_kind(path: str | Path) -> None:
    """ProfileError for what is there but neither a file nor a directory: it may have no end, or nobody who writes it."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ProfileError(f"{path}: a device, FIFO or socket, expected a file or a directory")


def read_recording(path: str | Path) -> Recording:
    """Read and judge a recording. ProfileError names what is wrong with it, and the remedy."""
    check_kind(path)
    is_directory = os.path.isdir(path)
    if not is_directory and (indexed := _indexed(str(path))) is not None:
        return indexed
    from pathlib import Path

    from fsmount.host.recordings.sources import from_directory, from_file

    found = Recording(str(path))
    tops: dict[str, Recording] = {}
    size, prefix = 0, None
    for name, one in from_directory(Path(path)) if is_directory else from_file(Path(path)):
        size += len(one.content or b"")
        if size > MOST:
            raise ProfileError(
                f"{path}: more than {MOST >> 30} GiB in it, expected a /sys and a /proc"
            )
        if prefix is None or not name.startswith((f"{prefix}sys/", f"{prefix}proc/")):
            if (last := name.rpartition("/")[2]) in (HEAD, TAIL, FOOT) and one.content is not None:
                _about(found, last, one.content)
                continue
            if SAID.search(name) and one.content is not None:
                told(found.head, name, one.content)
                continue
            prefix = _prefix(name)
        if prefix is not None and not PROCESSES.match(name, len(prefix)):
            if prefix not in tops:
                tops[prefix] = Recording(prefix)
            tops[prefix].add(name[len(prefix) :], one)
    # The shallowest is the machine's, others are in something of it.
    order = sorted(tops, key=lambda p: p.count("/"))
    of_sys = next((prefix for prefix in order if tops[prefix].find("sys")), None)
    for prefix in [of_sys, *order] if of_sys is not None else ():
        for top, one in (tops[prefix].directory("") or {}).items():
            if found.find(top) is None and (prefix == of_sys or top == "proc"):
                found.take(top, one, tops[prefix])
    if found.directory("sys") is None:
        raise ProfileError(f"{path}: nothing below sys/ in it, expected a recording of a /sys")
    if "format" in found.head and "complete" not in found.head:
        raise ProfileError(f"{path}: ends before its last entry {TAIL}: it was cut, copy it again")
    _unlinked(found)
    _judge(found)
    return found


PROCESSES = re.compile(r"proc/[0-9]+(/|$)")
"""Those of whoever recorded."""


def _prefix(name: str) -> str | None:
    """What stands before the first component `sys` or `proc`, or before BESIDE; None without one, or if that lies too deep."""
    parts = name.split("/")
    at = 0
    for part in parts[: DEEPEST + 1]:
        if part in ("sys", "proc") or (part in TOPS and BESIDE.match(name, at)):
            return name[:at]
        at += len(part) + 1
    return None


def _indexed(path: str) -> Recording | None:
    """The recording by its index, if it has one, and that tells of blocks as they can be."""
    from fsmount.host.recordings.index import Indexed

    try:
        indexed = Indexed(path)
        known = all(
            state in STATES and isinstance(zones, str) and all(isinstance(n, int) for n in numbers)
            for first, last, state, zones, nodes in indexed.tail["blocks"]
            for numbers in [(first, last, *nodes)]
        )
        known = known and isinstance(indexed.tail["errors"], dict)
    except (ValueError, KeyError, TypeError, OSError):
        return None  # read whole, where what is wrong is told
    return IndexedRecording(path, indexed) if known else None


def _unlinked(found: Recording) -> None:
    """What was recorded through a link is where the link leads: it goes."""
    links = [path for path, one in found.paths() if one.target is not None]
    through = [link for link in links if link in found._directories]
    for link in through:
        for directory in [*found._directories]:
            if directory == link or directory.startswith(f"{link}/"):
                del found._directories[directory]


def _about(found: Recording, name: str, content: bytes) -> None:
    import json

    try:
        said = json.loads(content)
        if name == HEAD:
            found.head.update(said)
        elif name == TAIL:
            found.errors.update(said["errors"])
            found.head["complete"] = True
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProfileError(f"{found.name}: {name}: not what `kdumpfs record` writes") from None


def _judge(found: Recording) -> None:
    """Mend what is certain, refuse what cannot be known: padded, empty and cut files."""
    padded, empty, cut, never = 0, [], [], 0
    for directory, names in found._directories.items():
        if not directory.startswith("sys/"):
            continue
        for last, one in names.items():
            if one.content is None:
                continue
            name = f"{directory}/{last}"
            content = _unpadded(name, one.content)
            if content != one.content:
                padded += 1
                names[last] = one._replace(content=content)
            if last not in NEVER_EMPTY or name in found.errors:
                continue
            line = next((form for pattern, form in LINES if pattern.fullmatch(name)), None)
            if line is None:
                continue
            never += 1
            text = content.strip(b"\0\n ").decode("latin-1")
            if not text:
                empty.append(name)
            elif not re.fullmatch(line, text):
                cut.append(f"{name} reads {text[:24]!r}")
    if empty:
        raise ProfileError(
            f"{found.name}: {len(empty)} of {never} files that are never empty are, such as {empty[0]}: it was made"
            f" by a tool that believes st_size or seeks holes; {REMEDY}"
        )
    if cut:
        raise ProfileError(
            f"{found.name}: {cut[0]}, expected a whole line of this file"
            + (f" (and {len(cut) - 1} more like it)" if len(cut) > 1 else "")
            + f"; {REMEDY}"
        )
    proc = found.directory("proc") or {}
    unread = [name for name in PROC if name in proc and proc[name].content == b""]
    if unread:
        for name in [name for name, one in proc.items() if one.content == b""]:
            del proc[name]
        found.mended.append(
            f"/proc/{unread[0]} and the like are empty, as what believes an st_size of 0 leaves them: taken as not recorded"
        )
    if padded:
        found.mended.append(
            f"{padded} files were padded with NULs, as tar does with attributes up to a page: cut at their text"
        )


def _unpadded(name: str, content: bytes) -> bytes:
    """A text attribute less the NULs behind it, up to a page (tar) or one (old hwloc); what is binary stays."""
    if not content.endswith(b"\0") or "devicetree" in name:
        return content
    text = content.rstrip(b"\0")
    return content if b"\0" in text or (text and not text.endswith(b"\n")) else text
