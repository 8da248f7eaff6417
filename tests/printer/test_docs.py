"""docs/elfcorehdr.md leaves nothing out; its examples are typed by tests/pages."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import printer
from printer import Change, Layout, notes_of, read
from printer.cli.commands import COMMANDS, cli
from printer.forms import as_json
from printer.judge.rules import RULES
from tests.headers import VMCORE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "elfcorehdr.md").read_text()


def test_every_option_is_on_the_page():
    for command in map(partial(cli.get_command, None), COMMANDS):
        for parameter in command.params:
            if parameter.opts[0].startswith("-"):
                long = max(parameter.opts, key=len)
                assert f"`{long}" in PAGE, long


def test_every_rule_is_on_the_page():
    for rule in RULES:
        assert f"| `{rule.id}` | {rule.level.word} | {rule.title} |" in PAGE


def test_every_json_key_is_on_the_page():
    layout = Layout(read(str(VMCORE), notes=True))
    document = as_json.document(layout, notes=notes_of(layout.core))
    keys = {*document, *document["ehdr"], *document["counts"]}
    keys |= {key for phdr in document["phdrs"] for key in phdr}
    keys |= {key for note in document["notes"] for key in note}
    keys |= {*as_json.diff_dict(printer.compare(layout.core, layout.core))}
    assert [key for key in sorted(keys) if f"`{key}`" not in PAGE] == []
    assert [change.value for change in Change if f'`"{change.value}"`' not in PAGE] == []
