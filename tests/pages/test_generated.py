"""docs/machine.md, docs/commands.md and the man pages are what the code says, whole: each key and option, with what it does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from elfcorehdr.machine import Machine
from elfcorehdr.machine.facts import CONFIG
from elfcorehdr.machine.reader import _TABLES
from pages import pages
from pages.commands import GROUPS, commands
from pages.machine import tables

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/pages"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, timeout=120)
    return folder


@pytest.mark.parametrize("name", pages())
def test_the_page_is_what_the_script_makes(made, name):
    assert (made / name).read_text() == (ROOT / "docs" / name).read_text(), "run scripts/pages"


def test_every_table_that_the_reader_knows_is_there_with_every_key():
    found = {table.name: table for table in tables()}
    assert found.keys() == {"Machine", *_TABLES}
    page = (ROOT / "docs/machine.md").read_text()
    for name, table in found.items():
        record = Machine if name == "Machine" else _TABLES[name]
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.M) == list(record._fields)
        assert [key.name for key in table.keys if not key.text] == []


def test_the_options_of_the_kernel_that_a_machine_may_name_are_told():
    (text,) = (key.text for key in tables()[0].keys if key.name == "config")
    told = re.findall(r"[A-Z][A-Z_]+[A-Z]|PM", text.replace("CONFIG_", ""))
    assert sorted(told) == sorted(CONFIG)


def test_every_option_says_what_it_does():
    for name, group in GROUPS:
        for command in commands(group, name):
            assert command.text[0][0], command.name
            assert [o.words for o in command.options if not o.text.split(" [default")[0]] == []


MANUALS = sorted((ROOT / "docs/man").iterdir())
LINTS = {
    "mandoc": ["mandoc", "-T", "lint", "-W", "warning"],
    "groff": ["groff", "-man", "-ww", "-z", "-Kutf8", "-Tutf8"],
}


@pytest.mark.parametrize("tool", LINTS)
@pytest.mark.parametrize("page", MANUALS, ids=lambda page: page.name)
def test_a_man_page_is_clean(page, tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is missing: apt install {tool}")
    done = subprocess.run(
        [*LINTS[tool], str(page)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_the_lint_finds_what_is_wrong(tmp_path):
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is missing: apt install mandoc")
    wrong = tmp_path / "x.1"
    wrong.write_text(MANUALS[0].read_text() + ".RE\n.XY\n")
    assert subprocess.run(
        [*LINTS["mandoc"], str(wrong)], capture_output=True, check=False
    ).returncode


def test_a_man_page_shows_every_key_and_option():
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is missing: apt install mandoc")

    def shown(name):
        command = ["mandoc", "-T", "ascii", "-O", "width=200", str(ROOT / "docs/man" / name)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return re.sub(".\b", "", text)

    text = shown("kdumpfs-machine.5")
    for table in tables():
        for key in table.keys:
            assert re.search(rf"^ +{key.name} \(", text, re.M), key.name
    for name, group in GROUPS:
        text = shown(f"{name}.1")
        for command in commands(group, name):
            for option in command.options:
                assert option.words in text


def test_every_man_page_is_installed_with_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    files = project["tool"]["setuptools"]["data-files"]
    manuals = {folder: names for folder, names in files.items() if "/man/" in folder}
    listed = {(folder, name) for folder, names in manuals.items() for name in names}
    pages = {(f"share/man/man{p.suffix[1:]}", f"docs/man/{p.name}") for p in MANUALS}
    assert listed == pages


EXAMPLE = r"^ *(?:(?:sudo )?(?:kdumpfs|elfcorehdr) |.*\| elfcorehdr ).*"


def examples():
    """Each command of ours in the examples of --help, as words."""
    for name, group in GROUPS:
        for command in commands(group, name):
            for text, is_code in command.text:
                for line in re.findall(EXAMPLE, text, re.M) if is_code else ():
                    yield from commands_in(re.sub(r"\s{2,}\S.*$", "", line.strip()))


def commands_in(line):
    """Those of ours in a line of shell, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;<>")
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, ";"]:
        if word not in ("|", ";"):
            words.append(word)
            continue
        if words[:1] == ["sudo"]:
            words.pop(0)
        if ">" in words:
            words = words[: words.index(">")]
        if words[:1] in (["kdumpfs"], ["elfcorehdr"]):
            yield words
        words = []


@pytest.mark.parametrize("words", [*examples()], ids=" ".join)
def test_an_example_of_help_has_words_that_the_command_knows(words):
    group = dict(GROUPS)[words[0]]
    outer = click.Context(group, info_name=words[0])
    if len(words) == 1:
        return
    command = group.get_command(outer, words[1])
    assert command is not None
    context = click.Context(command, info_name=words[1], parent=outer, **command.context_settings)
    values, rest, _ = command.make_parser(context).parse_args(words[2:])
    assert rest == []
    for parameter in command.params:
        if isinstance(parameter.type, click.Choice) and parameter.name in values:
            parameter.type_cast_value(context, values[parameter.name])
        if isinstance(parameter, click.Argument) and parameter.required:
            assert values[parameter.name], parameter.name
