"""What both command lines have besides their commands: `help CMD` and `completion SHELL`."""

from __future__ import annotations

import click

from printer.cli.completers import items

TYPE_CHECKING = False
if TYPE_CHECKING:
    from printer.cli.completers import Items

_SHELLS = ("bash", "zsh", "fish")


def _commands(ctx: click.Context, _param: click.Parameter, begun: str) -> Items:
    """The commands, for `help`."""
    root = ctx.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    return items(name for name in group.list_commands(root) if name.startswith(begun))


@click.command("help")
@click.argument("command", required=False, shell_complete=_commands)
@click.pass_context
def help_(ctx: click.Context, command: str | None) -> None:
    """Show the help of COMMAND, or the list of commands."""
    root = ctx.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    if command is None:
        click.echo(group.get_help(root))
        return
    found = group.get_command(root, command)
    if found is None:
        names = ", ".join(group.list_commands(root))
        raise click.UsageError(f"no command {command[:40]!r}, expected one of {names}", root)
    settings = {**group.context_settings, "terminal_width": root.terminal_width}
    click.echo(found.get_help(click.Context(found, root, command, **settings)))


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion of a SHELL as a file: bash, zsh or fish.

    It goes to bash-completion/completions/NAME, to _NAME in a folder of zsh's fpath, or to
    fish/vendor_completions.d/NAME.fish.
    """
    from printer.cli.completion import completion_file

    root = ctx.find_root()
    click.echo(completion_file(root.command, root.info_name or "", shell), nl=False)


EXTRAS = {"help": help_, "completion": completion}
"""By name; both groups have them."""
