"""Rows of two headers matched: runs are skipped, edits found, whatever lies between."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from printer import compare, from_bytes
from printer.judge.matching import match, out_of_order
from tests.headers import elf_of, load, packed

EDITS = st.lists(
    st.tuples(st.sampled_from(["drop", "shrink", "insert", "move"]), st.integers(0, 199)),
    max_size=6,
)


def rows(count):
    return [load(n << 29, 1 << 28) for n in range(count)]


def edited(before, edits):
    after = list(before)
    for what, at in edits:
        at %= len(after)
        if what == "drop":
            del after[at]
        elif what == "shrink":
            after[at] = after[at]._replace(p_memsz=1 << 27, p_filesz=1 << 27)
        elif what == "insert":
            after.insert(at, load((500 << 29) + at, 1 << 20))
        else:
            after.append(after.pop(at))
    return after


@given(EDITS)
@settings(deadline=None, max_examples=60)
def test_every_row_is_paired_left_or_in_a_run(edits):
    before = rows(200)
    after = edited(before, edits)
    a, b = (from_bytes(packed(*some)).phdrs for some in (before, after))
    same, pairs, only_a, only_b = match(a, b)
    left_a = {i for i, _ in [*same, *pairs]} | set(only_a)
    left_b = {j for _, j in [*same, *pairs]} | set(only_b)
    runs = (
        [p for i, p in enumerate(before) if i not in left_a],
        [p for j, p in enumerate(after) if j not in left_b],
    )
    assert runs[0] == runs[1]
    assert all(a[i] == b[j] for i, j in same)
    assert not {a[i] for i in only_a} & {b[j] for j in only_b}


def test_one_edit_leaves_one_row():
    before = rows(5000)
    after = [*before[:2000], *before[2001:]]
    a, b = (from_bytes(packed(*some)).phdrs for some in (before, after))
    assert match(a, b) == ([], [], [2000], [])
    shrunk = edited(before, [("shrink", 150)])
    found = compare(from_bytes(packed(*before)), from_bytes(packed(*shrunk)))
    assert [(row.a, row.b) for row in found.rows] == [(150, 150)]


def test_rows_packed_differently_are_still_equal():
    phdrs = tuple(
        p._replace(p_vaddr=0, p_paddr=n << 20, p_offset=n << 20, p_memsz=4096, p_filesz=4096)
        for n, p in enumerate(rows(20))
    )
    a, b = (from_bytes(elf_of(klass, order, phdrs)).phdrs for klass, order in ((1, 2), (2, 1)))
    assert a == b
    assert match(a, b) == ([], [], [], [])


def test_out_of_order_lifts_the_fewest():
    assert out_of_order([(0, 0), (1, 1), (2, 2)]) == []
    assert out_of_order([(0, 3), (1, 0), (2, 1), (3, 2)]) == [(0, 3)]
