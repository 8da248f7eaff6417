"""Commands about a machine that is mounted already: what runs, what it says, a module taken in anew."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import click

from fsmount.cli.click_options import DIRECTORY, Directory, with_options
from fsmount.cli.options import MACHINE_OPTIONS, releases
from printer.cli.completers import path, words

MOST = 1 << 16
"""Characters of modules that are sent along; a write has room for twice as many bytes."""


def _print(lines: Iterable[str]) -> None:
    """Each line as it comes, until there are no more or Ctrl-C."""
    try:
        for line in lines:
            click.echo(line)
    except KeyboardInterrupt:
        pass


@click.command()
@click.argument("directory", metavar="[DIR]", type=Directory(file_okay=False), required=False)
def status(directory: str | None) -> None:
    """Tell what is mounted where: machine, kernel, whether kdump is loaded, modules, server.

    \b
    kdumpfs status
    kdumpfs status /mnt
    """
    from elfcorehdr.errors import ProfileError
    from fsmount.host.mounted import mounted, state_of

    here = mounted()
    if directory is not None:
        path = os.path.abspath(directory)
        if path not in here:
            raise ProfileError(
                f"{directory}: no kdumpfs is mounted here; `kdumpfs mount {directory}` first"
            )
        here = [path]
    for point in here:
        click.echo(state_of(point))
    if not here:
        click.echo("no kdumpfs is mounted")


@click.command()
@click.option("-w", "--follow", "wait", is_flag=True, help="Go on with what is still to come.")
@click.option("-T", "--ctime", "dates", is_flag=True, help="Dates instead of seconds since boot.")
@DIRECTORY
def dmesg(directory: str, wait: bool, dates: bool) -> None:
    """Print the kernel log of the machine in DIR.

    \b
    kdumpfs dmesg /mnt
    kdumpfs dmesg -w /mnt
    """
    from fsmount.host.mounted import log_lines

    _print(log_lines(directory, wait=wait, dates=dates))


@click.command()
@click.option("-w", "--follow", "wait", is_flag=True, help="Go on with those still to come.")
@DIRECTORY
def uevents(directory: str, wait: bool) -> None:
    """Print the uevents of the machine in DIR: number, action, device.

    \b
    kdumpfs uevents /mnt
    kdumpfs uevents -w /mnt
    """
    from fsmount.host.mounted import uevent_lines

    _print(uevent_lines(directory, wait=wait))


@click.command()
@DIRECTORY
@click.argument("files", metavar="[FILE.py...]", nargs=-1, type=click.Path())
def reload(directory: str, files: tuple[str, ...]) -> None:
    """Take edited modules into the running machine in DIR: all that are loaded, or FILE.py, also a new one.

    The machine stays as it is, and so do the values in a module's State. If a file is wrong, nothing
    changes.

    \b
    kdumpfs reload /mnt
    kdumpfs reload /mnt another.py
    """
    from fsmount.host.mounted import check_answers
    from fsmount.host.mounting import request

    check_answers(directory)
    asked = [os.path.abspath(file) for file in files]
    body: dict[str, object] = {"modules": asked, "texts": _texts(directory, asked)}
    request(directory, "reload", body)


def _texts(directory: str, files: list[str]) -> dict[str, str]:
    """What is in the files, or in those that are loaded; nothing if it is too much for one write."""
    try:
        with open(os.path.join(directory, "control/modules"), encoding="utf-8") as loaded:
            files = files or loaded.read().splitlines()
    except OSError:
        return {}
    texts: dict[str, str] = {}
    for file in files:
        try:
            with open(file, encoding="utf-8") as module:
                texts[file] = module.read()
        except (OSError, UnicodeError):
            continue  # the server says what is wrong with it
    return texts if sum(map(len, texts.values())) < MOST else {}


@click.command()
@with_options(MACHINE_OPTIONS)
@click.option(
    "--beside",
    metavar="X.Y",
    multiple=True,
    help="Another kernel that gets the same events.",
    shell_complete=words(releases),
)
@click.option("--do", metavar="LINE", multiple=True, help="Done first: `echo offline > sys/...`.")
@click.option(
    "-o",
    "--output",
    metavar="FILE.html",
    help="Do that, write one file that replays it, and end.",
    shell_complete=path("file"),
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: a free one]")
@click.option(
    "--bind",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on.",
)
@click.option("--open", "opens", is_flag=True, help="Open it in a browser.")
@click.argument("directory", metavar="[DIR]", type=Directory(file_okay=False), required=False)
def web(directory: str | None, **given: Any) -> None:
    """Show the machine in DIR, or one that is booted for it, on a page that is live.

    \b
    kdumpfs web /mnt
    kdumpfs web --load --kernel 7.0 --beside 7.1
    kdumpfs web --load --do 'kdumpfs plug . memory 1G' -o demo.html
    """
    from kdumpfs.web.command import web as show

    show(directory, **given)


COMMANDS = (status, dmesg, uevents, reload, web)
