"""What `check` prints, as pieces of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from printer.forms.colours import LEVELS, coloured
from printer.judge.rules import Finding
from printer.layout.roles import Layout
from printer.layout.sizes import printable

MANY = 20
"""Findings of one rule that are written out; the rest is counted."""

Checked = tuple[Layout, Sequence[Finding]]


def check_pieces(checked: Sequence[Checked], fmt: str) -> Iterator[str]:
    """What check() found in each input: text, json, jsonl or sarif."""
    if fmt == "text":
        for layout, found in checked:
            yield from _text(layout, found)
        return
    import json

    if fmt == "sarif":
        from printer.forms.as_sarif import sarif

        yield json.dumps(sarif(checked), indent=2) + "\n"
        return
    from printer.forms.as_json import finding_dict, findings_dict

    if fmt == "jsonl":
        for layout, found in checked:
            for finding in found:
                yield json.dumps({"name": layout.core.name} | finding_dict(finding)) + "\n"
        return
    documents = [findings_dict(layout, found) for layout, found in checked]
    yield json.dumps(documents[0] if len(documents) == 1 else documents, indent=2) + "\n"


def _text(layout: Layout, found: Sequence[Finding]) -> Iterator[str]:
    """Findings by row; a rule's why and change stand with its first finding."""
    told: Counter[str] = Counter()
    for finding in found:
        rule, word = finding.rule, finding.level.word
        told[rule.id] += 1
        if told[rule.id] > MANY:
            continue
        where = (
            "" if finding.row is None else f" row {finding.row:#x} ({layout.what(finding.row)}):"
        )
        yield f"{coloured(word, LEVELS[word])}:{where} {finding.message} [{rule.id}]\n"
        if told[rule.id] == 1:
            yield f"    {rule.title}: {rule.why}\n    see: {rule.change}\n"
    for rule_id, count in told.items():
        if count > MANY:
            yield f"... and {count - MANY} more [{rule_id}]\n"
    yield f"{printable(layout.core.name)}: {summary(found)}\n"


def summary(found: Sequence[Finding]) -> str:
    """How many of each level: `2 errors, 1 note`."""
    counts = Counter(finding.level.word for finding in found)
    words = [f"{n} {word}{'s' * (n > 1)}" for word in LEVELS if (n := counts[word])]
    return ", ".join(words) or "nothing found"
