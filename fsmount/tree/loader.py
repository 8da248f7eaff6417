"""The modules of a running machine: taken in at boot, and again by `kdumpfs reload`. kernel/module/main.c.

All or nothing: a file that is wrong, or whose init() refuses, leaves everything as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from elfcorehdr.errors import KernelError, ProfileError
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify
from elfcorehdr.kernel.printk import KERN_INFO
from fsmount.tree.hooks import CPU, KEXEC, MEMORY
from fsmount.tree.journal import Journal
from fsmount.tree.kernfs import Tree
from fsmount.tree.kobject import AttributeGroup, Declaration
from fsmount.tree.modules import Module, load_module, replaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAY_VETO = (MemAction.GOING_ONLINE, MemAction.GOING_OFFLINE)


class Loader:
    """Loads modules into one tree. Their hooks hang on the kernel's lists once, through this."""

    def __init__(self, kernel: Any, tree: Tree) -> None:
        self.kernel = kernel
        self.tree = tree
        self.journal = Journal(kernel.log)
        self.modules: list[Module] = []
        self._follows = False
        """Whether a binary file's size follows what events change: a cached st_size is stale then."""
        kernel.memory_chain.register(self._memory)
        kernel.cpus.on_online.append(lambda cpu: self._call(CPU, cpu, True))
        kernel.cpus.on_offline.append(lambda cpu: self._call(CPU, cpu, False))
        kernel.kexec.on_image.append(lambda: self._call(KEXEC))

    def load(self, paths: Iterable[str] = (), texts: Mapping[str, str] | None = None) -> None:
        """Load these files, or those that are loaded, anew. ProfileError: then nothing has changed.

        texts: what is in a file, by its absolute path, for who sees another file there than we do.
        """
        wanted = {module.file: module.path for module in self.modules}
        asked = {os.path.abspath(path): path for path in paths}
        new_paths = {**wanted, **asked}
        if not new_paths:
            raise ProfileError("no module is loaded; expected FILE.py")
        old = self.modules
        before = {id(one) for module in old for one in module.declarations}
        base = [one for one in self.tree.declarations if id(one) not in before]
        new: list[Module] = []
        known: list[Declaration] = list(base)
        for file, path in new_paths.items():
            kept = next((module for module in old if module.file == file), None)
            if asked and file not in asked and kept is not None:
                new.append(kept)
            else:
                text = (texts or {}).get(file)
                # A server in the background has left the directory that a name was relative to.
                named = path if os.path.abspath(path) == file else file
                new.append(load_module(named, known, self.journal, text))
            known += new[-1].declarations
        self._exchange(old, new)
        self.modules = new
        self._follows = any(_follows(one) for module in new for one in module.declarations)
        self.tree.declare(known)
        self.kernel.names_changed()
        for module in new:
            if module not in old:
                for path in replaced(module, base):
                    self.journal.say(
                        f"{module.path}: {path} stands in place of the kernel's", KERN_INFO
                    )

    def _exchange(self, old: list[Module], new: list[Module]) -> None:
        """exit() of those that go, init() of those that come; if one refuses, as it was."""
        going = [module for module in old if module not in new]
        coming = [module for module in new if module not in old]
        for module in going:
            self._life(module, "exit")
        done: list[Module] = []
        for module in coming:
            before = next((one for one in going if one.file == module.file), None)
            for name, state in module.states.items():
                if before is not None and name in before.states:
                    state.carry(before.states[name])
            done.append(module)
            try:
                self._life(module, "init")
            except KernelError as refused:
                for one in done[:-1]:
                    self._life(one, "exit")
                for one in going:
                    self._life(one, "init")
                why = f" {refused}" if refused.reason else f" {refused}: see the lines before"
                raise ProfileError(f"{module.path}: init(kernel) failed:{why}") from None

    def _life(self, module: Module, name: str) -> None:
        method = module.life(name)
        if method is None:
            return
        try:
            module.author.run(method, lambda result: result, self.kernel)
        except KernelError:
            if name == "init":
                raise

    # Events

    def _memory(self, action: MemAction, notify: MemoryNotify) -> None:
        self._call(MEMORY, action, notify, veto=action in _MAY_VETO)

    def _call(self, event: str, *given: object, veto: bool = False) -> None:
        if self._follows and not veto:
            self.kernel.names_changed()
        for module in self.modules:
            for method in module.hooks(event):
                self._hook(module, method, given, veto=veto)

    def _hook(
        self, module: Module, method: Callable[..., Any], given: tuple[object, ...], *, veto: bool
    ) -> None:
        try:
            module.author.run(method, lambda result: result, self.kernel, *given)
        except KernelError:
            if veto:
                raise


def _follows(declaration: Declaration) -> bool:
    return isinstance(declaration, AttributeGroup) and any(
        attr.binary and not isinstance(attr.size, int)
        for alternatives in declaration.attributes.values()
        for attr in alternatives
    )
