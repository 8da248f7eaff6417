"""diff: rows, memory, and a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfcorehdr.lib.ranges import Range
from printer import Change, compare, from_bytes, read
from tests.headers import CAPTURED, GOLDEN, PPC64_A, SEED, load, name, note, packed

X86_FILE = GOLDEN / "x86_64" / "k7.3-hotplug-file" / "elfcorehdr"


X86_LEGACY = GOLDEN / "x86_64" / "k7.3-hotplug-legacy-hotplug" / "elfcorehdr"


def between(a: Path, b: Path):
    return compare(read(str(a)), read(str(b)))


def changed(a, b):
    return compare(from_bytes(packed(*a)), from_bytes(packed(*b)))


def words(found):
    return [
        (row.a, row.b, " and ".join(change.value for change in row.changes)) for row in found.rows
    ]


@pytest.mark.parametrize("path", CAPTURED[::9], ids=name)
def test_header_is_the_same_as_itself(path):
    found = between(path, path)
    assert not found
    assert found.sentence() == "same"


def test_unpatched_kernel_on_hot_remove_in_the_words_of_the_issue():
    # An unpatched kernel rebuilds the header of the cover letter's machine without memory62
    # (kernel/crash_core.c; arch/powerpc/kexec/crash.c before f53b24d1fa26).
    after = (
        *SEED[:9],
        load(0, 0x10000, 0),
        *SEED[10:12],
        load(0x58000000, 0x388000000),
        load(0x3F0000000, 0x10000000),
    )
    found = changed(SEED, after)
    assert found.sentence() == (
        "256 MiB at 0x3e0000000 removed; "
        "first 64 KiB no longer point at the backup region (0x1af40000)"
    )
    assert words(found) == [
        (9, 9, "changed offset"),
        (12, 12, "shrank"),
        (None, 13, "appeared"),
    ]


def test_captured_split_shows_the_byte_too_many():
    found = between(PPC64_A / "elfcorehdr-04.bin", PPC64_A / "elfcorehdr-03.bin")
    assert found.removed == (Range.sized(0x280000000, 0x10000000),)
    assert found.added == (Range.sized(0x400000000, 1),)
    assert found.sentence() == (
        "256 MiB at 0x280000000 removed; 1 B at 0x400000000 added; a size is one byte too long"
    )


def test_captured_dimm_appears():
    found = between(X86_FILE / "00-load-file.bin", X86_FILE / "08-dimm-add-0.bin")
    assert found.sentence() == "256 MiB at 0x100000000 added"
    assert words(found) == [(None, 12, "appeared")]


def test_captured_first_rebuild_adds_notes_and_drops_the_low_backup():
    found = between(X86_LEGACY / "00-load-legacy-hotplug.bin", X86_LEGACY / "01-cpu1-offline.bin")
    assert found.sentence() == "635 KiB at 0x1000 removed; 6 notes appeared"


def test_backup_region_that_is_pointed_at_again():
    before = (*SEED[:9], load(0, 0x10000, 0), *SEED[10:])
    assert changed(before, SEED).sentence() == (
        "first 64 KiB now point at the backup region (0x1af40000)"
    )


def test_backup_region_that_moved():
    after = (*SEED[:9], load(0, 0x10000, 0x1AF50000), *SEED[10:])
    assert changed(SEED, after).sentence() == ("first 64 KiB: offset 0x1af40000 became 0x1af50000")


def test_notes_that_moved_are_matched():
    after = (*(note(p.p_paddr + 0x1000, 0x218) for p in SEED[:8]), *SEED[8:])
    found = changed(SEED, after)
    assert {row.changes for row in found.rows} == {(Change.MOVED,)}
    assert found.sentence() == "8 notes moved"


def test_rows_in_another_order_are_the_same_memory():
    after = (*SEED[:11], SEED[12], SEED[11])
    found = changed(SEED, after)
    assert words(found) == [(11, 12, "changed place")]
    assert found.sentence() == "1 row at another place in the order"


def test_range_that_grew_downwards_is_one_change():
    after = (*SEED[:12], load(0x50000000, 0x3B0000000))
    assert words(changed(SEED, after)) == [(12, 12, "grew")]


def test_split_without_a_loss_is_the_same_memory_in_other_rows():
    after = (*SEED[:12], load(0x58000000, 0x8000000), load(0x60000000, 0x3A0000000))
    assert changed(SEED, after).sentence() == "the same memory in other rows"


def test_captured_kexec_tools_header_that_loads_memory_twice_is_named():
    case = GOLDEN / "x86_64" / "k7.3-crash-size-shrink" / "elfcorehdr"
    found = between(case / "07-load-after-shrink-2.bin", case / "08-load-legacy-after-shrink-2.bin")
    # 0x73f5f000-0x75ffffff and 0x76001000-0x7dffffff: rows 7 and 8 lie in row 6.
    assert found.sentence() == "635 KiB at 0x1000 added; ~160.63 MiB loaded twice"
    rows = read(str(case / "08-load-legacy-after-shrink-2.bin")).phdrs
    assert rows[7].p_memsz + rows[8].p_memsz == 168431616


def test_wrapped_size_is_named():
    after = (*SEED[:12], load(0x58000000, 0x388000000), load(0x3F0000000, 0xFFFFFFFFF0000000))
    assert "a size wraps past 2^64" in changed(SEED, after).sentence()


def test_offsets_of_a_vmcore_and_an_elfcorehdr_are_not_compared(tmp_path):
    case = GOLDEN / "x86_64" / "k7.3-1g-1cpu-crash"
    found = between(case / "elfcorehdr" / "00-load-file.bin", case / "vmcore-header.bin")
    assert not found.offsets
    assert not found.removed
    assert not found.added
    assert {row.phdr_a.p_type if row.phdr_a else row.phdr_b.p_type for row in found.rows} == {4}


def test_text_and_bytes_of_one_header_are_the_same(tmp_path):
    raw = tmp_path / "raw"
    raw.write_bytes(packed(*SEED))
    assert not between(raw, GOLDEN / "seed" / "crash_elfcorehdr_print.txt")


LOADS = st.lists(
    st.tuples(st.integers(0, 15), st.integers(1, 4)).map(lambda t: load(t[0] << 28, t[1] << 28)),
    max_size=6,
)


@given(LOADS, LOADS)
@settings(deadline=None)
def test_diff_is_empty_exactly_for_equal_rows_and_has_a_sentence_otherwise(a, b):
    found = changed(tuple(a), tuple(b))
    assert bool(found) == (a != b)
    assert (found.sentence() == "same") == (a == b)
    assert sorted(row.a for row in found.rows if row.b is None) == sorted(
        row.b for row in changed(tuple(b), tuple(a)).rows if row.a is None
    )
