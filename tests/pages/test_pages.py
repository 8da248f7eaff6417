"""README and every page: whoever types what they say sees what they show."""

from __future__ import annotations

import re

import pytest

import kdumpfs.module
import kdumpfs.testing
from fsmount.cli.commands import kdumpfs as command
from fsmount.propose.check_api import SYSFS
from tests.conftest import required
from tests.headers import GOLDEN
from tests.kdumpfs.plugins import MISSING
from tests.pages.reader import ROOT, Block, Reader, blocks, commands, matches, missing

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
RUN = {name: text for name, text in PAGES.items() if any(not b.why for b in blocks(text))}


def description(picture):
    """What a picture of `elfcorehdr map` says in words: every block and finding."""
    return re.search(r"<desc>.*?</desc>", picture.read_text(), re.S)[0]


def run(directory, name, text):
    """Do a page; what is not as it says."""
    if name == "docs/elfcorehdr.md":  # says that it is typed among the captured files
        for path in GOLDEN.iterdir():
            (directory / path.name).symlink_to(path)
    reader = Reader(directory)
    if MISSING:
        reader.environment["PYTEST_ADDOPTS"] += " -p kdumpfs.pytest_plugin"
    try:
        for block in blocks(text):
            wrong = reader.do(block)
            if wrong:
                return f"{name}:{block.line}: {wrong}"
        for drawn in directory.glob("*.svg"):  # a picture of the page is what its commands draw
            shown = ROOT / "docs" / drawn.name
            if shown.exists() and description(shown) != description(drawn):
                return f"{shown.name} is another picture than {name} draws"
    finally:
        reader.close()
    return ""


@pytest.mark.fuse
@pytest.mark.namespaces
@pytest.mark.parametrize("name", RUN)
def test_a_reader_sees_what_the_page_shows(tmp_path, name):
    lacks = missing(PAGES[name])
    if lacks:
        sentence = f"{' '.join(lacks)} missing, which {name} needs: scripts/test installs them"
        if required("fuse"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    if wrong := run(tmp_path, name, PAGES[name]):
        pytest.fail(wrong, pytrace=False)


def test_what_is_not_run_says_why():
    for name, text in PAGES.items():
        for block in blocks(text):
            assert block.language, f"{name}:{block.line}: a block without a language"
            if block.language == "text":  # a drawing
                assert not re.search(r"^(\$ |(kdumpfs|elfcorehdr) [a-z-]+ )", block.text, re.M), (
                    name
                )
            for path in re.findall(r"tests/[\w/.]+", block.mark):
                assert (ROOT / path).exists(), f"{name}:{block.line}: {path}"
            assert block.mark.partition(":")[0] in (
                "",
                "not run",
                "needs",
                "until Ctrl-C",
                "as root",
            ), block


@pytest.mark.parametrize("name", PAGES)
def test_no_command_hides_in_an_indented_block(name):
    """Those of docs/commands.md are of --help: tests/pages/test_generated.py tries them."""
    text = re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.S | re.M)
    hidden = re.findall(r"^    \S.*", text, re.M)
    assert name == "docs/commands.md" or hidden == []


def test_what_another_host_runs_can_be_read_there():
    """Jobs for GitHub and GitLab: as YAML, with the keys that each must have."""
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with mkdocs: pip install '.[site]'")
    jobs = {
        b.file: yaml.safe_load(b.text) for b in blocks(PAGES["docs/ci.md"]) if b.language == "yaml"
    }
    (github,) = jobs[".github/workflows/proposal.yml"]["jobs"].values()
    assert all(step.keys() & {"run", "uses"} for step in github["steps"])
    assert github["runs-on"]
    gitlab = jobs[".gitlab-ci.yml"]
    assert all(job.get("script") for name, job in gitlab.items() if not name.startswith("."))


def test_a_page_that_shows_what_is_not_so_is_told(tmp_path):
    wrong = "x\n```console\n$ mkdir -p a/b && cd a/b\n$ pwd | sed 's|.*/a|a|'\na/c\n```\n"
    assert run(tmp_path, "x.md", wrong).endswith("expected:\na/c\n\nseen:\na/b\n")


SERVING = """perl -e '$| = 1; print "serving\\n"; sleep 60'\n"""
"""No `echo; sleep` of bash: between the two it takes a SIGINT and goes on."""


def test_a_command_that_fails_is_told(tmp_path):
    reader = Reader(tmp_path)
    try:
        assert reader.do(Block(1, "sh", "false\ntrue\n", "")) == "exit status 1:\n"
        assert "no file and is not run" in reader.do(Block(1, "toml", "a = 1\n", ""))
        assert "1/0" in reader.do(Block(1, "python", "1/0\n", ""))
        slow = "```console\n$ printf '\\r\\033[Kdrawing\\r\\033[K'; echo drawn\ndrawn\n```\n"
        assert reader.do(blocks(slow)[0]) == ""
        assert reader.do(Block(1, "sh", SERVING, "until Ctrl-C")) == ""
    finally:
        reader.close()


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
