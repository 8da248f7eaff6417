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
import functools
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import time

FORMAT = 1
HEAD, TAIL = "kdumpfs-recording.json", "kdumpfs-recording-end.json"

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
    r"sys/kernel/(debug|tracing|slab|btf|security|config|irq|iommu_groups|cgroup|software_nodes"
    r"|livepatch|address_bits|boot_params)($|/)"
    r"|sys/kernel/debug/(?!memblock)|proc/sys/kernel/random($|/)|.*/stat_refresh$"
)
ALSO = ("sys/kernel/debug/memblock", "sys/kernel/address_bits")
"""Below what SKIPPED leaves out."""
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
    ],
)
"""Single files of /proc."""
MOST = 4 << 20
"""No file is read beyond that many bytes."""
SYMBOLS = ("_text", "_stext", "_etext", "_end", "swapper_pg_dir", "init_top_pgt", "vmcoreinfo_data")
KCORE_HEAD = 1 << 16


def entries(top):
    # type: (str) -> "list[str]"
    """Every path to record, below top, without a leading slash: directories before what is in them."""
    found = []  # type: list[str]

    def walk(path):
        # type: (str) -> None
        found.append(path)
        if os.path.islink(os.path.join(top, path)):
            return
        try:
            with os.scandir(os.path.join(top, path)) as names:
                below = sorted(names, key=lambda entry: entry.name)
        except OSError:
            return
        for entry in below:
            name = path + "/" + entry.name
            if SKIPPED.match(name):
                continue
            if entry.is_dir(follow_symlinks=False):
                walk(name)
            else:
                found.append(name)

    for tree in (*TREES, *ALSO):
        if os.path.isdir(os.path.join(top, tree)):
            walk(tree)
    found += ["proc/" + name for name in FILES if os.path.exists(os.path.join(top, "proc", name))]
    if os.path.islink(os.path.join(top, "proc/device-tree")):
        found.append("proc/device-tree")
    return found


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


# What names a person, a customer or a place, and by what it is replaced: lengths stay.
SECRETS = (
    (re.compile(rb"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), b"0"),
    (re.compile(rb"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b"), b"0"),
    (re.compile(rb"\b(?:\d{1,3}\.){3}\d{1,3}\b"), b"0"),
    (re.compile(rb"(?<=[ =,])(?:LABEL|UUID|PARTUUID)=[^ \n]+"), b"x"),
    (re.compile(rb"(?<=root=)(?!/dev/)[^ \n]+|(?<=nfsroot=)[^ \n]+|(?<=ip=)[^ \n]+"), b"x"),
    (re.compile(rb"(?<=rd\.lvm\.lv=)[^ \n]+|(?<=/dev/mapper/)[^ \n]+"), b"x"),
)
SECRET_FILES = re.compile(
    r".*/(system-id|host-serial|ibm,partition-name|ibm,partition-uuid|ibm,loc-code|serial-number"
    r"|vm,uuid|host-model|hostname|domainname|boot_id|bootid)$|proc/(mounts|partitions)$"
)
SECRET_ROWS = re.compile(rb"(?m)^(serial_number|system_id|partition_name|host_serial)=.*$")


def _instead(letter, found):
    # type: (bytes, re.Match[bytes]) -> bytes
    return letter * len(found.group())


def without_secrets(path, content):
    # type: (str, bytes) -> bytes
    """The same number of bytes with names, addresses and serial numbers taken out."""
    if SECRET_FILES.match(path):
        return re.sub(rb"[^\0\n ]", b"x", content)
    if b"\0" in content.rstrip(b"\0"):
        return content  # binary: numbers of the machine
    for pattern, letter in SECRETS:
        content = pattern.sub(functools.partial(_instead, letter), content)
    return SECRET_ROWS.sub(lambda found: found.group(1) + b"=x", content)


class Recorder:
    """Writes one archive."""

    def __init__(self, tar, top="/", anonymize=False):
        # type: (tarfile.TarFile, str, bool) -> None
        self._tar = tar
        self._top = top
        self._anonymize = anonymize
        self._now = int(time.time())
        self.errors = {}  # type: dict[str, str]
        self.count = 0

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
        self._text(
            HEAD,
            {
                **here,
                "format": FORMAT,
                "root": os.geteuid() == 0,
                "anonymized": self._anonymize,
                "symbols": symbols(self._top),
                "kcore": kcore_head(self._top),
            },
        )

    def tail(self):
        # type: () -> None
        """What could not be read, and how many entries there are."""
        self._text(TAIL, {"entries": self.count, "errors": self.errors})

    def _text(self, name, value):
        # type: (str, object) -> None
        self._file(name, 0o644, (json.dumps(value, sort_keys=True) + "\n").encode())

    def _file(self, path, mode, content):
        # type: (str, int, bytes) -> None
        info = tarfile.TarInfo(path)
        info.mode, info.size, info.mtime = mode, len(content), self._now
        self._tar.addfile(info, io.BytesIO(content))

    def add(self, path):
        # type: (str) -> None
        """One file, link or directory; what cannot be read is noted with its errno."""
        full = os.path.join(self._top, path)
        try:
            found = os.lstat(full)
        except OSError as error:
            self._failed(path, error)
            return
        self.count += 1
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFREG:
            content = b""
            if found.st_mode & 0o444:
                try:
                    content = read(full)
                except OSError as error:
                    self._failed(path, error)
            if self._anonymize:
                content = without_secrets(path, content)
            self._file(path, stat.S_IMODE(found.st_mode), content)
            return
        info = tarfile.TarInfo(path)
        info.mode, info.mtime = stat.S_IMODE(found.st_mode), self._now
        if kind == stat.S_IFDIR:
            info.type = tarfile.DIRTYPE
        elif kind == stat.S_IFLNK:
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(full)
        else:
            self.count -= 1
            return
        self._tar.addfile(info)

    def _failed(self, path, error):
        # type: (str, OSError) -> None
        self.errors[path] = errno.errorcode.get(error.errno or 0, str(error.errno))


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
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return ""
    phoff, phnum = int.from_bytes(head[32:40], "little"), int.from_bytes(head[56:58], "little")
    return head[: phoff + 56 * phnum].hex()


def archive(path):
    # type: (str) -> "tuple[tarfile.TarFile, subprocess.Popen[bytes] | None]"
    """An archive to write, compressed as its name says; for .zst by zstd(1), which is returned too."""
    if path.endswith(".zst"):
        if shutil.which("zstd") is None:
            raise OSError(
                errno.ENOENT, "zstd is not installed; name the file .tar.gz or .tar.xz instead"
            )
        process = subprocess.Popen(["zstd", "-q", "-f", "-o", path, "-"], stdin=subprocess.PIPE)
        return tarfile.open(fileobj=process.stdin, mode="w|", format=tarfile.PAX_FORMAT), process
    for ending, mode in ((".gz", "w:gz"), (".tgz", "w:gz"), (".xz", "w:xz"), (".bz2", "w:bz2")):
        if path.endswith(ending):
            options = {"compresslevel": 3} if mode == "w:gz" else {}
            made = tarfile.open(path, mode, format=tarfile.PAX_FORMAT, **options)  # type: ignore[call-overload]  # noqa: SIM115
            return made, None
    return tarfile.open(path, "w", format=tarfile.PAX_FORMAT), None


def record(path, top="/", anonymize=False, progress=None):
    # type: (str, str, bool, object) -> "dict[str, str]"
    """Record the machine whose files are below top into an archive; what could not be read, path to errno.

    OSError if the archive cannot be written; nothing is left of it then.
    """
    names = entries(top)
    part = path
    if not os.path.lexists(path) or os.path.isfile(path):
        # Beside it, under another name that compresses the same: a pipe or a device is written as it is.
        part = os.path.join(os.path.dirname(path), ".part-" + os.path.basename(path))
    try:
        tar, process = archive(part)
        with tar:
            recorder = Recorder(tar, top, anonymize)
            recorder.head()
            for done, name in enumerate(names):
                recorder.add(name)
                if progress is not None and not done % 256:
                    progress(done, len(names))  # type: ignore[operator]
            recorder.tail()
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            if process.wait():
                raise OSError(errno.EIO, f"zstd could not write {path}")
        if part != path:
            os.replace(part, path)
    except BaseException:
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
