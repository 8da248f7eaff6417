"""Dump tools of Debian's releases, unpacked with the C library of their release, for any architecture.

Others than the host's run under qemu-user.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import required
from tests.run.packages import apt, made

MIRROR = "http://deb.debian.org/debian"
LIBRARIES = {
    "bookworm": ("libdw1", "libelf1"),
    "trixie": ("libdw1t64", "libelf1t64"),
    "sid": ("libdw1t64", "libelf1t64"),
}
ALWAYS = ("libc6", "libsnappy1v5", "liblzo2-2", "libzstd1", "zlib1g", "libbz2-1.0", "liblzma5", "libstdc++6", "libgcc-s1")  # fmt: skip
TRIPLETS = {
    "amd64": ("x86_64-linux-gnu", ""),
    "ppc64el": ("powerpc64le-linux-gnu", "ppc64le"),
    "riscv64": ("riscv64-linux-gnu", "riscv64"),
    "arm64": ("aarch64-linux-gnu", "aarch64"),
}


@functools.cache
def unpacked(suite: str, arch: str, *packages: str) -> Path:
    """Packages of a release with what they need, in one directory."""

    def make(work: Path) -> None:
        lists = work / "lists"
        (lists / "partial").mkdir(parents=True)
        (work / "sources.list").write_text(f"deb [arch={arch}] {MIRROR} {suite} main\n")
        options = [
            "-o", f"Dir::Etc::SourceList={work}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
            "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Log={work}", "-o", "Dir::Cache::pkgcache=",
            "-o", "Dir::Cache::srcpkgcache=", "-o", f"APT::Architecture={arch}",
            "-o", f"APT::Architectures::={arch}", "-o", "Acquire::Languages=none",
        ]  # fmt: skip
        apt("apt-get", "-qq", *options, "update", cwd=work)
        wanted = (*packages, *LIBRARIES[suite], *ALWAYS)
        apt("apt-get", "-qq", *options, "download", *wanted, cwd=work)
        for deb in work.glob("*.deb"):
            apt("dpkg-deb", "-x", str(deb), ".", cwd=work)
            deb.unlink()
        shutil.rmtree(lists)

    return made(f"{'-'.join(packages)}-{suite}-{arch}", make)


def command(tool: str, suite: str, arch: str = "amd64") -> list[str]:
    """How to start a tool of a release on this host; a skip where qemu-user is not there."""
    package = "kexec-tools" if tool in ("kexec", "vmcore-dmesg") else "makedumpfile"
    root = unpacked(suite, arch, package)
    (program,) = (p for p in root.glob(f"**/*bin/{tool}") if p.is_file())
    triplet, emulator = TRIPLETS[arch]
    libraries = ":".join(str(root / p / triplet) for p in ("usr/lib", "lib"))
    (loader, *_) = (
        p
        for p in root.glob("**/ld*.so.*")
        if p.name.startswith(("ld-linux", "ld64")) and p.is_file()
    )
    start = [str(loader), "--library-path", libraries, str(program)]
    if not emulator:
        return start
    qemu = shutil.which(f"qemu-{emulator}-static") or shutil.which(f"qemu-{emulator}")
    if qemu is None:
        reason = f"qemu-{emulator} is missing: apt install qemu-user-static"
        if required("qemu"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return [qemu, *start]


def run_tool(
    tool: str, suite: str, arch: str, *argv: object, limit: int = 300
) -> subprocess.CompletedProcess[bytes]:
    """Run it; at most `limit` seconds."""
    line: Sequence[str] = [*command(tool, suite, arch), *map(str, argv)]
    return subprocess.run(line, capture_output=True, check=False, timeout=limit)
