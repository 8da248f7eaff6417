"""The CPUs of a machine: lists that fit each other, whole cores, nodes that there are. Imports .facts, .faults, .sizes, .spans."""

from __future__ import annotations

import errno
import re
from itertools import pairwise

from elfcorehdr.machine import Machine
from elfcorehdr.machine.facts import FACTS
from elfcorehdr.machine.faults import Faults
from elfcorehdr.machine.sizes import parse_runs
from elfcorehdr.machine.spans import Spans

Runs = list[tuple[int, int]]


def check_cpus(machine: Machine, nodes: set[int], faults: Faults) -> None:
    """Tell what is wrong with the CPUs; nodes are those with memory."""
    cpus, facts = machine.cpus, FACTS[machine.arch]
    limit = machine.nr_cpus or facts.nr_cpus
    lists: dict[str, Runs] = {}
    for key in ("possible", "present", "online"):
        text = getattr(cpus, key)
        runs = parse_runs(text, limit)
        if runs is None:
            faults.add(
                f"cpus.{key}", text, f"a CPU list such as 0-3,6, below {limit} (CONFIG_NR_CPUS)"
            )
            return
        lists[key] = runs
    possible = lists["possible"]
    if not possible:
        faults.add("cpus.possible", cpus.possible, "at least one CPU")
        return
    present = lists["present"] or possible
    for key, of, inner, outer in (
        ("present", "possible", present, possible),
        ("online", "present", lists["online"] or present, present),
    ):
        if missing := _outside(inner, outer):
            faults.add(
                f"cpus.{key}", getattr(cpus, key), f"{of} CPUs alone, which {missing[0]} is not"
            )
    if possible[0][0] or present[0][0]:
        key = "possible" if possible[0][0] else "present"
        faults.add(f"cpus.{key}", getattr(cpus, key), "CPU 0 among them: a kernel boots on it")
    _check_cores(machine, possible, present, faults)
    count = count_of(possible)
    for cpu, node in cpus.node.items():
        if _outside([(cpu, cpu)], possible):
            faults.say(f"cpus.node.{cpu}: no such CPU, expected one of {cpus.possible[:60]}")
        elif node not in nodes:
            known = ", ".join(map(str, sorted(nodes)[:8]))
            faults.say(f"cpus.node.{cpu}: {node}, expected a node with memory, such as {known}")
    _check_nodes_of_cores(machine, possible, faults)
    for cpu, word in cpus.refuse.items():
        if not isinstance(getattr(errno, word, None), int):
            faults.add(f"cpus.refuse.{cpu}", word, "an errno such as EBUSY or ENOSPC")
        if _outside([(cpu, cpu)], possible):
            faults.say(f"cpus.refuse.{cpu}: no such CPU, expected one of {cpus.possible[:60]}")
    for cpu in machine.crash_notes:
        if _outside([(cpu, cpu)], possible):
            faults.say(f"crash_notes.{cpu}: no such CPU, expected one of {cpus.possible[:60]}")
    _check_notes(machine, count, faults)


def _check_nodes_of_cores(machine: Machine, possible: Runs, faults: Faults) -> None:
    """The threads of a core are on one node."""
    node, threads = machine.cpus.node, machine.cpus.threads
    if not node or threads < 2:
        return
    first: dict[int, int] = {}
    index = 0
    for lo, hi in possible:
        for cpu in range(lo, hi + 1):
            leader = first.setdefault(index // threads, cpu)
            if node.get(cpu, 0) != node.get(leader, 0):
                faults.say(
                    f"cpus.node.{cpu}: {node.get(cpu, 0)}, expected that of CPU {leader}, "
                    f"{node.get(leader, 0)}: they are of one core"
                )
                return
            index += 1


def _check_cores(machine: Machine, possible: Runs, present: Runs, faults: Faults) -> None:
    """Cores are whole."""
    cpus, facts = machine.cpus, FACTS[machine.arch]
    threads, count = cpus.threads, count_of(possible)
    if not 1 <= threads <= facts.threads or threads & (threads - 1):
        known = ", ".join(str(1 << i) for i in range(facts.threads.bit_length()))
        faults.add("cpus.threads", threads, f"one of {known} on {machine.arch}")
    elif count % threads:
        faults.add("cpus.threads", threads, f"a divisor of the {count} possible CPUs")
    elif facts.powerpc:  # the hypervisor gives cores
        for first, last in present:
            if first % threads or (last + 1) % threads:
                faults.add("cpus.present", cpus.present, f"whole cores of {threads} threads")
                break
    if cpus.cores_per_package > max(count // max(threads, 1), 1):
        most = f"at most the {count // max(threads, 1)} cores"
        faults.add("cpus.cores_per_package", cpus.cores_per_package, most)
    if not re.fullmatch(r"[\w,.+-]{1,31}", cpus.type, re.ASCII):
        faults.add("cpus.type", cpus.type, "the name of a node such as PowerPC,POWER10")


def _check_notes(machine: Machine, count: int, faults: Faults) -> None:
    """The crash notes: none over another, the computed ones in memory too."""
    size = FACTS[machine.arch].note_bytes
    placed = sorted((address, cpu) for cpu, address in machine.crash_notes.items())
    for (before, one), (address, other) in pairwise(placed):
        if address < before + size:
            faults.say(f"crash_notes.{other}: {address:#x}, overlaps that of CPU {one}")
    first, step = machine.crash_notes_first, machine.crash_notes_step
    if step and not first:
        faults.say(f"crash_notes_step: {step:#x}, expected with crash_notes_first")
    elif step and step < size:
        faults.say(f"crash_notes_step: {step:#x}, expected at least {size:#x}, a note's size")
    elif first:
        step = step or max(2 * machine.page_size, 0x20000)
        end = first + (count - 1) * step + size
        memory = Spans((m.start, m.end) for m in machine.memory)
        if not memory.covers(first, end - first):
            faults.say(
                f"crash_notes_first: {first:#x} and {count - 1} more up to {end:#x}, "
                "expected a place in memory"
            )


def count_of(runs: Runs) -> int:
    """How many ids."""
    return sum(last - first + 1 for first, last in runs)


def _outside(inner: Runs, outer: Runs) -> list[int]:
    """The first id of inner that is not in outer, if there is one."""
    for first, last in inner:
        at = first
        for lo, hi in outer:
            if lo <= at <= hi:
                at = hi + 1
            if at > last:
                break
        if at <= last:
            return [at]
    return []
