"""Programs compiled for ppc64le that make the calls themselves: in children, in threads, between signals."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import required
from tests.run.machine import run
from tests.run.userlands import emulator, options, userland

pytestmark = [pytest.mark.namespaces, pytest.mark.apt]

COMPILER = "powerpc64le-linux-gnu-gcc"
SOURCE = Path(__file__).with_name("calls.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(COMPILER) is None:
        lack = (
            f"{COMPILER} is missing: apt install gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross"
        )
        if required("compiler"):
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)
    made = tmp_path_factory.mktemp("programs") / "calls"
    subprocess.run([COMPILER, "-O2", "-pthread", SOURCE, "-o", made], check=True)
    return made


def calls(program: Path, *arguments: str) -> list[str]:
    """What the program prints on pseries-16g: results, or -errno."""
    packages = options(emulator("ppc64le"), userland("ppc64le", "sid", "kexec-tools"))
    done = run(str(program), *arguments, options=("-m", "pseries-16g", *packages))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_each_call_reaches_the_machine(program: Path):
    assert calls(program, "plain") == ["0", "-22", "-9", "65536"]


def test_child_that_executes_nothing_makes_its_calls_too(program: Path):
    assert calls(program, "fork") == ["0", "-22", "-9", "-22"]


def test_sixteen_threads_at_once_get_their_own_answers(program: Path):
    assert calls(program, "threads", "60") == ["0"]


def test_signals_between_change_no_result(program: Path):
    assert calls(program, "signals", "10") == ["0"]


def test_call_past_the_c_library_is_unknown(program: Path):
    # qemu-user answers it; nothing reaches the host's kernel.
    assert calls(program, "raw") == ["-38"]
