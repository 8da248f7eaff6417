"""Findings as SARIF 2.1.0 (OASIS, errata 01), which code hosts and CI show beside the code.

Checked in the tests against OASIS's schema and by the rules of Microsoft's sarif-multitool.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from printer.judge.rules import RULES, Finding, Rule
from printer.layout.roles import Layout
from printer.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_ABOUT = "https://docs.kernel.org/admin-guide/kdump/kdump.html"
"""What an elfcorehdr is for: the kernel's own page."""


def sarif(checked: Iterable[tuple[Layout, Sequence[Finding]]]) -> dict[str, Any]:
    """One run with every rule and a result for each finding of every header; a row is a region of its file."""
    driver = {
        "name": "elfcorehdr",
        "fullName": "elfcorehdr check, of kdumpfs",
        "version": __version__,
        "semanticVersion": __version__,
        "informationUri": _ABOUT,
        "rules": [_rule(rule) for rule in RULES],
    }
    results = [_result(layout, finding) for layout, found in checked for finding in found]
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": "elfcorehdr-check/"},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.id.title().replace("-", ""),
        "shortDescription": {"text": _sentence(rule.title)},
        "fullDescription": {"text": _sentence(rule.why)},
        "help": {"text": f"{_sentence(rule.why)} See: {_sentence(rule.change)}"},
        "helpUri": _ABOUT,
        "defaultConfiguration": {"level": rule.level.word},
    }


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _result(layout: Layout, finding: Finding) -> dict[str, Any]:
    message = finding.message
    location: dict[str, Any] = {"physicalLocation": _place(layout, finding.row)}
    if finding.row is not None:
        message = f"program header {finding.row:#x} ({layout.what(finding.row)}): {message}"
        location["logicalLocations"] = [{"name": f"program header {finding.row:#x}"}]
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.index(finding.rule),
        "level": finding.level.word,
        "message": {"text": _sentence(message)},
        "locations": [location],
    }


def _place(layout: Layout, row: int | None) -> dict[str, Any]:
    """The bytes of a row, of the ELF header for what concerns the whole; of text the line."""
    core = layout.core
    artifact = {"uri": _uri(core.name)}
    if core.kind == "text":
        line = core.lines[0] if row is None else core.lines[row + 1]
        return {"artifactLocation": artifact, "region": {"startLine": line}}
    at, size = core.offset, core.ehdr.e_ehsize or 64
    if row is not None:
        size = core.ehdr.e_phentsize
        at += core.ehdr.e_phoff + row * size
    # GitHub's code scanning asks for a line of binary files, too
    region = {"byteOffset": at, "byteLength": size, "startLine": 1}
    return {"artifactLocation": artifact, "region": region}


def _uri(name: str) -> str:
    """The name as a URI: absolute ones are files, standard input has a name of its own."""
    from urllib.parse import quote

    if name == "-":
        return "stdin"
    quoted = quote(os.fsencode(name))
    return f"file://{quoted}" if quoted.startswith("/") else quoted
