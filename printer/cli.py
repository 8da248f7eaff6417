"""The command `elfcorehdr`. The commonest call runs before click is imported.

`elfcorehdr print FILE` on what a kernel wrote needs nothing but struct; whatever is out of the
ordinary (an option, another format, an error) goes to commands.py, which says and does the rest.
"""

from __future__ import annotations

import os
import stat
import sys

_LARGEST = 64 + 0xFFFE * 56  # Elf64_Ehdr and as many program headers as a kernel can write


def main() -> None:
    """Entry point: exit status 0 done (diff, check: nothing found), 1 found, 2 trouble."""
    argv = sys.argv[1:]
    if len(argv) == 2 and argv[0] == "print" and "_ELFCOREHDR_COMPLETE" not in os.environ:
        try:
            if _print_kernel_form(argv[1]):
                return
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)
    from .commands import run

    run()


def _print_kernel_form(name: str) -> bool:
    """Print a regular file that begins with a header in the kernel's form; False: not one."""
    if name == "-":
        return _print_fd(0)
    if name.startswith("-"):
        return False
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return False
    try:
        return _print_fd(fd)
    finally:
        os.close(fd)


def _print_fd(fd: int) -> bool:
    from .kernel_text import fast_table, render_table

    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        header = os.pread(fd, 4096, 0)
        if len(header) == 4096 and header[:4] == b"\x7fELF":
            header = os.pread(fd, _LARGEST, 0)
    except OSError:
        return False
    table = fast_table(memoryview(header))
    if table is None:
        return False
    for piece in render_table(table):
        _write(piece)
    return True


def _write(piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    main()
