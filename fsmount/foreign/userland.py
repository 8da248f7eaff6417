"""A foreign userland from Debian's packages: fetched by apt, unpacked by dpkg-deb, nothing installed.

apt works in directories of its own, with the foreign architecture and an empty list of what is
installed, so that the host's dpkg and its architectures are not touched, and no privilege is needed.
Its configuration (proxies, keys) is the host's. No maintainer script runs.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from elfcorehdr.errors import ProfileError
from fsmount.foreign.apt import Apt, Package, complaint
from fsmount.foreign.guests import GUESTS, Guest

MIRROR = "http://deb.debian.org/debian"
QEMU_SUITE = "sid"
MERGED = ("bin", "lib", "lib64", "sbin")
"""Links into usr/, as every Debian has them since 12; made first, so that packages unpack through them."""

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of all there is to do: 0 to 1."""


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
) -> tuple[list[Package], list[str]]:
    """Unpack packages and the libraries they need into `output`; what was unpacked, and what is to be said of it.

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
        apt = Apt(guest, Path(work), suite or _codename(), mirror or MIRROR)

        def chosen() -> list[Package]:
            wanted = [*names, *(apt.essential() if whole else ())]
            return [p for p in apt.closure(wanted) if whole or p.name in names or not p.everywhere]

        packages = _download(apt, chosen, progress)
        for name in MERGED:
            (output / "usr" / name).mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(output / name):
                (output / name).symlink_to(f"usr/{name}")
        for at, package in enumerate(packages):
            progress(package.name, 0.7 + 0.3 * at / len(packages))
            _unpack(apt.archive(package), output)
        progress("unpacked", 1.0)
    return packages, apt.instead(packages)


def _download(apt: Apt, choose: Callable[[], list[Package]], progress: Progress) -> list[Package]:
    """Packages, from the first place that has all their files. ProfileError."""
    lacks: list[Package] = []
    for place in apt.places():
        progress(place, 0.0)
        packages = choose()
        what = f"{len(packages)} packages" if len(packages) > 1 else packages[0].name
        now = apt.download(packages, lambda part, what=what: progress(what, part * 0.7))  # type: ignore[misc]
        if not now:
            return packages
        lacks = lacks or now
    files = ", ".join(f"{package.name} {package.version}" for package in lacks[:8])
    raise ProfileError(
        f"userland: {apt.mirror} lists {files[:300]} in {apt.suite} and has no such file; neither could it be had elsewhere"
    )


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
        apt = Apt(native, Path(work), QEMU_SUITE, mirror or MIRROR)
        (package,) = _download(
            apt, lambda: [p for p in apt.closure(["qemu-user"]) if p.name == "qemu-user"], progress
        )
        _unpack(apt.archive(package), output, f"./usr/bin/qemu-{guest.machine}")


def _unpack(deb: Path | None, output: Path, *names: str) -> None:
    """An archive's files, or those named. By tar itself: `dpkg-deb -x` puts a directory in place of a link to one."""
    assert deb is not None
    argv = ("tar", "-x", "--keep-directory-symlink", "-C", str(output), *names)
    with subprocess.Popen(
        ("dpkg-deb", "--fsys-tarfile", str(deb)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as source:
        done = subprocess.run(
            argv, stdin=source.stdout, capture_output=True, text=True, check=False
        )
    if source.returncode or done.returncode:
        raise ProfileError(f"userland: {deb.name}: {complaint(argv, done.stderr)}")


def _codename() -> str:
    """The running Debian's name; that of the stable one elsewhere."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return "stable"
    fields = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    return fields.get("VERSION_CODENAME", "sid") if fields.get("ID") == "debian" else "stable"
