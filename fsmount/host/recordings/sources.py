"""Where a recording's files come from: a directory, a tar in any compression, what `ls -lR` printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from elfcorehdr.errors import ProfileError
from fsmount.host.recordings.entry import BESIDE, DEEPEST, DIRECTORY, Recorded
from fsmount.host.recordings.sos import SAID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_LISTED = 64 << 20
Named = tuple[str, Recorded]
"""A path from the recording's top, and what is there."""


def from_directory(top: Path) -> Iterator[Named]:
    """The files below a directory; those of sys/ and proc/ alone are opened. ProfileError."""
    for name in ("sys", "proc"):
        if os.path.ismount(top / name):
            raise ProfileError(
                f"{top}: {name}/ is that of a running machine, expected a recording; `kdumpfs record` makes one"
            )
    yield from _below(str(top), "", inside=False)


def _below(full: str, here: str, *, inside: bool) -> Iterator[Named]:
    """here is the path so far, with a slash; inside whether it is in sys/ or proc/."""
    try:
        with os.scandir(full) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ProfileError(f"{full}: {error.strerror}") from None
    machine = not inside and any(entry.name == "sys" for entry in listed)
    for entry in listed:
        name = f"{here}{entry.name}"
        within = inside or entry.name in ("sys", "proc")
        if entry.is_symlink():
            if within:
                yield name, Recorded(target=os.readlink(entry.path))
        elif entry.is_dir():
            if within:
                yield name, DIRECTORY
            if machine and entry.name in ("cgroup", "dev", "run"):
                yield from _beside(entry.path, f"{name}/", len(here))
            elif machine and entry.name == "sos_commands":
                for path in (
                    *Path(entry.path).glob("kernel/*"),
                    *Path(entry.path).glob("memory/*"),
                ):
                    told = f"{name}/{path.relative_to(entry.path)}"
                    if SAID.search(told) and path.is_file():
                        yield told, Recorded(content=_content(str(path)))
            elif within or name.count("/") < DEEPEST:
                yield from _below(entry.path, f"{name}/", inside=within)
        elif entry.is_file() and (within or entry.name.startswith("kdumpfs-recording")):
            yield name, Recorded(content=_content(entry.path))


def _beside(full: str, here: str, start: int) -> Iterator[Named]:
    """What BESIDE names, from that many characters of the path on; nothing else is opened."""
    for entry in os.scandir(full):
        name = f"{here}{entry.name}"
        wanted = BESIDE.match(name, start) is not None
        if wanted and entry.is_dir(follow_symlinks=False):
            yield name, DIRECTORY
            yield from _beside(entry.path, f"{name}/", start)
        elif wanted and entry.is_file(follow_symlinks=False):
            yield name, Recorded(content=_content(entry.path))


LARGEST = 256 << 20
"""Bytes of a file in a recording, at most."""


def _content(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise ProfileError(
                    f"{path}: {size} bytes, expected at most {LARGEST}: no file of /sys or /proc that is recorded has more"
                )
            return file.read()
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}") from None


_OTHERS = (
    (b"hsqs", "a squashfs image", "unsquashfs -d DIR"),
    (b"070701", "a cpio archive", "mkdir DIR; cd DIR; cpio -id <"),
    (b"\xc7\x71", "a cpio archive", "mkdir DIR; cd DIR; cpio -id <"),
    (b"070707", "a cpio archive", "mkdir DIR; cd DIR; cpio -id <"),
    (b"PK\x03\x04", "a zip archive", "unzip -d DIR"),
)
_ZSTD = b"\x28\xb5\x2f\xfd"


def from_file(path: Path) -> Iterator[Named]:
    """The entries of a tar, or the names of a listing. ProfileError says what is wrong with the file."""
    import lzma
    import tarfile
    import zlib

    from fsmount.host.recordings.tar import CutError, Unusual

    try:
        with open(path, "rb") as file:
            magic = file.read(512)
            for start, what, how in _OTHERS:
                if magic.startswith(start):
                    raise ProfileError(
                        f"{path}: {what}, expected a directory or a tar; `{how} {path}` unpacks it"
                    )
            # The name of a tar's first member ends in a NUL; so does no line of a listing.
            if b":\n" in magic and b"\0" not in magic:
                yield from _from_listing(magic + file.read(MOST_LISTED))
                return
        opened = _opener(path, magic)
        try:
            yield from _plainly(opened)
        except Unusual:
            yield from _by_tarfile(path, opened)
    except EOFError:
        raise ProfileError(f"{path}: cut in the middle, copy it again") from None
    except CutError as error:
        raise ProfileError(f"{path}: {error}: it was cut, copy it again") from None
    except (tarfile.TarError, lzma.LZMAError, zlib.error) as error:
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


def _opener(path: Path, magic: bytes) -> Callable[[], Any]:
    """What opens the file less its compression, again at each call."""
    import bz2
    import gzip
    import lzma

    if magic.startswith(b"\x1f\x8b"):
        return lambda: gzip.open(path)
    if magic.startswith(b"BZh"):
        return lambda: bz2.open(path)
    if magic.startswith(b"\xfd7zXZ\0"):
        return lambda: lzma.open(path)
    if magic.startswith(_ZSTD):
        if shutil.which("zstd") is None:
            raise ProfileError(f"{path}: zstd is not installed: apt install zstd")
        return lambda: _Zstd(path)
    return lambda: open(path, "rb")


class _Zstd:
    """What zstd(1) unpacks, as a stream. ProfileError at its end if the file is cut or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = subprocess.Popen(
            ["zstd", "-dcq", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def read(self, size: int = -1) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if not data and size:
            _, said = self._process.communicate()
            if self._process.returncode:
                raise ProfileError(
                    f"{self._path}: cut or damaged, zstd says: {said.decode().strip()[:200]}"
                )
        return data

    def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> _Zstd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _from_listing(text: bytes) -> Iterator[Named]:
    """What `ls -lR` or `ls -R` printed: names, and where links lead; no contents."""
    directory = ""
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        if line.endswith(":") and "/" in line:
            directory = line.removesuffix(":").lstrip("./")
            yield directory, DIRECTORY
        elif line and not line.startswith("total "):
            words = line.split(maxsplit=8)
            long = len(words) == 9 and re.fullmatch(r"[-dlcbps][-rwxsStT]{9}[+.@]?", words[0])
            name, _, target = (words[8] if long else line).partition(" -> ")
            if target:
                yield f"{directory}/{name}", Recorded(target=target)
            elif not (long and words[0].startswith("d")):
                yield f"{directory}/{name}", Recorded(listed=True)


def _plainly(opened: Callable[[], Any]) -> Iterator[Named]:
    from fsmount.host.recordings.tar import members

    with opened() as stream:
        for path, content, target, mode in members(stream):
            yield path.removeprefix("./"), Recorded(content, target, mode)
        while stream.read(1 << 20):  # to the end, where a compressed file says whether it is whole
            pass


def _by_tarfile(path: Path, opened: Callable[[], Any]) -> Iterator[Named]:
    """As _plainly(), with sparse files, hard links and whatever else there is."""
    import io
    import tarfile

    with opened() as source:
        stream = io.BytesIO(source.read()) if isinstance(source, _Zstd) else source
        last = 0
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                name, last = member.name.strip("/").removeprefix("./"), tar.offset
                mode = member.mode & 0o7777
                if member.issym():
                    yield name, Recorded(target=member.linkname)
                elif member.isdir():
                    yield name, Recorded(mode=mode)
                elif member.isfile() or member.islnk():
                    file = tar.extractfile(member)
                    yield name, Recorded(file.read() if file is not None else b"", None, mode)
        stream.seek(last)
        if len(stream.read(512)) < 512:
            raise ProfileError(f"{path}: no end of the archive: it was cut, copy it again")
