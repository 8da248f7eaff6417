"""Commands that turn a module into a patch: abi."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from fsmount.cli.click_options import with_options
from fsmount.cli.options import MACHINE_OPTIONS, machine_names
from printer.cli.completers import path, steps, words

LARGE = "8,192 CPUs and 64 TiB"


def large() -> Any:
    """The machine on which proposals are tried for size.

    pseries-64t with the most CPUs that arch/powerpc/platforms/Kconfig.cputype lets NR_CPUS be.
    """
    from elfcorehdr import profiles
    from elfcorehdr.lib.record import replace

    machine = profiles.load("pseries-64t")
    return replace(machine, nr_cpus=8192, cpus=replace(machine.cpus, possible="0-8191"))


TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.machine import Machine

_MODULES = click.option(
    "--module",
    "modules",
    metavar="FILE.py",
    multiple=True,
    help="Your own attributes too.",
    shell_complete=path("file"),
)


def _documented() -> Iterable[str]:
    """The paths that `abi` has something of."""
    import re

    from fsmount.cli.boot import declarations_of
    from fsmount.propose.abi import abi_text

    return re.findall(r"^What:\s*(\S+)", abi_text(declarations_of()), re.M)


@click.command()
@_MODULES
@click.option("--module-only", is_flag=True, help="Your own attributes alone.")
@click.option("--date", metavar="MONTH", help="Date of yours. [default: this month]")
@click.option("--kernel-version", metavar="X.Y", default="", help="KernelVersion of yours.")
@click.option("--contact", metavar="TEXT", help="Contact for yours. [default: git's user]")
@click.argument("path", default="", shell_complete=steps(_documented))
def abi(
    path: str,
    modules: tuple[str, ...],
    module_only: bool,
    date: str | None,
    kernel_version: str,
    contact: str | None,
) -> None:
    """Print what each file is, in the form of the kernel's Documentation/ABI; PATH limits it.

    Date, KernelVersion, Contact and Users may also stand as the last lines of a docstring, or of the
    module's.

    \b
    kdumpfs abi /sys/kernel/kexec
    kdumpfs abi --module proposal.py --module-only
    """
    from elfcorehdr.errors import ProfileError
    from fsmount.cli.boot import declarations_of
    from fsmount.propose.abi import abi_text, text_of
    from fsmount.tree.modules import load_module

    if module_only and not modules:
        raise ProfileError("--module-only: expected --module FILE.py too")
    base = declarations_of()
    known = list(base)
    own = []
    for module in (load_module(file, known) for file in modules):
        fields = {
            "Date": date or _month(),
            "KernelVersion": kernel_version,
            "Contact": contact or _git_user(),
            **text_of(module.doc).fields,
        }
        own += [(declaration, fields) for declaration in module.declared]
        known += module.declarations
        for sentence in module.undocumented():
            click.echo(f"kdumpfs: {sentence}", err=True)
    text = abi_text(() if module_only else base, path, of=own)
    if not text:
        raise ProfileError(
            f"{path or 'abi'}: no such documented file, expected a path below /sys, /proc or /dev, "
            "such as /sys/kernel/kexec/loaded"
        )
    click.echo(text, nl=False)


@click.command()
@click.option("--kernel", "release", metavar="X.Y", default="7.1", help="The kernel it is for.")
@click.argument("file", metavar="FILE.py", type=click.Path())
def skeleton(file: str, release: str) -> None:
    """Print the C of a proposal: methods, attributes, groups, and its entry in Documentation/ABI.

    What the functions compute is left to you; the Python stands in comments where it belongs.

    \b
    kdumpfs skeleton proposal.py > proposal.c
    """
    from elfcorehdr.errors import ProfileError
    from fsmount.cli.boot import declarations_of
    from fsmount.propose.abi import abi_text, text_of
    from fsmount.propose.skeleton import directories
    from fsmount.propose.skeleton import skeleton as text
    from fsmount.tree.modules import load_module

    numbers = release.split(".")
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers):
        raise ProfileError(f"--kernel: {release!r}, expected a release such as 7.1")
    base = declarations_of()
    module = load_module(file, base)
    fields = {"Date": _month(), "Contact": _git_user(), **text_of(module.doc).fields}
    abi = abi_text((), of=[(declaration, fields) for declaration in module.declared])
    click.echo(text(module, abi, directories(base), (int(numbers[0]), int(numbers[1]))), nl=False)


@click.command("check-api")
@click.option(
    "-m",
    "--machine",
    default="pseries-16g",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=words(machine_names, files=True),
    help="The machine to try it on.",
)
@click.argument("file", metavar="FILE.py", type=click.Path())
@click.pass_context
def check_api(ctx: click.Context, file: str, machine: str) -> None:
    """Tell which of the kernel's rules for its interface a proposal does not keep, each with its source.

    The files are read, and written to, on a machine of their own with kdump loaded, and read on one of
    8,192 CPUs and 64 TiB. Ends with 1 if there are errors or warnings.

    \b
    kdumpfs check-api proposal.py
    """
    from fsmount.cli.boot import BootOptions, booted
    from fsmount.propose.check_api import Level, Loaded, check

    def loaded(given: Machine | None) -> Loaded:
        _, tree, modules = booted(BootOptions(machine=machine, load=True, page_limit=False), given)
        modules.loader.journal.aloud = False
        modules.load([file])
        return Loaded(modules.loader.modules[0], tree, modules.loader.journal.said)

    worst = 0
    for finding in check(loaded(None), loaded(large()), LARGE):
        click.echo(str(finding))
        worst = max(worst, int(finding.level is not Level.NOTE))
    ctx.exit(worst)


@click.command()
@with_options(MACHINE_OPTIONS)
@click.option("--prompt", default="$ ", show_default=True, help="What stands before a command.")
@click.argument("script", metavar="SCRIPT", type=click.File(errors="surrogateescape"))
@click.pass_context
def transcript(ctx: click.Context, /, script: Any, prompt: str, **options: Any) -> None:
    """Run a shell script on the machine, and print its commands with their output, for a cover letter.

    Comments become prose. Each run prints the same: the machine's clock ticks by itself. The exit
    status is the script's.

    \b
    kdumpfs transcript --load demo.sh
    kdumpfs transcript --module proposal.py --load --prompt '$> ' demo.sh
    """
    import os

    from fsmount.cli.boot import BootOptions, booted
    from fsmount.propose.transcript import BOOT_S, ENVIRONMENT, clock, driver
    from fsmount.run.launch import RunOptions
    from fsmount.run.server import run_command

    try:
        lines = script.read()
    except OSError as error:
        error.filename = script.name
        raise
    first, text = driver(lines, script.name, prompt)
    kernel, tree, _ = booted(BootOptions(**options), clock=clock)
    tree.boot_ns = BOOT_S * 10**9
    environment = {**os.environ, **ENVIRONMENT}
    click.echo(first, nl=False)  # by us: if it cannot be written, that is said
    ctx.exit(run_command(kernel, tree, ("bash", "-c", text), RunOptions(environment=environment)))


def _month() -> str:
    import time

    return time.strftime("%b %Y")


def _git_user() -> str:
    """`Name <address>` as git has it; else the list that sysfs files are sent to."""
    import subprocess

    try:
        found = [
            subprocess.run(
                ["git", "config", f"user.{key}"], capture_output=True, text=True, check=True
            ).stdout.strip()
            for key in ("name", "email")
        ]
    except (OSError, subprocess.CalledProcessError):
        return "linux-kernel@vger.kernel.org"
    return f"{found[0]} <{found[1]}>"


COMMANDS = (abi, check_api, skeleton, transcript)
