"""The seccomp filter of `kdumpfs run`: which system calls are answered by us, refused, or the host's own.

It fails closed: another ABI's calls (i386, x32) get ENOSYS, and so does every call that is to be
answered once nobody answers. What is decided by arguments is decided by numbers only, never by what
a pointer points to, since another thread could change that after the look (seccomp_unotify(2)).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from elfcorehdr.errors import KernelError
from elfcorehdr.lib.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Abi(Record):
    """A host's native calling convention: AUDIT_ARCH_*, and the numbers of the calls we answer."""

    audit_arch: int
    seccomp: int
    syscalls: Mapping[str, int]
    """Those that are always handed over."""
    others: Mapping[str, int]
    """Those that are refused, or looked at more closely."""


_GENERIC = {
    "statfs": 43, "fstatfs": 44, "kexec_load": 104, "init_module": 105, "delete_module": 106,
    "syslog": 116, "sched_setaffinity": 122, "sched_getaffinity": 123, "reboot": 142, "uname": 160, "sethostname": 161, "connect": 203, "finit_module": 273,
    "kexec_file_load": 294, "sysinfo": 179,
}  # fmt: skip
_GENERIC_OTHERS = {
    "ioctl": 29, "sendfile": 71, "unshare": 97, "socket": 198, "socketpair": 199, "add_key": 217, "request_key": 218,
    "keyctl": 219, "clone": 220, "open_by_handle_at": 265, "bpf": 280,
}  # fmt: skip
ABIS = {
    # arch/x86/entry/syscalls/syscall_64.tbl
    "x86_64": Abi(0xC000003E, 317, {
        "connect": 42, "uname": 63, "sysinfo": 99, "syslog": 103, "statfs": 137, "fstatfs": 138, "reboot": 169, "sethostname": 170,
        "init_module": 175, "delete_module": 176, "sched_setaffinity": 203, "sched_getaffinity": 204, "kexec_load": 246, "finit_module": 313,
        "kexec_file_load": 320,
    }, {
        "ioctl": 16, "sendfile": 40, "socket": 41, "socketpair": 53, "clone": 56, "add_key": 248, "request_key": 249,
        "keyctl": 250, "unshare": 272, "open_by_handle_at": 304, "bpf": 321,
    }),
    # include/uapi/asm-generic/unistd.h
    "aarch64": Abi(0xC00000B7, 277, _GENERIC, _GENERIC_OTHERS),
    "riscv64": Abi(0xC00000F3, 277, _GENERIC, _GENERIC_OTHERS),
    # arch/powerpc/kernel/syscalls/syscall.tbl
    "ppc64le": Abi(0xC0000015, 358, {
        "sethostname": 74, "reboot": 88, "statfs": 99, "fstatfs": 100, "syslog": 103, "sysinfo": 116, "uname": 122,
        "init_module": 128, "delete_module": 129, "sched_setaffinity": 222, "sched_getaffinity": 223, "rtas": 255, "kexec_load": 268,
        "connect": 328, "finit_module": 353, "kexec_file_load": 382,
    }, {
        "ioctl": 54, "socketcall": 102, "clone": 120, "sendfile": 186, "add_key": 269, "request_key": 270,
        "keyctl": 271, "unshare": 282, "socket": 326, "socketpair": 333, "open_by_handle_at": 346,
        "bpf": 361,
    }),
}  # fmt: skip
"""By uname(2)'s machine. A call that is listed but has no answer gets ENOSYS."""

_EVERYWHERE = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "clone3": 435,
}
"""The same number in every ABI."""

REFUSED = {
    "add_key": errno.ENOSYS, "request_key": errno.ENOSYS, "keyctl": errno.ENOSYS,
    "bpf": errno.EPERM, "open_by_handle_at": errno.EPERM, "socketcall": errno.ENOSYS,
    "io_uring_setup": errno.ENOSYS, "io_uring_enter": errno.ENOSYS, "io_uring_register": errno.ENOSYS,
    "clone3": errno.ENOSYS, "sendfile": errno.EINVAL,
}  # fmt: skip
"""The host's keyrings and programs; calls whose arguments no filter can see (io_uring, clone3: C
libraries then use others); files by handle, past the mounts. sendfile(2) of a FUSE file ends at the size that stat(2)
tells (filemap_splice_read(), since v6.5), which is 0 in /proc: with EINVAL, which /proc/PID/status has for it, callers read."""

TIOCEXCL, TIOCSTI, TIOCLINUX, TIOCSETD = 0x540C, 0x5412, 0x541C, 0x5423
"""ioctls that close the caller's terminal to others, type into it, or change what it is; the same on all these machines."""
CONSOLE = (0x4B00, 0x5600)
"""All of include/uapi/linux/kd.h and vt.h: keyboard, screen and switching of a console that the caller may be on."""
CLONE_NEWCGROUP = 0x02000000
FAMILIES = (1, 2, 10, 16, 17)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET: of the run's network namespace. AF_VSOCK is not."""
AF_UNIX, SOCK_DGRAM, SOCK_RAW, _SOCK_TYPE_MASK = 1, 2, 3, 0xF

# include/uapi/linux/seccomp.h, include/uapi/linux/bpf_common.h
_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3
_WAIT_KILLABLE_RECV = 1 << 5
_RET_ALLOW, _RET_ERRNO, _RET_USER_NOTIF = 0x7FFF0000, 0x00050000, 0x7FC00000
_LD_W_ABS, _JEQ, _JGE, _JSET, _AND, _RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_X32_BIT = 0x40000000  # from here on x86's other ABI; no native number is as large
_libc = ctypes.CDLL(None, use_errno=True)
_Code = list[tuple[int, int, int, int]]


_HOST = os.uname().machine  # asked now: under the filter uname(2) says the emulated machine


def native_abi() -> Abi:
    """The host's ABI. KernelError(ENOSYS) for a machine we have no numbers for."""
    if _HOST not in ABIS:
        raise KernelError(errno.ENOSYS, f"no system call numbers for {_HOST} hosts")
    return ABIS[_HOST]


def numbers(abi: Abi) -> dict[str, int]:
    """Every call that the filter knows, by name."""
    return {**abi.syscalls, **abi.others, **_EVERYWHERE}


def bpf(abi: Abi, *, shared: bool = False) -> bytes:
    """The filter: struct sock_filter each. shared: a directory of the host can be written."""
    known = numbers(abi)
    program: _Code = [
        (_LD_W_ABS, 0, 0, 4),  # seccomp_data.arch
        (_JEQ, 1, 0, abi.audit_arch),
        _errno(errno.ENOSYS),
        (_LD_W_ABS, 0, 0, 0),  # seccomp_data.nr
        (_JGE, 0, 1, _X32_BIT),
        _errno(errno.ENOSYS),
    ]
    for name in sorted(abi.syscalls):
        program += _if(known[name], [(_RET, 0, 0, _RET_USER_NOTIF)])
    for name, error in REFUSED.items():
        if name in known:
            program += _if(known[name], [_errno(error)])
    for name in ("unshare", "clone"):
        program += _if(
            known[name],
            [_argument(0), (_JSET, 0, 1, CLONE_NEWCGROUP), _errno(errno.EPERM), _ALLOW],
        )
    code: _Code = [_argument(1)]
    for request in (TIOCEXCL, TIOCSTI, TIOCLINUX, TIOCSETD):
        code += [(_JEQ, 0, 1, request), _errno(errno.EPERM)]
    code += [(_AND, 0, 0, 0xFFFFFF00)]
    for family in CONSOLE:
        code += [(_JEQ, 0, 1, family), _errno(errno.EPERM)]
    program += _if(known["ioctl"], [*code, _ALLOW])
    code = [_argument(0)]
    for at, family in enumerate(FAMILIES):
        code += [(_JEQ, len(FAMILIES) - at, 0, family)]
    code += [_errno(errno.EAFNOSUPPORT)]
    # A datagram needs no connect(2): its address is where no filter sees it.
    program += _if(known["socket"], [*code, *_if_datagram(shared, _errno(errno.EACCES)), _ALLOW])
    pair: _Code = _if_datagram(shared, (_RET, 0, 0, _RET_USER_NOTIF))
    program += _if(known["socketpair"], [_argument(0), *pair, _ALLOW])
    program += [_ALLOW]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


_ALLOW = (_RET, 0, 0, _RET_ALLOW)


def _errno(number: int) -> tuple[int, int, int, int]:
    return _RET, 0, 0, _RET_ERRNO | number


def _argument(number: int) -> tuple[int, int, int, int]:
    """Load the low half of seccomp_data.args[number]: these arguments are ints, the kernel looks at no more."""
    return _LD_W_ABS, 0, 0, 16 + 8 * number  # all of ABIS are little-endian


def _if(number: int, then: _Code) -> _Code:
    """What ends in a return, for one system call."""
    return [(_JEQ, 0, len(then), number), *then]


def _if_datagram(wanted: bool, then: tuple[int, int, int, int]) -> _Code:
    """With the address family loaded: for datagram sockets of AF_UNIX, to which SOCK_RAW belongs."""
    if not wanted:
        return []
    return [
        (_JEQ, 0, 5, AF_UNIX),
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_JEQ, 1, 0, SOCK_DGRAM),
        (_JEQ, 0, 1, SOCK_RAW),
        then,
    ]


def probe(*, shared: bool) -> dict[str, int | None]:
    """Calls that must be refused and would do no harm: None for each that is, else the errno it gave."""
    known = numbers(native_abi())
    refused: dict[str, tuple[int, tuple[int, ...]]] = {
        name: (error, (0, 0, 0, 0, 0, 0)) for name, error in REFUSED.items() if name in known
    }
    refused["ioctl"] = errno.EPERM, (-1, TIOCSTI, 0)
    refused["unshare"] = errno.EPERM, (CLONE_NEWCGROUP,)
    refused["socket"] = errno.EAFNOSUPPORT, (40, 1, 0)  # AF_VSOCK
    found: dict[str, int | None] = {}
    for name, (error, args) in refused.items():
        done = _libc.syscall(known[name], *args)
        got = 0 if done >= 0 else ctypes.get_errno()
        found[name] = None if got == error else got
    if shared:
        done = _libc.syscall(known["socket"], AF_UNIX, SOCK_DGRAM, 0)
        found["a datagram socket"] = None if done < 0 else 0
    return found


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(*, shared: bool = False) -> int:
    """Put the filter on this process and its children for good; the listener's descriptor.

    shared: see bpf().

    KernelError with the kernel's errno: EBUSY when a listener is there already, EACCES without
    CAP_SYS_ADMIN in the user namespace or no_new_privs, ENOSYS or EINVAL on a kernel without it.
    """
    abi = native_abi()
    program = bpf(abi, shared=shared)
    fprog = _SockFprog(len(program) // 8, program)
    # Since Linux 5.19, a pending call is not interrupted by signals that do not kill.
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE_RECV, _NEW_LISTENER):
        fd = _libc.syscall(abi.seccomp, _SET_MODE_FILTER, flags, ctypes.byref(fprog))
        if fd >= 0:
            os.set_inheritable(fd, False)
            return int(fd)
        if ctypes.get_errno() != errno.EINVAL:
            break
    raise KernelError(ctypes.get_errno(), "seccomp(SECCOMP_SET_MODE_FILTER) with a listener")
