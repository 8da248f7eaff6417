"""cpuN/cache/: drivers/base/cacheinfo.c, arch/powerpc/kernel/cacheinfo.c (v7.3)."""

from __future__ import annotations

from elfcorehdr.drivers.base.cpu import Cpu
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import Record
from elfcorehdr.machine import CacheLeaf
from fsmount.sysfs.cpu import cpulist, cpumap, cpus
from fsmount.tree.kobject import AttributeGroup, Declaration, Kset


class Cache(Record):
    """One index directory of a CPU: struct cacheinfo."""

    cpu: Cpu
    leaf: CacheLeaf


def _leaves(kernel: Kernel) -> tuple[CacheLeaf, ...]:
    return kernel.machine.caches or kernel.arch.default_caches(kernel)


def _caches(c: Cpu) -> tuple[Cache, ...]:
    return tuple(Cache(c, leaf) for leaf in _leaves(c.kernel)) if c.online else ()


def _cache(c: Cpu, name: str) -> Cache | None:
    return next((cache for i, cache in enumerate(_caches(c)) if name == f"index{i}"), None)


caches: Kset[Cache] = Kset(
    names=lambda c: (f"index{i}" for i in range(len(_caches(c)))),
    lookup=_cache,
    count=lambda c: len(_caches(c)),
    parent=cpus,
)


def _has_cache(kernel: Kernel, c: Cpu) -> bool:
    return c.online and bool(_leaves(kernel))


cache = AttributeGroup("devices/system/cpu/cpu*/cache", cpus, is_visible=_has_cache)
index = AttributeGroup("devices/system/cpu/cpu*/cache/index*", caches)


def _members(cache: Cache) -> int:
    """The running CPUs that share the cache: bit n is CPU n."""
    running, cpu, shared = cache.cpu.kernel.cpus, cache.cpu, cache.leaf.cores
    if shared == 1:
        return running.core_mask(cpu)
    package = running.package_mask(cpu)
    if not shared:
        return package
    first = cpu.core // shared * shared
    threads = (n for core in range(first, first + shared) for n in running.threads_of_core(core))
    return package & sum(1 << n for n in threads)


def _id(cache: Cache) -> int | None:
    return cache.cpu.kernel.arch.cache_id(cache.cpu, cache.leaf)


@index.show(is_visible=lambda kernel, cache: _id(cache) is not None)
def id_show(cache: Cache) -> str:
    """What tells the cache from others of its level."""
    return f"{_id(cache)}\n"


@index.show
def type_show(cache: Cache) -> str:
    """Data, Instruction or Unified."""
    return f"{cache.leaf.type}\n"


@index.show
def level_show(cache: Cache) -> str:
    """1 for the one next to the core."""
    return f"{cache.leaf.level}\n"


@index.show(is_visible=lambda kernel, cache: bool(cache.leaf.size))
def size_show(cache: Cache) -> str:
    """Size in KiB, with a K."""
    return f"{cache.leaf.size >> 10}K\n"


@index.show(is_visible=lambda kernel, cache: bool(cache.leaf.line))
def coherency_line_size_show(cache: Cache) -> str:
    """Size of a line, in bytes."""
    return f"{cache.leaf.line}\n"


@index.show(is_visible=lambda kernel, cache: bool(cache.leaf.sets))
def number_of_sets_show(cache: Cache) -> str:
    """How many sets of ways it has."""
    return f"{cache.leaf.sets}\n"


@index.show(is_visible=lambda kernel, cache: bool(cache.leaf.ways))
def ways_of_associativity_show(cache: Cache) -> str:
    """How many lines are in a set."""
    return f"{cache.leaf.ways}\n"


@index.show(is_visible=lambda kernel, cache: bool(kernel.arch.cache_partition))
def physical_line_partition_show(cache: Cache) -> str:
    """How many lines share a tag."""
    return f"{cache.cpu.kernel.arch.cache_partition}\n"


@index.show
def shared_cpu_map_show(cache: Cache) -> str:
    """The running CPUs that share the cache, as a mask."""
    return cpumap(_members(cache), cache.cpu.kernel.cpus.nr_cpu_ids) + "\n"


@index.show
def shared_cpu_list_show(cache: Cache) -> str:
    """The running CPUs that share the cache, as a list."""
    return cpulist(_members(cache)) + "\n"


def _are_devices(kernel: Kernel, _obj: object) -> bool:
    return kernel.arch.cache_devices


def _synth(kernel: Kernel, path: str, buf: str) -> None:
    kernel.uevents.synth(kernel.log, path, "", (), buf, send=False)


@cache.show(name="uevent", is_visible=_are_devices)
def cache_uevent_show(c: Cpu) -> str:
    """Empty: the device has no variables."""
    return ""


@cache.store(name="uevent", is_visible=_are_devices)
def cache_uevent_store(c: Cpu, buf: str) -> None:
    """Parsed as any device's, but nothing is sent: the device is on no bus."""
    _synth(c.kernel, f"{c.devpath}/cache", buf)


@index.show(name="uevent", is_visible=_are_devices)
def index_uevent_show(cache: Cache) -> str:
    """Empty: the device has no variables."""
    return ""


@index.store(name="uevent", is_visible=_are_devices)
def index_uevent_store(cache: Cache, buf: str) -> None:
    """Parsed as any device's, but nothing is sent: the device is on no bus."""
    _synth(cache.cpu.kernel, f"{cache.cpu.devpath}/cache/index", buf)


GROUPS: tuple[Declaration, ...] = (cache, index)
