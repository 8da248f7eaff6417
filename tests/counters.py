"""A small machine with a tree of its own: counters that can be plugged, for tests of the tree."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

from elfcorehdr.errors import KernelError
from elfcorehdr.kernel.printk import Printk
from fsmount.tree.kobject import (
    CAP_SYS_ADMIN,
    AttributeGroup,
    Caller,
    Filesystem,
    Kset,
    Link,
    Subtree,
    singleton,
)


@dataclass
class Counter:
    number: int
    value: int = 0
    online: bool = True
    stores: list[str] = field(default_factory=list)


class Machine:
    """What the tree asks of a kernel, and counters 0..n-1 at the start."""

    def __init__(self, counters: int = 3, page_size: int = 4096) -> None:
        self.page_size = page_size
        self.names_seq = 0
        self.boots, self.dead = 0, False
        self.log = Printk()
        self.counters = {number: Counter(number) for number in range(counters)}
        self.shows = 0
        self.walks = 0
        self.text = "hello\n"
        self.new_names = True

    def plug(self, number: int) -> None:
        if number in self.counters:
            raise KernelError(errno.EEXIST)
        self.counters[number] = Counter(number)
        self.names_seq += 1

    def unplug(self, number: int) -> None:
        if number not in self.counters:
            raise KernelError(errno.ENOENT)
        del self.counters[number]
        self.names_seq += 1

    def set_online(self, number: int, online: bool) -> None:
        self.counters[number].online = online
        self.names_seq += 1

    def names(self) -> Iterator[str]:
        self.walks += 1
        for number in sorted(self.counters):
            yield f"counter{number}"

    def named(self, name: str) -> Counter | None:
        digits = name.removeprefix("counter")
        if not digits.isdecimal() or str(int(digits)) != digits:
            return None
        return self.counters.get(int(digits))


counters: Kset[Counter] = Kset(
    names=Machine.names,
    lookup=Machine.named,
    count=lambda machine: len(machine.counters),
    identity=id,
)
text = AttributeGroup("kernel/text", singleton)


@text.show
def length_show(machine: Machine) -> str:
    """Number of characters of the text."""
    return f"{len(machine.text)}\n"


@text.show
def text_show(machine: Machine) -> str:
    """The text."""
    machine.shows += 1
    return machine.text


@text.store
def text_store(machine: Machine, buf: str) -> None:
    """Anything but `no` becomes the text."""
    if buf.rstrip("\n") == "no":
        raise KernelError(errno.EINVAL, "no is not a text")
    machine.text = buf


@text.store
def clear_store(machine: Machine, buf: str) -> None:
    machine.text = ""


@text.show
def broken_show(machine: Machine) -> str:
    return f"{1 // 0}\n"


@text.show(mode=0o400)
def secret_show(machine: Machine, caller: Caller) -> str:
    return "secret\n" if caller.capable(CAP_SYS_ADMIN) else "0\n"


@text.bin_show()
def raw_show(machine: Machine) -> bytes:
    return machine.text.encode()


@text.bin_show(size=28)
def sized_show(machine: Machine) -> bytes:
    return machine.text.encode()


counter = AttributeGroup("devices/system/counter/counter*", counters)


@counter.show
def value_show(counter: Counter) -> str:
    return f"{counter.value}\n"


@counter.store
def value_store(counter: Counter, buf: str) -> None:
    counter.stores.append(buf)
    counter.value = int(buf) if buf.strip().isdecimal() else counter.value


topology = AttributeGroup(
    "devices/system/counter/counter*/topology",
    counters,
    is_visible=lambda machine, counter: counter.online,
)


@topology.show
def core_id_show(counter: Counter) -> str:
    return f"{counter.number}\n"


bus = AttributeGroup("devices/system/counter", singleton)


@bus.store
def plug_store(machine: Machine, buf: str) -> None:
    machine.plug(int(buf))


@bus.store
def unplug_store(machine: Machine, buf: str) -> None:
    machine.unplug(int(buf))


@bus.store
def online_store(machine: Machine, buf: str) -> None:
    number, online = buf.split()
    machine.set_online(int(number), online == "1")


legacy = AttributeGroup("kernel", singleton)
legacy.add("text_length", show=length_show, is_visible=lambda machine, _: not machine.new_names)

proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)


@proc.show
def long_show(machine: Machine) -> str:
    return "0123456789abcde\n" * 1024


DECLARATIONS = (
    text,
    bus,
    counter,
    topology,
    AttributeGroup("devices/system/counter/counter*/power", counters),
    Link("devices/system/counter/counter*/subsystem", counters, "bus/counter"),
    Link("bus/counter/devices/counter*", counters, lambda c: f"devices/system/counter/counter{c.number}"),
    AttributeGroup("bus/counter", singleton),
    legacy,
    Link("kernel/text_length", singleton, "kernel/text/length"),
    Subtree("firmware/devicetree/base", singleton, lambda machine: {
        "compatible": b"ibm,powernv\0",
        "chosen": {"linux,crashkernel-size": machine.page_size.to_bytes(8, "big")},
    }),
    proc,
    Link("device-tree", singleton, "/sys/firmware/devicetree/base", fs=Filesystem.PROCFS),
)  # fmt: skip
