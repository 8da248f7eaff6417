"""The soak's own judgement: what is wrong is seen. What it judges is run by scripts/soak."""

from __future__ import annotations

import os
from random import Random

import pytest

from elfcorehdr.errors import KernelError
from fsmount.fuse.direct import Connection
from tests.soak import fuzz
from tests.soak.mutate import mutated
from tests.soak.server import Store, booted, outcome, replayed

STATE = "sys/devices/system/memory/memory400/state"


def test_inputs_are_the_same_for_the_same_number():
    assert (
        mutated(b"a" * 50, Random(7))
        == mutated(b"a" * 50, Random(7))
        != mutated(b"a" * 50, Random(8))
    )


def test_a_store_that_ends_otherwise_when_it_is_replayed_is_seen():
    opened, done = Store(0, STATE, None, 0), Store(0, STATE, "offline", 7)
    assert replayed([opened, done])[1] == []
    assert replayed([opened, done, done])[1] == [Store(0, STATE, "offline", -22)]


def test_a_replay_gives_what_was_done_by_hand():
    kernel, tree = booted()
    tree.open(tree.lookup(STATE), os.O_WRONLY).write(b"offline", 0)
    assert [store.text for store in tree.stores] == [None, "offline"]
    there = outcome(kernel)
    assert there.rebuilt
    assert replayed(tree.stores)[0] == there


def test_a_bug_and_a_missing_answer_are_found(monkeypatch: pytest.MonkeyPatch):
    def bug(_machines: object, _chance: object) -> None:
        raise ValueError("planted")

    monkeypatch.setattr(fuzz, "KINDS", ((bug, 1),))
    assert "planted" in fuzz.fuzzed(0, 1).wrong[0]
    monkeypatch.setattr(fuzz, "KINDS", ((fuzz.fuse, 1),))
    monkeypatch.setattr(Connection, "_answer", lambda *_: None)
    assert "answers []" in "".join(fuzz.fuzzed(0, 5).wrong)


def test_a_refusal_is_no_bug(monkeypatch: pytest.MonkeyPatch):
    def refusal(_machines: object, _chance: object) -> None:
        raise KernelError(22, "no")

    monkeypatch.setattr(fuzz, "KINDS", ((refusal, 1),))
    assert fuzz.fuzzed(0, 3).refused == 3
