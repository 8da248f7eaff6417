"""`python -m benchmarks`: measure the rows, print the table, write JSON, draw how costs grow."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from statistics import median

import click

from benchmarks import engine, fixtures, growth, mounted, printing, runs, storms, tools
from benchmarks.conditions import VIA, awake
from benchmarks.curves import PLOT, TOOLS_PLOT, Curves, draw, tell
from benchmarks.mounts import Workshop, workshop
from benchmarks.rows import Cost, Row
from benchmarks.vmcore import rows as vmcore

ROWS: tuple[Row, ...] = tuple(
    sorted(
        (
            *mounted.ROWS,
            *engine.ROWS,
            *printing.ROWS,
            *fixtures.ROWS,
            *runs.ROWS,
            *vmcore.ROWS,
        ),
        key=lambda r: (int(r.number.rstrip("bcdef")), r.number),
    )
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="One run of few rounds: minutes.")
@click.option(
    "--runs", type=click.IntRange(1), help="Runs; a row is missed if most miss it. [default: 3]"
)
@click.option(
    "--via",
    type=click.Choice([word for word in VIA if word]),
    default=None,
    help="Who serves our mounts. [default: what `kdumpfs mount` does by itself]",
)
@click.option("--row", "wanted", multiple=True, metavar="NUMBER", help="Only this row.")
@click.option(
    "--growth/--no-growth", "with_growth", default=True, help="Measure and draw how costs grow."
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False), help="Write all figures here."
)
@click.option("--plot", type=click.Path(dir_okay=False), help="The plot: .svg or .png.")
@click.option("--markdown", is_flag=True, help="The table as Markdown, for docs/performance.md.")
def main(
    quick: bool,
    runs: int | None,
    via: str | None,
    wanted: tuple[str, ...],
    with_growth: bool,
    json_file: str | None,
    plot: str | None,
    markdown: bool,
) -> None:
    """Measure kdumpfs against references in the same run.

    \b
    ./scripts/bench                    all, three runs: about half an hour
    ./scripts/bench --quick            all, one run
    ./scripts/bench --quick --row 7    one row
    ./scripts/bench --via direct       our mounts without libfuse
    """
    known = {row.number for row in ROWS}
    for number in wanted:
        if number not in known:
            raise click.UsageError(
                f"--row {number}: no such row, expected one of {', '.join(sorted(known))}"
            )
    rows = [row for row in ROWS if not wanted or row.number in wanted]
    rounds, runs = (2, runs or 1) if quick else (5, runs or 3)
    with awake() as idle, workshop(via or "") as shop:
        server = (
            f"our mounts served by {via}" if via else "our mounts as `kdumpfs mount` makes them"
        )
        conditions = (idle, server)
        click.echo(f"{idle}; {server}", err=True)
        # As installed packages are: compiled once, by the round that is dropped.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(shop.path / "pycache")
        results = [run(shop, rows, rounds) for _ in range(runs)]
        curves = _growth(shop, rounds, quick, plot) if with_growth and not wanted else {}
        waits = tools.waits(shop, quick=quick) if with_growth and not wanted else {}
        events = storms.measured() if with_growth and not wanted else {}
    click.echo("; ".join(conditions) + "\n")
    print_table(rows, results, markdown=markdown)
    if waits:
        click.echo("\nWhat a reader of memory0/state waits while tools run over the big tree:\n")
        tools.print_waits(waits, markdown=markdown)
    if events:
        click.echo("\nCPU time of one event, of so many in one go, with the header after each:\n")
        storms.print_table(events, markdown=markdown)
    if json_file:
        of_scale = {
            "waits": {name: wait._asdict() for name, wait in waits.items()},
            "storms": events,
        }
        Path(json_file).write_text(
            json.dumps(document(rows, results, curves, conditions) | of_scale, indent=1) + "\n"
        )
    sys.exit(1 if any(missed(row, costs) for row, costs in by_row(rows, results)) else 0)


def run(shop: Workshop, rows: list[Row], rounds: int) -> list[Cost]:
    """Every row once; rows of one measurement are taken together."""
    taken: dict[object, list[Cost]] = {}
    for row in rows:
        if row.measure not in taken:
            click.echo(f"measuring row {row.number}: {row.what}", err=True)
            taken[row.measure] = row.measure(shop, rounds)
        cost = taken[row.measure][row.part]
        click.echo(
            f"  {row.number} {row.what}: {cost.value:.3g} {row.unit} ({cost.context})", err=True
        )
    return [taken[row.measure][row.part] for row in rows]


def by_row(rows: list[Row], results: list[list[Cost]]) -> list[tuple[Row, list[Cost]]]:
    """Each row with its cost in every run."""
    return [(row, [result[i] for result in results]) for i, row in enumerate(rows)]


def missed(row: Row, costs: list[Cost]) -> bool:
    """Whether most runs miss "must"."""
    return sum(not row.met(cost.value, row.must) for cost in costs) * 2 > len(costs)


def print_table(rows: list[Row], results: list[list[Cost]], *, markdown: bool) -> None:
    """Must, stretch, limit and what was measured: the median, and every run."""
    from tabulate import tabulate

    lines = []
    for row, costs in by_row(rows, results):
        value = median(cost.value for cost in costs)
        verdict = (
            "MISSED" if missed(row, costs) else "stretch" if row.met(value, row.stretch) else "must"
        )
        stretch = "" if row.stretch is None else f"{row.better} {row.stretch:g}"
        must, limit = f"{row.better} {row.must:g}", row.limit
        shown = f"{value:.3g} {row.unit}"
        lines.append(
            (
                row.number,
                row.what,
                row.reference,
                must,
                stretch,
                limit,
                shown,
                ", ".join(f"{cost.value:.3g}" for cost in costs),
                verdict,
                costs[-1].context,
            )
        )
    heads = (
        "#",
        "what",
        "reference",
        "must",
        "stretch",
        "limit",
        "measured",
        "each run",
        "met",
        "context",
    )
    fmt = "github" if markdown else "simple"
    click.echo(tabulate(lines, heads, tablefmt=fmt, disable_numparse=True))


def document(
    rows: list[Row],
    results: list[list[Cost]],
    curves: Curves,
    conditions: tuple[str, ...] = (),
) -> dict[str, object]:
    """All figures, for programs."""
    return {
        "machine": {"kernel": platform.release(), "python": platform.python_version()},
        "conditions": list(conditions),
        "rows": [
            {
                "row": row.number,
                "what": row.what,
                "reference": row.reference,
                "better": row.better,
                "must": row.must,
                "stretch": row.stretch,
                "unit": row.unit,
                "runs": [{"value": cost.value, "context": cost.context} for cost in costs],
                "missed": missed(row, costs),
            }
            for row, costs in by_row(rows, results)
        ],
        "growth": curves,
    }


def _growth(shop: Workshop, rounds: int, quick: bool, plot: str | None) -> Curves:
    click.echo("measuring how costs grow", err=True)
    curves = growth.measured(shop, rounds, quick=quick)
    of_tools = tools.measured(shop, quick=quick)
    path = Path(plot) if plot else PLOT
    beside = path.with_name(f"{path.stem}-tools{path.suffix}") if plot else TOOLS_PLOT
    for drawn, at in ((curves, path), (of_tools, beside)):
        tell(drawn)
        draw(drawn, at)
        click.echo(f"{at} drawn", err=True)
    return curves | {f"tools: {axis}": lines for axis, lines in of_tools.items()}


if __name__ == "__main__":
    main()
