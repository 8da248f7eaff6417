"""The table of targets: what each cost may be, as a ratio to its reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.mounts import Workshop


class Cost(NamedTuple):
    """What was measured: the value that is compared with the targets, and the times behind it as context."""

    value: float
    context: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `better` is ">=" where more is better; limit is what no program could beat."""

    number: str
    what: str
    reference: str
    better: str
    must: float
    stretch: float | None
    limit: str
    measure: Callable[[Workshop, int], list[Cost]]
    """Takes the number of rounds; one cost for each part of the row."""
    part: int = 0
    unit: str = "x"

    def met(self, value: float, target: float | None) -> bool:
        """Whether a value is within a target."""
        if target is None:
            return True
        return value >= target if self.better == ">=" else value <= target


def seconds(value: float) -> str:
    """A time for a reader."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.1g} s"


def ratio(costs: dict[str, float], ours: str, reference: str) -> Cost:
    """How many times the reference's time ours is."""
    value = costs[ours] / costs[reference]
    return Cost(value, f"{seconds(costs[ours])} / {seconds(costs[reference])}")
