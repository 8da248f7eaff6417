"""Rows of hex numbers made column by column are what one `%` a row makes."""

from __future__ import annotations

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from printer.forms import kernel_text
from printer.forms.hex_columns import Column, lines

NUMBER = st.one_of(
    st.sampled_from([0, 1, 15, 16, 0xFFF, 0x1000, 0x10000, 1 << 63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 1 << 20),
)


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=40))
@example([(0, 0)])
@example([(0, 2**64 - 1), (2**64 - 1, 0)])
@example([(0x100, 0x100), (0x10, 0x1000)])
@settings(deadline=None)
def test_columns_are_what_percent_makes(rows):
    table = b"".join(struct.pack("<QQ", *row) for row in rows)
    made = lines(
        [b"0x", (Column(table, 0, 8, 16), 16), b" ", b"0x", (Column(table, 8, 8, 16), 3), b"|\n"],
        len(rows),
    ).decode()
    assert made == "".join(f"0x{a:<16x} 0x{b:<3x}|\n" for a, b in rows)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 400), st.sampled_from([(1, 7), (4, 0), (1, 5), (0x6FFFFFFF, 1)]), NUMBER
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(deadline=None, max_examples=30)
def test_long_runs_print_as_single_rows_do(runs):
    rows = [
        struct.pack("<IIQQQQQQ", *kind, n * i % 2**64, n ^ i, i << 12, i * 4096, n, 0)
        for count, kind, n in runs
        for i in range(count)
    ]
    table = memoryview(b"".join(rows))
    fast = b"".join(kernel_text.render_table(table))
    slow = b"".join(kernel_text.render_table(table, 1))
    assert fast == slow
