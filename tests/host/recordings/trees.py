"""The files of an emulated machine laid down in a directory, to be recorded from there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from elfcorehdr.errors import KernelError
from fsmount.tree.kernfs import Tree

LEFT_OUT = ("proc/sysrq-trigger", "proc/kcore", "proc/kallsyms", "sys/kernel/debug/tracing")


def written(tree: Tree, top: Path, below: tuple[str, ...] = ("sys", "proc")) -> None:
    """Write all that can be read; what cannot is left out, as a mount's files of mode 0200 would be empty."""

    def down(path: str) -> None:
        node = tree.lookup(path)
        full = top / path
        if stat.S_ISDIR(node.type):
            full.mkdir(parents=True, exist_ok=True)
            for name, _ in tree.names(node):
                if f"{path}/{name}" not in LEFT_OUT:
                    down(f"{path}/{name}")
        elif stat.S_ISLNK(node.type):
            full.symlink_to(tree.readlink(node))
        else:
            try:
                file = tree.open(node, os.O_RDONLY)
                content = b""
                while part := file.read(1 << 20, len(content)):
                    content += part
            except KernelError:
                return
            full.write_bytes(content)

    for path in below:
        down(path)
