"""The machine around a header: its RAM, crashkernel, firmware, CPUs, and what is said of it in /proc/iomem.

machines.py finds them out of a description, a mounted tree or a captured case. Imports elfcorehdr.lib and .errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import Range, parse_ids
from elfcorehdr.lib.record import Record
from printer.layout.spans import Spans

_LIMIT = 64 << 20
_IOMEM_LINE = r"( *)([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.*)"
_IMAGE = ("Kernel code", "Kernel data", "Kernel bss")


def nothing_offline(_span: Range) -> Iterable[Range]:
    """Where blocks cannot be asked about."""
    return ()


class Surroundings(Record):
    """What is known of the machine; an empty tuple or None is: not known. Ranges include their end.

    >>> (read_iomem("iomem") | Surroundings(possible=8)).possible
    8
    """

    memory: tuple[Range, ...] = ()
    """RAM that a header should describe, the crashkernel included."""
    crashkernel: tuple[Range, ...] = ()
    """crashk_res, crashk_low_res and CMA: memory of the capture kernel."""
    rtas: tuple[Range, ...] = ()
    """Firmware (RTAS, OPAL) that powerpc lists although it lies in the crashkernel."""
    possible: int | None = None
    """How many CPUs the header should have notes for."""
    arch: str = ""
    kernel: Range | None = None
    """The running kernel's image, from `Kernel code` to the end of `Kernel bss`."""
    name: str = ""
    """The machine's, for people."""
    release: str = ""
    """The kernel's version, where that is known."""
    offline: Callable[[Range], Iterable[Range]] = nothing_offline
    """The parts of a range that are offline, where that can be asked: powerpc takes them out of the header."""

    def __or__(self, other: Surroundings) -> Surroundings:
        """Both together; where both say something, self counts."""
        return Surroundings(
            self.memory or other.memory,
            self.crashkernel or other.crashkernel,
            self.rtas or other.rtas,
            other.possible if self.possible is None else self.possible,
            self.arch or other.arch,
            self.kernel or other.kernel,
            self.name or other.name,
            self.release or other.release,
            other.offline if self.offline is nothing_offline else self.offline,
        )


def read_iomem(name: str) -> Surroundings:
    """System RAM, Crash kernel and the kernel's image of a /proc/iomem (`-`: standard input).

    ProfileError if there is no System RAM in it, or if every address is 0, which is what the
    kernel shows to others than root. powerpc lists no Crash kernel (arch_add_crash_res_to_iomem()).

    >>> read_iomem("iomem").memory
    (Range(start=0, end=17179869183),)
    """
    found = of_rows(_rows(name, text_of(name)))
    if not found.memory:
        raise ProfileError(f"{name}: no line with System RAM, expected the text of /proc/iomem")
    if all(span == (0, 0) for span in found.memory):
        raise ProfileError(f"{name}: every address is 0: only root is shown /proc/iomem's numbers")
    return found


def _rows(name: str, text: str) -> Iterator[tuple[int, Range, str]]:
    for line in text.splitlines():
        match = re.fullmatch(_IOMEM_LINE, line.rstrip())
        if not match:
            continue
        indent, first, last, what = match.groups()
        span = Range(int(first, 16), int(last, 16))
        if span.start > span.end:
            raise ProfileError(f"{name}: {line.strip()[:200]!r}: ends before it begins")
        yield len(indent) // 2, span, what


def of_rows(rows: Iterable[tuple[int, Range, str]]) -> Surroundings:
    """What the rows of /proc/iomem say: level, range, name."""
    memory: list[Range] = []
    crashkernel: list[Range] = []
    image: list[Range] = []
    outer = Spans([], [])
    for level, span, what in rows:
        if what in _IMAGE:
            image.append(span)
        if what == "Crash kernel":
            crashkernel.append(span)
        elif what.startswith("System RAM") and not (
            level and outer.covers(span.start, span.end + 1)
        ):
            memory.append(span)
            outer = outer if level else Spans([span.start], [span.end + 1])
    kernel = Range(min(r.start for r in image), max(r.end for r in image)) if image else None
    return Surroundings(tuple(sorted(memory)), tuple(sorted(crashkernel)), kernel=kernel)


def text_of(name: str) -> str:
    """The text of a file of at most 64 MiB (`-`: standard input); ProfileError if it is none, OSError."""
    from printer.inputs.reader import open_reader

    with open_reader(name) as reader:
        data = reader.read(0, _LIMIT + 1)
    if len(data) > _LIMIT:
        raise ProfileError(f"{name}: is more than {_LIMIT >> 20} MiB, expected less")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{name}: byte {error.start}: is no text, expected UTF-8") from None


def count_cpus(where: str, text: str) -> int:
    """How many CPUs a kernel list such as 0-7,12 has; ProfileError for anything else."""
    if not re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", text):
        raise ProfileError(f"{where}: {text[:200]!r}, expected a list such as 0-7")
    return len(parse_ids(text))
