"""/sys/module/: kernel/params.c, kernel/module/sysfs.c (v7.3): what is built in and has parameters, and what was loaded."""

from __future__ import annotations

from functools import partial

from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.module.main import BUILT_IN, Module
from fsmount.tree.kobject import AttributeGroup, Declaration, Kset, singleton

modules: Kset[Module] = Kset(
    names=lambda kernel: iter(list(kernel.modules.loaded)),
    lookup=lambda kernel, name: kernel.modules.loaded.get(name),
    count=lambda kernel: len(kernel.modules.loaded),
)
module = AttributeGroup("module/*", modules)


@module.show
def coresize_show(m: Module) -> str:
    """Size in bytes."""
    return f"{m.size}\n"


@module.show
def initsize_show(m: Module) -> str:
    """Size of what is dropped after loading: it has gone."""
    return "0\n"


@module.show
def initstate_show(m: Module) -> str:
    """live"""
    return "live\n"


@module.show
def refcnt_show(m: Module) -> str:
    """Who uses it: nobody."""
    return "0\n"


@module.show
def taint_show(m: Module) -> str:
    """How it taints the kernel: not at all."""
    return "\n"


def _show(name: str, key: str, kernel: Kernel) -> str:
    return f"{kernel.modules.parameter(name, key)}\n"


def _store(name: str, key: str, kernel: Kernel, buf: str) -> None:
    kernel.modules.set_parameter(name, key, buf)


def _written(kind: str) -> str:
    """What a parameter takes."""
    words = {"bool": "A boolean", "int": "A number"}.get(kind) or " or ".join(kind.split())
    return f"{words}, kept; EINVAL for anything else."


def _built_in() -> list[Declaration]:
    """The parameters of what is linked into the kernel."""
    groups: list[Declaration] = []
    for name, parameters in BUILT_IN.items():
        group = AttributeGroup(f"module/{name}/parameters", singleton)
        for key, parameter in parameters.items():
            group.add(
                key,
                show=partial(_show, name, key),
                store=partial(_store, name, key) if parameter.mode & 0o200 else None,
                mode=parameter.mode,
                doc=f"{name}.{key} of the command line.",
                store_doc=_written(parameter.kind),
            )
        groups.append(group)
    return groups


GROUPS: tuple[Declaration, ...] = (
    module,
    AttributeGroup("module/*/holders", modules),
    *_built_in(),
)
