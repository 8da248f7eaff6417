"""docs/files.md has every file that a machine shows, with its mode, and no file that none shows."""

from __future__ import annotations

import re
import stat

import pytest

from kdumpfs.testing import machine
from pages.files import ROOMS, described, files_page
from pages.seen import PLATFORMS
from tests.pages.reader import ROOT

PAGE = (ROOT / "docs/files.md").read_text()


def rows():
    """Each path of the page, and its mode."""
    found = []
    for section in PAGE.split("\n### ")[1:]:
        folders = []
        for line in section.splitlines():
            if line.startswith("`…/` is each of"):
                folders.append(re.findall(r"`(/[^`]*)`", line))
            elif line.startswith("| `"):
                cell, mode = line.split(" | ")[:2]
                for path in re.findall(r"`([^`]*)`", cell):
                    if path.startswith("…"):
                        found += [(path.replace("…", f, 1), mode) for fs in folders for f in fs]
                    else:
                        found.append((path, mode))
    return found


ROWS = [
    (re.compile(re.escape(path.lstrip("/")).replace(r"\*", "[^/]+")), mode) for path, mode in rows()
]


def walk(tree, node, path=""):
    """Every name below, of many alike the first three."""
    alike = {}
    for name, _ in tree.names(node):
        kind = re.sub(r"\d+", "N", name)
        alike[kind] = alike.get(kind, 0) + 1
        if alike[kind] > 3:
            continue
        child = tree.child(node, name)
        below = f"{path}/{name}" if path else name
        yield below, child
        if child.type == stat.S_IFDIR and not below.startswith("sys/firmware/devicetree/base"):
            yield from walk(tree, child, below)


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.3"])
@pytest.mark.parametrize("name", [*PLATFORMS.values(), "pc-numa2-6g"])
def test_every_file_of_a_machine_is_on_the_page(name, kernel):
    one = machine(name, kernel=kernel, load=True)
    count = 0
    for path, node in walk(one.tree, one.tree.lookup("")):
        if node.type == stat.S_IFDIR or path.startswith(
            ("sys/firmware/devicetree/base", "control/")
        ):
            continue
        modes = {mode.split()[0] for pattern, mode in ROWS if pattern.fullmatch(path)}
        wanted = (
            "link" if node.type == stat.S_IFLNK else f"{one.tree.getattr(node).mode & 0o7777:04o}"
        )
        assert wanted in modes, path
        count += 1
    assert count > 150


def test_nothing_on_the_page_is_nowhere():
    assert "nowhere" not in PAGE


def test_each_section_of_the_kernel_names_its_source():
    for section in PAGE.split("\n### ")[1:]:
        assert "\nSource: `" in section or section.startswith("control/"), section[:60]
    assert described("fsmount.sysfs.memory")[1] == ["drivers/base/memory.c"]
    assert ROOMS.keys() == {"fsmount.sysfs", "fsmount.procfs", "fsmount.devfs", "fsmount.control"}


def test_every_file_says_what_reading_and_writing_do():
    for line in files_page().splitlines():
        if not line.startswith("| `"):
            continue
        _, mode, _, reading, writing = re.split(r"(?<!\\)\|", line)[1:-1]
        if re.match(r" 0", mode):
            readable, writable = int(mode.split()[0], 8) & 0o444, int(mode.split()[0], 8) & 0o222
            assert bool(readable) == bool(reading.strip()), line
            assert bool(writable) == bool(writing.strip()), line
