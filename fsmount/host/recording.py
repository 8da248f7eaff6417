"""A recorded /sys and /proc, read: a folder or a tar of `kdumpfs record`, hwloc, util-linux, sosreport or cp.

A recording is exact, or it is mended and says how, or it is refused with a sentence: what `tar`
makes of an attribute (a page of NULs behind its text, or of NULs alone) is not what the kernel said.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import Record
from fsmount.host.record import HEAD, TAIL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

MOST_LISTED = 64 << 20
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


class Recorded(Record):
    """One file (content), link (target) or directory (neither); path from the recording's top."""

    path: PurePosixPath
    content: bytes | None = None
    target: str | None = None
    mode: int = 0
    """Permission bits; 0 where the recording does not keep them."""
    listed: bool = False
    """Whether only its name is known: a file, or a directory that a section of its own tells."""


class Recording:
    """The files of a machine by their path below its root, such as `sys/kernel/vmcoreinfo`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.files: dict[str, Recorded] = {}
        self.head: dict[str, Any] = {}
        """What `kdumpfs record` says of the machine: uname, page_size, symbols, kcore; empty for other recordings."""
        self.errors: dict[str, str] = {}
        """Files that could not be read, by path, with the errno's name."""
        self.mended: list[str] = []
        """Sentences: what was not as the kernel gave it, and was put right."""
        self._names: dict[str, list[str]] | None = None

    def data(self, path: str) -> bytes | None:
        """A file's content; None if it is not there or could not be read. A link is followed."""
        for _ in range(8):
            found = self.files.get(path)
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
        found = self.files.get(path)
        return found.target if found is not None else None

    def names(self, path: str) -> list[str]:
        """The names directly in a directory."""
        return self._tree().get(path, [])

    def matching(self, pattern: str) -> list[str]:
        """The paths that a regular expression matches as a whole."""
        match = re.compile(pattern).fullmatch
        return [path for path in self.files if match(path)]

    def _tree(self) -> dict[str, list[str]]:
        if self._names is None:
            self._names = {}
            for path in self.files:
                parent, _, name = path.rpartition("/")
                self._names.setdefault(parent, []).append(name)
        return self._names


def _joined(path: str, target: str) -> str:
    """Where a link at path leads to, from the recording's root."""
    if target.startswith("/"):
        return target.lstrip("/")
    return os.path.normpath(os.path.join(os.path.dirname(path), target))


def read_recording(path: Path) -> Recording:
    """Read and judge a recording. ProfileError names what is wrong with it, and the remedy."""
    found = Recording(str(path))
    size = 0
    for one in _from_directory(path) if path.is_dir() else _from_file(path):
        size += len(one.content or b"")
        if size > MOST:
            raise ProfileError(
                f"{path}: more than {MOST >> 30} GiB in it, expected a /sys and a /proc"
            )
        if one.path.name in (HEAD, TAIL) and one.content is not None:
            _about(found, one)
        elif (place := _place(one.path)) is not None:
            known = found.files.get(place)
            found.files[place] = known if one.listed and known is not None else one
    if not any(name == "sys" or name.startswith("sys/") for name in found.files):
        raise ProfileError(f"{path}: nothing below sys/ in it, expected a recording of a /sys")
    if found.head and not found.errors and "complete" not in found.head:
        raise ProfileError(f"{path}: ends before its last entry {TAIL}: it was cut, copy it again")
    links = {f"{name}/" for name, one in found.files.items() if one.target is not None}
    if links:  # what was recorded through a link is where the link leads
        found.files = {
            name: one
            for name, one in found.files.items()
            if not any(f"{parent}/" in links for parent in _parents(name))
        }
    _judge(found)
    return found


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _about(found: Recording, one: Recorded) -> None:
    import json

    try:
        said = json.loads(one.content or b"")
        if one.path.name == HEAD:
            found.head.update(said)
        else:
            found.errors.update(said["errors"])
            found.head["complete"] = True
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProfileError(
            f"{found.name}: {one.path.name}: not what `kdumpfs record` writes"
        ) from None


def _place(path: PurePosixPath) -> str | None:
    """Where a recorded path lies below the root: from its first component `sys` or `proc` on; else nowhere."""
    parts = path.parts
    for at, part in enumerate(parts):
        if part in ("sys", "proc"):
            below = parts[at + 1 :]
            # Processes are those of whoever recorded.
            if (
                part == "proc"
                and below
                and (below[0] in ("self", "thread-self") or below[0].isdecimal())
            ):
                return None
            return "/".join(parts[at:])
    return None


DEEPEST = 3
"""How many directories may lie above sys/ and proc/: a sosreport has one."""


def _from_directory(top: Path) -> Iterator[Recorded]:
    for name in ("sys", "proc"):
        if os.path.ismount(top / name):
            raise ProfileError(
                f"{top}: {name}/ is that of a running machine, expected a recording; `kdumpfs record` makes one"
            )
    for directory, names, files in os.walk(top):
        here = PurePosixPath(Path(directory).relative_to(top))
        if not {"sys", "proc"} & {*here.parts}:
            files.clear()
            names[:] = [] if len(here.parts) >= DEEPEST else names
        for name in (*names, *files):
            full = Path(directory, name)
            if full.is_symlink():
                yield Recorded(here / name, target=os.readlink(full))
            elif full.is_dir():
                yield Recorded(here / name)
            elif full.is_file():
                try:
                    yield Recorded(here / name, content=full.read_bytes())
                except OSError as error:
                    raise ProfileError(f"{full}: {error.strerror}") from None


_OTHERS = (
    (b"hsqs", "a squashfs image", "unsquashfs -d DIR"),
    (b"070701", "a cpio archive", "mkdir DIR; cd DIR; cpio -id <"),
    (b"\xc7\x71", "a cpio archive", "mkdir DIR; cd DIR; cpio -id <"),
    (b"070707", "a cpio archive", "mkdir DIR; cd DIR; cpio -id <"),
    (b"PK\x03\x04", "a zip archive", "unzip -d DIR"),
)
_ZSTD = b"\x28\xb5\x2f\xfd"


def _from_file(path: Path) -> Iterator[Recorded]:
    try:
        with open(path, "rb") as file:
            magic = file.read(512)
            for start, what, how in _OTHERS:
                if magic.startswith(start):
                    raise ProfileError(
                        f"{path}: {what}, expected a directory or a tar; `{how} {path}` unpacks it"
                    )
            if magic.startswith(_ZSTD):
                yield from _from_zstd(path)
                return
            # The name of a tar's first member ends in a NUL; so does no line of a listing.
            if b":\n" in magic and b"\0" not in magic:
                yield from _from_listing(file.read(MOST_LISTED + 1), magic)
                return
        with tarfile.open(path) as tar:
            yield from _from_tar(path, tar)
    except EOFError:
        raise ProfileError(f"{path}: cut in the middle, copy it again") from None
    except tarfile.TarError as error:
        cut = "unexpected end" in str(error)
        why = "cut in the middle, copy it again" if cut else "not a tar, or a damaged one"
        raise ProfileError(
            f"{path}: {why}; expected a directory or a tar with sys/ in it"
        ) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise ProfileError(
            f"{path}: {why}, expected a directory or a tar with sys/ in it"
        ) from None


def _from_listing(rest: bytes, magic: bytes) -> Iterator[Recorded]:
    """What `ls -lR` or `ls -R` printed: names, and where links lead; no contents."""
    directory = PurePosixPath()
    for line in (magic + rest).decode("utf-8", "surrogateescape").splitlines():
        if line.endswith(":") and "/" in line:
            directory = PurePosixPath(line.removesuffix(":").lstrip("/"))
            yield Recorded(directory)
        elif line and not line.startswith("total "):
            words = line.split(maxsplit=8)
            long = len(words) == 9 and re.fullmatch(r"[-dlcbps][-rwxsStT]{9}[+.@]?", words[0])
            name, _, target = (words[8] if long else line).partition(" -> ")
            if target:
                yield Recorded(directory / name, target=target)
            elif not (long and words[0].startswith("d")):
                yield Recorded(directory / name, listed=True)


def _from_zstd(path: Path) -> Iterator[Recorded]:
    if shutil.which("zstd") is None:
        raise ProfileError(f"{path}: zstd is not installed: apt install zstd")
    done = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=False)
    if done.returncode:
        raise ProfileError(
            f"{path}: cut or damaged, zstd says: {done.stderr.decode().strip()[:200]}"
        )
    import io

    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        yield from _from_tar(path, tar)


def _from_tar(path: Path, tar: tarfile.TarFile) -> Iterator[Recorded]:
    last = 0
    for member in tar:
        where = PurePosixPath(member.name.lstrip("/"))
        last = tar.offset
        if member.issym():
            yield Recorded(where, target=member.linkname)
        elif member.isdir():
            yield Recorded(where, mode=member.mode & 0o7777)
        elif member.isfile() or member.islnk():
            file = tar.extractfile(member)
            content = file.read() if file is not None else b""
            yield Recorded(where, content=content, mode=member.mode & 0o7777)
    stream: IO[bytes] | None = tar.fileobj  # type: ignore[assignment]
    if stream is not None and last:
        stream.seek(last)
        if len(stream.read(512)) < 512:
            raise ProfileError(f"{path}: no end of the archive: it was cut, copy it again")


def _judge(found: Recording) -> None:
    """Mend what is certain, refuse what cannot be known: padded, empty and cut files."""
    padded, empty, cut = 0, [], []
    for name, one in list(found.files.items()):
        if one.content is None or not name.startswith("sys/"):
            continue
        line = next((form for pattern, form in LINES if pattern.fullmatch(name)), None)
        content = _unpadded(name, one.content)
        if content != one.content:
            padded += 1
            found.files[name] = Recorded(one.path, content, None, one.mode)
        if line is not None and name not in found.errors:
            text = content.strip(b"\0\n ").decode("latin-1")
            if not text:
                empty.append(name)
            elif not re.fullmatch(line, text):
                cut.append(f"{name} reads {text[:24]!r}")
    if empty:
        total = sum(any(p.fullmatch(name) for p, _ in LINES) for name in found.files)
        raise ProfileError(
            f"{found.name}: {len(empty)} of {total} files that are never empty are, such as {empty[0]}: it was made"
            f" by a tool that believes st_size or seeks holes; {REMEDY}"
        )
    if cut:
        raise ProfileError(
            f"{found.name}: {cut[0]}, expected a whole line of this file"
            + (f" (and {len(cut) - 1} more like it)" if len(cut) > 1 else "")
            + f"; {REMEDY}"
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
