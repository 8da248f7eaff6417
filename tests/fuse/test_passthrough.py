"""A cached file that has been read once is read by the host itself: the same bytes and answers, and its server is not asked.

Served by a child process: a file of 5 MiB whose second is zeros, and whose other bytes name their boot.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import mmap
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from elfcorehdr.errors import KernelError
from fsmount.fuse import passthrough, proto, readahead
from fsmount.fuse.direct import Connection
from fsmount.host import mountns
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, Caller, Filesystem, singleton
from tests.counters import Machine
from tests.fuse.test_direct import needs_fuse

pytestmark = pytest.mark.fuse

MIB = 1 << 20
SIZE = 5 * MIB + 8192


class Memory(Machine):
    """What is served: it knows how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.there = True

    def content(self) -> bytes:
        return content(self.boots)


def content(boots: int) -> bytes:
    pages = b"".join((b"boot %5d, page %14d\n" % (boots, n)) * 128 for n in range(SIZE // 4096))
    return pages[:MIB] + bytes(MIB) + pages[2 * MIB :]


class OpenMemory:
    cached = True

    def __init__(self, machine: Memory) -> None:
        self._machine, self._content = machine, machine.content()

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        self._machine.asked += 1
        return self._content[offset : offset + size]

    def write(self, buf: bytes, offset: int, flags: int = 0) -> int:
        raise KernelError(errno.EIO)


proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


@proc.open(name="memory", mode=0o400, size=SIZE, is_visible=lambda machine, obj: machine.there)
def memory_open(machine: Memory, caller: Caller, flags: int) -> OpenMemory:
    """Memory that never changes while the kernel lives."""
    return OpenMemory(machine)


@proc.show
def asked_show(machine: Memory) -> str:
    """How many reads of memory came here."""
    return f"{machine.asked}\n"


@proc.store
def act_store(machine: Memory, buf: str) -> None:
    """boot: another kernel; free: memory goes; N: no file of this process may be longer from now on."""
    if buf == "boot":
        machine.boots += 1
    elif buf == "free":
        machine.there = False
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(buf), resource.RLIM_INFINITY))
    machine.names_seq += 1


def serve(fd: int) -> None:
    machine = Memory()
    connection = Connection(fd, Tree(machine, (proc,)), lambda u, g, p: Caller(u, g, p))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while connection.mounted:
        poll.poll()
        while connection.handle():
            pass


class Mounted:
    def __init__(self, directory: Path, server: int) -> None:
        self.server = server
        self.proc = directory / "proc"
        self.memory = self.proc / "memory"

    def act(self, word: str) -> None:
        (self.proc / "act").write_text(word)

    def asked(self) -> int:
        return int((self.proc / "asked").read_text())

    @contextmanager
    def open(self, flags: int = os.O_RDONLY) -> Iterator[int]:
        fd = os.open(self.memory, flags)
        try:
            yield fd
        finally:
            os.close(fd)

    def passes(self, fd: int) -> bool:
        """Whether the host reads an open file without asking, though what its page cache has is of no use."""
        before, flags = self.asked(), fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
        os.pread(fd, 4096, MIB // 2)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        return self.asked() == before

    def writers(self) -> list[int]:
        """Processes that write what the host is to read."""
        children = Path(f"/proc/{self.server}/task/{self.server}/children").read_text().split()
        return [int(child) for child in children if is_alive(int(child))]

    def refuses(self) -> bool:
        """Whether nothing is written any more, and readers are not passed through."""
        wait_for(lambda: not self.writers())
        with self.open() as fd:
            return not self.passes(fd)

    def written(self) -> None:
        """Wait until what was read once is written for the host to read: a child process does it."""

        def passes() -> bool:
            with self.open() as fd:
                return self.passes(fd)

        wait_for(passes)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


Mounting = Callable[..., Mounted]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mounting]:
    """Mounts the machine; its server does `first` before it serves."""
    needs_fuse()
    children = []

    def mounting(first: Callable[[], object] = lambda: None) -> Mounted:
        fd = mountns.open_fuse()
        mountns.mount_fuse(fd, str(tmp_path))
        pid = os.fork()
        if pid == 0:
            try:
                first()
                serve(fd)
            finally:
                os._exit(0)
        os.close(fd)
        children.append(pid)
        return Mounted(tmp_path, pid)

    yield mounting
    for pid in children:
        mountns.unmount(str(tmp_path))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def passing(mount: Mounting, tmp_path: Path) -> Mounting:
    """The same where the kernel can pass reads through."""
    if not offered(tmp_path):
        pytest.skip("this kernel has no FUSE passthrough (Linux 6.9, CONFIG_FUSE_PASSTHROUGH)")
    return mount


@pytest.fixture
def read_once(passing: Mounting) -> Mounted:
    """One whose memory has been read."""
    mounted = passing()
    assert mounted.memory.read_bytes() == content(0)
    mounted.written()
    return mounted


def offered(directory: Path) -> bool:
    """Whether this kernel knows passthrough, as the first request of a mount says."""
    fd = mountns.open_fuse()
    mountns.mount_fuse(fd, str(directory))
    init = os.read(fd, 1 << 18)
    mountns.unmount(str(directory))
    os.close(fd)
    flags, flags2 = proto.INIT_IN.unpack_from(init, proto.BODY)[3:]
    return bool(flags & proto.FUSE_INIT_EXT and flags2 & proto.FUSE_PASSTHROUGH)


def test_second_reader_gets_the_same_bytes_and_asks_nobody(read_once: Mounted):
    with read_once.open() as fd:
        assert read_once.passes(fd)
    before = read_once.asked()
    assert read_once.memory.read_bytes() == content(0)
    assert read_once.asked() == before


def test_what_was_read_in_part_is_still_asked_for(mount: Mounting):
    mounted = mount()
    with mounted.open(os.O_DIRECT) as fd:
        buf = mmap.mmap(-1, SIZE - 4096)
        assert os.preadv(fd, [buf], 0) == SIZE - 4096
    assert mounted.refuses()


def test_pieces_in_any_order_and_of_any_size_make_a_whole(mount: Mounting, tmp_path: Path):
    mounted = mount()
    edges = [0, 5000, 4096 * 3 + 1, MIB - 7, MIB + 77, 2 * MIB, 3 * MIB + 4095, SIZE]
    with mounted.open(os.O_DIRECT) as fd:
        for start, end in reversed(list(itertools.pairwise(edges))):
            first = start // 4096 * 4096  # a page of which only a part was read is not there yet
            assert os.pread(fd, end - first, first) == content(0)[first:end]
    assert mounted.memory.read_bytes() == content(0)


def test_parts_of_pages_are_not_taken_for_whole_ones(mount: Mounting):
    mounted = mount()
    with mounted.open(os.O_DIRECT) as fd:
        os.pread(fd, SIZE - 100, 0)
        os.pread(fd, 50, SIZE - 50)
    assert mounted.refuses()
    assert mounted.memory.read_bytes() == content(0)


def test_nobody_is_passed_through_while_a_first_reader_has_the_page_cache(read_once: Mounted):
    read_once.act("boot")
    with read_once.open() as first, read_once.open() as second:
        while os.read(first, MIB):
            pass
        with read_once.open() as third:
            assert not read_once.passes(third)
            assert os.pread(third, SIZE, 0) == content(1)
        assert os.pread(second, SIZE, 0) == content(1)
    read_once.written()
    with read_once.open() as fd, read_once.open() as another:
        assert read_once.passes(fd)
        assert read_once.passes(another)


def test_a_mapping_of_the_first_reader_keeps_the_page_cache(mount: Mounting):
    mounted = mount()
    with mounted.open() as fd:
        mapped = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ)
    assert mapped[:] == content(0)
    assert mounted.refuses()
    mapped.close()
    assert mounted.memory.read_bytes() == content(0)


def test_mapped_memory_is_the_same(read_once: Mounted):
    with read_once.open() as fd:
        mapped = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ)
        private = mmap.mmap(fd, SIZE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    before = read_once.asked()
    private[:5] = b"mine!"
    assert mapped[:] == content(0)
    assert private[5:] == content(0)[5:]
    assert read_once.asked() == before


def test_who_may_write_asks_and_is_refused(read_once: Mounted):
    def refused(fd: int) -> None:
        assert not read_once.passes(fd)
        with pytest.raises(OSError, match="Input/output error"):
            os.pwrite(fd, b"x", MIB)
        assert os.pread(fd, SIZE, 0) == content(0)

    with read_once.open() as reader:
        with read_once.open(os.O_RDWR) as fd:
            refused(fd)
        assert read_once.passes(reader)
    with read_once.open(os.O_RDWR) as fd:
        refused(fd)
        with read_once.open() as reader:
            assert not read_once.passes(reader)
            assert os.pread(reader, SIZE, 0) == content(0)
    with read_once.open(os.O_RDWR | os.O_TRUNC):
        pass
    assert read_once.memory.read_bytes() == content(0)


def test_direct_reads_seeks_and_stat_are_as_before(read_once: Mounted):
    with read_once.open(os.O_DIRECT) as fd:
        for offset, size in ((0, MIB), (SIZE - 4096, MIB), (MIB + 7, 13), (SIZE, 4096)):
            assert os.pread(fd, size, offset) == content(0)[offset : offset + size]
    with read_once.open() as fd:
        assert os.fstat(fd).st_size == os.lseek(fd, 0, os.SEEK_END) == SIZE
        assert os.lseek(fd, 0, os.SEEK_HOLE) == SIZE
        assert os.lseek(fd, MIB + 1, os.SEEK_DATA) == MIB + 1
        with pytest.raises(OSError, match="No such device or address"):
            os.lseek(fd, SIZE, os.SEEK_DATA)
        before = os.fstat(fd)
        assert os.pread(fd, MIB, 4 * MIB) == content(0)[4 * MIB : 5 * MIB]
        after = os.fstat(fd)
        assert (before.st_atime_ns, before.st_blocks) == (after.st_atime_ns, after.st_blocks)


def test_splice_gives_the_same_bytes(read_once: Mounted):
    reader, writer = os.pipe()
    with read_once.open() as fd:
        moved = os.splice(fd, writer, 1 << 16, offset_src=4096)
    os.close(writer)
    assert moved
    assert os.read(reader, 1 << 16) == content(0)[4096 : 4096 + moved]
    os.close(reader)


def test_another_boot_has_another_content_and_what_is_open_of_the_last_is_dead(read_once: Mounted):
    old = os.open(read_once.memory, os.O_RDONLY)
    assert read_once.passes(old)
    read_once.act("boot")
    assert read_once.memory.read_bytes() == content(1)
    read_once.written()
    for act in (lambda: os.pread(old, 4096, 0), lambda: os.close(old)):
        with pytest.raises(OSError, match="Input/output error"):
            act()
    with read_once.open() as fd:
        assert read_once.passes(fd)
        assert os.pread(fd, SIZE, 0) == content(1)
    read_once.act("boot")
    assert read_once.memory.read_bytes() == read_once.memory.read_bytes() == content(2)


def test_a_first_reader_of_the_last_boot_is_not_in_the_way_of_the_next(read_once: Mounted):
    read_once.act("boot")
    old = os.open(read_once.memory, os.O_RDONLY)
    assert not read_once.passes(old)
    read_once.act("boot")
    assert read_once.memory.read_bytes() == content(2)
    read_once.written()
    with read_once.open() as fd:
        assert read_once.passes(fd)
        assert os.pread(fd, SIZE, 0) == content(2)
    with pytest.raises(OSError, match="Input/output error"):
        os.close(old)


def test_memory_that_is_released_is_gone(read_once: Mounted):
    read_once.act("free")
    with pytest.raises(FileNotFoundError):
        read_once.memory.read_bytes()


class SlowToWrite(OpenMemory):
    """In a server's child, it takes very long."""

    server = 0

    def read(self, size: int, offset: int, flags: int = 0) -> bytes:
        if os.getpid() != self.server:
            time.sleep(60)
        return super().read(size, offset, flags)


@pytest.mark.parametrize("end", ["boot", "free", "killed"])
def test_writing_ends_with_the_boot_the_file_and_the_server(passing: Mounting, end: str):
    def slow() -> None:
        warnings.simplefilter("error")
        SlowToWrite.server = os.getpid()
        globals()["OpenMemory"] = SlowToWrite

    mounted = passing(slow)
    assert mounted.memory.read_bytes() == content(0)
    (writer,) = mounted.writers()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the server's, as of a terminal
        os.kill(writer, number)
    assert mounted.memory.read_bytes() == content(0)
    assert mounted.writers() == [writer]
    if end == "killed":
        os.kill(mounted.server, signal.SIGKILL)
        wait_for(lambda: not is_alive(writer))
    else:
        mounted.act(end)
        assert not is_alive(writer)


def no_descriptors() -> None:
    """What is imported when a cached file is opened is there, but no more may be opened."""
    readahead.keep_heap()
    resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(lambda: os.seteuid(1), id="another user than root"),
        pytest.param(lambda: setattr(passthrough, "SHARE", 1 << 60), id="large beside free memory"),
        pytest.param(
            lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB)), id="no room at all"
        ),
        pytest.param(no_descriptors, id="no descriptor"),
    ],
)
def test_without_leave_or_room_the_page_cache_serves(mount: Mounting, first: Callable[[], object]):
    mounted = mount(first)
    for _ in range(3):
        assert mounted.memory.read_bytes() == content(0)
        assert mounted.refuses()


def test_room_that_ends_in_the_midst_leaves_the_page_cache(mount: Mounting):
    mounted = mount()
    with mounted.open(os.O_DIRECT) as fd:
        assert os.pread(fd, MIB, 0) == content(0)[:MIB]
        mounted.act(str(3 * MIB))
    for _ in range(3):
        assert mounted.memory.read_bytes() == content(0)
        assert mounted.refuses()
