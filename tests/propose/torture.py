"""Everything that a module can have, for the C that is made of it.

Contact: A B <a@b.c>
"""

import errno

from kdumpfs.module import *

state = State(hits=0, on=True, word="a */ b", other=[])
group = AttributeGroup("kernel/kexec", singleton, is_visible=lambda kernel, obj: True)
new = AttributeGroup("kernel/brand_new", singleton)
deep = AttributeGroup("kernel/brand_new/deep", singleton)
firmware = AttributeGroup("firmware", singleton)
root = AttributeGroup("devices/system/memory", singleton)
block = AttributeGroup("devices/system/memory/memory*", memory_blocks)
cpu = AttributeGroup("devices/system/cpu/cpu*", cpus)
node = AttributeGroup("devices/system/node/node*", nodes)
rows = AttributeGroup("kernel/kexec/rows/*", indexed(lambda kernel: [1, 2, 3]))
debug = AttributeGroup("kdump/deep", singleton, fs=Filesystem.DEBUGFS)
proc = AttributeGroup("", singleton, fs=Filesystem.PROCFS)
link = Link("kernel/here", singleton, "kernel/kexec")


def init(kernel):
    print("hello")


def exit(kernel):
    pass


@on_memory
def moved(kernel, action, notify):
    state.hits += 1


@on_cpu
def started(kernel, cpu, online):
    state.hits += 1


@on_kexec
def loaded_anew(kernel):
    pass


@group.show
def limit_show(kernel):
    """A limit.

    Users: kexec-tools
    """
    if kernel.kexec.crash_image is None:
        raise OSError(errno.ENOENT)
    return f"{state.hits} 100% {state.hits:#x} {state.hits:08x} {state.word!r} {'*/'}\n"


@group.store
def limit_store(kernel, buf):
    """Another limit; EINVAL if it is no number."""
    if not buf.strip().isdigit():
        raise OSError(errno.EINVAL, "no */ number")
    state.hits = int(buf)


group.add("lambda", show=lambda kernel: "x\n", is_visible=lambda kernel, obj: kernel.page_size > 1)
group.add("odd-name.2", show=lambda kernel: "\\x\n", mode=0o400)


@group.store(mode=0o220)
def trigger_store(kernel, buf):
    """Anything."""


@group.bin_show(size=64)
def head_show(kernel):
    """The first bytes."""
    return bytes(64)


@new.show
def limit_show(kernel):  # noqa: F811 - a file of that name in another directory
    """Its limit."""
    return "many\nlines\n"


@new.bin_show()
def head_show(kernel):  # noqa: F811
    """Bytes."""
    return b"x"


for each in (deep, firmware, root, block, cpu, node, rows):

    @each.show(name="state_of")
    def _state_of_show(obj):
        """A state."""
        return "on" + f" {obj}\n"

    @each.store(name="state_of")
    def _state_of_store(obj, buf, caller):
        """Set it."""


@block.show
def crash_rows_show(b):
    """Rows."""
    return f"{b.id}\n"


@debug.show
def table_show(kernel):
    """Lines."""
    for n in range(3):
        yield f"{n:4} {n:#x}\n"


@debug.store
def table_store(kernel, buf):
    """Clear it."""


@debug.show(mode=0o600)
def secret_show(kernel):
    """A secret."""
    return ""


@proc.show
def kdump_rows_show(kernel):
    """A file of /proc."""
    return "1\n"
