"""A foreign userland from Debian's packages: fetched by apt, unpacked by dpkg-deb, nothing installed.

apt works in directories of its own, with the foreign architecture and an empty list of what is
installed, so that the host's dpkg and its architectures are not touched, and no privilege is needed.
Its configuration (proxies, keys) is the host's. No maintainer script runs.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.record import Record
from fsmount.foreign.guests import GUESTS, Guest

MIRROR = "http://deb.debian.org/debian"
QEMU_SUITE = "sid"
MERGED = ("bin", "lib", "lib64", "sbin")
"""Links into usr/, as every Debian has them since 12; made first, so that packages unpack through them."""

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of all there is to do: 0 to 1."""


class Package(Record):
    """A package that apt would install."""

    name: str
    version: str
    priority: str
    section: str

    @property
    def everywhere(self) -> bool:
        """Whether it is a command that every Debian has (shell, coreutils, perl-base): the host's serves."""
        return self.priority == "required" and self.section not in ("libs", "oldlibs")


def guest_of(name: str) -> Guest:
    """The guest that uname(2) or Debian calls so. ProfileError."""
    for guest in GUESTS:
        if name in (guest.machine, guest.debian):
            return guest
    known = ", ".join(guest.machine for guest in GUESTS)
    raise ProfileError(f"userland: architecture {name[:40]!r}, expected one of {known}")


def fetch(
    guest: Guest,
    names: Sequence[str],
    output: Path,
    *,
    suite: str | None = None,
    mirror: str | None = None,
    whole: bool = False,
    progress: Progress = lambda what, done: None,
) -> list[Package]:
    """Unpack packages and the libraries they need into `output`; what was unpacked.

    whole: also the commands that every Debian has, for a root of its own. ProfileError in a sentence.
    """
    for tool in ("apt-get", "apt-cache", "dpkg-deb", "tar"):
        if shutil.which(tool) is None:
            raise ProfileError(f"userland: {tool} is missing here, and Debian's packages need it")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProfileError(f"userland: {output}: {error.strerror}") from None
    with tempfile.TemporaryDirectory(prefix="kdumpfs-apt-") as work:
        apt = _Apt(guest, Path(work), suite or _codename(), mirror or MIRROR)
        progress(f"lists of {apt.suite} for {guest.debian}", 0.0)
        apt.run("apt-get", "update")
        wanted = [*names, *(apt.essential() if whole else ())]
        packages = [p for p in apt.closure(wanted) if whole or p.name in names or not p.everywhere]
        apt.download(packages, lambda part: progress(f"{len(packages)} packages", part * 0.7))
        for name in MERGED:
            (output / "usr" / name).mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(output / name):
                (output / name).symlink_to(f"usr/{name}")
        files = sorted(Path(work).glob("*.deb"))
        for at, deb in enumerate(files):
            progress(deb.name.split("_")[0], 0.7 + 0.3 * at / len(files))
            _unpack(deb, output)
        progress("unpacked", 1.0)
    return packages


def fetch_qemu(
    guest: Guest,
    output: Path,
    *,
    mirror: str | None = None,
    progress: Progress = lambda what, done: None,
) -> None:
    """Put the emulator of Debian unstable, for this machine, into output/usr/bin. ProfileError."""
    native = next((g for g in GUESTS if g.machine == platform.machine()), None)
    if native is None:
        raise ProfileError(f"userland: Debian has no qemu-user for {platform.machine()} machines")
    with tempfile.TemporaryDirectory(prefix="kdumpfs-apt-") as work:
        apt = _Apt(native, Path(work), QEMU_SUITE, mirror or MIRROR)
        apt.run("apt-get", "update")
        packages = [p for p in apt.closure(["qemu-user"]) if p.name == "qemu-user"]
        apt.download(packages, lambda part: progress("qemu-user", part))
        (deb,) = Path(work).glob("qemu-user_*.deb")
        _unpack(deb, output, f"./usr/bin/qemu-{guest.machine}")


def _unpack(deb: Path, output: Path, *names: str) -> None:
    """An archive's files, or those named. By tar itself: `dpkg-deb -x` puts a directory in place of a link to one."""
    argv = ("tar", "-x", "--keep-directory-symlink", "-C", str(output), *names)
    with subprocess.Popen(
        ("dpkg-deb", "--fsys-tarfile", str(deb)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as source:
        done = subprocess.run(
            argv, stdin=source.stdout, capture_output=True, text=True, check=False
        )
    if source.returncode or done.returncode:
        raise ProfileError(f"userland: {deb.name}: {_complaint(argv, done.stderr)}")


def _codename() -> str:
    """The running Debian's name; that of the stable one elsewhere."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return "stable"
    fields = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    return fields.get("VERSION_CODENAME", "sid") if fields.get("ID") == "debian" else "stable"


class _Apt:
    """apt-get and apt-cache that know one source of one architecture."""

    def __init__(self, guest: Guest, work: Path, suite: str, mirror: str) -> None:
        self.suite = suite
        self._work = work
        for name in ("lists/partial", "archives/partial"):
            (work / name).mkdir(parents=True)
        (work / "status").touch()
        (work / "sources.list").write_text(f"deb {_signed(mirror)}{mirror} {suite} main\n")
        options = {
            "APT::Architecture": guest.debian,
            "APT::Architectures": guest.debian,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Dir::Etc::SourceList": work / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": work,
            "Dir::State::lists": work / "lists",
            "Dir::State::status": work / "status",
            "Dir::Cache": work,
            "Dir::Cache::archives": work / "archives",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::Languages": "none",
        }
        # Hooks of the host's configuration (DPkg::Pre-Install-Pkgs, APT::Update::Post-Invoke) are for its own system.
        hooks = (
            "APT::Update::Post-Invoke",
            "APT::Update::Post-Invoke-Success",
            "APT::Update::Pre-Invoke",
        )
        lines = [f'{key} "{value}";' for key, value in options.items()]
        (work / "apt.conf").write_text(
            "\n".join([*(f"#clear {hook};" for hook in hooks), *lines, ""])
        )

    def run(self, *argv: str) -> str:
        """The output of an apt tool. ProfileError with its last complaint."""
        return _call((argv[0], "-qq", "-c", str(self._work / "apt.conf"), *argv[1:]), self._work)

    def essential(self) -> list[str]:
        """Names of the packages that every system has."""
        found = []
        for record in self.run("apt-cache", "dumpavail").split("\n\n"):
            fields = _fields(record)
            if fields.get("Essential") == "yes":
                found.append(fields["Package"])
        return found

    def closure(self, names: Sequence[str]) -> list[Package]:
        """What apt would install to have these."""
        text = self.run("apt-get", "-s", "install", *names)
        versions = dict(re.findall(r"^Inst (\S+) \((\S+)", text, re.MULTILINE))
        asked = [f"{name}={version}" for name, version in versions.items()]
        packages = {}
        for record in self.run("apt-cache", "show", *asked).split("\n\n"):
            fields = _fields(record)
            if "Package" in fields:
                name = fields["Package"]
                packages[name] = Package(
                    name, fields["Version"], fields.get("Priority", ""), fields.get("Section", "")
                )
        return list(packages.values())

    def download(self, packages: Iterable[Package], told: Callable[[float], None]) -> None:
        """The archives, into the working directory."""
        read, write = os.pipe()
        argv = (
            "apt-get", "-qq", "-c", str(self._work / "apt.conf"), "-o", f"APT::Status-Fd={write}",
            "download", *(f"{p.name}={p.version}" for p in packages),
        )  # fmt: skip
        with subprocess.Popen(
            argv,
            cwd=self._work,
            pass_fds=(write,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as apt:
            os.close(write)
            with open(read) as status:
                for line in status:
                    word, _, rest = line.partition(":")
                    if word == "dlstatus":
                        told(float(rest.split(":")[1]) / 100)
            assert apt.stderr is not None
            said = apt.stderr.read()
        if apt.returncode:
            raise ProfileError(f"userland: {_complaint(argv, said)}")


def _signed(mirror: str) -> str:
    """Debian's keys, where they are not among those that apt trusts anyway."""
    keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    return f"[signed-by={keys}] " if keys.exists() else ""


def _fields(record: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z-]+): (.*)$", record, re.MULTILINE))


def _call(argv: tuple[str, ...], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProfileError(f"userland: {_complaint(argv, done.stderr)}")
    return done.stdout


def _complaint(argv: Sequence[str], said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("E:")] or said.splitlines()
    what = " ".join(word for word in argv[:1])
    return f"{what}: {lines[0][:300] if lines else 'failed'}"
