"""docs/proposing.md, docs/testing.md, docs/troubleshooting.md: whoever types what they say sees what they show."""

from __future__ import annotations

import shutil

import pytest

import kdumpfs.module
import kdumpfs.testing
from fsmount.cli.commands import kdumpfs as command
from fsmount.propose.check_api import SYSFS
from tests.kdumpfs.pages import ROOT, Reader, blocks, commands, matches
from tests.kdumpfs.plugins import MISSING


@pytest.mark.fuse
@pytest.mark.namespaces
@pytest.mark.parametrize("name", ["proposing", "testing", "troubleshooting"])
def test_a_reader_sees_what_the_page_shows(tmp_path, name):
    for program in ("bats", "make"):
        if name == "testing" and shutil.which(program) is None:
            pytest.skip(f"{program} is missing: apt install {program}")
    page = (ROOT / f"docs/{name}.md").read_text()
    reader = Reader(tmp_path)
    if MISSING:
        reader.environment["PYTEST_ADDOPTS"] += " -p kdumpfs.pytest_plugin"
    try:
        for block in blocks(page):
            wrong = reader.do(block)
            assert not wrong, f"docs/{name}.md:{block.line}: {wrong}"
    finally:
        reader.close()


def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs/proposing.md").read_text()
    missing = [name for name in kdumpfs.module.__all__ if f"`{name}" not in page]
    assert missing == []


def test_every_command_of_authors_is_on_a_page():
    pages = "".join((ROOT / path).read_text() for path in ("docs/proposing.md", "README.md"))
    for name in (
        "reload",
        "status",
        "dmesg",
        "uevents",
        "abi",
        "check-api",
        "skeleton",
        "transcript",
    ):
        assert name in command.commands
        assert f"kdumpfs {name}" in pages


def test_the_public_names_have_docstrings():
    for name in kdumpfs.module.__all__:
        value = getattr(kdumpfs.module, name)
        assert getattr(value, "__doc__", None), name


def test_what_the_runner_takes_for_the_same():
    assert matches("a\n...\nz\n", "a\nb\nc\nz\n")
    assert matches("a ... z\n", "a 123 z\n")
    assert not matches("a\n", "a\nb\n")
    assert commands("$ one\n> two\nout\n$ three\n") == [("one\ntwo", "out\n"), ("three", "")]


def test_sources_of_rules_are_documents_of_the_kernel():
    assert SYSFS == "Documentation/filesystems/sysfs.rst"


def test_the_public_names_stay():
    """Add to these; a name that goes breaks somebody's module."""
    assert {
        *("AttributeGroup", "Caller", "Cpu", "File", "Filesystem", "Kernel", "KernelError", "Kset"),
        *("Link", "MemAction", "MemoryBlock", "MemoryNotify", "Node", "Phdr", "ProgramHeaders"),
        *("State", "Subtree", "cpus", "flags_text", "indexed", "memory_blocks", "nodes", "on_cpu"),
        *("on_kexec", "on_memory", "singleton", "type_text"),
    } <= set(kdumpfs.module.__all__)
    assert {"Header", "Lack", "Machine", "Mounted", "machine", "mounted", "run"} <= set(
        kdumpfs.testing.__all__
    )


def test_the_readme_s_module_passes_the_readme_s_test(tmp_path):
    python = [
        block for block in blocks((ROOT / "README.md").read_text()) if block.language == "python"
    ]
    reader = Reader(tmp_path)
    try:
        for block in python:
            if not block.file:
                block = block._replace(text=f"# test_mine.py\n{block.text}")
            assert reader.do(block) == ""
        options = " -p kdumpfs.pytest_plugin" if MISSING else ""
        status, seen = reader.type(f"pytest -q{options} test_mine.py")
        assert status == 0, seen
        assert "1 passed" in seen
    finally:
        reader.close()
