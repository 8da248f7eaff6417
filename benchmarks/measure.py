"""How a cost is taken: contestants in shuffled order, round by round, the first dropped, medians."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable

Contestant = Callable[[], float]
"""Does its work once; what it cost, in any unit that is the same for all."""


def interleaved(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, float]:
    """Each contestant's median over the rounds; one more round is run first and dropped."""
    costs: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for n in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            cost = contestants[name]()
            if n:
                costs[name].append(cost)
    return {name: median(values) for name, values in costs.items()}


def cpu_of(command: Sequence[str], *, cwd: Path = PROJECT) -> float:
    """Seconds of CPU that a command and its children took; it must succeed."""
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(command, stdout=null, cwd=cwd)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def wall_of(command: str) -> float:
    """Seconds until a shell command is done; it must succeed."""
    from_ = time.perf_counter()
    subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
    return time.perf_counter() - from_


def cpu_in_process(work: Callable[[], object], times: int = 1) -> float:
    """Seconds of this process's CPU for one work()."""
    from_ = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - from_) / times


def kdumpfs(*words: str) -> list[str]:
    """The command line that the installed `kdumpfs` script is, from this project's files."""
    return _script("fsmount.cli.main", "kdumpfs", words)


def elfcorehdr(*words: str) -> list[str]:
    """The same of `elfcorehdr`."""
    return _script("printer.cli.main", "elfcorehdr", words)


def _script(module: str, name: str, words: Sequence[str]) -> list[str]:
    code = f"import sys; sys.argv[0] = {name!r}; from {module} import main; main()"
    return [PYTHON, "-c", code, *words]
