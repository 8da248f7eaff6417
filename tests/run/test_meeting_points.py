"""Nothing outside is reached from inside by a meeting point: sockets, descriptors, environment, keyrings."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from elfcorehdr.errors import ProfileError
from fsmount.run.inside import places, session
from tests.run.machine import ENVIRONMENT, RUN, USERS, run

pytestmark = pytest.mark.namespaces
users = pytest.mark.parametrize("before", USERS)

CONNECT = """
import os, socket, sys
def to(path, kind=socket.SOCK_STREAM):
    try:
        with socket.socket(socket.AF_UNIX, kind) as s:
            s.connect(path)
            print("connected")
    except OSError as error:
        print(os.strerror(error.errno))
"""
REFUSED, DENIED = "Connection refused", "Permission denied"


def python(script: str, *argv: str, **how) -> list[str]:
    done = run("python3", "-c", CONNECT + script, *argv, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """A directory of ours with sockets that listen: stream, and another that is made during the run."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        (tmp_path / "socket").chmod(0o777)
        server.listen(9)
        server.settimeout(0)
        yield tmp_path
        with pytest.raises(BlockingIOError):
            server.accept()


@users
def test_socket_of_the_host_below_an_overlay_is_refused(listening: Path, before: tuple[str, ...]):
    script = "to(sys.argv[1] + '/socket')"
    assert python(script, str(listening), cwd="/", before=before) == [REFUSED]


@users
def test_socket_of_the_host_in_a_shared_directory_is_refused(
    listening: Path, before: tuple[str, ...]
):
    script = """
to(sys.argv[1] + '/socket')
os.chdir(sys.argv[1]); to('socket'); to('./../' + os.path.basename(sys.argv[1]) + '/socket')
os.symlink(sys.argv[1] + '/socket', '/tmp/link'); to('/tmp/link')
"""
    options = ("--rw", str(listening))
    found = python(script, str(listening), cwd="/", before=before, options=options)
    assert found == [REFUSED] * 4


def test_socket_made_outside_during_the_run_is_refused_too(tmp_path: Path):
    ready, made = os.pipe(), os.pipe()
    script = f"os.write({ready[1]}, b'x'); os.read({made[0]}, 1); to('late')"

    def make() -> None:
        os.read(ready[0], 1)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "late"))
            server.listen()
            os.write(made[1], b"x")
            done.wait(60)

    done = threading.Event()
    thread = threading.Thread(target=make)
    thread.start()
    options = ("--pass-fd", str(ready[1]), "--pass-fd", str(made[0]))
    try:
        found = python(script, cwd=tmp_path, options=options, pass_fds=(ready[1], made[0]))
    finally:
        done.set()
        thread.join()
    assert found == [REFUSED]


def test_address_that_changes_during_the_call_does_not_help(listening: Path):
    """A thread swaps the path between one inside and one outside, as fast as it can."""
    script = """
import ctypes, threading
libc = ctypes.CDLL(None)
inner = socket.socket(socket.AF_UNIX); inner.bind("/tmp/in"); inner.listen(500)
outer = (sys.argv[1] + "/socket").encode()
buf = ctypes.create_string_buffer(b"\\1\\0" + b"/tmp/in".ljust(len(outer), b"\\0"), 110)
stop = False
def swap():
    while not stop:
        buf[2:2 + len(outer)] = outer
        buf[2:2 + len(outer)] = b"/tmp/in".ljust(len(outer), b"\\0")
thread = threading.Thread(target=swap); thread.start()
for _ in range(100):
    s = socket.socket(socket.AF_UNIX)
    if libc.connect(s.fileno(), buf, 110) == 0 and s.getpeername() != "/tmp/in":
        print("got out")
    s.close()
stop = True; thread.join(); print("done")
"""
    assert python(script, str(listening), cwd=listening) == ["done"]


def test_sockets_made_inside_are_reached_by_path_name_and_address(tmp_path: Path):
    script = """
a = socket.socket(socket.AF_UNIX); a.bind("/tmp/a"); a.listen(); to("/tmp/a")
os.chdir("/tmp"); to("a"); to("/tmp/none"); to("/etc/passwd")
b = socket.socket(socket.AF_UNIX); b.bind("\\0b"); b.listen(); to("\\0b"); to("\\0c")
c = socket.socket(); c.bind(("127.0.0.1", 0)); c.listen()
d = socket.create_connection(c.getsockname()); print(c.accept()[1] == d.getsockname())
os.mkfifo("fifo"); to("fifo")
"""
    assert python(script, cwd=tmp_path) == [
        "connected", "connected", "No such file or directory", REFUSED,
        "connected", REFUSED, "True", REFUSED,
    ]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's machine has one user id only")
def test_connect_is_done_with_the_callers_ids_root_and_network(tmp_path: Path):
    script = """
a = socket.socket(socket.AF_UNIX); a.bind("/tmp/a"); a.listen(); os.chmod("/tmp/a", 0o700)
os.makedirs("/tmp/root/tmp")
b = socket.socket(socket.AF_UNIX); b.bind("/tmp/root/tmp/b"); b.listen(); os.chmod("/tmp/root/tmp/b", 0o777)
if os.fork() == 0:
    os.chroot("/tmp/root"); os.chdir("/"); to("/tmp/a"); to("/tmp/b"); os.setuid(65534); to("tmp/b")
    sys.stdout.flush(); os._exit(0)
os.wait()
os.setuid(65534); to("/tmp/a")
"""
    assert python(script, cwd=tmp_path) == [
        "No such file or directory", "connected", "connected", DENIED,
    ]  # fmt: skip


def test_caller_that_is_killed_in_a_connect_leaves_the_machine_alone(tmp_path: Path):
    script = """
import signal, time
a = socket.socket(socket.AF_UNIX); a.bind("/tmp/a"); a.listen(0)
full = []
for _ in range(2):
    s = socket.socket(socket.AF_UNIX); s.setblocking(False); full.append(s)
    try: s.connect("/tmp/a")
    except BlockingIOError: pass
pid = os.fork()
if pid == 0: to("/tmp/a"); os._exit(0)
time.sleep(0.3); os.kill(pid, signal.SIGKILL); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
to("/tmp/none"); print(open("/sys/kernel/kexec_crash_loaded").read().strip())
"""
    assert python(script, cwd=tmp_path) == ["-9", "No such file or directory", "0"]


def test_datagrams_have_no_way_out_of_a_shared_directory(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outside:
        outside.bind(str(tmp_path / "socket"))
        outside.settimeout(0)
        script = """
try: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
except OSError as error: print(os.strerror(error.errno))
one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
for message in (b"one", b"two"): one.send(message)
print(two.recv(9), two.recv(9), one.get_inheritable())
try: one.sendto(b"out", "socket")
except OSError as error: print(os.strerror(error.errno))
one.setblocking(False)
try: one.recv(9)
except BlockingIOError: print("would block")
"""
        found = python(script, cwd=tmp_path)
        assert found[:2] == [DENIED, "b'one' b'two' False"]
        assert found[-1] == "would block"
        with pytest.raises(BlockingIOError):
            outside.recv(9)


def test_datagram_to_a_socket_of_the_host_is_refused_where_nothing_is_shared(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outside:
        outside.bind(str(tmp_path / "socket"))
        script = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
try: s.sendto(b"out", sys.argv[1] + "/socket")
except OSError as error: print(os.strerror(error.errno))
"""
        found = python(script, str(tmp_path), cwd=tmp_path, options=("--no-share",))
        assert found == [REFUSED]


def test_calls_that_lead_past_the_filter_or_the_namespaces_are_refused():
    script = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(nr, *args):
    print(errno.errorcode[ctypes.get_errno()] if libc.syscall(nr, *args) < 0 else "done")
call(425, 1, ctypes.create_string_buffer(120))  # io_uring_setup
call(435, 0, 0)                                 # clone3
call(250, 0, -3, 0)                             # keyctl(KEYCTL_GET_KEYRING_ID, session)
call(41, 40, 1, 0)                              # socket(AF_VSOCK)
call(304, -100, 0, 0)                           # open_by_handle_at
call(321, 5, 0, 0)                              # bpf
call(272, 0x02000000)                           # unshare(CLONE_NEWCGROUP)
"""
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of x86_64's calls")
    assert python(script) == [
        "ENOSYS", "ENOSYS", "ENOSYS", "EAFNOSUPPORT", "EPERM", "EPERM", "EPERM",
    ]  # fmt: skip


@users
def test_fifo_of_the_host_is_another_inside(tmp_path: Path, before: tuple[str, ...]):
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    fifo.chmod(0o666)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        script = f"os.write(os.open('{fifo}', os.O_RDWR), b'x'); print('written')"
        assert python(script, cwd="/", before=before) == ["written"]
        writer = os.open(fifo, os.O_WRONLY)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        os.close(writer)
    finally:
        os.close(reader)


# Environment


def test_variables_that_lead_outside_are_dropped(listening: Path):
    names = {
        "TMUX": "/tmp/x,1,0", "STY": "1.x", "SSH_AUTH_SOCK": "x", "DBUS_SESSION_BUS_ADDRESS": "x",
        "DISPLAY": ":0", "WAYLAND_DISPLAY": "w", "XDG_RUNTIME_DIR": "/x", "DOCKER_HOST": "unix:///x",
        "NOTIFY_SOCKET": "@x", "LISTEN_FDS": "1", "VSCODE_IPC_HOOK_CLI": "x", "NVIM": "x",
        "OF_MY_OWN": f"unix:path={listening}/socket,guid=1", "HARMLESS": "/etc/passwd",
    }  # fmt: skip
    done = run("env", env={**ENVIRONMENT, **names})
    left = {line.partition("=")[0] for line in done.stdout.splitlines()} & set(names)
    assert left == {"HARMLESS"}


# Descriptors


def test_inherited_descriptors_are_closed_but_those_that_are_named(tmp_path: Path):
    (tmp_path / "file").write_text("passed\n")
    one, two = (os.open(tmp_path / "file", os.O_RDONLY) for _ in range(2))
    directory = os.open("/", os.O_RDONLY)
    try:
        done = run(
            "bash", "-c", f"ls /proc/self/fd; cat <&{one}; cat <&{two}",
            options=("--pass-fd", str(one)), pass_fds=(one, two, directory),
        )  # fmt: skip
    finally:
        for fd in (one, two, directory):
            os.close(fd)
    *fds, passed = done.stdout.split()
    assert passed == "passed"
    assert {int(fd) for fd in fds} - {3} == {0, 1, 2, one} - {3}
    assert "Bad file descriptor" in done.stderr


def test_descriptor_that_is_a_directory_or_is_not_open_cannot_be_passed():
    directory = os.open("/", os.O_RDONLY)
    try:
        done = run("true", options=("--pass-fd", str(directory)), pass_fds=(directory,))
    finally:
        os.close(directory)
    assert (done.returncode, done.stderr) == (
        2, f"kdumpfs: --pass-fd {directory}: a directory of the host, expected a file, pipe or socket\n",
    )  # fmt: skip
    with pytest.raises(ProfileError, match="--pass-fd 999: not open"):
        session.check_passed((999,))


@pytest.mark.parametrize(
    ("path", "flags", "why"),
    [
        ("/etc", os.O_RDONLY, "a directory of the host"),
        ("/proc/self/mountinfo", os.O_RDONLY, "a file of the host's kernel (proc)"),
        ("/sys/kernel/uevent_seqnum", os.O_RDONLY, "a file of the host's kernel (sysfs)"),
    ],
)
@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_stream_that_is_a_directory_or_of_the_hosts_kernel_is_refused(
    path: str, flags: int, why: str, stream: str, tmp_path: Path
):
    fd = os.open(path, flags)
    streams = {"stdin": subprocess.DEVNULL, "stdout": -1, "stderr": -1, stream: fd}
    try:
        done = subprocess.run(
            [*RUN, "--", "touch", "started"], env=ENVIRONMENT, cwd=tmp_path, check=False, **streams
        )
    finally:
        os.close(fd)
    assert done.returncode in (1, 2)  # Python itself starts with no directory
    assert list(tmp_path.iterdir()) == []
    if stream != "stderr" and path != "/etc":
        assert why.encode() in done.stderr


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        (socket.AF_INET, socket.SOCK_STREAM),
        (socket.AF_INET, socket.SOCK_DGRAM),
        (socket.AF_UNIX, socket.SOCK_STREAM),
        (socket.AF_UNIX, socket.SOCK_DGRAM),
    ],
)
@pytest.mark.parametrize("connected", [False, True])
def test_socket_that_leads_anywhere_but_to_its_peer_is_refused_as_a_stream(
    family: int, kind: int, connected: bool
):
    """One of the host's network namespace, from which any of its sockets could be reached."""
    with socket.socket(family, kind) as ours, socket.socket(family, kind) as other:
        if connected:
            name = f"\0kdumpfs-test-{os.getpid()}" if family == socket.AF_UNIX else ("127.0.0.1", 0)
            other.bind(name)
            if kind == socket.SOCK_STREAM:
                other.listen()
            ours.connect(other.getsockname())
        done = run("true", stdin=ours.fileno())
    if connected and (family, kind) == (socket.AF_UNIX, socket.SOCK_STREAM):
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert done.returncode == 2
    assert "a socket of the host's network, expected a file, a pipe or a terminal" in done.stderr


def test_handles_of_the_kernel_are_refused_as_streams():
    handles = os.eventfd(0), os.pidfd_open(os.getpid()), os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        for fd in handles:
            done = run("true", stdin=fd)
            assert done.returncode == 2
            assert "a handle of the host's kernel" in done.stderr
    finally:
        for fd in handles:
            os.close(fd)


def test_file_of_the_system_as_output_is_refused():
    place = Path("/usr/lib", f"kdumpfs-test-{os.getpid()}")
    if os.geteuid():
        pytest.skip("an ordinary user cannot open one to be written")
    try:
        with place.open("w") as out:
            done = subprocess.run([*RUN, "--", "true"], env=ENVIRONMENT, stdout=out, stderr=-1)
    finally:
        place.unlink()
    assert done.returncode == 2
    assert b"a file of the system opened to be written" in done.stderr


def test_disk_or_memory_of_the_host_as_a_stream_is_refused():
    refused = places._stream_refused
    with open("/dev/null") as null:
        assert refused(null.fileno(), 0o020000, "/dev/null", "") == ""
        assert "a device of the host" in refused(null.fileno(), 0o020000, "/dev/mem", "")
        assert "a disk of the host" in refused(null.fileno(), 0o060000, "/dev/vda", "")


def everybodys(directory: Path, text: str) -> Path:
    """A file that any user may write."""
    for parent in (directory, directory.parent, directory.parent.parent):
        parent.chmod(0o755)
    file = directory / "data"
    file.write_text(text)
    file.chmod(0o666)
    return file


@users
def test_input_that_is_a_file_cannot_be_written_by_way_of_its_descriptor(
    tmp_path: Path, before: tuple[str, ...]
):
    file = everybodys(tmp_path, "skipped\nfirst\n")
    script = "read line; echo got $line; ( echo bad > /proc/self/fd/0 ) 2>&1 | grep -c Read-only"
    with file.open("rb", buffering=0) as stdin:
        stdin.seek(8)
        done = run("bash", "-c", script, before=before, cwd="/", stdin=stdin)
    assert done.stdout == "got first\n1\n", done.stderr
    assert file.read_text() == "skipped\nfirst\n"


@users
def test_file_that_any_other_descriptor_reads_cannot_be_written_by_way_of_it(
    tmp_path: Path, before: tuple[str, ...]
):
    file = everybodys(tmp_path, "first\n")
    given = ("sh", "-c", f'exec "$@" 2< {file} 9< {file}', "sh")  # nothing can be said on 2, either
    script = "for fd in 2 9; do echo bad > /proc/$$/fd/$fd || echo refused; done; cat <&9"
    done = run("bash", "-c", script, before=(*given, *before), cwd="/", options=("--pass-fd", "9"))
    assert done.stdout == "refused\nrefused\nfirst\n"
    assert file.read_text() == "first\n"


# Which working directory is shared


@pytest.mark.parametrize(
    ("cwd", "home", "shared"),
    [
        ("/home/x/project", "/home/x", True),
        ("/home/x", "/home/x", False),
        ("/home/x/.ssh", "/home/x", False),
        ("/home/x/.config/a", "/home/x", False),
        ("/home/xy/project", "/home/x", False),
        ("/root/a", "/root", True),
        ("/root", "/root", False),
        ("/root/a", "/home/x", False),
        ("/usr/lib", "/usr", False),
        ("/etc/x", "/", False),
        ("/", "/", False),
        ("/srv/x", "/home/x", False),
        ("/var/lib/x", "/home/x", False),
    ],
)
def test_working_directory_is_shared_below_the_home(cwd: str, home: str, shared: bool):
    assert places.shared_directory(cwd, {"HOME": home}) == (cwd if shared else None)


def test_home_may_be_a_link_or_a_service_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "TEMPORARY", ())
    (tmp_path / "there/work").mkdir(parents=True)
    (tmp_path / "home").symlink_to("there")
    cwd = f"{tmp_path}/there/work"
    monkeypatch.setattr(places, "NEVER_SHARED", ())
    assert places.shared_directory(cwd, {"HOME": f"{tmp_path}/home"}) == cwd
    assert places.shared_directory(cwd, {"HOME": "home"}) is None


@pytest.mark.parametrize(
    ("cwd", "home", "owner", "caller", "shared"),
    [
        ("/var/lib/ci/work", "/var/lib/ci", 7, 7, True),
        ("/var/lib/ci/work", "/var/lib/ci", 7, 8, False),
        ("/var/lib/ci/work", "/var/lib/ci", 0, 0, False),
        ("/var/lib/kdump/x", "/var/lib/kdump", 7, 7, False),
        ("/var/lib/ci", "/var/lib", 7, 7, False),
        ("/var/lib/ci", "/var", 7, 7, False),
    ],
)
def test_home_below_var_is_its_owner_s(
    monkeypatch: pytest.MonkeyPatch, cwd: str, home: str, owner: int, caller: int, shared: bool
):
    status = SimpleNamespace(st_uid=owner, st_mode=0o40755)
    other = SimpleNamespace(path=os.path, stat=lambda _: status, geteuid=lambda: caller)
    monkeypatch.setattr(places, "os", other)
    assert places.shared_directory(cwd, {"HOME": home}) == (cwd if shared else None)


@pytest.mark.parametrize("mark", places.PROJECT_MARKS)
def test_project_is_what_has_a_mark_of_version_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
):
    monkeypatch.setattr(places, "TEMPORARY", ())
    deep = tmp_path / "a/b"
    deep.mkdir(parents=True)
    assert places.shared_directory(str(deep), {}) is None
    (tmp_path / mark).mkdir()
    assert places.shared_directory(str(deep), {}) == str(deep)


def test_anothers_temporary_directory_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(places, "TEMPORARY", (str(tmp_path),))
    (tmp_path / "mine").mkdir()
    assert places.shared_directory(f"{tmp_path}/mine", {"HOME": "/"}) == f"{tmp_path}/mine"
    own = {"HOME": "/", "TMPDIR": f"{tmp_path}/mine"}  # as pam_tmpdir makes it, in one of root's
    (tmp_path / "mine/x").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert places.shared_directory(f"{tmp_path}/mine", {"HOME": "/"}) is None
    stat = lambda p: SimpleNamespace(st_uid=4711 if p[-1] == "x" else 0, st_mode=0o41777)  # noqa: E731
    other = SimpleNamespace(path=os.path, stat=stat, geteuid=os.geteuid)
    monkeypatch.setattr(places, "os", other)
    assert places.shared_directory(f"{tmp_path}/mine/x", own) == f"{tmp_path}/mine/x"


@pytest.mark.parametrize("top", ["/usr", "/etc", "/var", "/run", "/dev", "usr", "/"])
def test_directory_of_the_system_is_not_temporary_whatever_is_said(top: str):
    at = f"/{top.strip('/')}/lib".replace("//", "/")
    assert places.shared_directory(at, {"HOME": "/", "TMPDIR": top}) is None
