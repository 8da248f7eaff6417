"""The mounted tree behaves as a real sysfs (6.18) did under the same system calls."""

from __future__ import annotations

import errno
import mmap
import os
import random
import select
import stat
import subprocess

import pytest

pytestmark = pytest.mark.fuse


def errno_of(function, *args, **kwargs):
    with pytest.raises(OSError, match="Errno") as caught:
        function(*args, **kwargs)
    return errno.errorcode[caught.value.errno].replace("ENOTSUP", "EOPNOTSUPP")


def sh(line, cwd):
    """Run a shell line; its exit status, output and errors."""
    done = subprocess.run(
        ["bash", "-c", line], cwd=cwd, capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode, done.stdout, done.stderr


def as_nobody(line, cwd):
    return subprocess.run(
        ["sh", "-c", line], cwd=cwd, capture_output=True, text=True, user=65534, check=False
    )


def test_mount_is_listed_as_kdumpfs(server):
    with open("/proc/self/mounts") as mounts:
        (line,) = [line.split() for line in mounts if str(server.root) in line]
    assert line[0] == "kdumpfs"
    assert line[2] == "fuse.kdumpfs"


def test_stat(server, text, counters):
    assert server.root.stat().st_ino == 1
    got = (text / "text").stat()
    assert (stat.filemode(got.st_mode), got.st_size, got.st_nlink) == ("-rw-r--r--", 4096, 1)
    assert (got.st_uid, got.st_gid) == (os.geteuid(), os.getegid())
    assert (got.st_blocks, got.st_blksize) == (0, 4096)
    got = (counters / "counter1").stat()
    assert (stat.filemode(got.st_mode), got.st_size, got.st_nlink) == ("drwxr-xr-x", 0, 4)
    got = (counters / "counter1/subsystem").lstat()
    assert (stat.filemode(got.st_mode), got.st_size) == ("lrwxrwxrwx", 0)
    with os.scandir(text.parent) as entries:
        inodes = {entry.name: entry.inode() for entry in entries}
    assert inodes["text"] == text.stat().st_ino


def test_links_resolve(counters):
    assert sh("cat subsystem/devices/counter2/topology/core_id", counters / "counter1")[1] == "2\n"
    assert os.readlink(counters / "counter1/subsystem") == "../../../../bus/counter"


def test_open_without_bit_or_method_is_eacces_for_root(text):
    assert errno_of(os.open, text / "clear", os.O_RDONLY) == "EACCES"
    assert errno_of(os.open, text / "length", os.O_WRONLY) == "EACCES"
    assert sh("echo x > length", text)[2].endswith("length: Permission denied\n")


def test_changing_the_tree_is_refused(text):
    new, old = text / "new", text / "text"
    assert errno_of(os.open, new, os.O_WRONLY | os.O_CREAT) == "EACCES"
    assert errno_of(os.mkdir, new) == "EPERM"
    # fs/namei.c, do_mknodat(): a regular file is made by i_op->create, others by i_op->mknod.
    assert errno_of(os.mknod, new, 0o600) == "EACCES"
    assert errno_of(os.mkfifo, new) == "EPERM"
    assert errno_of(os.unlink, old) == "EPERM"
    assert errno_of(os.rmdir, text) == "EPERM"
    assert errno_of(os.rename, old, new) == "EPERM"
    assert errno_of(os.link, old, new) == "EPERM"
    assert errno_of(os.symlink, "text", new) == "EPERM"


def test_extended_attributes(text):
    assert errno_of(os.setxattr, text / "text", "user.x", b"1") == "EOPNOTSUPP"
    assert errno_of(os.getxattr, text / "text", "user.x") == "ENODATA"
    assert os.listxattr(text / "text") == []


def test_mmap_is_enodev(text):
    with (text / "text").open("rb") as file:
        assert errno_of(mmap.mmap, file.fileno(), 1, access=mmap.ACCESS_READ) == "ENODEV"


def test_truncating_stores_nothing(text):
    assert sh(": > text", text)[0] == 0
    os.truncate(text / "text", 0)
    assert (text / "text").read_text() == "hello\n"


def test_each_write_is_one_store(text):
    fd = os.open(text / "text", os.O_WRONLY)
    assert os.write(fd, b"") == 0
    assert (text / "text").read_text() == "hello\n"
    assert [os.write(fd, b"ab"), os.write(fd, b"c")] == [2, 1]
    os.close(fd)
    assert (text / "text").read_text() == "c"
    assert sh("printf xyz | dd bs=1 of=text status=none; cat text", text)[1] == "z"


def test_write_takes_a_page_at_most(text):
    fd = os.open(text / "text", os.O_WRONLY)
    assert os.write(fd, b"x" * 5000) == 4096
    os.close(fd)
    assert len((text / "raw").read_bytes()) == 4096


def test_write_takes_a_page_of_64k_in_one_store(server_with):
    text = server_with("announced", "65536").root / "sys/kernel/text"
    fd = os.open(text / "text", os.O_WRONLY)
    assert os.write(fd, b"x" * 200_000) == 65536
    os.close(fd)
    assert len((text / "raw").read_bytes()) == 65536
    assert (text / "text").stat().st_size == 65536
    assert len((text / "text").read_bytes()) == 65535


def test_appending_is_a_store_too(server, text):
    assert sh("echo more >> text; cat text; stat -c %s text", text)[1] == "more\n4096\n"
    assert sh("echo more >> kmsg; echo more >> kmsg", server.root / "dev") == (0, "", "")


def test_refused_write_is_the_errno_of_write(text):
    assert sh("echo no > text", text)[2].endswith("write error: Invalid argument\n")
    assert (text / "text").read_text() == "hello\n"


def test_read_is_a_snapshot_that_rewinding_renews(text):
    fd = os.open(text / "text", os.O_RDONLY)
    assert os.read(fd, 3) == b"hel"
    (text / "text").write_text("HELLO\n")
    assert os.read(fd, 100) == b"lo\n"
    assert os.read(fd, 100) == b""
    os.lseek(fd, 0, os.SEEK_SET)
    assert os.read(fd, 100) == b"HELLO\n"
    assert os.pread(fd, 2, 4) == b"O\n"
    os.close(fd)


def test_seek(text):
    fd = os.open(text / "text", os.O_RDONLY)
    assert os.lseek(fd, 0, os.SEEK_END) == 4096
    assert os.lseek(fd, 0, os.SEEK_DATA) == 0
    assert os.lseek(fd, 1, os.SEEK_HOLE) == 4096
    assert errno_of(os.lseek, fd, 4096, os.SEEK_DATA) == "ENXIO"
    os.close(fd)


def test_poll_is_always_ready(text):
    with (text / "text").open("r+b", buffering=0) as file:
        poller = select.poll()
        poller.register(file, select.POLLIN | select.POLLOUT)
        assert poller.poll(0)[0][1] == select.POLLIN | select.POLLOUT | select.POLLERR


def test_chmod_and_utimes_stick(text):
    os.chmod(text / "text", 0o600)
    owner = 5 if os.geteuid() == 0 else os.geteuid()
    os.chown(text / "text", owner, -1)
    os.utime(text / "text", ns=(1, 2_000_000_003))
    got = (text / "text").stat()
    assert (oct(got.st_mode), got.st_uid, got.st_gid) == ("0o100600", owner, os.getegid())
    assert (got.st_atime_ns, got.st_mtime_ns, got.st_size) == (1, 2_000_000_003, 4096)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_modes_and_capabilities_count_for_others(text):
    # From inside: the directories above the mount may be closed to others.
    assert "Permission denied" in as_nobody("echo x > text", text).stderr
    assert "Permission denied" in as_nobody("cat secret", text).stderr
    assert (text / "secret").read_text() == "secret\n"
    os.chmod(text / "secret", 0o444)
    assert as_nobody("cat secret", text).stdout == "0\n"


def test_open_file_of_a_removed_object_is_enodev(counters):
    fd = os.open(counters / "counter1/value", os.O_RDWR)
    assert os.read(fd, 9) == b"0\n"
    (counters / "unplug").write_text("1")
    assert errno_of(os.pread, fd, 9, 0) == "ENODEV"
    assert errno_of(os.write, fd, b"1") == "ENODEV"
    os.close(fd)


def test_large_directory_is_listed_whole_with_types(counters):
    fd = os.open(counters / "plug", os.O_WRONLY)
    for number in range(3, 1000):
        os.write(fd, str(number).encode())
    os.close(fd)
    with os.scandir(counters) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    assert listed == [("plug", False), ("unplug", False), ("online", False)] + [
        (f"counter{number}", True) for number in range(1000)
    ]


def test_page_limit_and_proc(server):
    assert sh("wc -c < long", server.root / "proc")[1] == "16384\n"


def test_bug_is_eio_and_an_oops_and_the_mount_lives_on(server, text):
    assert errno_of((text / "broken").read_bytes) == "EIO"
    assert (text / "text").read_text() == "hello\n"
    assert "ZeroDivisionError: integer division or modulo by zero" in server.stderr()
    fd = os.open(server.root / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.read(fd, 8191)
    assert os.read(fd, 8191).startswith(b"3,1,")
    os.close(fd)
    server.oops_expected = True


# Names


def rounds_of_stale_names(counters, rounds):
    """How often, in that many random changes, a name, absence, count or list was out of date."""
    chance = random.Random(1)
    there, stale = {0, 1, 2}, 0
    for _ in range(rounds):
        number = chance.randrange(8)
        (counters / ("unplug" if number in there else "plug")).write_text(str(number))
        there ^= {number}
        for candidate in (number, chance.randrange(8)):
            stale += (counters / f"counter{candidate}/value").exists() != (candidate in there)
        stale += counters.stat().st_nlink != 2 + len(there)
        stale += {name for name in os.listdir(counters) if name[-1].isdigit()} != {
            f"counter{number}" for number in there
        }
    return stale


def test_no_name_is_stale_after_a_thousand_changes(counters):
    assert rounds_of_stale_names(counters, 1000) == 0


def test_no_name_is_stale_without_a_name_cache(server_with):
    counters = server_with("none").root / "sys/devices/system/counter"
    assert rounds_of_stale_names(counters, 100) == 0


def test_the_check_sees_stale_names_where_the_kernel_is_not_told(server_with):
    counters = server_with("stale").root / "sys/devices/system/counter"
    assert rounds_of_stale_names(counters, 100) > 10


def test_change_from_outside_the_mount_is_seen_at_once(server, counters):
    assert not (counters / "counter7").exists()
    server.process.stdin.write(b"7\n")
    server.process.stdin.flush()
    assert server.process.stdout.readline() == b"plugged\n"
    assert (counters / "counter7/value").read_text() == "0\n"


def test_invisible_directory_vanishes_at_once(counters):
    directory = counters / "counter1/topology"
    assert directory.is_dir()
    (counters / "online").write_text("1 0")
    assert not directory.exists()
    (counters / "online").write_text("1 1")
    assert (directory / "core_id").read_text() == "1\n"


# Mounting and unmounting


def test_unmounting_from_outside_ends_the_server(server):
    assert subprocess.run(["umount", server.root], check=False).returncode == 0
    assert server.process.wait(10) == 0


def test_stopping_under_a_busy_mount_does_not_hang(server, text):
    with subprocess.Popen(["sleep", "30"], cwd=text) as sleeper:
        server.process.terminate()
        assert server.process.wait(10) == 0
        sleeper.terminate()


def test_inode_numbers_of_a_listing_are_those_of_stat(server):
    for directory in ("", "sys", "sys/kernel/text", "sys/devices/system/counter"):
        for entry in os.scandir(server.root / directory):
            assert entry.inode() == os.lstat(entry.path).st_ino, entry.path
