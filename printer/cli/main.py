"""The command `elfcorehdr`. The commonest call runs before click is imported.

`elfcorehdr print FILE` on what a kernel wrote needs nothing but struct; whatever is out of the
ordinary (an option, another format, an error) goes to commands.py, which says and does the rest.
"""

from __future__ import annotations

import gc
import os
import stat
import sys

_LARGEST = 64 + 0xFFFE * 56  # Elf64_Ehdr and as many program headers as a kernel can write


def main() -> None:
    """Entry point: exit status 0 done (diff, check: nothing found), 1 found, 2 trouble, 130 Ctrl-C."""
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(130)


def _main() -> None:
    gc.disable()  # the process is short; what it makes has no cycles
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        from printer.cli.terminal import hold_streams

        hold_streams()
    argv = sys.argv[1:]
    begin = b""
    if len(argv) == 2 and argv[0] == "print" and "_ELFCOREHDR_COMPLETE" not in os.environ:
        try:
            done, begin = _print_kernel_form(argv[1])
        except BrokenPipeError:
            sys.exit(1)
        except OSError as error:
            sys.stderr.write(f"elfcorehdr: standard output: {error.strerror}\n")
            sys.exit(2)
        if done:
            return
    from printer.cli.commands import run

    run(begin)


def _print_kernel_form(name: str) -> tuple[bool, bytes]:
    """Print what begins with a header in the kernel's form; False: it does not, nothing is printed.

    The bytes are what was taken from standard input, and cannot be read again.
    """
    if name == "-":
        return _print_fd(0)
    if name.startswith("-"):
        return False, b""
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):  # a FIFO must be opened but once
            return False, b""
        fd = os.open(name, os.O_RDONLY)
    except (OSError, ValueError):
        return False, b""
    try:
        return _print_fd(fd)
    finally:
        os.close(fd)


def _print_fd(fd: int) -> tuple[bool, bytes]:
    from printer.forms.kernel_text import fast_table, render_table

    taken = b""
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            header = os.pread(fd, 4096, 0)
            if len(header) == 4096 and header[:4] == b"\x7fELF":
                header = os.pread(fd, _LARGEST, 0)
        elif stat.S_ISFIFO(mode) and fd == 0:
            header = taken = _read_pipe()
        else:
            return False, b""
    except OSError:
        return False, taken
    table = fast_table(memoryview(header))
    if table is None:
        return False, taken
    for piece in render_table(table):
        _write(piece)
    return True, taken


def _read_pipe() -> bytes:
    """The header on standard input, or as little as shows that there is none in the kernel's form."""
    from printer.forms.kernel_text import fast_table

    kept = bytearray()
    while part := os.read(0, 1 << 16):
        kept += part
        if (
            kept[:4] != b"\x7fELF"[: len(kept)]
            or len(kept) >= _LARGEST
            or fast_table(memoryview(kept))
        ):
            break
    return bytes(kept)


def _write(piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    main()
