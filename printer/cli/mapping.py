"""`elfcorehdr map`: physical memory drawn."""

from __future__ import annotations

import sys

import click

from printer.cli.shared import INPUT, around, one_sentence, read_input, reading, show, surroundings


@click.command("map")
@click.argument("file", type=INPUT)
@click.argument("after", type=INPUT, required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw an svg, png or pdf, by the name's ending (needs matplotlib, of the extra [plot]).",
)
@click.option("--width", type=click.IntRange(20, 1000), help="Columns (default: the terminal's).")
@click.option("--ascii", "plain", is_flag=True, help="Draw with ASCII alone.")
@around
@reading
def map_(
    file: str,
    after: str | None,
    output: str | None,
    width: int | None,
    plain: bool,
    machine: str | None,
    iomem: str | None,
    scan: bool,
    at: int | None,
) -> None:
    """Draw the physical memory of a header, or of two on one scale.

    \b
    Examples:
      elfcorehdr map elfcorehdr.bin
      elfcorehdr map before.bin after.bin --iomem /proc/iomem
      elfcorehdr map /proc/vmcore -o memory.svg
    """
    from printer.cli.terminal import Progress
    from printer.forms.colours import in_colour
    from printer.layout.roles import Layout
    from printer.pictures.blocks import picture

    if file == after == "-":
        raise click.UsageError("only one of FILE and AFTER can be standard input")
    with one_sentence(), Progress() as progress:
        names = [file] if after is None else [file, after]
        layouts = [
            Layout(read_input(name, progress, scan=scan, at=at, notes=True)) for name in names
        ]
        found = picture(layouts, surroundings(machine, iomem, None, *names))
        if output:
            from printer.pictures.plot import save

            progress.doing = f"drawing {output}"
            save(found, output)
            return
        import shutil

        from printer.pictures.text import draw

        encoding = sys.stdout.encoding or "ascii"
        lines = draw(
            found,
            width or shutil.get_terminal_size().columns,
            colour=in_colour(),
            unicode=not plain and encoding.lower().startswith("utf"),
        )
        show(line + "\n" for line in lines)
