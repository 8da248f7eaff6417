"""rules: each says what, why and where from."""

from __future__ import annotations

from printer.judge.rules import BY_ID, RULES


def test_every_rule_says_why_and_has_a_name_of_its_own():
    assert len(BY_ID) == len(RULES)
    assert all(rule.why and rule.title and rule.id.islower() for rule in RULES)
