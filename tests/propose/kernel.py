"""What of the kernel's own tree judges our output: its ABI script, and headers to compile against."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

from tests.run.packages import apt, depends, lists, made

SID = "deb http://deb.debian.org/debian sid main"


@functools.cache
def abi_script() -> Path:
    """tools/docs/get_abi.py of Debian unstable's linux-source, with the modules that it imports."""

    def make(work: Path) -> None:
        options = lists(work, SID)
        found = apt("apt-cache", *options, "depends", "linux-source", cwd=work).split()
        source = next(name for name in found if name.startswith("linux-source-"))
        apt("apt-get", "-qq", *options, "download", source, cwd=work)
        (deb,) = work.glob("*.deb")
        (work / "unpacked").mkdir()
        apt("dpkg-deb", "-x", str(deb), "unpacked", cwd=work)
        (tar,) = (work / "unpacked").glob("usr/src/*.tar.xz")
        members = ["*/tools/docs/*", "*/tools/lib/python/abi/*"]
        apt("tar", "-xJf", str(tar), "--strip-components=1", "--wildcards", *members, cwd=work)
        for rest in (deb, work / "unpacked", work / "lists"):
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()

    return made("get_abi", make) / "tools/docs/get_abi.py"


@functools.cache
def headers(where: str) -> Path:
    """/usr/src of the packages behind linux-headers-ARCH: of this Debian (""), or of SID."""
    arch = apt("dpkg", "--print-architecture", cwd=Path("/")).strip()

    def make(work: Path) -> None:
        options = lists(work, where) if where else []
        if where:
            found = apt("apt-cache", *options, "depends", f"linux-headers-{arch}", cwd=work).split()
            one = next(name for name in found[1:] if name.startswith("linux-headers-"))
        else:
            one = depends(f"linux-headers-{arch}")
        common = one.removesuffix(f"-{arch}") + "-common"
        apt("apt-get", "-qq", *options, "download", one, common, cwd=work)
        for deb in work.glob("*.deb"):
            apt("dpkg-deb", "-x", str(deb), ".", cwd=work)
            deb.unlink()
        shutil.rmtree(work / "lists", ignore_errors=True)

    return made("headers-sid" if where else "headers", make) / "usr/src"


def compiled(source: Path, place: Path) -> str:
    """What gcc says of a C file with a kernel's flags, warnings being errors; empty if nothing."""
    (common,) = place.glob("linux-headers-*-common")
    (built,) = (p for p in place.glob("linux-headers-*") if p != common)
    (arch,) = (p.name for p in (built / "arch").iterdir())
    own = subprocess.run(
        ["gcc", "-print-file-name=include"], capture_output=True, text=True, check=True
    ).stdout.strip()
    flags = ["-nostdinc", "-isystem", own]
    for root in (f"arch/{arch}/include", "include"):
        flags += [f"-I{common}/{root}", f"-I{built}/{root}"]
        flags += [f"-I{built}/{root}/generated"]
        flags += [
            f"-I{p}/{root}/{at}" for p in (common, built) for at in ("uapi", "generated/uapi")
        ]
    for name in ("compiler-version.h", "kconfig.h", "compiler_types.h"):
        flags += ["-include", f"{common}/include/linux/{name}"]
    flags += ["-D__KERNEL__", "-DMODULE", "-std=gnu11", "-fms-extensions", "-fshort-wchar"]
    flags += [f'-D{name}="x"' for name in ("KBUILD_MODNAME", "KBUILD_BASENAME", "KBUILD_MODFILE")]
    flags += ["-D__KBUILD_MODNAME=kmod_x", "-Wall", "-Werror", "-Wno-attributes", "-O2", "-fno-pie"]
    if arch == "x86":
        flags += ["-mcmodel=kernel", "-mno-sse", "-mno-red-zone", "-fcf-protection=branch"]
        flags += ["-mfentry", "-DCC_USING_FENTRY", "-mindirect-branch=thunk-extern"]
        flags += ["-fpatchable-function-entry=16,16"]
    done = subprocess.run(
        ["gcc", "-fsyntax-only", *flags, str(source)], capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""
