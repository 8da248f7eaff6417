"""Loading, unloading and shrinking: who is refused, with which errno, and what is left."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from elfcorehdr import kexec_tools, profiles
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import FileArg, FileKind, Segment, regular


@pytest.fixture
def kernel() -> Kernel:
    return Kernel.boot(profiles.load("pseries-16g"))


def fails(call: Callable[[], None]) -> str:
    with pytest.raises(KernelError) as caught:
        call()
    return errno.errorcode[caught.value.errno]


PAGE = 0x10000
START = 0x18000000


@pytest.mark.parametrize(
    ("segments", "code"),
    [
        ([(b"", 0, START + 1, PAGE)], "EADDRNOTAVAIL"),
        ([(b"", 0, 0x10000000, PAGE)], "EADDRNOTAVAIL"),
        ([(b"", 0, START, PAGE), (b"", 0, START, PAGE)], "EINVAL"),
        ([(b"x" * (PAGE + 1), PAGE + 1, START, PAGE)], "EINVAL"),
        ([(b"", 0, START, PAGE)] * 17, "EINVAL"),
    ],
)
def test_kexec_load_refuses_segments_as_the_kernel_does(
    kernel: Kernel, segments: list[Segment], code: str
) -> None:
    assert fails(lambda: kernel.kexec.load(START, segments, 1)) == code
    assert kernel.kexec.crash_image is None


def test_a_reload_that_fails_late_has_dropped_the_image(kernel: Kernel) -> None:
    kernel.kexec.file_load(None, None, b"", 2)
    assert fails(lambda: kernel.kexec.file_load(FileArg(FileKind.BAD), None, b"", 2)) == "EBADF"
    assert kernel.kexec.crash_image is None


def test_bad_flags_keep_the_image(kernel: Kernel) -> None:
    kernel.kexec.file_load(None, None, b"", 2)
    assert fails(lambda: kernel.kexec.file_load(None, None, b"", 0x82)) == "EINVAL"
    assert kernel.kexec.crash_image is not None


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (regular(b"#!/bin/sh\n"), "ENOEXEC"),
        (regular(b""), "EINVAL"),
        (regular(b"\x7fELF\x01\x01\x01" + bytes(60)), "ENOEXEC"),
        (FileArg(FileKind.DIRECTORY), "EINVAL"),
    ],
)
def test_files_that_are_no_kernel_are_refused(kernel: Kernel, file: FileArg, code: str) -> None:
    assert fails(lambda: kernel.kexec.file_load(file, None, b"", 6)) == code


def test_unloading_nothing_succeeds(kernel: Kernel) -> None:
    kernel.kexec.load(0, [], 1)
    kernel.kexec.file_load(None, None, b"", 3)


def test_load_limits_count_down_and_can_only_be_lowered(kernel: Kernel) -> None:
    kernel.kexec.limit_panic.set(2)
    kernel.kexec.file_load(None, None, b"", 2)
    kernel.kexec.file_load(None, None, b"", 3)
    assert kernel.kexec.limit_panic.limit == 0
    assert fails(lambda: kernel.kexec.file_load(None, None, b"", 2)) == "EPERM"
    assert fails(lambda: kernel.kexec.limit_panic.set(1)) == "EINVAL"


def test_only_a_flagged_kexec_load_follows_hotplug(kernel: Kernel) -> None:
    entry, segments = kexec_tools.segments(kernel, None, None, b"", hotplug=True)
    for flags, follows in ((1, False), (9, True)):
        kernel.kexec.load(entry, segments, flags)
        assert kernel.kexec.crash_hotplug() is follows


def test_shrinking_rounds_up_to_pages_and_never_grows(kernel: Kernel) -> None:
    kernel.kexec.crash_shrink_memory(0x20000001)
    assert kernel.kexec.crash_size() == 0x20010000
    assert fails(lambda: kernel.kexec.crash_shrink_memory(0x30000000)) == "EINVAL"


def test_shrinking_is_enoent_while_loaded(kernel: Kernel) -> None:
    kernel.kexec.file_load(None, None, b"", 2)
    assert fails(lambda: kernel.kexec.crash_shrink_memory(0)) == "ENOENT"


def test_shrinking_to_nothing_succeeds_unless_the_oops_is_asked_for() -> None:
    machine = profiles.load("pseries-16g")
    kernel = Kernel.boot(machine)
    kernel.kexec.crash_shrink_memory(0)
    assert kernel.kexec.crash_size() == 0
    assert fails(lambda: kernel.kexec.file_load(None, None, b"", 2)) == "EADDRNOTAVAIL"
    kernel = Kernel.boot(machine, also=["shrink-to-zero-oops"])
    assert fails(lambda: kernel.kexec.crash_shrink_memory(0)) == "EIO"
    assert fails(kernel.kexec.crash_size) == "EBUSY"  # type: ignore[arg-type]
    assert any("NULL pointer" in r.text for r in kernel.log)
