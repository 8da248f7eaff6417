"""What reviewers will say of a proposal: the kernel's rules for files of its interface, each with its source.

The files are read on a running machine, and on one of 8,192 CPUs and 64 TiB; what can be written is
written to, on the small one, which nobody else uses.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from enum import Enum
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, NamedTuple

from elfcorehdr.errors import KernelError, suppress
from fsmount.propose.abi import path_of
from fsmount.tree.authors import defined_at
from fsmount.tree.kernfs import Node, Tree
from fsmount.tree.kobject import Attribute, AttributeGroup, Filesystem
from fsmount.tree.modules import Module

SYSFS = "Documentation/filesystems/sysfs.rst"
PAGE_SIZE = 4096
"""x86's: the smallest that a file has to live with."""
MOST = 1 << 24
"""Bytes that are read of a file at most."""


class Level(Enum):
    """How bad it is: an error does not work, a warning will be refused, a note will be asked about."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(NamedTuple):
    """One rule that one file does not keep."""

    level: Level
    rule: str
    file: str
    """The module's file, and the line of the method."""
    path: str
    text: str
    source: str

    def __str__(self) -> str:
        return (
            f"{self.level.value}: {self.file}: {self.path}: {self.text} [{self.rule}]\n"
            f"    {self.source}"
        )


class Loaded(NamedTuple):
    """A module in a running machine's tree, and where its mistakes are told."""

    module: Module
    tree: Tree
    said: list[str]


def check(small: Loaded, large: Loaded, what_large: str) -> Iterator[Finding]:
    """Findings, file by file; what_large says in words what the large machine has."""
    for group in small.module.declared:
        if not isinstance(group, AttributeGroup):
            continue
        for alternatives in group.attributes.values():
            yield from _File(small, large, what_large, group, alternatives[-1]).findings()


class _File:
    """The checks of one attribute."""

    def __init__(
        self,
        small: Loaded,
        large: Loaded,
        what_large: str,
        group: AttributeGroup[Any],
        attr: Attribute[Any],
    ) -> None:
        self._small, self._large, self._what_large = small, large, what_large
        self._attr = attr
        self._path = path_of(group, attr.name)
        self._sysfs = group.fs is Filesystem.SYSFS
        self._debugfs = group.fs is Filesystem.DEBUGFS
        method = attr.show or attr.store or attr.open
        self._file = f"{small.module.path}: {defined_at(method)}".rstrip(": ")

    def _finding(self, level: Level, rule: str, text: str, source: str) -> Finding:
        return Finding(level, rule, self._file, self._path, text, source)

    def findings(self) -> Iterator[Finding]:
        attr = self._attr
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", attr.name):
            yield self._finding(
                Level.WARNING,
                "name",
                f"{attr.name!r}, expected lower-case letters, digits and _: a name that C can have",
                "include/linux/sysfs.h, __ATTR(): the file's name and its methods' are one token",
            )
        if not (attr.doc or attr.store_doc) and not self._debugfs:
            yield self._finding(
                Level.WARNING,
                "undocumented",
                "has no docstring, expected what Documentation/ABI is to say of it",
                "Documentation/process/submit-checklist.rst: all new userspace interfaces are "
                "documented in Documentation/ABI/",
            )
        yield from self._mode()
        yield from self._reading()
        yield from self._writing()

    def _mode(self) -> Iterator[Finding]:
        attr = self._attr
        for bits, method, word in ((0o444, attr.show, "show"), (0o222, attr.store, "store")):
            if attr.mode & bits and not method and not attr.open:
                yield self._finding(
                    Level.ERROR,
                    "mode-without-method",
                    f"mode {attr.mode:04o} promises what no {attr.name}_{word} does",
                    "fs/kernfs/file.c, kernfs_fop_open(): EACCES for root, too",
                )
            if method and not attr.mode & bits:
                yield self._finding(
                    Level.ERROR,
                    "method-without-mode",
                    f"mode {attr.mode:04o} lets nobody use {attr.name}_{word}",
                    "fs/kernfs/file.c, kernfs_fop_open()",
                )

    # Reading

    def _reading(self) -> Iterator[Finding]:
        if self._attr.show is None:
            return
        node = node_of(self._small.tree, self._path)
        if node is None:
            yield self._finding(
                Level.NOTE,
                "not-there",
                "does not exist on this machine, expected one on which it does: -m MACHINE",
                f"{SYSFS}: what is not seen cannot be checked",
            )
            return
        content = self._read(self._small, node)
        if isinstance(content, Finding):
            yield content
            return
        if self._attr.binary:
            if self._sysfs:
                yield self._finding(
                    Level.NOTE,
                    "binary",
                    "is binary, expected a reason: such files pass on what hardware or firmware wrote",
                    f"{SYSFS}, Attributes: should be ASCII text files",
                )
        elif self._sysfs:
            yield from self._text(content)
        if self._sysfs and not self._attr.binary:
            yield from self._size()

    def _read(self, loaded: Loaded, node: Node) -> bytes | Finding:
        before = len(loaded.said)
        try:
            return loaded.tree.open(node, os.O_RDONLY).read(MOST, 0)
        except KernelError as refused:
            said = loaded.said[before:]
            if said:
                return self._finding(
                    Level.ERROR,
                    "bug",
                    f"reading fails: {said[0]}",
                    "the kernel's show would have oopsed or returned garbage",
                )
            name = errno.errorcode.get(refused.errno, str(refused.errno))
            return self._finding(
                Level.NOTE,
                "read-error",
                f"reading gives {name} on this machine: what it shows is not checked",
                f"{SYSFS}: show() or store() can always return errors",
            )

    def _text(self, content: bytes) -> Iterator[Finding]:
        if any(byte > 126 or (byte < 32 and byte not in b"\n\t") for byte in content):
            yield self._finding(
                Level.WARNING,
                "ascii",
                "shows bytes that are no ASCII text",
                f"{SYSFS}, Attributes: should be ASCII text files",
            )
        if content and not content.endswith(b"\n"):
            yield self._finding(
                Level.WARNING,
                "newline",
                "does not end in a newline",
                f'{SYSFS}: sysfs_emit(buf, "%s\\n", dev->name)',
            )
        lines = content.splitlines()
        if len(lines) > 1:
            yield self._finding(
                Level.WARNING,
                "one-value",
                f"shows {len(lines)} lines, expected one value; a table belongs in debugfs, or in a "
                "directory with a file for each value",
                f"{SYSFS}, Attributes: expressing multiple lines of data is heavily frowned upon",
            )
            return
        kinds = {_kind(word) for word in content.split()}
        if len(kinds) > 1:
            yield self._finding(
                Level.WARNING,
                "one-value",
                f"shows values of several types ({', '.join(sorted(kinds))}), expected one value, or "
                "an array of values of the same type",
                f"{SYSFS}, Attributes: mixing types is heavily frowned upon",
            )

    def _size(self) -> Iterator[Finding]:
        node = node_of(self._large.tree, self._path)
        content = self._read(self._large, node) if node is not None else b""
        if isinstance(content, Finding) or len(content) < PAGE_SIZE:
            return
        yield self._finding(
            Level.ERROR,
            "page-size",
            f"has {len(content):,} bytes with {self._what_large}: readers get {PAGE_SIZE - 1:,} of them "
            f"where PAGE_SIZE is {PAGE_SIZE:,}; expected debugfs, a binary attribute, or a file for each value",
            f"{SYSFS}: sysfs allocates a buffer of size (PAGE_SIZE) and passes it to the method",
        )

    # Writing

    def _writing(self) -> Iterator[Finding]:
        node = node_of(self._small.tree, self._path) if self._attr.store is not None else None
        if node is None:
            return
        if self._attr.show is not None:
            shown = self._read(self._small, node)
            refused = self._write(node, shown) if isinstance(shown, bytes) and shown else ""
            if refused:
                yield self._finding(
                    Level.WARNING,
                    "write-back",
                    f"does not take what it shows: {refused}",
                    f"{SYSFS}: methods should operate on an identical buffer when reading and writing values",
                )
        for bad in (b"no such value\n", b"\n", b"99999999999999999999999999\n"):
            before = len(self._small.said)
            refused = self._write(node, bad)
            said = self._small.said[before:]
            if said:
                yield self._finding(
                    Level.ERROR,
                    "bug",
                    f"writing {bad.decode()!r} fails: {said[0]}",
                    f"{SYSFS}: if a bad value comes through, be sure to return an error",
                )
                return
            if not refused and bad.startswith(b"no"):
                yield self._finding(
                    Level.WARNING,
                    "takes-anything",
                    f"takes {bad.decode()!r}, expected raise OSError(errno.EINVAL)",
                    f"{SYSFS}: if a bad value comes through, be sure to return an error",
                )

    def _write(self, node: Node, buf: bytes) -> str:
        """The errno's name; empty if it was taken."""
        try:
            self._small.tree.open(node, os.O_WRONLY).write(buf, 0)
        except KernelError as refused:
            return errno.errorcode.get(refused.errno, str(refused.errno))
        return ""


def _kind(word: bytes) -> str:
    if re.fullmatch(rb"[-+]?(0x[0-9a-fA-F]+|[0-9]+)", word):
        return "a number"
    return "a range" if re.fullmatch(rb"[0-9a-fA-Fx]+-[0-9a-fA-Fx]+", word) else "a word"


def node_of(tree: Tree, path: str) -> Node | None:
    """The first node that a declared path, with its `*`, stands for now."""
    parts = [part for part in path.split("/") if part]
    return next(_below(tree, tree.lookup(""), parts), None)


LOOKED_AT = 64
"""Objects of a set that are asked whether they have a file."""


def _below(tree: Tree, node: Node, parts: list[str]) -> Iterator[Node]:
    """The nodes at a path below a node; other names may match a `*` too, as cpufreq does cpu*."""
    if not parts:
        yield node
        return
    part, *rest = parts
    if node.type != stat.S_IFDIR:
        return
    names = (name for name, _ in tree.names(node) if fnmatchcase(name, part))
    for name in islice(names, LOOKED_AT) if "*" in part else (part,):
        with suppress(KernelError):
            yield from _below(tree, tree.child(node, name), rest)
