"""The seccomp supervisor: a child under the filter makes real system calls, this process answers."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable

import pytest

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import Printk
from fsmount.run.inside import filter
from fsmount.run.supervisor import LET_THE_KERNEL, Supervisor
from fsmount.run.task import Later

pytestmark = pytest.mark.namespaces

libc = ctypes.CDLL(None, use_errno=True)
NR = filter.native_abi().syscalls
x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the other ABIs are x86's")


def call(name, *args):
    """The result of a system call, or -errno."""
    result = libc.syscall(NR[name], *args)
    return result if result >= 0 else -ctypes.get_errno()


def under_filter(child: Callable[[], object], answers, *, die: bool = False) -> object:
    """What child() returned (a repr'd value) after all its calls were answered; die: nobody answers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    out_r, out_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(out_r)
            if os.geteuid():
                libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
            listener = filter.install()
            socket.send_fds(theirs, [b"fd"], [listener])
            os.close(listener)
            theirs.recv(2)
            os.write(out_w, repr(child()).encode())
        finally:
            os._exit(0)
    os.close(out_w)
    theirs.close()
    _, (listener,), _, _ = socket.recv_fds(ours, 8, 1)
    sup = Supervisor(listener, answers, Printk())
    if die:
        os.close(listener)
    ours.send(b"go")
    text = b""
    poll = select.poll()
    poll.register(out_r, select.POLLIN)
    if not die:
        poll.register(listener, select.POLLIN)
        poll.register(sup, select.POLLIN)
    try:
        while True:
            ready = dict(poll.poll(20000))
            assert ready, "the child hangs"
            if listener in ready and ready[listener] & select.POLLIN and not die:
                sup.serve()
                sup.retry()
            if sup.fileno() in ready:
                sup.late()
            if out_r in ready:
                chunk = os.read(out_r, 65536)
                if not chunk:
                    break
                text += chunk
    finally:
        os.close(out_r)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if not die:
            sup.close()
        ours.close()
    return eval(text.decode())  # the repr written by our own child above


def test_answer_reaches_the_caller_as_result_or_errno():
    def reboot(_task, args):
        if args[2] == 7:
            raise KernelError(errno.EINVAL)
        return args[2] & 0xFF

    def child():
        return call("reboot", 1, 2, 66), call("reboot", 1, 2, 7)

    assert under_filter(child, {"reboot": reboot}) == (66, -errno.EINVAL)


def test_answer_writes_into_the_callers_memory():
    def uname(task, args):
        task.write(args[0], b"Emulated\0")
        return 0

    assert under_filter(lambda: os.uname().sysname, {"uname": uname}) == "Emulated"


def test_host_call_runs_where_the_answer_lets_the_kernel():
    answers = {"uname": lambda _task, _args: LET_THE_KERNEL}
    assert under_filter(lambda: os.uname().release, answers) == os.uname().release


def test_unmapped_address_is_efault():
    answers = {"uname": lambda task, args: task.write(args[0], b"x" * 390) or 0}
    assert under_filter(lambda: call("uname", ctypes.c_void_p(64)), answers) == -errno.EFAULT


def test_read_only_memory_is_not_written():
    def child():
        page = mmap.mmap(-1, 4096)
        addr = ctypes.addressof(ctypes.c_char.from_buffer(page))
        libc.mprotect(ctypes.c_void_p(addr), 4096, mmap.PROT_READ)
        return call("uname", ctypes.c_void_p(addr))

    answers = {"uname": lambda task, args: task.write(args[0], b"x" * 390) or 0}
    assert under_filter(child, answers) == -errno.EFAULT


def test_string_is_read_up_to_its_nul_at_the_end_of_a_mapping():
    def child():
        area = mmap.mmap(-1, 8192)
        addr = ctypes.addressof(ctypes.c_char.from_buffer(area))
        area[4096 - 6 : 4096] = b"crash\0"
        libc.mprotect(ctypes.c_void_p(addr + 4096), 4096, 0)
        return call("delete_module", ctypes.c_void_p(addr + 4096 - 6), 0)

    seen = []
    answers = {"delete_module": lambda task, args: seen.append(task.read_string(args[0], 64)) or 0}
    assert under_filter(child, answers) == 0
    assert seen == [b"crash"]


def test_string_without_nul_is_enametoolong():
    answers = {"delete_module": lambda task, args: len(task.read_string(args[0], 8))}
    assert under_filter(lambda: call("delete_module", b"x" * 64, 0), answers) == -errno.ENAMETOOLONG


def test_callers_open_file_is_read_through_a_copy_of_its_descriptor():
    def child():
        fd = os.memfd_create("image")
        os.write(fd, b"vmlinux")
        return call("finit_module", fd, b"", 0), call("finit_module", 99, b"", 0)

    contents = []

    def finit_module(task, args):
        contents.append(task.with_file(args[0], lambda fd: os.pread(fd, 100, 0)))
        return 0

    assert under_filter(child, {"finit_module": finit_module}) == (0, -errno.EBADF)
    assert contents == [b"vmlinux"]


def test_threads_call_is_told_from_its_process():
    def child():
        result = []
        thread = threading.Thread(target=lambda: result.append(call("reboot", 0, 0, 0)))
        thread.start()
        thread.join()
        return result[0], os.getpid() & 0x7FFF

    answers = {"reboot": lambda task, _args: task.tgid & 0x7FFF if task.pid != task.tgid else 0}
    tgid, pid = under_filter(child, answers)
    assert tgid == pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root's capabilities")
def test_effective_capabilities_and_uid_are_the_callers():
    def child():
        as_root = call("reboot", 0, 0, 0)
        os.setuid(65534)
        return as_root, call("reboot", 0, 0, 0)

    answers = {"reboot": lambda task, _args: 2 * task.capable(22) + (task.uid == 0)}
    assert under_filter(child, answers) == (3, 0)


def test_capability_in_another_user_namespace_counts_for_nothing():
    answers = {"reboot": lambda task, _args: 1 + task.capable(22, "user:[1]")}
    assert under_filter(lambda: call("reboot", 0, 0, 0), answers) == 1


def test_waiting_call_is_answered_when_it_is_asked_again():
    asked = []

    def syslog(_task, _args):
        asked.append(1)
        if len(asked) < 2:
            raise Later
        return 5

    assert under_filter(lambda: call("syslog", 2, None, 0), {"syslog": syslog}) == 5
    assert len(asked) == 2


def test_call_without_an_answer_is_enosys():
    assert under_filter(lambda: call("kexec_load", 0, 0, None, 0), {}) == -errno.ENOSYS


def test_bug_in_an_answer_is_an_oops_and_gives_eio(oopses):
    answers = {"reboot": lambda _task, _args: 1 // 0}
    assert under_filter(lambda: call("reboot", 0, 0, 0), answers) == -errno.EIO
    assert "ZeroDivisionError" in oopses.pop()


def test_every_call_is_enosys_when_the_supervisor_is_gone():
    def child():
        return {call(name, 0, 0, 0, 0, 0) for name in NR}

    assert under_filter(child, {}, die=True) == {-errno.ENOSYS}


def test_programs_started_later_are_under_the_filter_too():
    def child():
        return os.spawnv(os.P_WAIT, "/bin/sh", ["sh", "-c", "test $(uname -r) = emulated"])

    def uname(task, args):
        task.write(
            args[0],
            b"".join(f.ljust(65, b"\0") for f in (b"L", b"n", b"emulated", b"v", b"m", b"d")),
        )
        return 0

    assert under_filter(child, {"uname": uname}) == 0


@x86
def test_i386_calls_are_enosys():
    code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (i386 getpid); int 0x80; ret

    def child():
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        addr = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return ctypes.CFUNCTYPE(ctypes.c_int)(addr)()

    assert under_filter(child, {}) == -errno.ENOSYS


@x86
def test_x32_calls_are_enosys():
    def child():
        result = libc.syscall(0x40000000 | NR["reboot"], 0, 0, 0)
        return result, ctypes.get_errno()

    assert under_filter(child, {"reboot": lambda _t, _a: 0}) == (-1, errno.ENOSYS)


def test_filter_of_every_abi_allows_notifies_and_refuses():
    for abi in filter.ABIS.values():
        known = filter.numbers(abi)
        assert returned(abi, 1 << 20) == 0x7FFF0000
        assert {returned(abi, known[name]) for name in abi.syscalls} == {0x7FC00000}
        for name, number in filter.REFUSED.items():
            if name in known:
                assert returned(abi, known[name]) == 0x00050000 | number
        assert returned(abi, 0, arch=7) == 0x00050000 | errno.ENOSYS


def returned(abi, nr: int, *args: int, arch: int | None = None, shared: bool = False) -> int:
    """What the filter says of a call: classic BPF, interpreted."""
    given = [*args, *[0] * (6 - len(args))]
    data = struct.pack("=IIQ6Q", nr, abi.audit_arch if arch is None else arch, 0, *given)
    code = list(struct.iter_unpack("=HBBI", filter.bpf(abi, shared=shared)))
    at = loaded = 0
    while True:
        op, yes, no, value = code[at]
        at += 1
        match op:
            case 0x20:
                (loaded,) = struct.unpack_from("=I", data, value)
            case 0x54:
                loaded &= value
            case 0x06:
                return value
            case _:
                true = {0x15: loaded == value, 0x35: loaded >= value, 0x45: loaded & value}[op]
                at += yes if true else no


@pytest.mark.parametrize("name", filter.ABIS)
def test_filter_decides_by_arguments(name: str):
    abi = filter.ABIS[name]
    known = filter.numbers(abi)
    allow, notify = 0x7FFF0000, 0x7FC00000

    def refuse(number: int) -> int:
        return 0x00050000 | number

    for call in ("unshare", "clone"):
        assert returned(abi, known[call], 0x10000000) == allow
        assert returned(abi, known[call], 0x12000000) == refuse(errno.EPERM)
    for request in (0x5412, 0x541C, 0x5423, 0x7700005412):
        assert returned(abi, known["ioctl"], 0, request) == refuse(errno.EPERM)
    assert returned(abi, known["ioctl"], 0, 0x5413) == allow
    for family, kind, shared, expected in (
        (1, 1, True, allow), (1, 2, False, allow), (1, 2, True, refuse(errno.EACCES)),
        (1, 0x80802, True, refuse(errno.EACCES)), (1, 3, True, refuse(errno.EACCES)),
        (2, 2, True, allow), (16, 3, True, allow), (40, 1, False, refuse(errno.EAFNOSUPPORT)),
        (38, 5, False, refuse(errno.EAFNOSUPPORT)),
    ):  # fmt: skip
        assert returned(abi, known["socket"], family, kind, shared=shared) == expected
    assert returned(abi, known["socketpair"], 1, 0x80002, shared=True) == notify
    assert returned(abi, known["socketpair"], 1, 1, shared=True) == allow
    assert returned(abi, known["socketpair"], 1, 2) == allow


def test_callers_that_were_all_killed_leave_nothing_to_answer():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid():
                libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
            listener = filter.install()
            socket.send_fds(theirs, [b"fd"], [listener])
            os.close(listener)
            os.uname()
        finally:
            os._exit(0)
    theirs.close()
    _, (listener,), _, _ = socket.recv_fds(ours, 8, 1)
    supervisor = Supervisor(listener, {}, Printk())
    try:
        assert select.select([listener], [], [], 20)[0]  # it waits for its answer
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        supervisor.serve()  # ENOENT: there is a notification no more
        supervisor.retry()
    finally:
        os.close(listener)
        ours.close()
