"""Debian packages, unpacked and not installed, for the tests that run their tools unchanged.

Kept in .cache/apt (or $KDUMPFS_APT_CACHE), so that a second run of the tests fetches nothing.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import required
from tests.run.machine import PROJECT

CACHE = Path(os.environ.get("KDUMPFS_APT_CACHE", PROJECT / ".cache" / "apt"))

KEXEC = (
    "kexec-tools", "libxencall1", "libxendevicemodel1", "libxenevtchn1", "libxenforeignmemory1",
    "libxengnttab1", "libxenhypfs1", "libxenmisc4.17", "libxenstore4", "libxentoolcore1",
    "libxentoollog1", "libyajl2",
)  # fmt: skip
UDEV = ("udev", "kmod")


def apt(*argv: str, cwd: Path) -> str:
    """Run an apt tool; what it cannot do is a skip, or a failure where apt is required."""
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return _lack(f"{argv[0]} is missing")
    if done.returncode:
        return _lack(f"{' '.join(argv)}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def _lack(reason: str) -> str:
    if required("apt"):
        pytest.fail(f"apt is required, but: {reason}", pytrace=False)
    pytest.skip(f"no apt here: {reason}")


def tool(name: str, of: str) -> str:
    """A program's path; it is installed by scripts/test, so without it the test is skipped, or fails in CI."""
    return shutil.which(name) or _lack(f"{name} is missing: apt install {of}")


def made(name: str, make: Callable[[Path], None]) -> Path:
    """A directory of the cache, made whole or not at all."""
    place = CACHE / name
    if not place.exists():
        work = CACHE / f"{name}.{os.getpid()}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            make(work)
            work.rename(place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return place


@functools.cache
def package(name: str) -> Path:
    """A package of the running Debian, unpacked."""

    def make(work: Path) -> None:
        apt("apt-get", "download", name, cwd=work)
        (deb,) = work.glob("*.deb")
        apt("dpkg-deb", "-x", str(deb), ".", cwd=work)
        deb.unlink()

    return made(name, make)


def over(*names: str) -> tuple[str, ...]:
    """The options that lay packages over the system."""
    return tuple(part for name in names for part in ("--package", str(package(name))))


@functools.cache
def depends(meta: str) -> str:
    """The package that a meta package stands for now."""
    for line in apt("apt-cache", "depends", meta, cwd=Path("/")).splitlines():
        if line.strip().startswith("Depends:"):
            return line.split()[-1]
    return _lack(f"{meta} depends on nothing")


def kernel_image() -> str:
    """The small kernel of cloud images: a bzImage and its configuration in /boot."""
    return depends("linux-image-cloud-amd64")


@functools.cache
def selftests() -> Path:
    """tools/testing/selftests of Debian's kernel source."""
    source = depends("linux-source")

    def make(work: Path) -> None:
        apt("apt-get", "download", source, cwd=work)
        (deb,) = work.glob("*.deb")
        (work / "unpacked").mkdir()
        apt("dpkg-deb", "-x", str(deb), "unpacked", cwd=work)
        (tar,) = (work / "unpacked").glob("usr/src/*.tar.xz")
        wanted = ("memory-hotplug", "cpu-hotplug", "kexec", "kselftest")
        members = [f"*/tools/testing/selftests/{name}/*" for name in wanted]
        apt("tar", "-xJf", str(tar), "--wildcards", *members, cwd=work)
        (tests,) = work.glob("*/tools/testing/selftests")
        tests.rename(work / "selftests")
        for rest in (deb, work / "unpacked"):
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()

    return made("selftests", make) / "selftests"


def lists(work: Path, line: str) -> list[str]:
    """Options that let apt know one source only, fetched into `work`."""
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "sources.list").write_text(line + "\n")
    options = [
        "-o", f"Dir::Etc::SourceList={work}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
        "-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Log={work}", "-o", "Dir::Cache::pkgcache=",
        "-o", "Dir::Cache::srcpkgcache=",
    ]  # fmt: skip
    apt("apt-get", "-qq", *options, "update", cwd=work)
    return options


@functools.cache
def newest_kexec() -> str:
    """A shell word list that runs kexec(8) of Debian unstable, with that Debian's C library."""

    def make(work: Path) -> None:
        options = lists(work, "deb http://deb.debian.org/debian sid main")
        needs = apt("apt-cache", *options, "depends", "kexec-tools", cwd=work).split()
        xen = next((name for name in needs if name.startswith("libxenmisc")), "libxenmisc4.20")
        libraries = [name for name in KEXEC[1:] if not name.startswith("libxenmisc")]
        packages = ("kexec-tools", "libc6", xen, *libraries)
        apt("apt-get", "-qq", *options, "download", *packages, cwd=work)
        for deb in work.glob("*.deb"):
            apt("dpkg-deb", "-x", str(deb), ".", cwd=work)
            deb.unlink()
        shutil.rmtree(work / "lists")

    place = made("newest-kexec", make)
    library = next(place.glob("usr/lib/*-linux-gnu"))
    (loader,) = library.glob("ld-linux-*")
    return f"{loader} --library-path {library} {place}/usr/sbin/kexec"


@functools.cache
def util_linux_tests() -> Path:
    """tests/ of util-linux's source package."""

    def make(work: Path) -> None:
        release = dict(
            line.split("=", 1)
            for line in Path("/etc/os-release").read_text().split("\n")
            if "=" in line
        )["VERSION_CODENAME"]
        where = lists(work, f"deb-src http://deb.debian.org/debian {release} main")
        apt("apt-get", "-qq", *where, "source", "--download-only", "util-linux", cwd=work)
        (tar,) = work.glob("util-linux_*.orig.tar.*")
        with tarfile.open(tar) as source:
            for member in source:
                parts = Path(member.name).parts
                if len(parts) > 2 and parts[1] == "tests" and parts[2] in ("ts", "expected"):
                    source.extract(member, work)
        (top,) = work.glob("util-linux-*/tests")
        top.rename(work / "tests")
        shutil.rmtree(work / "lists")
        tar.unlink()

    return made("util-linux-tests", make) / "tests"


@functools.cache
def hwloc_recordings() -> Path:
    """tests/hwloc/linux of hwloc's source package: recordings of machines, as hwloc-gather-topology makes them."""

    def make(work: Path) -> None:
        where = lists(work, "deb-src http://deb.debian.org/debian bookworm main")
        apt("apt-get", "-qq", *where, "source", "--download-only", "hwloc", cwd=work)
        (tar,) = work.glob("hwloc_*.orig.tar.*")
        apt("tar", "-xf", str(tar), "--wildcards", "*/tests/hwloc/linux/*.tar.bz2", cwd=work)
        (top,) = work.glob("hwloc-*/tests/hwloc/linux")
        top.rename(work / "linux")
        shutil.rmtree(work / "lists")
        tar.unlink()

    return made("hwloc-recordings", make) / "linux"
