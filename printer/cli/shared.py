"""What the commands share: options, errors in one sentence, standard output. Imports click alone at the top."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from printer.cli.completers import words
from printer.cli.terminal import bounded

if TYPE_CHECKING:
    from printer.cli.completers import Completer
    from printer.cli.terminal import Progress
    from printer.inputs.source import Core
    from printer.judge.surroundings import Surroundings

_F = TypeVar("_F", bound=Callable[..., Any])

INPUT = click.Path(allow_dash=True)


class Trouble(click.ClickException):
    """Something is wrong with the input: one sentence, exit status 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        from printer.layout.sizes import printable

        super().__init__(printable(message))

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it, and who does: `elfcorehdr: FILE: ...`."""
        text = bounded(self.format_message())
        click.echo(f"elfcorehdr: {text}", file=file, err=file is None)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what can be wrong with an input into Trouble."""
    from elfcorehdr.errors import ElfFormatError, ProfileError

    try:
        yield
    except (ElfFormatError, ProfileError) as error:
        raise Trouble(str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Trouble(f"{where}{error.strerror or error}") from None


def each(files: Sequence[str], work: Callable[[str], None]) -> bool:
    """Do the work for every file; of several a trouble with one is told and the others go on. Whether there was one."""
    if files.count("-") > 1:
        raise click.UsageError("only one of the files can be standard input")
    troubled = False
    for file in files:
        try:
            with one_sentence():
                work(file)
        except Trouble as trouble:
            if len(files) == 1:
                raise
            trouble.show()
            troubled = True
    return troubled


def show(pieces: Iterable[str]) -> None:
    """Write text to standard output."""
    write = sys.stdout.write
    for piece in pieces:
        try:
            write(piece)
        except OSError as error:
            _stop_writing(error)
    try:
        sys.stdout.flush()
    except OSError as error:
        _stop_writing(error)


def _stop_writing(error: OSError) -> NoReturn:
    """Standard output is closed or full: nothing more goes there, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        sys.exit(1)
    raise Trouble(f"standard output: {error.strerror}") from None


def _address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        number = int(value, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 63:
        raise click.BadParameter(
            f"{value[:60]!r} is not an offset, expected bytes such as 0x1af50000"
        )
    return number


def formats(*ours: str) -> Completer:
    """Shell completion of --format."""

    def names() -> Iterable[str]:
        from printer.forms.tables import formats

        return (*ours, *formats())

    return words(names)


def reading(command: _F) -> _F:
    """The options that say where in the input the header is."""
    command = click.option(
        "--scan", is_flag=True, help="Search a memory image or crashkernel dump for the header."
    )(command)
    return click.option(
        "--at",
        metavar="OFFSET",
        callback=_address,
        help="The header is OFFSET bytes into the input.",
    )(command)


def read_input(file: str, progress: Progress, **how: Any) -> Core:
    """inputs.source.read(), with what is going on for a terminal."""
    from printer.inputs.source import read

    name = "standard input" if file == "-" else file
    progress.doing = f"{'searching' if how.get('scan') else 'reading'} {name}"
    progress.done, progress.total = 0, None
    if how.get("scan") and file != "-" and os.path.isfile(file):
        progress.total = os.path.getsize(file)
    return read(file, progress=progress.at, **how)


def _machines() -> Iterable[str]:
    from elfcorehdr.profiles import names

    return names()


def around(command: _F) -> _F:
    """The options that describe the machine around a header."""
    command = click.option(
        "--iomem", type=INPUT, metavar="FILE", help="RAM and crashkernel from a /proc/iomem."
    )(command)
    return click.option(
        "--machine",
        type=INPUT,
        metavar="NAME|FILE|DIR",
        shell_complete=words(_machines, files=True),
        help="RAM, crashkernel, RTAS and CPUs of a kdumpfs machine (shipped, or TOML), which is booted "
        "to know them, a captured case (JSON), or a mounted tree.",
    )(command)


def surroundings(
    machine: str | None, iomem: str | None, possible: str | None, *inputs: str | None
) -> Surroundings:
    """What the options say of the machine; where they say nothing, what a mounted tree among the inputs does."""
    from printer.judge.surroundings import Surroundings, count_cpus, read_iomem

    found = Surroundings(possible=count_cpus("--possible", possible) if possible else None)
    if iomem:
        found |= read_iomem(iomem)
    if machine:
        from printer.judge.machines import read_machine

        found |= read_machine(machine)
    for name in () if iomem or machine else inputs:
        if name and name != "-" and os.path.isdir(name):
            from printer.judge.machines import read_tree

            found |= read_tree(name) or Surroundings()
    return found
