"""apt, as one that knows a foreign architecture and a suite, in directories of its own: nothing of the host's changes.

A mirror may list files that it has no longer, or not yet: it is told from the list's age by nobody. Then
the list is fetched anew, then the very file from snapshot.debian.org as of the list's date; and where
that cannot be reached, the package of a later suite takes its place.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote

from elfcorehdr.errors import ProfileError, suppress
from elfcorehdr.lib.record import Record
from fsmount.foreign.guests import Guest

SNAPSHOT = "http://snapshot.debian.org/archive/debian"
LATER = ("testing", "sid")
"""Suites whose C library runs the programs of any earlier one."""
_PATIENCE_S = 20
"""For a server that may not be there at all."""


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


class Apt:
    """apt-get and apt-cache that know one source of one architecture."""

    def __init__(self, guest: Guest, work: Path, suite: str, mirror: str) -> None:
        self.suite = suite
        self.mirror = mirror
        self._work = work
        self._lacks: dict[str, str] = {}
        for name in ("lists/partial", "archives/partial"):
            (work / name).mkdir(parents=True)
        (work / "status").touch()
        (work / "preferences").touch()
        self._know(f"{_signed()}{mirror} {suite}")
        options = {
            "APT::Architecture": guest.debian,
            "APT::Architectures": guest.debian,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "APT::Update::Error-Mode": "any",
            "Dir::Etc::SourceList": work / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": work / "preferences",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": work,
            "Dir::State::lists": work / "lists",
            "Dir::State::status": work / "status",
            "Dir::Cache": work,
            "Dir::Log": work,
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

    def _know(self, *sources: str) -> None:
        """These sources alone."""
        lines = "".join(f"deb {source} main\n" for source in sources)
        (self._work / "sources.list").write_text(lines)

    def places(self) -> Iterator[str]:
        """Ways to have all packages, with their names; each is set up when it is asked for."""
        self.run("apt-get", "update")
        yield f"lists of {self.suite}"
        self.run("apt-get", "update", "-o", "Acquire::http::No-Cache=true")
        yield f"lists of {self.suite} again"
        known = f"{_signed()}{self.mirror} {self.suite}"
        if (date := self._date()) is not None:
            self._know(f"{_signed('check-valid-until=no')}{SNAPSHOT}/{date}/ {self.suite}")
            once = f"Acquire::http::Timeout={_PATIENCE_S}", "Acquire::Retries=0"
            with suppress(ProfileError):
                self.run("apt-get", "update", *(word for option in once for word in ("-o", option)))
                yield "snapshot.debian.org"
        self._know(known, *(f"{_signed()}{self.mirror} {suite}" for suite in LATER))
        with suppress(ProfileError):
            self.run("apt-get", "update")
            with open(self._work / "apt.conf", "a", encoding="utf-8") as conf:
                conf.write(f'APT::Default-Release "{self.suite}";\n')
            pins = (
                f"Package: {name}\nPin: version {version}\nPin-Priority: -1\n"
                for name, version in self._lacks.items()
            )
            (self._work / "preferences").write_text("\n".join(pins))
            yield f"{self.suite} and {', '.join(LATER)}"

    def _date(self) -> str | None:
        """When the mirror's list was made, as snapshot.debian.org writes it."""
        for release in self._work.glob("lists/*Release"):
            found = re.search(r"^Date: (.*)$", release.read_text(errors="replace"), re.MULTILINE)
            if found:
                with suppress(ValueError):
                    return parsedate_to_datetime(found[1]).strftime("%Y%m%dT%H%M%SZ")
        return None

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

    def archive(self, package: Package) -> Path | None:
        """Its file, once it is downloaded."""
        version = package.version.replace(":", "%3a")
        return next(self._work.glob(f"{package.name}_{version}_*.deb"), None)

    def download(self, packages: Sequence[Package], told: Callable[[float], None]) -> list[Package]:
        """The archives, into the working directory; those that the place lists and has not. ProfileError."""
        wanted = [package for package in packages if self.archive(package) is None]
        if not wanted:
            return []
        read, write = os.pipe()
        argv = (
            "apt-get", "-qq", "-c", str(self._work / "apt.conf"), "-o", f"APT::Status-Fd={write}",
            "download", *(f"{p.name}={p.version}" for p in wanted),
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
        if not apt.returncode:
            return []
        names = re.findall(r"^E: Failed to fetch \S*/([^/_\s]+)_\S*\s+404\b", said, re.MULTILINE)
        gone = [package for package in wanted if package.name in map(unquote, names)]
        if not gone:
            raise ProfileError(f"userland: {complaint(argv, said)}")
        self._lacks |= {package.name: package.version for package in gone}
        return gone

    def instead(self, packages: Sequence[Package]) -> list[str]:
        """Sentences: what of these took the place of what the mirror had not."""
        return [
            f"{package.name} {lacked} of {self.suite} is not on {self.mirror}: {package.version} instead"
            for package in packages
            if (lacked := self._lacks.get(package.name, package.version)) != package.version
        ]


def _signed(*options: str) -> str:
    """Debian's keys, where they are not among those that apt trusts anyway."""
    keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    words = [f"signed-by={keys}"] if keys.exists() else []
    return f"[{' '.join((*words, *options))}] " if words or options else ""


def _fields(record: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z-]+): (.*)$", record, re.MULTILINE))


def _call(argv: tuple[str, ...], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProfileError(f"userland: {complaint(argv, done.stderr)}")
    return done.stdout


def complaint(argv: Sequence[str], said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("E:")] or said.splitlines()
    what = " ".join(word for word in argv[:1])
    return f"{what}: {lines[0][:300] if lines else 'failed'}"
