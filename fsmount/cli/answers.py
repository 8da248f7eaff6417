"""`kdumpfs machines`, `kernels`, `changes`, `crashkernel`: what is answered without a mount; text or JSON."""

from __future__ import annotations

import json
from typing import Any

import click

from elfcorehdr.errors import ProfileError
from fsmount.cli.click_options import Readable, with_options
from fsmount.cli.options import (
    MACHINE_OPTIONS,
    SIZE_OPTIONS,
    change_names,
    machine_names,
    releases,
)
from printer.cli.completers import listed, words

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _say_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


@click.command()
@_JSON
@click.option(
    "--resolved", is_flag=True, help="Print as TOML what the options below make of the machine."
)
@with_options(o for o in MACHINE_OPTIONS if o.name in ("machine", "cmdline"))
@with_options(SIZE_OPTIONS)
@click.option(
    "--from",
    "recording",
    metavar="RECORDING",
    type=Readable(exists=True),
    help="Derive a machine from a recorded /sys and /proc (`kdumpfs record`, hwloc, sosreport, ...).",
)
@click.option(
    "--iomem",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="With --from of an elfcorehdr or vmcore: the /proc/iomem of its machine.",
)
@click.option("--arch", default="", help="With --from: the architecture, where nothing tells it.")
@click.option("--kernel", default="", metavar="VERSION", help="With --from: likewise the release.")
@click.argument("name", required=False, shell_complete=words(machine_names))
def machines(
    name: str | None,
    as_json: bool,
    resolved: bool,
    recording: str | None,
    arch: str,
    kernel: str,
    iomem: str | None,
    **options: Any,
) -> None:
    """List the machines that are shipped, or print one as TOML, to start your own from.

    \b
    kdumpfs machines
    kdumpfs machines pseries-16g > mine.toml
    kdumpfs mount -m mine.toml /mnt
    kdumpfs machines --from lpar.tar.gz > lpar.toml
    kdumpfs machines --resolved pc-2g --memory 48G --cpus 64 --nodes 4
    """
    from elfcorehdr import profiles

    if recording is not None:
        from fsmount.cli.recorded.machine import as_toml

        click.echo(as_toml(recording, arch, kernel, iomem), nl=False)
        return
    changed = any(options[o.name] for o in SIZE_OPTIONS) or options["cmdline"] is not None
    if resolved or changed:
        from elfcorehdr.machine.writer import to_toml
        from fsmount.cli.boot import BootOptions, machine_of

        if name is not None:
            options["machine"] = name
        machine = machine_of(BootOptions(**options))
        if as_json:
            _say_json(_facts(machine))
        else:
            click.echo(to_toml(machine), nl=False)
        return
    if name is not None:
        if as_json:
            _say_json(_facts(profiles.load(name)))
        else:
            click.echo(profiles.text(name), nl=False)
        return
    found = [profiles.load(shipped) for shipped in profiles.names()]
    if as_json:
        _say_json([_facts(machine) for machine in found])
        return
    for machine in found:
        click.echo(f"{machine.name:<20} {machine.summary():<44} {machine.description}")


def _facts(machine: Any) -> dict[str, Any]:
    """What `kdumpfs machines --json` tells of a machine; sizes in bytes, as hex strings."""
    from elfcorehdr.changes.change import DEFAULT_RELEASE

    return {
        "name": machine.name,
        "description": machine.description,
        "source": machine.source,
        "arch": machine.arch,
        "platform": machine.platform,
        "kernel": machine.kernel or DEFAULT_RELEASE,
        "cmdline": machine.cmdline,
        "memory": hex(sum(m.size for m in machine.memory)),
        "page_size": hex(machine.page_size),
        "memory_block_size": hex(machine.memory_block_size),
        "cpus": len(machine.possible_cpus),
        "threads": machine.cpus.threads,
        "nodes": len({m.node for m in machine.memory} | {*machine.block_nodes().values()}),
    }


@click.command()
@_JSON
def kernels(as_json: bool) -> None:
    """List kernel versions, and which changes each has.

    \b
    kdumpfs kernels
    kdumpfs mount --kernel 6.12.107 /mnt
    """
    from elfcorehdr.changes import changes_of
    from elfcorehdr.changes.change import DEFAULT_RELEASE, RELEASES

    if as_json:
        rows = [
            {
                "version": release,
                "default": release == DEFAULT_RELEASE,
                "changes": sorted(change.name for change in changes_of(release)),
            }
            for release in RELEASES
        ]
        _say_json(rows)
        return
    before: frozenset[Any] = frozenset()
    for release in RELEASES:
        has = changes_of(release)
        note = "  (default)" if release == DEFAULT_RELEASE else ""
        click.echo(f"{release}{note}")
        for sign, changed in (("+", has - before), ("-", before - has)):
            for change in sorted(changed, key=lambda c: (c.since, c.name)):
                click.echo(f"    {sign} {change.name:<26} {change.alters}")
        before = has
    click.echo(
        f"Any other X.Y or X.Y.Z from {RELEASES[0]} to {RELEASES[-1]} is taken too, with what its "
        "stable series took; a machine may name its own default."
    )


@click.command()
@_JSON
@click.argument("name", required=False, shell_complete=words(change_names))
def changes(name: str | None, as_json: bool) -> None:
    """List the single changes between kernels, or tell one in full.

    \b
    kdumpfs changes
    kdumpfs changes backup-offset-at-load
    kdumpfs mount --kernel 7.0 --with backup-offset-at-load /mnt
    """
    from elfcorehdr.changes import CHANGES, find
    from elfcorehdr.changes.change import NEVER

    def dotted(version: tuple[int, ...]) -> str:
        return ".".join(map(str, version))

    chosen = CHANGES if name is None else (find(name),)
    if as_json:
        rows = [
            {
                "name": change.name,
                "kind": change.kind.value,
                "alters": change.alters,
                "since": None if change.since == NEVER else dotted(change.since),
                "until": dotted(change.until) or None,
                "stable": [dotted(v) for v in change.stable],
                "source": change.source,
            }
            for change in chosen
        ]
        _say_json(rows if name is None else rows[0])
        return
    for change in chosen:
        since = "none" if change.since == NEVER else dotted(change.since)
        until = f" until {dotted(change.until)}" if change.until else ""
        stable = ", ".join(map(dotted, change.stable))
        click.echo(f"{change.name}  [{change.kind.value}]")
        click.echo(f"    {change.alters}")
        also = f"; also {stable}" if stable else ""
        click.echo(f"    since {since}{until}{also}; {change.source}")


@click.command()
@click.option(
    "-m",
    "--machine",
    "machines_",
    metavar="NAME|FILE[,...]",
    multiple=True,
    help="Machines to ask. [default: pseries-16g]",
    shell_complete=listed(machine_names),
)
@click.option(
    "--kernel",
    "kernels_",
    metavar="VERSION[,...]",
    multiple=True,
    help="Kernels to ask. [default: the machine's own]",
    shell_complete=listed(releases),
)
@with_options(SIZE_OPTIONS)
@_JSON
@click.argument("strings", metavar="STRING...", nargs=-1, required=True)
def crashkernel(
    machines_: tuple[str, ...],
    kernels_: tuple[str, ...],
    as_json: bool,
    strings: tuple[str, ...],
    **sizes: Any,
) -> None:
    """Tell what each crashkernel= STRING reserves, and where.

    A STRING is a value such as 256M,high or several words of a command line.

    \b
    kdumpfs crashkernel 1G 2G-16G:512M,16G-:1G
    kdumpfs crashkernel -m pc-2g,arm64-virt-4g --kernel 6.1,6.12,7.3 256M,high
    kdumpfs crashkernel -m pc-numa2-6g "crashkernel=512M,high crashkernel=128M,low"
    """
    from fsmount.cli.boot import BootOptions
    from fsmount.cli.crashkernel import asked, table

    rows = [
        asked(BootOptions(machine=machine, kernel=kernel, **sizes), string)
        for machine in _split(machines_) or [BootOptions().machine]
        for kernel in _split(kernels_) or [""]
        for string in strings
    ]
    if as_json:
        _say_json(rows)
    else:
        click.echo(table(rows), nl=False)


def _split(given: tuple[str, ...]) -> list[str]:
    """The names of an option that may be given more than once, and take several by comma."""
    names = [name.strip() for text in given for name in text.split(",")]
    if not all(names):
        raise ProfileError(f"{','.join(given)[:80]!r}: expected names with a comma between them")
    return names


COMMANDS = (machines, kernels, changes, crashkernel)
