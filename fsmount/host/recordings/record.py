#!/usr/bin/env python3
"""Record a machine's /sys and /proc, as far as kdumpfs knows them: `kdumpfs record`, or this one file, copied there.

    python3 record.py -o lpar.tar.gz            # as root: /proc/iomem shows addresses to root alone
    python3 record.py --anonymize -o lpar.tar.gz

Files are read whole (what st_size says of an attribute is a page, not its length), so that what
`tar` makes of them, padded or empty, does not happen. The first entry of the archive says whose
it is; the last one what could not be read, so that a cut archive is known. Needs nothing but Python
3.6, and imports nothing of kdumpfs: that is what makes it one file.
"""

import argparse
import contextlib
import errno
import os
import re
import stat
import sys
import tarfile
import time

from fsmount.host.recordings.anonymize import host_names, without_secrets
from fsmount.host.recordings.archive import Archive, whole_or_not
from fsmount.host.recordings.format import HEAD

FORMAT = 2

TREES = (
    "sys/devices/system",
    "sys/bus/cpu",
    "sys/bus/memory",
    "sys/bus/node",
    "sys/firmware/memmap",
    "sys/firmware/devicetree/base",
    "sys/firmware/opal/mpipl",
    "sys/kernel",
    "sys/module/memory_hotplug",
    "proc/sys/kernel",
    "proc/sys/vm",
    "proc/ppc64",
    "proc/powerpc",
)
"""Directories that are recorded whole, less SKIPPED."""
SKIPPED = re.compile(
    r"sys/kernel/(debug/(?!memblock($|/))|(tracing|slab|btf|security|config|irq|iommu_groups|cgroup"
    r"|software_nodes|livepatch|boot_params)($|/))"
    r"|proc/sys/kernel/random($|/)|.*/stat_refresh$"
)
FILES = (
    *[
        "cmdline",
        "cpuinfo",
        "meminfo",
        "iomem",
        "ioports",
        "version",
        "uptime",
        "loadavg",
        "stat",
        "interrupts",
        "softirqs",
        "modules",
        "vmstat",
        "zoneinfo",
        "buddyinfo",
        "pagetypeinfo",
        "slabinfo",
        "swaps",
        "filesystems",
        "devices",
        "misc",
        "consoles",
        "config.gz",
        "mounts",
        "partitions",
        "crypto",
        "execdomains",
        "key-users",
        "cgroups",
        "schedstat",
        "vmallocinfo",
        "powerpc/lparcfg",
        "device-tree",
    ],
)
"""Single files of /proc."""
MOST = 4 << 20
"""No file is read beyond that many bytes."""
SYMBOLS = ("_text", "_stext", "_etext", "_end", "swapper_pg_dir", "init_top_pgt", "vmcoreinfo_data")
KCORE_HEAD = 1 << 16
OF_BLOCK = re.compile(
    r"sys/devices/system/memory/memory(\d+)(?:/(state|valid_zones|node\d+))?$", re.ASCII
)


def entries(top):
    # type: (str) -> "list[str]"
    """Every path to record, below top, without a leading slash.

    What is in a directory stands together and behind the directory: files, links, directories.
    """
    below = {}  # type: dict[str, tuple[list[str], list[str], list[str]]]

    def found(path):
        # type: (str) -> None
        parent, _, name = path.rpartition("/")
        if parent not in below:
            if parent:
                found(parent)
            below[parent] = [], [], []
        full = os.path.join(top, path)
        kinds = below[parent][1 if os.path.islink(full) else 2 if os.path.isdir(full) else 0]
        if name not in kinds:
            kinds.append(name)

    def walk(path):
        # type: (str) -> None
        try:
            with os.scandir(os.path.join(top, path)) as listed:
                names = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            return
        files, links, directories = below.setdefault(path, ([], [], []))
        for entry in names:
            if SKIPPED.match(path + "/" + entry.name):
                continue
            if entry.is_symlink():
                links.append(entry.name)
            else:
                (directories if entry.is_dir() else files).append(entry.name)
        for name in directories:
            walk(path + "/" + name)

    for tree in TREES:
        full = os.path.join(top, tree)
        if os.path.isdir(full):
            found(tree)
            if not os.path.islink(full):
                walk(tree)
    for name in FILES:
        if os.path.lexists(os.path.join(top, "proc", name)):
            found("proc/" + name)
    return [
        f"{parent}/{name}".lstrip("/")
        for parent in below
        for kind in below[parent]
        for name in kind
    ]


def read(path):
    # type: (str) -> bytes
    """A file's whole content, at most MOST bytes, without waiting for one that has nothing yet."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    try:
        parts = []
        left = MOST
        while left > 0:
            part = os.read(fd, min(left, 1 << 16))
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(fd)


class Recorder:
    """Writes one archive."""

    def __init__(self, archive, top="/", anonymize=False):
        # type: (Archive, str, bool) -> None
        self._archive = archive
        self._top = top
        self._anonymize = anonymize
        self._hosts = host_names(hostname(top)) if anonymize else []
        self._now = int(time.time())
        self._parent = None  # type: str | None
        self.errors = {}  # type: dict[str, str]
        self.count = 0
        self.directories = {"": [0]}  # type: dict[str, list[object]]
        """Of a directory where in the tar its entries begin (files, links, directories), and the names of its directories."""
        self.blocks = {}  # type: dict[int, dict[str, str]]
        """Of each memory block what a boot may not find as it was: state, valid_zones, nodes."""

    def head(self):
        # type: () -> None
        """Whose recording this is."""
        name = os.uname()
        here = {}  # type: dict[str, object]
        if os.path.abspath(self._top) == "/":  # else it is another machine's files
            here["uname"] = {
                "release": name.release,
                "version": name.version,
                "machine": name.machine,
                "nodename": "localhost" if self._anonymize else name.nodename,
            }
            here["page_size"] = os.sysconf("SC_PAGE_SIZE")
        self._archive.text(
            HEAD,
            dict(
                here,
                format=FORMAT,
                root=os.geteuid() == 0,
                anonymized=self._anonymize,
                symbols=symbols(self._top),
                kcore=kcore_head(self._top),
            ),
        )

    def tail(self):
        # type: () -> "dict[str, object]"
        """What could not be read, how many entries there are, where those of a directory are, and runs of like blocks."""
        return {
            "entries": self.count,
            "errors": self.errors,
            "directories": self.directories,
            "blocks": runs(self.blocks),
        }

    def add(self, path):
        # type: (str) -> None
        """One file, link or directory; what cannot be read is noted with its errno."""
        full = os.path.join(self._top, path)
        try:
            found = os.lstat(full)
            link = os.readlink(full) if stat.S_ISLNK(found.st_mode) else ""
        except OSError as error:
            self._failed(path, error)
            return
        info = tarfile.TarInfo(path)
        info.mode, info.mtime = stat.S_IMODE(found.st_mode), self._now
        content = b""
        if stat.S_ISREG(found.st_mode):
            if found.st_mode & 0o444:
                try:
                    content = read(full)
                except OSError as error:
                    self._failed(path, error)
            if self._anonymize:
                content = without_secrets(path, content, self._hosts)
        elif stat.S_ISDIR(found.st_mode):
            info.type = tarfile.DIRTYPE
            self.directories[path] = [0]
        elif link:
            info.type, info.linkname = tarfile.SYMTYPE, link
        else:
            return
        parent = path.rpartition("/")[0]
        if parent != self._parent:
            self._parent, self.directories[parent][0] = parent, self._archive.offset
        if info.type == tarfile.DIRTYPE:
            self.directories[parent].append(path[len(parent) :].lstrip("/"))
        self.count += 1
        self._archive.add(info, content)
        block = OF_BLOCK.match(path)
        if block is not None:
            said = self.blocks.setdefault(int(block.group(1)), {})
            said[block.group(2) or ""] = content.decode("ascii", "replace").rstrip()

    def _failed(self, path, error):
        # type: (str, OSError) -> None
        self.errors[path] = errno.errorcode.get(error.errno or 0, str(error.errno))


def runs(blocks):
    # type: (dict[int, dict[str, str]]) -> "list[list[object]]"
    """Runs of memory blocks that are alike: first, last, state, valid_zones ("" if it has none), nodes."""
    found = []  # type: list[list[object]]
    for n in sorted(blocks):
        one = blocks[n]
        nodes = sorted(int(name[4:]) for name in one if name.startswith("node"))
        what = [one.get("state", ""), one.get("valid_zones", ""), nodes]  # type: list[object]
        if found and found[-1][1] == n - 1 and found[-1][2:] == what:
            found[-1][1] = n
        else:
            found.append([n, n, *what])
    return found


def hostname(top):
    # type: (str) -> bytes
    """The name of the machine whose files are below top."""
    try:
        return read(os.path.join(top, "proc/sys/kernel/hostname"))
    except OSError:
        return b""


def symbols(top):
    # type: (str) -> "dict[str, str]"
    """Addresses of a few symbols, where /proc/kallsyms shows them."""
    found = {}
    try:
        with open(os.path.join(top, "proc/kallsyms"), errors="replace") as lines:
            for line in lines:
                words = line.split()
                if len(words) == 3 and words[2] in SYMBOLS and int(words[0], 16):
                    found[words[2]] = words[0]
    except (OSError, ValueError):
        pass
    return found


def kcore_head(top):
    # type: (str) -> str
    """The program headers of /proc/kcore in hex: where the direct map and the kernel's image lie. "" if closed."""
    try:
        with open(os.path.join(top, "proc/kcore"), "rb") as file:
            head = file.read(KCORE_HEAD)
    except OSError:
        return ""
    return maps_of(head)


def maps_of(head):
    # type: (bytes) -> str
    """The ELF header and the program headers of a core in hex; "" if it is none."""
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return ""
    phoff, phnum = int.from_bytes(head[32:40], "little"), int.from_bytes(head[56:58], "little")
    return head[: phoff + 56 * phnum].hex()


def record(path, top="/", anonymize=False, progress=None):
    # type: (str, str, bool, object) -> "dict[str, str]"
    """Record the machine whose files are below top into an archive; what could not be read, path to errno.

    OSError if the archive cannot be written; nothing is left of it then.
    """
    names = entries(top)
    part = whole_or_not(path)
    archive = None
    try:
        archive = Archive(part)
        recorder = Recorder(archive, top, anonymize)
        recorder.head()
        for done, name in enumerate(names):
            recorder.add(name)
            if progress is not None and not done % 256:
                progress(done, len(names))  # type: ignore[operator]
        archive.end(recorder.tail())
        if part != path:
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            if archive is not None:
                archive.close()
        if part != path:
            with contextlib.suppress(OSError):
                os.unlink(part)
        raise
    return recorder.errors


def bar(stream):
    # type: (object) -> object
    """A progress line on a terminal, from the third second on; None elsewhere."""
    if not stream.isatty():  # type: ignore[attr-defined]
        return None
    start = time.time()

    def show(done, total):
        # type: (int, int) -> None
        if time.time() - start > 2:
            stream.write(f"\r{done} of {total} files")  # type: ignore[attr-defined]
            stream.flush()  # type: ignore[attr-defined]

    return show


def main(argv=None, name="record"):
    # type: ("list[str] | None", str) -> int
    """The command line of a program of that name: exit status 0 recorded, 2 trouble."""
    parser = argparse.ArgumentParser(prog=name, description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "-o", "--output", default="recording.tar.gz", metavar="FILE.tar[.gz|.xz|.zst]"
    )
    parser.add_argument(
        "--anonymize", action="store_true", help="leave out names, addresses, serials"
    )
    parser.add_argument("--root", default="/", metavar="DIR", help="record the files below DIR")
    given = parser.parse_args(argv)
    try:
        errors = record(given.output, given.root, given.anonymize, bar(sys.stderr))
    except OSError as error:
        sys.stderr.write(f"{name}: {given.output}: {error.strerror or error}\n")
        return 2
    sys.stdout.write(f"{given.output}: recorded")
    if errors:
        sys.stdout.write(f", {len(errors)} files could not be read")
        if os.geteuid():
            sys.stdout.write("; root sees more (/proc/iomem has no addresses for others)")
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
