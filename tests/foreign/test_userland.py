"""`kdumpfs userland` where a mirror lists files that it has not: a mirror of our own says so."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from fsmount.foreign import apt, userland

pytestmark = pytest.mark.apt


class Mirror:
    """A Debian archive on a port of this machine."""

    def __init__(self, place: Path, url: str) -> None:
        self.place = place
        self.url = url

    def offer(self, archive: str, suite: str, versions: dict[str, str], lacks: str = "") -> None:
        """A suite with packages of these versions, each of one file, and whose file it has not."""
        records = []
        for name, version in versions.items():
            deb = self._package(archive, name, version)
            data = deb.read_bytes()
            records.append(
                f"Package: {name}\nVersion: {version}\nArchitecture: ppc64el\nMaintainer: none <none@example.org>\n"
                f"Priority: optional\nSection: misc\nDescription: a test\nFilename: pool/{deb.name}\n"
                f"Size: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
            )
            if name == lacks:
                deb.unlink()
        top = self.place / archive / "dists" / suite
        listed = top / "main/binary-ppc64el/Packages"
        listed.parent.mkdir(parents=True)
        listed.write_text("\n".join(records))
        data = listed.read_bytes()
        (top / "Release").write_text(
            f"Origin: Test\nSuite: {suite}\nCodename: {suite}\nDate: {format_datetime(datetime.now(UTC), usegmt=True)}\n"
            f"Architectures: ppc64el\nComponents: main\nSHA256:\n"
            f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-ppc64el/Packages\n"
        )

    def _package(self, archive: str, name: str, version: str) -> Path:
        work = self.place / "work" / f"{name}-{version}"
        (work / "DEBIAN").mkdir(parents=True)
        (work / "usr/share").mkdir(parents=True)
        (work / "usr/share" / name).write_text(f"{version}\n")
        (work / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: ppc64el\nMaintainer: none <none@example.org>\nDescription: a test\n"
        )
        pool = self.place / archive / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        deb = pool / f"{name}_{version}_ppc64el.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-b", work, deb],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return deb


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    place = tmp_path / "mirror"
    place.mkdir()
    handler = functools.partial(Quiet, directory=str(place))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(apt, "_signed", lambda *_: "[trusted=yes] ")
        monkeypatch.setattr(apt, "SNAPSHOT", f"{url}/snapshot")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield Mirror(place, url)
        server.shutdown()


def fetch(mirror: Mirror, output: Path) -> tuple[list[str], list[str]]:
    guest = userland.guest_of("ppc64le")
    unpacked, remarks = userland.fetch(
        guest, ["tool", "library"], output, suite="old", mirror=f"{mirror.url}/debian"
    )
    return [f"{package.name} {package.version}" for package in unpacked], remarks


def test_what_the_mirror_has_is_unpacked(mirror: Mirror, tmp_path: Path):
    mirror.offer("debian", "old", {"tool": "1.0", "library": "1.0"})
    assert fetch(mirror, tmp_path / "out") == (["library 1.0", "tool 1.0"], [])
    assert (tmp_path / "out/usr/share/tool").read_text() == "1.0\n"


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root's apt writes the host's log of what it plans"
)
def test_apt_keeps_its_logs_to_itself(mirror: Mirror, tmp_path: Path):
    def logs() -> dict[str, int]:
        place = Path("/var/log/apt")
        return {file.name: file.stat().st_mtime_ns for file in place.iterdir()}

    mirror.offer("debian", "old", {"tool": "1.0", "library": "1.0"})
    before = logs()
    fetch(mirror, tmp_path / "out")
    assert logs() == before


def test_package_of_a_later_suite_takes_the_place_of_one_that_is_gone(
    mirror: Mirror, tmp_path: Path
):
    mirror.offer("debian", "old", {"tool": "1.0", "library": "1.0"}, lacks="library")
    mirror.offer("debian", "testing", {"tool": "2.0", "library": "2.0"})
    mirror.offer("debian", "sid", {"tool": "3.0", "library": "2.0.1"})
    unpacked, remarks = fetch(mirror, tmp_path / "out")
    assert unpacked == ["library 2.0.1", "tool 1.0"]
    assert remarks == [f"library 1.0 of old is not on {mirror.url}/debian: 2.0.1 instead"]
    assert (tmp_path / "out/usr/share/library").read_text() == "2.0.1\n"


def test_snapshot_of_the_lists_date_is_asked_first(mirror: Mirror, tmp_path: Path, monkeypatch):
    mirror.offer("debian", "old", {"tool": "1.0", "library": "1.0"}, lacks="library")
    mirror.offer("debian", "testing", {"library": "2.0"})
    monkeypatch.setattr(apt.Apt, "_date", lambda _: "20261121T091544Z")
    mirror.offer("snapshot/20261121T091544Z", "old", {"tool": "1.0-0", "library": "1.0-0"})
    assert fetch(mirror, tmp_path / "out")[0] == ["library 1.0-0", "tool 1.0-0"]


def test_what_cannot_be_had_is_one_sentence(mirror: Mirror, tmp_path: Path):
    mirror.offer("debian", "old", {"tool": "1.0", "library": "1.0"}, lacks="library")
    with pytest.raises(ProfileError) as refused:
        fetch(mirror, tmp_path / "out")
    assert str(refused.value) == (
        f"userland: {mirror.url}/debian lists library 1.0 in old and has no such file;"
        " neither could it be had elsewhere"
    )
    with pytest.raises(ProfileError, match="Unable to locate package none"):
        userland.fetch(
            userland.guest_of("ppc64le"),
            ["none"],
            tmp_path / "out",
            suite="old",
            mirror=f"{mirror.url}/debian",
        )
