"""/sys/kernel/kexec/ and its old names in /sys/kernel/: kernel/kexec_core.c (v7.1), kernel/ksysfs.c before 6.19."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from elfcorehdr import changes
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_core import PrintMode
from elfcorehdr.lib.kstrtox import kstrtoull
from fsmount.tree.kobject import AttributeGroup, Declaration, Link, singleton


def has_kexec_dir(kernel: Kernel, obj: object = None) -> bool:
    """Whether /sys/kernel/kexec/ exists."""
    return kernel.has(changes.SYSFS_KEXEC_DIR)


def lacks_kexec_dir(kernel: Kernel, obj: object = None) -> bool:
    """Whether the old names are plain files."""
    return not has_kexec_dir(kernel)


def has_crash_hotplug(kernel: Kernel, obj: object = None) -> bool:
    """CONFIG_CRASH_HOTPLUG"""
    return kernel.arch.crash_hotplug(kernel)


def has_print(kernel: Kernel, obj: object = None) -> bool:
    """Whether the proposed debug file exists."""
    return kernel.has(changes.ELFCOREHDR_PRINT)


kexec = AttributeGroup("kernel/kexec", singleton, is_visible=has_kexec_dir)


@kexec.show
def loaded_show(kernel: Kernel) -> str:
    """1 if a kernel is loaded for kexec, else 0."""
    return f"{int(kernel.kexec.image is not None)}\n"


@kexec.show
def crash_loaded_show(kernel: Kernel) -> str:
    """1 if a crash kernel is loaded, else 0."""
    return f"{int(kernel.kexec.crash_image is not None)}\n"


@kexec.show
def crash_size_show(kernel: Kernel) -> str:
    """Bytes reserved for the crash kernel, decimal; EBUSY while a kexec call is under way."""
    return f"{kernel.kexec.crash_size()}\n"


@kexec.store
def crash_size_store(kernel: Kernel, buf: str) -> None:
    """Give back all but this many bytes of the reservation.

    EINVAL not a number or larger than now, EBUSY, ENOENT while a crash kernel is loaded.
    """
    try:
        size = kstrtoull(buf)
    except KernelError:
        raise KernelError(errno.EINVAL, "not a size") from None
    kernel.kexec.crash_shrink_memory(size)


@kexec.show
def crash_cma_ranges_show(kernel: Kernel) -> str:
    """The CMA ranges of the crash kernel, one a line, first and last address in hex; empty without any."""
    return "".join(f"{r.start:08x}-{r.end:08x}\n" for r in kernel.kexec.crashk_cma_ranges)


@kexec.show(is_visible=has_crash_hotplug)
def crash_elfcorehdr_size_show(kernel: Kernel) -> str:
    """Bytes that user space should set aside for the ELF core header when it loads a crash kernel."""
    return f"{kernel.arch.crash_get_elfcorehdr_size(kernel)}\n"


ROWS_AT_ONCE = 512
"""Rows that are printed before it is asked whether a page is full: 64 KiB are 525."""


def print_elfcorehdr(kernel: Kernel) -> str | Iterator[bytes]:
    """crash_print_elfcorehdr(): what a read of crash_elfcorehdr_print returns, and puts into the log.

    In the mail's tree the table goes to the log and the read returns 0, or 1 if the kexec lock was
    held (PrintMode.DMESG). PrintMode.TEXT returns the table, as the mail shows it on a console.
    """
    text_only = kernel.kexec.print_mode is PrintMode.TEXT
    if kernel.kexec.locked:
        kernel.log.info("kexec_core: kexec_trylock() failed, kdump image may be inaccurate")
        return "" if text_only else "1\n"
    header = kernel.kexec.elfcorehdr()
    if header is None:
        kernel.kexec.locked = kernel.has(changes.PRINT_LEAKS_LOCK)
        return "" if text_only else "0\n"
    from printer.forms import kernel_text  # half a millisecond that a boot need not pay

    if text_only:
        return kernel_text.render_chunks(header, ROWS_AT_ONCE)
    text = kernel_text.render(header)
    # The blank line is a second newline at the end of the record before it.
    for record in text.replace("\n\n", "\0\n").splitlines():
        kernel.log.err("kexec_core: " + record.replace("\0", "\n"))
    return "0\n" if kernel.kexec.print_mode is PrintMode.DMESG else text


@kexec.show(is_visible=has_print)
def crash_elfcorehdr_print_show(kernel: Kernel) -> str | Iterator[bytes]:
    """Print the program headers of the loaded ELF core header."""
    return print_elfcorehdr(kernel)


legacy = AttributeGroup("kernel", singleton)
"""The old names as files, on kernels without the directory."""

LEGACY = {
    "kexec_loaded": "loaded",
    "kexec_crash_loaded": "crash_loaded",
    "kexec_crash_size": "crash_size",
    "kexec_crash_cma_ranges": "crash_cma_ranges",
    "crash_elfcorehdr_size": "crash_elfcorehdr_size",
}
"""Old name in /sys/kernel, and the name in /sys/kernel/kexec that it became."""

legacy.add("kexec_loaded", show=loaded_show, is_visible=lacks_kexec_dir)
legacy.add("kexec_crash_loaded", show=crash_loaded_show, is_visible=lacks_kexec_dir)
legacy.add(
    "kexec_crash_size", show=crash_size_show, store=crash_size_store, is_visible=lacks_kexec_dir
)
legacy.add(
    "crash_elfcorehdr_size",
    show=crash_elfcorehdr_size_show,
    is_visible=lambda kernel, obj: lacks_kexec_dir(kernel) and has_crash_hotplug(kernel),
)
# The debug patch needs a place before the directory exists: the old names' one.
legacy.add(
    "crash_elfcorehdr_print",
    show=crash_elfcorehdr_print_show,
    is_visible=lambda kernel, obj: lacks_kexec_dir(kernel) and has_print(kernel),
)

links = tuple(
    Link(
        f"kernel/{old}",
        singleton,
        f"kernel/kexec/{new}",
        is_visible=has_kexec_dir
        if old != "crash_elfcorehdr_size"
        else lambda kernel, obj: has_kexec_dir(kernel) and has_crash_hotplug(kernel),
    )
    for old, new in LEGACY.items()
)
GROUPS: tuple[Declaration, ...] = (kexec, legacy, *links)
