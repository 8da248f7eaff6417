"""Commands that turn a module into a patch: abi."""

from __future__ import annotations

import click

_MODULES = click.option(
    "--module", "modules", metavar="FILE.py", multiple=True, help="Your own attributes too."
)


@click.command()
@_MODULES
@click.option("--module-only", is_flag=True, help="Your own attributes alone.")
@click.option("--date", metavar="MONTH", help="Date of yours. [default: this month]")
@click.option("--kernel-version", metavar="X.Y", default="", help="KernelVersion of yours.")
@click.option("--contact", metavar="TEXT", help="Contact for yours. [default: git's user]")
@click.argument("path", default="")
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


COMMANDS = (abi,)
