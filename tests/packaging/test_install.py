"""Installed in clean folders, as others do: from the wheel by pip, pipx and uv, as one file, and from the sdist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from printer.version import __version__
from tests.packaging.conftest import PYTHONS, ROOT, done, fetched, python, sources

pytestmark = pytest.mark.timeout(1800)  # several commands that fetch packages
SHARED = [
    "bash-completion/completions/elfcorehdr",
    "bash-completion/completions/kdumpfs",
    "doc/kdumpfs/README.md",
    "doc/kdumpfs/docs/proposing.md",
    "doc/kdumpfs/examples/elfcorehdr_print.py",
    "fish/vendor_completions.d/kdumpfs.fish",
    "man/man1/elfcorehdr.1",
    "man/man1/kdumpfs.1",
    "man/man5/kdumpfs-machine.5",
    "man/man7/kdumpfs-module.7",
    "zsh/site-functions/_kdumpfs",
]


def works(kdumpfs: list[str], elfcorehdr: list[str], cwd: Path) -> None:
    """Machines, a mount, its table, and a command in it, from an empty folder; the version is the one there is."""
    assert done([*kdumpfs, "--version"], cwd=cwd).stdout == f"kdumpfs, version {__version__}\n"
    listed = done([*kdumpfs, "machines"], cwd=cwd)
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()] == sorted(
        file.stem for file in (ROOT / "elfcorehdr/profiles").glob("*.toml")
    )
    (cwd / "mnt").mkdir(exist_ok=True)
    mounted = done([*kdumpfs, "mount", "--load", "mnt"], cwd=cwd)
    assert (mounted.returncode, mounted.stderr) == (0, "")
    try:
        table = done([*elfcorehdr, "print", "mnt"], cwd=cwd).stdout
        seen = (ROOT / "tests/golden/kernel/seed/crash_elfcorehdr_print.txt").read_text()
        assert table == seen
        said = done([*kdumpfs, "dmesg", "mnt"], cwd=cwd).stdout
        assert "Linux version 7.1.0" in said
    finally:
        assert done([*kdumpfs, "umount", "mnt"], cwd=cwd).stderr == ""
    ran = done(
        [*kdumpfs, "run", "-q", "--load", "--", "cat", "/sys/kernel/kexec/crash_loaded"], cwd=cwd
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "1\n", "")
    core = done([*kdumpfs, "vmcore", "-m", "pc-2g", "-o", "core"], cwd=cwd)
    assert (core.returncode, core.stderr) == (0, "")
    (cwd / "core").unlink()


def installed(version: str, wheel: Path, place: Path) -> Path:
    """The bin folder of a clean environment with the wheel."""
    interpreter = python(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} here: apt install python{version}-venv, or pyenv, or uv")
    fetched([interpreter, "-m", "venv", str(place / "env")], cwd=place)
    pip = [str(place / "env/bin/python"), "-m", "pip", "install", "-q"]
    fetched([*pip, str(wheel)], cwd=place)
    return place / "env/bin"


@pytest.mark.fuse
@pytest.mark.namespaces
@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_works_by_pip(version: str, wheel: Path, tmp_path: Path) -> None:
    bin_ = installed(version, wheel, tmp_path)
    works([str(bin_ / "kdumpfs")], [str(bin_ / "elfcorehdr")], tmp_path)
    share = tmp_path / "env/share"
    assert [name for name in SHARED if not (share / name).is_file()] == []
    # ... and every proposal that is shipped runs
    for example in sorted((share / "doc/kdumpfs/examples").glob("*.py")):
        argv = [str(bin_ / "kdumpfs"), "check-api", str(example)]
        assert "Error" not in done(argv, cwd=tmp_path).stderr


def test_the_hint_about_a_missing_library_installs_it(wheel: Path, tmp_path: Path) -> None:
    bin_ = installed("3.11" if sys.version_info[:2] == (3, 11) else PYTHONS[-1], wheel, tmp_path)
    web = [str(bin_ / "kdumpfs"), "web", "--port", "0", "--bind", "192.0.2.1"]
    refused = done(web, cwd=tmp_path)
    found = re.fullmatch(r"kdumpfs: the page needs starlette and uvicorn: (.*)\n", refused.stderr)
    assert found is not None, refused.stderr
    fetched(shlex.split(found[1]), cwd=tmp_path)
    assert "192.0.2.1 port 0: Cannot assign requested address" in done(web, cwd=tmp_path).stderr
    header = (
        ROOT / "tests/golden/kernel/ppc64/B-seed-7.2.13-lab64k-kexec_file_load/elfcorehdr-01.bin"
    )
    drawn = done([str(bin_ / "elfcorehdr"), "map", str(header), "-o", "x.svg"], cwd=tmp_path)
    said = f"x.svg: matplotlib is needed to draw: {bin_}/python -m pip install matplotlib\n"
    assert drawn.stderr == f"elfcorehdr: {said}"


@pytest.mark.fuse
@pytest.mark.namespaces
@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_the_wheel_works_by_pipx_and_uv(tool: str, wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "tool", with_pip=True)
    fetched([str(tmp_path / "tool/bin/python"), "-m", "pip", "install", "-q", tool], cwd=tmp_path)
    home = {
        **{f"PIPX_{name}": f"{tmp_path}/home/{name}" for name in ("HOME", "BIN_DIR", "MAN_DIR")},
        "UV_TOOL_DIR": f"{tmp_path}/home",
        "UV_TOOL_BIN_DIR": f"{tmp_path}/home/BIN_DIR",
        "UV_CACHE_DIR": f"{tmp_path}/cache",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    words = ["install", str(wheel)] if tool == "pipx" else ["tool", "install", str(wheel)]
    fetched([str(tmp_path / "tool/bin" / tool), *words], cwd=tmp_path, **home)
    bin_ = tmp_path / "home/BIN_DIR"
    works([str(bin_ / "kdumpfs")], [str(bin_ / "elfcorehdr")], tmp_path)
    if tool == "pipx":
        assert (tmp_path / "home/MAN_DIR/man1/kdumpfs.1").is_file()


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("zipapp") / "kdumpfs.pyz"
    fetched(["bash", "scripts/zipapp", str(out)], cwd=ROOT, PYTHON=sys.executable)
    (out.parent / "elfcorehdr").symlink_to(out)
    return out


@pytest.mark.fuse
@pytest.mark.namespaces
@pytest.mark.parametrize("version", PYTHONS)
def test_one_file_works(version: str, zipapp: Path, tmp_path: Path) -> None:
    interpreter = python(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} here: apt install python{version}, or pyenv, or uv")
    kdumpfs = [interpreter, "-S", str(zipapp)]  # -S: with nothing that is installed there
    works(kdumpfs, [interpreter, "-S", str(zipapp.parent / "elfcorehdr")], tmp_path)
    page = done([*kdumpfs, "web", "--load", "-o", "page.html"], cwd=tmp_path)
    assert (page.returncode, page.stderr) == (0, "")
    assert "kdumpfs/main" in (tmp_path / "page.html").read_text()
    listening = done([*kdumpfs, "web", "--bind", "192.0.2.1"], cwd=tmp_path)  # starlette is in it
    assert listening.stderr == "kdumpfs: 192.0.2.1 port 0: Cannot assign requested address\n"
    script = done([*kdumpfs, "record", "--script"], cwd=tmp_path).stdout
    compile(script, "record.py", "exec")
    header = (
        ROOT / "tests/golden/kernel/ppc64/B-seed-7.2.13-lab64k-kexec_file_load/elfcorehdr-01.bin"
    )
    elfcorehdr = [interpreter, "-S", str(zipapp.parent / "elfcorehdr")]
    drawn = done([*elfcorehdr, "map", str(header), "-o", "x.svg"], cwd=tmp_path)
    assert drawn.stderr == (
        f"elfcorehdr: x.svg: matplotlib is needed to draw: this zipapp takes it from {interpreter}, "
        "for which apt install python3-matplotlib\n"
    )


SCRIPT = """
mount --bind /proc $1/proc && mount --rbind /dev $1/dev && exec chroot $1 sh -ec '
cd /tmp; kdumpfs() { python3.14 -S /kdumpfs.pyz "$@"; }
kdumpfs --version; mkdir mnt; kdumpfs mount --load mnt; python3.14 -S /elfcorehdr print mnt; kdumpfs umount mnt
kdumpfs run -q --load -- cat /sys/kernel/kexec/crash_loaded'
"""


@pytest.mark.apt
@pytest.mark.fuse
@pytest.mark.namespaces
@pytest.mark.skipif(os.geteuid() != 0, reason="chroot(2) is root's")
def test_one_file_works_on_debian_unstable_s_python_3_14(zipapp: Path, tmp_path: Path) -> None:
    root = tmp_path / "sid"
    words = [*("userland", "--whole", "--suite", "sid"), os.uname().machine, "python3.14"]
    try:
        got = done([sys.executable, str(zipapp), *words, "-o", str(root)], cwd=tmp_path)
    except subprocess.TimeoutExpired:
        pytest.skip("Debian's python3.14 is not to be had: the mirror is slow")
    if got.returncode:
        pytest.skip(f"Debian's python3.14 is not to be had: {got.stderr.strip()[-200:]}")
    for name in ("proc", "dev", "tmp"):
        (root / name).mkdir(exist_ok=True)
    for name in ("kdumpfs.pyz", "elfcorehdr"):
        (root / name).write_bytes(zipapp.read_bytes())
    ran = done(["unshare", "-m", "sh", "-c", SCRIPT, "sh", str(root)], cwd=tmp_path)
    table = (ROOT / "tests/golden/kernel/seed/crash_elfcorehdr_print.txt").read_text()
    assert ran.stdout == f"kdumpfs, version {__version__}\n{table}1\n", ran.stderr


def test_the_sdist_has_every_file_of_the_project(unpacked: Path) -> None:
    assert [name for name in sources() if not (unpacked / name).is_file()] in ([], [".gitignore"])


def test_tests_run_from_the_sdist(unpacked: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = done(
        [*argv, "tests/test_shipped.py", "tests/lib", "tests/pages/test_generated.py"], cwd=unpacked
    )
    assert ran.returncode == 0, ran.stdout[-2000:]
    where = done(
        [sys.executable, "-c", "import elfcorehdr; print(elfcorehdr.__file__)"], cwd=unpacked
    )
    assert where.stdout.startswith(str(unpacked))


def test_the_version_stands_in_one_place_and_the_changelog_has_what_is_tagged() -> None:
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text, re.M)
    assert "## [Unreleased]" in text
    listed = done(["git", "tag", "--list", "v*"], cwd=ROOT).stdout.split()  # none in an sdist
    assert {tag.removeprefix("v") for tag in listed} <= {*released}
    assert max([__version__, *released], key=numbers) == __version__


def numbers(version: str) -> list[int]:
    return [int(n) for n in version.split(".")]


def test_the_wheel_has_neither_tests_nor_benchmarks(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {
        "elfcorehdr", "fsmount", "kdumpfs", "printer",
    }  # fmt: skip
