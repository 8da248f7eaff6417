"""What is built once: the sdist, and from it the wheel. Where packages cannot be fetched, tests are skipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if key not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "XDG_STATE_HOME")
}
"""The caller's, without what would lead to this tree."""
UNREACHABLE = (
    r"No matching distribution|Could not find a version|Max retries|[Cc]onnection|timed out|[Tt]imeout"
    r"|Name or service not known|Temporary failure|[Ff]ailed to fetch|No space left"
)
"""What pip, build, pipx and uv say of an index that does not answer."""
LIMIT_S = 600
"""For one command, on a machine where much else runs."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def done(argv: list[str], *, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a clean folder, without this tree in its environment."""
    return subprocess.run(
        argv,
        cwd=cwd,
        env=ENVIRONMENT | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


def fetched(argv: list[str], *, cwd: Path, **environment: str) -> str:
    """What a command prints that fetches packages; if they cannot be had, that is the environment's, all else ours."""
    try:
        ran = done(argv, cwd=cwd, **environment)
    except subprocess.TimeoutExpired:
        pytest.skip(f"no packages to be had here: {' '.join(argv)[:200]} did not end")
    said = f"{' '.join(argv)[:200]}: {ran.stderr.strip()[-600:]}"
    if ran.returncode and re.search(UNREACHABLE, ran.stderr + ran.stdout):
        pytest.skip(f"no packages to be had here: {said}")
    assert ran.returncode == 0, said
    return ran.stdout


def python(version: str) -> str | None:
    """A Python of this version: in PATH, or of pyenv or uv."""
    homes = [Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"]
    found = [shutil.which(f"python{version}")]
    found += [str(p) for home in homes for p in sorted(home.glob(f"*{version}.*/bin/python3"))]
    code = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    for path in found:
        if path is not None:  # it may be a shim of pyenv that knows of none
            said = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
            this, _, executable = said.stdout.strip().partition(" ")
            if this == version:
                return executable
    return None


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the source, made of a copy of the files that git has or would take."""
    clean = tmp_path_factory.mktemp("source")
    for name in sources():
        target = clean / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    out = tmp_path_factory.mktemp("sdist")
    fetched([sys.executable, "-m", "build", "--sdist", "-o", str(out), "."], cwd=clean)
    (archive,) = out.iterdir()
    return archive


@pytest.fixture(scope="session")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist's folder."""
    place = tmp_path_factory.mktemp("unpacked")
    subprocess.run(
        ["tar", "-xf", sdist, "-C", place], check=True
    )  # tarfile's filters came with 3.11.4
    (folder,) = place.iterdir()
    return folder


@pytest.fixture(scope="session")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is made of the sdist."""
    out = tmp_path_factory.mktemp("wheel")
    fetched([sys.executable, "-m", "build", "--wheel", "-o", str(out), "."], cwd=unpacked)
    (archive,) = out.iterdir()
    return archive


def sources() -> list[str]:
    """The files of this project: git's, else (in an sdist) those that the archive lists."""
    if (ROOT / ".git").exists():
        argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
        return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    listing = (ROOT / "kdumpfs.egg-info/SOURCES.txt").read_text()
    return [name for name in listing.splitlines() if (ROOT / name).is_file()]
