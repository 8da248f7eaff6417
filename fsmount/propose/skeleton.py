"""The C of a proposal: show and store with sysfs_emit(), attribute macros, groups, and where they join the kernel.

What a function computes is its author's; its Python text stands where the C has to be written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from fsmount.propose.abi import text_of
from fsmount.propose.c_body import Body
from fsmount.propose.c_seq import SeqFiles
from fsmount.propose.c_sysfs import DEVICES, SysfsFiles
from fsmount.propose.c_unit import identifier
from fsmount.tree.hooks import CPU, MEMORY
from fsmount.tree.kobject import AttributeGroup, Declaration, Filesystem
from fsmount.tree.modules import Module

HEADERS = {
    "cpuhotplug": "cpuhp_",
    "debugfs": "debugfs_",
    "device": "struct device",
    "errno": "-E",
    "init": "__init",
    "kobject": "kobj",
    "kstrtox": "kstrto",
    "memory": "memory_block|memory_notifier",
    "module": "",
    "proc_fs": "proc_",
    "seq_file": "seq_",
    "slab": "kzalloc",
    "string": "memory_read_from_buffer",
    "sysfs": "sysfs_|attribute",
    "uaccess": "__user",
}
"""Headers, and a pattern of what each is for."""


def skeleton(module: Module, abi: str, existing: Iterable[str], release: tuple[int, int]) -> str:
    """The C file of a module; abi is its ABI text, existing are the directories that the kernel has."""
    return "\n".join(_Skeleton(module, frozenset(existing), release).lines(abi)) + "\n"


class _Skeleton(SysfsFiles, SeqFiles):
    """All of it."""

    def lines(self, abi: str) -> Iterator[str]:
        yield "// SPDX-License-Identifier: GPL-2.0-only"
        yield "/*"
        yield f" * {text_of(self._module.doc).description.splitlines()[0] if self._module.doc else self._name}"
        yield " *"
        yield " * Documentation/ABI/testing/ gets:"
        yield " *"
        for line in abi.rstrip("\n").splitlines():
            yield f" * {line}".rstrip()
        yield " */"
        yield ""
        yield f'#define pr_fmt(fmt) "{self._name}: " fmt'
        yield ""
        parts = [*self._state(), *self._groups(), *self._hooks()]
        life = list(self._life())
        text = "\n".join((*self._variables, *parts, *life))
        for header, pattern in HEADERS.items():
            if re.search(pattern, text):
                yield f"#include <linux/{header}.h>"
        if self._variables:
            yield ""
            yield from self._variables
        yield from parts
        yield from life

    def _state(self) -> Iterator[str]:
        for name, state in self._module.states.items():
            yield ""
            yield "static struct {"
            for field, value in vars(state).items():
                kind, shown = _c_type(value)
                yield f"\t{kind}{field};\t/* {shown} */"
            yield f"}} {name} __maybe_unused;"

    def _groups(self) -> Iterator[str]:
        made: set[str] = set()
        for declaration in self._module.declared:
            if isinstance(declaration, AttributeGroup):
                name = base = identifier(f"{self._name}_{declaration.path.rpartition('/')[2]}")
                while name in made:
                    name = f"{base}{len(made)}"
                made.add(name)
                yield from self._group(name, declaration)
            else:
                yield ""
                yield f"/* {type(declaration).__name__} {declaration.path}: sysfs_create_link() or the like */"

    def _group(self, name: str, group: AttributeGroup[Any]) -> Iterator[str]:
        attributes = [alternatives[-1] for alternatives in group.attributes.values()]
        if group.fs not in (Filesystem.SYSFS, Filesystem.DEBUGFS, Filesystem.PROCFS):
            yield ""
            yield f"/* {group.fs.value}/{group.path}: a device with file_operations of its own */"
            return
        if group.fs is not Filesystem.SYSFS:
            yield from self._seq_files(name, group, attributes)
            return
        device = DEVICES.get(group.path)
        for attr in attributes:
            yield from self._attribute(attr, device, group)
        yield from self._lists(name, group, attributes, device)

    def _hooks(self) -> Iterator[str]:
        for method in self._module.hooks(MEMORY):
            name = identifier(method.__name__)
            yield ""
            yield f"static int {name}(struct notifier_block *nb, unsigned long action, void *arg)"
            yield "{"
            yield from Body(method).comment()
            yield "\treturn NOTIFY_OK;"
            yield "}"
            yield f"static struct notifier_block {name}_nb = {{ .notifier_call = {name} }};"
            self._init.append(f"\terror = register_memory_notifier(&{name}_nb);")
            self._init.append("\tif (error)\n\t\treturn error;")
            self._exit.append(f"\tunregister_memory_notifier(&{name}_nb);")
        for method in self._module.hooks(CPU):
            name = identifier(method.__name__)
            for when in ("online", "offline"):
                yield ""
                yield f"static int {name}_{when}(unsigned int cpu)"
                yield "{"
                yield from Body(method).comment()
                yield "\treturn 0;"
                yield "}"
            yield f"static int {name}_state;"
            self._init.append(
                f'\t{name}_state = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "{self._name}:online",\n'
                f"\t\t\t{name}_online, {name}_offline);"
            )
            self._init.append(f"\tif ({name}_state < 0)\n\t\treturn {name}_state;")
            self._exit.append(f"\tcpuhp_remove_state_nocalls({name}_state);")

    def _life(self) -> Iterator[str]:
        yield ""
        yield f"static int __init {self._name}_init(void)"
        yield "{"
        if any("error =" in line for line in self._init):
            yield "\tint error;"
            yield ""
        init = self._module.life("init")
        if init is not None:
            yield from Body(init).comment()
        yield from self._init
        yield "\treturn 0;"
        yield "}"
        yield f"module_init({self._name}_init);"
        yield ""
        yield f"static void __exit {self._name}_exit(void)"
        yield "{"
        yield from reversed(self._exit)
        yield "}"
        yield f"module_exit({self._name}_exit);"
        yield ""
        doc = text_of(self._module.doc).description.splitlines()
        text = (doc[0] if doc else self._name).replace("\\", "").replace('"', "'")
        yield f'MODULE_DESCRIPTION("{text}");'
        yield 'MODULE_LICENSE("GPL");'


def _c_type(value: object) -> tuple[str, str]:
    """What a variable of State is in C, with a blank behind it where it needs one, and what it began with."""
    if isinstance(value, bool):
        return "bool ", str(value).lower()
    if isinstance(value, int):
        return "u64 ", str(value)
    if isinstance(value, str):
        return "const char *", repr(value).replace("*/", "* /")
    return "void *", type(value).__name__


def directories(declarations: Iterable[Declaration]) -> set[str]:
    """The directories of /sys that declarations make, and those above them."""
    found: set[str] = set()
    for one in declarations:
        if one.fs is Filesystem.SYSFS:
            parts = one.path.split("/")
            if not isinstance(one, AttributeGroup):
                parts = parts[:-1]
            found |= {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return found
