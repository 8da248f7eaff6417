"""Tasks: init_task, an idle task a CPU, init, and the process that crashed: kernel/fork.c, kernel/pid.c, init/init_task.c (v7.2).

Each is a copy of init_task, which the image has, with a signal_struct and a struct pid of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from elfcorehdr.kernel.vmlinux.objects import Obj, Objects
from elfcorehdr.lib.record import NamedTuple

STACK_END_MAGIC = 0x57AC6E9D
PIDTYPE_PID, PIDTYPE_TGID = 0, 1
THREAD_SIZE = 16384
"""Of all of them with 64 bits; where the image tells its init task's stack, that is measured."""
_INTERNAL = 2
"""xa_mk_node(): the bit that tells a node from an entry."""


class Tasks(NamedTuple):
    """Who runs where: task_struct by CPU, idle ones too, and where each stack begins."""

    current: Mapping[int, Obj]
    idle: Mapping[int, Obj]
    stacks: Mapping[int, int]
    thread_size: int


def thread_size(objects: Objects) -> int:
    """THREAD_SIZE"""
    symbols = objects.vmlinux.symbols
    start, end = symbols.get("__start_init_task"), symbols.get("__end_init_task")
    size = (end or 0) - (start or 0)
    return size if size in (8192, 16384, 32768, 65536) else THREAD_SIZE


def make_tasks(objects: Objects, cpus: Iterable[int], crashed: tuple[int, int, str]) -> Tasks:
    """Tasks of the CPUs that run. crashed: CPU, pid and name of who crashed; CPU -1: nobody has."""
    size = thread_size(objects)
    where, pid, comm = crashed
    swapper = objects.symbol("init_task", "task_struct")
    swapper.set("comm", "swapper/0")
    idle, stacks = dict[int, Obj](), dict[int, int]()
    for n, cpu in enumerate(sorted(cpus)):
        task = swapper if not n else objects.copy("init_task", "task_struct")
        idle[cpu] = task
        task.set("comm", f"swapper/{cpu}")
        _on_cpu(task, cpu, running=cpu != where or not pid)
        if n:
            _own_stack(objects, task, size)
    first = min(idle)
    init = _process(objects, 1, "init" if pid != 1 else comm, size)
    leaders = [swapper, init]
    current = dict(idle)
    _on_cpu(init, where if pid == 1 and where >= 0 else first, running=pid == 1 and where >= 0)
    if where >= 0 and pid == 1:
        current[where] = init
    elif where >= 0 and pid > 1:
        current[where] = task = _process(objects, pid, comm, size)
        _on_cpu(task, where, running=True)
        leaders.append(task)
    _family(objects, swapper, init, leaders[2:])
    objects.ring((task, "tasks") for task in leaders)
    _pid_namespace(objects, init, leaders[1:])
    for cpu, task in current.items():
        stacks[cpu] = int.from_bytes(_field(objects, task, "stack"), "little")
    return Tasks(current, idle, stacks, size)


def _field(objects: Objects, obj: Obj, member: str) -> bytes:
    at = obj.at(member) - obj.va
    return bytes(obj.bytes[at : at + objects.btf.size(f"task_struct.{member}")])


def _own_stack(objects: Objects, task: Obj, size: int) -> None:
    stack = objects.stack(size)
    task.set("stack", stack)
    task.set("thread.sp", stack + size - 0x100)
    objects.words.append((stack, struct.pack("<Q", STACK_END_MAGIC)))


def _on_cpu(task: Obj, cpu: int, *, running: bool) -> None:
    for member in ("cpu", "thread_info.cpu", "recent_used_cpu", "wake_cpu"):
        task.set(member, cpu)
    task.set("on_cpu", int(running))
    task.set("on_rq", int(running))


def _process(objects: Objects, pid: int, comm: str, size: int) -> Obj:
    """copy_process(): a process of one thread."""
    task = objects.copy("init_task", "task_struct")
    _own_stack(objects, task, size)
    task.set("comm", comm)
    task.set("pid", pid)
    task.set("tgid", pid)
    signal = objects.copy("init_signals", "signal_struct")
    task.set("signal", signal.va)
    task.set("group_leader", task.va)
    objects.ring([(signal, "thread_head"), (task, "thread_node")])
    signal.set("nr_threads", 1)
    ends = (objects.btf.offset("pid.numbers") or 0) + objects.btf.size(
        "upid"
    )  # numbers[] since 6.5
    number = objects.copy("init_struct_pid", "pid", max(0, ends - objects.btf.size("pid")))
    level = number.at("numbers")
    upid = objects.btf.offset("upid.nr") or 0
    number.write(level + upid, struct.pack("<i", pid))
    task.set("thread_pid", number.va)
    each = objects.btf.size("hlist_node")
    for kind in (PIDTYPE_PID, PIDTYPE_TGID):
        node = task.at("pid_links") + kind * each
        head = number.at("tasks") + kind * objects.btf.size("hlist_head")
        number.write(head, struct.pack("<Q", node))
        task.write(node, struct.pack("<2Q", 0, head))
        if signal.has("pids"):
            signal.write(signal.at("pids") + 8 * kind, struct.pack("<Q", number.va))
    objects.pids.append((pid, number))
    return task


def _family(objects: Objects, swapper: Obj, init: Obj, children: list[Obj]) -> None:
    """Parents, children and siblings: init is swapper's child, the others init's."""
    for parent, born in ((swapper, [init]), (init, children)):
        for task in born:
            task.set("real_parent", parent.va)
            task.set("parent", parent.va)
        objects.ring([(parent, "children"), *((task, "sibling") for task in born)])
    for task in children:
        objects.ring([(task, "children")])


def _pid_namespace(objects: Objects, init: Obj, tasks: list[Obj]) -> None:
    """init_pid_ns: the tree of struct pids that are in use."""
    namespace = objects.symbol("init_pid_ns", "pid_namespace")
    namespace.set("child_reaper", init.va)
    namespace.set("pid_allocated", len(tasks))
    entries = {pid: number.va for pid, number in objects.pids}
    namespace.set("idr.idr_next", max(entries, default=0) + 1)
    namespace.set("idr.idr_rt.xa_head", _xarray(objects, entries))


def _xarray(objects: Objects, entries: Mapping[int, int]) -> int:
    """xa_head of entries by index: lib/xarray.c."""
    slots = objects.btf.length("xa_node.slots") or 64
    bits = slots.bit_length() - 1
    shift = 0
    while max(entries) >> shift >= slots:
        shift += bits

    def node(shift: int, base: int, parent: Obj | None, offset: int) -> Obj:
        made = objects.new("xa_node")
        made.set("shift", shift)
        made.set("offset", offset)
        made.set("parent", parent.va if parent is not None else 0)
        count = 0
        for n in range(slots):
            start = base + (n << shift)
            inside = [i for i in entries if start <= i < start + (1 << shift)]
            if not inside:
                continue
            count += 1
            value = entries[start] if not shift else node(shift - bits, start, made, n).va | _INTERNAL  # fmt: skip
            made.write(made.at("slots") + 8 * n, struct.pack("<Q", value))
        made.set("count", count)
        return made

    return node(shift, 0, None, 0).va | _INTERNAL
