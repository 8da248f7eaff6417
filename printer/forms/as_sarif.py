"""Findings as SARIF 2.1.0 (OASIS, March 2020), which code hosts and CI show beside the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from printer.judge.rules import RULES, Finding, Rule
from printer.layout.roles import Layout
from printer.version import __version__

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def sarif(layout: Layout, findings: Sequence[Finding]) -> dict[str, Any]:
    """One run with every rule and a result for each finding; a row is a region of bytes."""
    driver = {"name": "elfcorehdr", "version": __version__, "rules": [_rule(r) for r in RULES]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(layout, finding) for finding in findings],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "defaultConfiguration": {"level": rule.level.word},
    }
    if rule.change:
        found["help"] = {"text": rule.change}
    return found


def _result(layout: Layout, finding: Finding) -> dict[str, Any]:
    from urllib.parse import quote

    core = layout.core
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(core.name)}}
    location: dict[str, Any] = {"physicalLocation": place}
    message = finding.message
    if finding.row is not None:
        message = f"program header {finding.row:#x}: {message}"
        location["logicalLocations"] = [{"name": f"program header {finding.row:#x}"}]
        if core.kind != "text":
            size = core.ehdr.e_phentsize
            at = core.offset + core.ehdr.e_phoff + finding.row * size
            place["region"] = {"byteOffset": at, "byteLength": size}
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.index(finding.rule),
        "level": finding.level.word,
        "message": {"text": message},
        "locations": [location],
    }
