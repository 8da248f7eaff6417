"""docs/api.md and kdumpfs-module(7) have every public name, and say what it is."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

import pytest

import kdumpfs.testing
from elfcorehdr import Kernel
from fsmount.cli.boot import QUICK
from kdumpfs.testing.machine import options_of
from pages.api import MODULES, OF_KERNEL, OF_PARTS, names
from pages.man import ENVIRONMENT
from tests.pages.reader import ROOT

PAGE = (ROOT / "docs/api.md").read_text()
MANUAL = (ROOT / "docs/man/kdumpfs-module.7").read_text()


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_section_that_says_what_it_is(module):
    section = PAGE.split(f"\n## {module}\n")[1].split("\n## ")[0]
    found = re.split(r"\n### (.*)\n", section)[1:]
    told = dict(zip((name.replace("\\", "") for name in found[::2]), found[1::2], strict=True))
    assert list(told) == list(import_module(module).__all__)
    for one in names(module):
        assert one.doc, one.name
        assert told[one.name].strip(), one.name


def test_every_method_of_a_public_class_is_told():
    for module in MODULES:
        for one in names(module):
            value = getattr(import_module(module), one.name)
            if not inspect.isclass(value):
                continue
            if value is Kernel:  # its other parts may move
                told = {re.split(r"[^\w.]", member.words[1:])[0] for member in one.members}
                of_parts = {
                    f"{part}.{name}" for part, wanted in OF_PARTS.items() for name in wanted
                }
                assert {*OF_KERNEL} | of_parts <= told
                continue
            public = {
                name
                for name, member in vars(value).items()
                if name[0] != "_" and (inspect.isfunction(member) or isinstance(member, property))
            }
            listed = {re.split(r"\W", member.words[1:])[0] for member in one.members}
            assert public - listed == set(), one.name


def test_the_manual_has_every_name_of_the_module():
    plain = MANUAL.replace("\\-", "-")
    for one in names("kdumpfs.module"):
        assert f".SH {one.name.upper() if one.name.islower() else one.name}\n" in plain


def test_every_option_of_the_fixtures_is_named():
    options = {*inspect.signature(options_of).parameters, *QUICK} - {"name", "sizes"}
    text = kdumpfs.testing.__doc__ or ""
    assert {name for name in options if not re.search(rf"\b{name}\b", text)} == set()


def test_every_variable_that_is_asked_for_is_in_the_manuals():
    asked = set()
    for package in ("fsmount", "printer", "kdumpfs"):
        for path in (ROOT / package).rglob("*.py"):
            asked |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", path.read_text()))
    told = {name for rows in ENVIRONMENT.values() for name, _ in rows}
    assert asked - told - {"PATH"} == set()
