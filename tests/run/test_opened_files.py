"""What a server opens because somebody asks it to: what he may read, regular files, without waiting; on every kind of server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.machine import ENVIRONMENT, PROJECT, run

pytestmark = [pytest.mark.namespaces, pytest.mark.fuse]
KDUMPFS = [sys.executable, "-m", "fsmount.cli.main"]

ASKS = """
import errno, json, os, socket, sys
top, tmp = sys.argv[1:]
def ask(name, **body):
    try:
        fd = os.open(f"{top}/control/{name}", os.O_WRONLY)
        os.write(fd, json.dumps(body).encode())
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
def opened(path, flags):
    return ask("load", kernel=os.open(path, flags))
text, fifo = f"{tmp}/text", f"{tmp}/fifo.py"
open(text, "w").write("no kernel\\n")
os.mkfifo(fifo)
os.symlink("/dev/zero", f"{tmp}/zero.py")
os.symlink(f"{top}/proc/iomem", f"{tmp}/ours.py")
listening = socket.socket(socket.AF_UNIX)
print("a file", opened(text, os.O_RDONLY))
print("a file open to be written", opened(text, os.O_WRONLY))
print("a file that is named only", opened(text, os.O_PATH))
print("a directory", opened("/", os.O_RDONLY))
print("a FIFO", opened(fifo, os.O_RDWR))
print("a device", opened("/dev/zero", os.O_RDONLY))
print("a device that is named only", opened("/dev/zero", os.O_PATH))
print("a socket", ask("load", kernel=listening.fileno()))
print("a pipe", ask("load", kernel=os.pipe()[0]))
print("a file of ours", opened(f"{top}/proc/iomem", os.O_RDONLY))
print("no descriptor", ask("load", kernel=999))
print("a path", ask("load", kernel=text))
print("an initrd that is a device", ask("load", kernel=os.open(text, os.O_RDONLY), initrd=os.open("/dev/zero", os.O_RDONLY)))
for name in ("zero.py", "fifo.py", "ours.py", "none.py"):
    print("module", name, ask("reload", modules=[f"{tmp}/{name}"]))
print("module", "in the tree", ask("reload", modules=[f"{top}/proc/x.py"]))
print(open(f"{top}/sys/kernel/kexec_crash_loaded").read(), end="")
"""

SAID = [
    "a file ENOEXEC",
    "a file open to be written EBADF",
    "a file that is named only EBADF",
    "a directory EINVAL",
    "a FIFO EINVAL",
    "a device EINVAL",
    "a device that is named only EBADF",
    "a socket EINVAL",
    "a pipe EINVAL",
    "a file of ours ELOOP",
    "no descriptor EBADF",
    "a path EINVAL",
    "an initrd that is a device EINVAL",
    "module zero.py EINVAL",
    "module fifo.py EINVAL",
    "module ours.py EINVAL",
    "module none.py EINVAL",
    "module in the tree EINVAL",
    "0",
]


@pytest.fixture(params=["--direct", "--libfuse"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A machine, mounted the one way and the other."""
    if request.param == "--direct" and os.geteuid():
        pytest.skip("only root may mount without libfuse")
    place = tmp_path / "machine"
    place.mkdir()
    command = [*KDUMPFS, "mount", request.param, "-m", "pc-2g", str(place)]
    subprocess.run(command, env=ENVIRONMENT, cwd=PROJECT, check=True, timeout=60)
    yield place
    command = [*KDUMPFS, "umount", "--force", str(place)]
    subprocess.run(command, env=ENVIRONMENT, cwd=PROJECT, check=True, timeout=60)


def test_a_mount_opens_nothing_but_regular_files_that_the_caller_reads(
    mounted: Path, tmp_path: Path
):
    command = [sys.executable, "-c", ASKS, str(mounted), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == SAID, done.stderr


def test_run_opens_nothing_but_regular_files_that_the_caller_reads(tmp_path: Path):
    top, options = "/run/kdumpfs/fuse", ("-m", "pc-2g")
    done = run("python3", "-c", ASKS, top, str(tmp_path), options=options, cwd=tmp_path)
    # The server is outside: it runs no module of the command's at all.
    said = [f"{line[:-6]}EPERM" if line.startswith("module") else line for line in SAID]
    assert done.stdout.splitlines() == said, done.stderr


ELSEWHERE = "mount -t tmpfs none /mnt && echo no kernel > /mnt/own && cp {module} /mnt/own.py && {kdumpfs} load {top} /mnt/own; {kdumpfs} reload {top} /mnt/own.py"


def test_files_are_those_of_the_caller_s_mount_namespace(mounted: Path, tmp_path: Path):
    if os.geteuid():
        pytest.skip("only root may make another mount namespace to mount in")
    module = tmp_path / "module.py"
    module.write_text(
        "from kdumpfs.module import AttributeGroup, singleton\n"
        "own = AttributeGroup('kernel/own', singleton)\n"
        "@own.show\ndef word_show(kernel):\n    return 'of the caller\\n'\n"
    )
    script = ELSEWHERE.format(module=module, kdumpfs=" ".join(KDUMPFS), top=mounted)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, env=ENVIRONMENT,
        cwd=PROJECT, timeout=60, check=False,
    )  # fmt: skip
    assert "/mnt/own is no kernel that x86_64 loads" in done.stderr
    assert done.returncode == 0, done.stderr
    assert (mounted / "sys/kernel/own/word").read_text() == "of the caller\n"
    assert not Path("/mnt/own.py").exists()


def test_another_user_has_no_module_run_whatever_the_file_s_mode(mounted: Path, tmp_path: Path):
    if os.geteuid():
        pytest.skip("runs as root to become another")
    (mounted / "control/reload").chmod(0o666)
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    words = '{"modules": ["/tmp/x.py"], "texts": {"/tmp/x.py": "raise SystemExit"}}'
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c",
         f"echo '{words}' > {mounted}/control/reload"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "only he may load one" in (mounted / "control/error").read_text()
