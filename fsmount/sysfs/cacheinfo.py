"""cpuN/cache/: arch/powerpc/kernel/cacheinfo.c (v7.1).

A level-1 cache for data and one for instructions, as the core's device-tree node tells them; each
belongs to the core's running threads alone.
"""

from __future__ import annotations

from elfcorehdr.drivers.base.cpu import Cpu
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import Record
from fsmount.sysfs.cpu import cpulist, cpumap, cpus
from fsmount.tree.kobject import AttributeGroup, Declaration, Kset


class Cache(Record):
    """One index directory of a CPU: struct cache_index_dir."""

    cpu: Cpu
    type: str
    size: int
    """In bytes."""
    line_size: int
    """In bytes."""


def _caches(c: Cpu) -> tuple[Cache, ...]:
    """index0, index1: cache_do_one_devnode_split() makes the data cache first."""
    if not c.online:
        return ()
    return tuple(Cache(c, *described) for described in c.kernel.arch.l1_caches(c.kernel))


def _cache(c: Cpu, name: str) -> Cache | None:
    return next((cache for i, cache in enumerate(_caches(c)) if name == f"index{i}"), None)


caches: Kset[Cache] = Kset(
    names=lambda c: (f"index{i}" for i in range(len(_caches(c)))),
    lookup=_cache,
    count=lambda c: len(_caches(c)),
    parent=cpus,
)


def _has_cache(kernel: Kernel, c: Cpu) -> bool:
    return c.online and bool(kernel.arch.l1_caches(kernel))


cache = AttributeGroup("devices/system/cpu/cpu*/cache", cpus, is_visible=_has_cache)
index = AttributeGroup("devices/system/cpu/cpu*/cache/index*", caches)


@index.show
def type_show(cache: Cache) -> str:
    """Data or Instruction."""
    return f"{cache.type}\n"


@index.show
def level_show(cache: Cache) -> str:
    """1."""
    return "1\n"


@index.show
def size_show(cache: Cache) -> str:
    """Size in KiB, with a K."""
    return f"{cache.size >> 10}K\n"


@index.show
def coherency_line_size_show(cache: Cache) -> str:
    """Size of a line, in bytes."""
    return f"{cache.line_size}\n"


@index.show
def shared_cpu_map_show(cache: Cache) -> str:
    """The running CPUs that share the cache, as a mask."""
    c = cache.cpu
    return cpumap(c.kernel.cpus.core_mask(c), c.kernel.cpus.nr_cpu_ids) + "\n"


@index.show
def shared_cpu_list_show(cache: Cache) -> str:
    """The running CPUs that share the cache, as a list."""
    return cpulist(cache.cpu.kernel.cpus.core_mask(cache.cpu)) + "\n"


GROUPS: tuple[Declaration, ...] = (cache, index)
