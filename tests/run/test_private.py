"""Everything is private unless it is named: what a run writes, for root and for an ordinary user."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.machine import ENVIRONMENT, PROJECT, RUN, USERS, run

pytestmark = pytest.mark.namespaces

NAME = f"kdumpfs-test-{os.getpid()}"
root = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user cannot write there at all")
users = pytest.mark.parametrize("before", USERS)


def written(place: str, before: tuple[str, ...], **how) -> str:
    """Write a file there, inside; what reading it back says. It must not be on the host."""
    done = run("sh", "-c", f"echo kept > {place} && cat {place}", before=before, **how)
    try:
        assert not os.path.lexists(place)
    finally:
        if os.path.lexists(place):
            os.unlink(place)
    return done.stdout


@root
@pytest.mark.parametrize(
    "place", ["/", "/usr/lib", "/root", "/opt", "/var/lib", "/var/tmp", "/usr/local/bin", "/srv"]
)
def test_what_root_writes_anywhere_is_gone_after_the_run(place: str):
    if not os.path.isdir(place):
        pytest.skip(f"the host has no {place}")
    assert written(f"{place}/{NAME}", (), cwd="/") == "kept\n"


@users
@pytest.mark.parametrize(
    "place",
    ["/tmp", "/etc", "/boot", "/run", "/dev/shm", "/var/crash", "/var/lib/kdump", "/var/log"],
)
def test_what_anybody_writes_to_kdumps_places_is_gone_after_the_run(
    place: str, before: tuple[str, ...]
):
    assert written(f"{place}/{NAME}", before, cwd="/") == "kept\n"


@pytest.fixture
def owned() -> Iterator[Path]:
    """A directory of the host's, all of which belongs to the ordinary user of NOBODY."""
    with tempfile.TemporaryDirectory(dir="/srv") as name:
        top = Path(name)
        for file in ("a/b/c", "a/d", "e/f/g"):
            (top / file).parent.mkdir(parents=True, exist_ok=True)
            (top / file).touch()
        for path in (top, *top.rglob("*")):
            os.chown(path, 65534, 65534)
        yield top


@root
@users
def test_own_directories_are_removed_replaced_and_renamed(before: tuple[str, ...], owned: Path):
    script = """
rm -r a && mkdir a && ls -A a; mv e E && rm -r E/f && mkdir E/f E/h && ls -A E E/f; ls; echo kept > E/f/g
"""
    there = sorted(owned.rglob("*"))
    done = run("sh", "-ec", script, before=before, cwd=owned)
    assert sorted(owned.rglob("*")) == there
    if "directories of the host's cannot be removed" in done.stderr:  # before Linux 6.6
        pytest.skip(done.stderr)
    assert done.stdout.split() == ["E:", "f", "h", "E/f:", "E", "a"], done.stderr


@root
def test_package_is_installed_inside_and_not_on_the_host(tmp_path: Path):
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN/control").write_text(
        f"Package: {NAME}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x.x>\nDescription: x\n"
    )
    (package / "opt").mkdir()
    (package / "opt" / NAME).write_text("x")
    subprocess.run(
        ["dpkg-deb", "-b", str(package), str(tmp_path / "x.deb")], check=True, capture_output=True
    )
    before = Path("/var/lib/dpkg/status").read_bytes()
    script = f"dpkg -i {tmp_path}/x.deb >&2 && cat /opt/{NAME} && dpkg-query -W {NAME}"
    done = run("sh", "-c", script)
    assert done.stdout == f"x{NAME}\t1\n", done.stderr
    assert Path("/var/lib/dpkg/status").read_bytes() == before
    assert not Path("/opt", NAME).exists()


@root
def test_links_modes_owners_and_removals_stay_inside_too():
    before = os.stat("/etc/passwd")
    names = sorted(os.listdir("/etc"))
    script = (
        "ln /etc/passwd /etc/hard; chmod 600 /etc/passwd; chown 7 /etc/passwd; touch -d 2001-01-01"
        " /etc/passwd; rm /etc/hostname /etc/fstab; mv /etc/group /etc/other; ls /etc/hard"
    )
    assert run("sh", "-c", script).stdout == "/etc/hard\n"
    assert os.stat("/etc/passwd") == before
    assert sorted(os.listdir("/etc")) == names


# What is shared


@users
def test_working_directory_of_a_project_is_the_hosts(tmp_path: Path, before: tuple[str, ...]):
    os.chmod(tmp_path, 0o777)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    (tmp_path / ".git").mkdir()
    option = ("--rw", str(tmp_path)) if before else ()  # another's temporary directory
    done = run("sh", "-c", "pwd; echo out > out", before=before, cwd=tmp_path, options=option)
    assert done.stdout == f"{tmp_path}\n", done.stderr
    assert (tmp_path / "out").read_text() == "out\n"


@root
@pytest.mark.parametrize("place", ["/", "/usr/lib", "/etc", "/var/lib", "/root"])
def test_working_directory_of_the_system_is_private(place: str):
    done = run("sh", "-c", f"pwd; echo x > {NAME} && cat {NAME}", cwd=place)
    try:
        assert done.stdout == f"{place}\nx\n"
        assert not Path(place, NAME).exists()
    finally:
        Path(place, NAME).unlink(missing_ok=True)


def test_no_share_makes_the_working_directory_private(tmp_path: Path):
    done = run("sh", "-c", "echo x > out; cat out", options=("--no-share",), cwd=tmp_path)
    assert done.stdout == "x\n"
    assert not (tmp_path / "out").exists()


def test_rw_shares_a_directory_and_a_file(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("old")
    options = ("--no-share", "--rw", f"{tmp_path}/a", "--rw", f"{tmp_path}/b")
    run("sh", "-c", f"cd {tmp_path}; echo x > a/x; echo x > b; echo x > c", options=options)
    assert (tmp_path / "a/x").read_text() == (tmp_path / "b").read_text() == "x\n"
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("path", ["/", "/sys/kernel", "/proc", "/dev/null", "/run"])
def test_rw_of_what_is_made_anew_is_refused(path: str):
    done = run("true", options=("--rw", path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"kdumpfs: --rw {path}: expected a path that is not / and not in")


@root
def test_kernel_file_system_that_the_host_has_below_a_shared_directory_is_covered(tmp_path: Path):
    (tmp_path / "proc").mkdir()
    script = f'mount -t proc proc {tmp_path}/proc && exec "$@"'
    done = run(
        "sh", "-c", "ls proc; touch proc/x 2>&1 | grep -c Read-only",
        before=("unshare", "-m", "sh", "-c", script, "sh"), cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "1\n", done.stderr


@root
def test_other_file_systems_of_the_host_are_private_and_kernel_ones_absent(tmp_path: Path):
    for name in ("disk", "cgroup", "readonly"):
        (tmp_path / name).mkdir()
    script = (
        f"mount -t tmpfs disk {tmp_path}/disk && echo there > {tmp_path}/disk/file &&"
        f" mount -t sysfs none {tmp_path}/cgroup && mount --bind -o ro /etc {tmp_path}/readonly &&"
        ' "$@" && cat ' + f"{tmp_path}/disk/file"
    )
    inner = (
        f"cd {tmp_path}; cat disk/file; echo inside > disk/file; cat disk/file; ls cgroup;"
        " touch readonly/x 2>&1 | grep -c Read-only"
    )
    done = run(
        "sh", "-c", inner, before=("unshare", "-m", "sh", "-c", script, "sh"), cwd="/",
    )  # fmt: skip
    assert done.stdout == "there\ninside\n1\nthere\n", done.stderr


# --keep


@users
def test_keep_collects_what_was_written_and_follows_nothing(
    tmp_path: Path, before: tuple[str, ...]
):
    os.chmod(tmp_path, 0o777)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    kept = tmp_path / "kept"
    script = """
mkdir -p /var/crash/1; echo dump > /var/crash/1/vmcore; echo log > /var/log/kdump.log
ln -s /etc/shadow /var/crash/link; mkfifo /var/crash/fifo; echo no > /tmp/no; chmod 4755 /var/log/kdump.log
(while :; do echo more >> /var/crash/later; done) &
"""
    done = run("sh", "-c", script, before=before, options=("--keep", str(kept)), cwd="/")
    assert done.returncode == 0, done.stderr
    assert (kept / "var/crash/1/vmcore").read_text() == "dump\n"
    assert (kept / "var/log/kdump.log").stat().st_mode & 0o7777 == 0o755
    assert os.readlink(kept / "var/crash/link") == "/etc/shadow"
    found = {str(path.relative_to(kept)) for path in kept.rglob("*") if not path.is_dir()}
    assert found - {"var/crash/later"} == {
        "var/crash/1/vmcore", "var/log/kdump.log", "var/crash/link"
    }  # fmt: skip


def test_keep_writes_no_more_than_was_written(tmp_path: Path):
    """Neither holes nor further names of a file take room on the host."""
    kept = tmp_path / "kept"
    script = """
cd /var/log; truncate -s 8T sparse; echo first > data; truncate -s 1M data; echo last >> data
for i in 1 2 3; do ln data link$i; done; truncate -s 4T hole; echo end >> hole
"""
    done = run("sh", "-ec", script, options=("--keep", str(kept)), cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    log = kept / "var/log"
    assert {path.name: path.stat().st_size for path in log.iterdir() if path.name != "link1"} == {
        "sparse": 8 << 40, "hole": (4 << 40) + 4, **dict.fromkeys(("data", "link2", "link3"), (1 << 20) + 5),
    }  # fmt: skip
    assert (log / "data").read_bytes() == b"first\n".ljust(1 << 20, b"\0") + b"last\n"
    assert (log / "data").samefile(log / "link1")
    assert sum(path.stat().st_blocks for path in log.iterdir()) * 512 < 1 << 20


@users
def test_keep_copies_whatever_it_can_and_the_status_is_the_command_s(
    tmp_path: Path, before: tuple[str, ...]
):
    """Names deeper than descriptors, frames and paths go are in nobody's way."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o777)
    kept = tmp_path / "kept"
    script = """
import os
os.chdir("/var/log")
for name in ("a", "z"):
    open(name, "w").close()
    os.utime(name, (0, 1000000000))
for depth in range(2500):
    os.mkdir("d")
    os.chdir("d")
    if depth == 1200:
        open("deep", "w").close()
raise SystemExit(5)
"""
    try:
        done = run("python3", "-c", script, before=before, cwd="/", options=("--keep", str(kept)))
        assert done.returncode == 5, done.stderr
        assert "--keep: not everything could be copied: /var/log/d/d/d" in done.stderr
        assert len(done.stderr) < 700
        log = kept / "var/log"
        assert [(log / name).stat().st_mtime for name in ("a", "z")] == [1e9, 1e9]
        assert (log / ("d/" * 1201) / "deep").exists()
    finally:
        subprocess.run(["rm", "-rf", str(kept)], check=True)  # deeper than pytest can


@pytest.mark.parametrize("path", ["/proc/nothing", "/proc/self", "/", ""])
def test_keep_where_nothing_can_be_made_is_one_sentence(path: str):
    done = run("true", options=("--keep", path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"kdumpfs: --keep {path}: ")
    assert done.stderr.count("\n") == 1


def test_what_the_command_writes_over_our_own_files_is_not_run(tmp_path: Path):
    kept = tmp_path / "kept"
    script = f"""
for file in $(find {PROJECT}/fsmount {PROJECT}/elfcorehdr -name '*.py') $(python3 -c 'import sys
print(*[m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)])'); do
    echo 'import os; os._exit(99)' > $file
done
find {PROJECT} -name '__pycache__' | xargs rm -rf; echo x > /var/crash/x; exit 3
"""
    done = run("bash", "-c", script, options=("--no-share", "--keep", str(kept)))
    assert done.returncode == 3, done.stderr
    assert (kept / "var/crash/x").read_text() == "x\n"


# The room there is


@users
def test_what_is_written_is_bounded(before: tuple[str, ...]):
    script = (
        "df -k --output=size /tmp /run /dev/shm | tail -n +2; df -k --output=size /dev | tail -1"
    )
    sizes = [
        int(word) << 10 for word in run("sh", "-c", script, before=before, cwd="/").stdout.split()
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert len(sizes) == 4
    assert all(size <= memory // 4 + 4096 for size in sizes)


def test_help_and_readme_have_the_same_table():
    text = subprocess.run([*RUN, "--help"], capture_output=True, text=True, env=ENVIRONMENT).stdout
    rows = [
        [cell.strip().replace("`", "") for cell in line.strip("|\n ").split("|")]
        for line in (PROJECT / "README.md")
        .read_text()
        .partition("| place | inside |")[2]
        .partition("\n\n")[0]
        .splitlines()[2:]
        if line.startswith("|")
    ]
    assert len(rows) >= 8
    flat = " ".join(text.split())
    for place, inside in rows:
        assert f"{place} {inside}" in flat


@users
def test_mounts_and_files_of_the_host_may_come_and_go_meanwhile(
    tmp_path: Path, before: tuple[str, ...]
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    churn = f"""
cd {tmp_path}; mount -t tmpfs none b
(while [ -e go ]; do mount -t tmpfs none a; touch x y z; umount -l a; rm x y z; done) > /dev/null 2>&1 & exec "$@"
"""
    (tmp_path / "go").touch()
    try:
        own = "-m" if os.geteuid() == 0 else "-rm"
        argv = ("unshare", own, "sh", "-c", f"mount --make-rshared /; {churn}", "sh", *before)
        for _ in range(8):
            done = run("echo", "up", before=argv, cwd="/")
            assert done.stdout == "up\n", done.stderr
    finally:
        (tmp_path / "go").unlink()
