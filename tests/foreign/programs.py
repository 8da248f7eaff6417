"""Programs of C compiled for each guest, statically and not, and what runs them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import required
from tests.run.userlands import emulator, options, userland

MACHINES = {
    "ppc64le": ("powerpc64le-linux-gnu-gcc", "ppc64el", "pseries-16g"),
    "aarch64": ("aarch64-linux-gnu-gcc", "arm64", "arm64-virt-4g"),
    "riscv64": ("riscv64-linux-gnu-gcc", "riscv64", "riscv64-virt-2g"),
}
KINDS = [(machine, kind) for machine in MACHINES for kind in ("dynamic", "static")]
each_kind = pytest.mark.parametrize(("machine", "kind"), KINDS)


@functools.cache
def compiled(directory: Path, machine: str, kind: str, source: str) -> Path:
    """A program of these tests for a guest; what is missing for it is a skip, or a failure where it is required."""
    compiler, debian, _ = MACHINES[machine]
    if shutil.which(compiler) is None:
        packages = f"{compiler.replace('-gcc', '')} libc6-dev-{debian}-cross"
        lack = f"{compiler} is missing: apt install gcc-{packages}"
        if required("compiler"):
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)
    made = directory / f"{machine}-{kind}-{source[:-2]}"
    static = ["-static"] if kind == "static" else []
    subprocess.run(
        [compiler, "-O2", "-pthread", *static, Path(__file__).with_name(source), "-o", made],
        check=True,
    )
    return made


def machine_of(machine: str) -> tuple[str, ...]:
    """Options: the machine, the emulator, a C library."""
    packages = options(emulator(machine), userland(machine, "sid", "kexec-tools"))
    return ("-m", MACHINES[machine][2], *packages)
