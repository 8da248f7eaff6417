"""The picture as blocks: what each stretch of memory is, what is wrong with it, what became of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfcorehdr.lib.ranges import Range
from printer import Layout, Surroundings, from_bytes, picture, read, read_machine
from printer.pictures.blocks import Delta, Kind, distinct
from tests.headers import GOLDEN, OURS, PPC64_A, SEED, SEED_TEXT, load, note, packed

GIB = 1 << 30
BUG = (*SEED[:9], load(0, 0x10000, 0), *SEED[10:])


def layout(*phdrs, name="header"):
    return Layout(from_bytes(packed(*phdrs), name))


def kinds(found, view=0):
    return [(block.start, block.kind) for block in found.views[view].blocks]


def test_picture_of_the_cover_letters_machine():
    found = picture([Layout(read(str(SEED_TEXT)))])
    assert kinds(found) == [
        (0, Kind.BACKED_UP),
        (0x10000, Kind.LOADED),
        (0x18000000, Kind.CRASHKERNEL),
        (0x2EC70000, Kind.FIRMWARE),
        (0x30000000, Kind.CRASHKERNEL),
        (0x58000000, Kind.LOADED),
    ]
    assert found.blocks[-1].stop == 0x400000000
    (arrow,) = found.views[0].arrows
    assert (arrow.source, arrow.target, arrow.size, arrow.wrong) == (0, 0x1AF40000, 0x10000, False)


def test_the_mails_bug_is_wrong_at_first_sight():
    found = picture([layout(*BUG)])
    first = found.blocks[0]
    assert first.kind is Kind.WRONG
    assert [finding.rule.id for finding in first.findings] == ["backup-offset-zero"]
    (arrow,) = found.views[0].arrows
    assert (arrow.target, arrow.wrong) == (0, True)
    assert [kind for _, kind in kinds(found)][2:5] == [
        Kind.CRASHKERNEL,
        Kind.FIRMWARE,
        Kind.CRASHKERNEL,
    ]


def test_before_and_after_the_fix_differ_in_the_first_block():
    found = picture([layout(*BUG), layout(*SEED)])
    assert found.deltas == (Delta.CHANGED, *[None] * 5)
    assert found.title.endswith("first 64 KiB now point at the backup region (0x1af40000)")
    assert [row.a for row in found.changes[0]] == [9]


def test_hot_remove_is_removed_added_changed():
    before, after = (Layout(read(str(PPC64_A / f"elfcorehdr-{n}.bin"))) for n in ("04", "03"))
    found = picture([before, after], read_machine(str(PPC64_A / "replay.json")))
    deltas = {b.start: d for b, d in zip(found.blocks, found.deltas, strict=True) if d}
    assert deltas == {
        0x280000000: Delta.REMOVED,
        0x290000000: Delta.CHANGED,
        0x400000000: Delta.ADDED,
    }
    after_kinds = dict(kinds(found, 1))
    assert after_kinds[0x280000000] is Kind.NOT_LOADED
    assert after_kinds[0x290000000] is Kind.WRONG
    missing = next(b for b in found.views[1].blocks if b.start == 0x280000000)
    assert [f.rule.id for f in missing.findings] == ["memory-not-loaded"]


def test_machine_of_one_serves_both_and_low_memory_of_x86_is_not_missing():
    machine = Surroundings(
        memory=(Range(0x1000, 0x9FBFF), Range.sized(0x100000, 0x3FF00000)),
        crashkernel=(Range.sized(0x10000000, 0x10000000),),
    )
    rows = (load(0x100000, 0xFF00000), load(0x20000000, 0x20000000))
    core = from_bytes(
        packed(*[p._replace(p_vaddr=p.p_paddr + 0xFFFF888000000000) for p in rows], machine=62)
    )
    found = picture([Layout(core), Layout(core)], machine)
    for view in (0, 1):
        assert [kind for _, kind in kinds(found, view)] == [
            Kind.HOLE, Kind.LOADED, Kind.CRASHKERNEL, Kind.LOADED,
        ]  # fmt: skip


def test_arm64_with_39_bits_is_drawn():
    found = picture([Layout(read(str(OURS / "arm64-va39.bin")))])
    assert [kind for _, kind in kinds(found)] == [Kind.HOLE, Kind.LOADED, Kind.HOLE, Kind.LOADED]
    assert {mark.sign for mark in found.views[0].marks} == {"n", "v", "k"}


def test_rows_mapped_wrongly_are_marked_each():
    found = picture([Layout(read(str(OURS / "riscv-vaddr.bin")))])
    wrong = [block for block in found.blocks if block.kind is Kind.WRONG]
    assert [block.row for block in wrong] == [4, 5]


# Many rows


def half(blocks, gone):
    """A machine of so many blocks of 8 GiB from 8 GiB on, without some of them."""
    rows = [load(n * 8 * GIB, 8 * GIB) for n in range(1, blocks) if not gone(n)]
    return (*SEED[:12], load(0x58000000, 8 * GIB - 0x58000000), *rows)


def test_blocks_by_the_thousand_are_shares_of_a_run():
    machine = Surroundings(
        memory=(Range.sized(0, 8192 * 8 * GIB),), crashkernel=(Range.sized(0x18000000, GIB),)
    )
    found = picture([layout(*half(8192, lambda n: n % 2))], machine)
    assert len(found.blocks) < 20
    run = next(block for block in found.blocks if block.kind is Kind.PARTLY)
    assert run.rows == 4096
    assert run.loaded + run.missing == run.size
    assert 0.49 < run.loaded / run.size < 0.51
    assert (
        sum(block.loaded for block in found.blocks)
        == Layout(from_bytes(packed(*half(8192, lambda n: n % 2)))).memory.size
    )


def test_one_block_gone_among_thousands_is_seen():
    before, after = layout(*half(4096, lambda n: 0)), layout(*half(4096, lambda n: n == 3000))
    found = picture([before, after])
    assert Delta.REMOVED in found.deltas
    gone = found.blocks[found.deltas.index(Delta.REMOVED)]
    assert (gone.start, gone.size) == (3000 * 8 * GIB, 8 * GIB)


def test_flagged_row_among_thousands_is_a_block_of_its_own():
    rows = [*half(2000, lambda n: n % 2)]
    rows[500] = rows[500]._replace(p_memsz=8 * GIB + 1, p_filesz=8 * GIB + 1)
    found = picture([layout(*rows)])
    (wrong,) = (block for block in found.blocks if block.kind is Kind.WRONG)
    assert wrong.row == 500


def test_large_hole_divides_a_run():
    rows = [load(n << 29, 1 << 28) for n in range(100)] + [
        load((1 << 44) + (n << 29), 1 << 28) for n in range(100)
    ]
    found = picture([layout(*rows)])
    assert [kind for _, kind in kinds(found)] == [Kind.PARTLY, Kind.HOLE, Kind.PARTLY]


@pytest.mark.parametrize("phdrs", [(), (note(0x1000, 0x218),), (load(0, 0),), (load(0, 1),)])
def test_header_without_memory_is_drawn(phdrs):
    assert picture([layout(*phdrs)]).blocks


def test_size_that_wraps_ends_at_the_last_address():
    found = picture([layout(*SEED[:12], load(0x3F0000000, 0xFFFFFFFFF0000000))])
    assert found.blocks[-1].stop == 2**64


def test_sixty_thousand_rows_take_bounded_time():
    rows = [load(i << 29, 1 << 28) for i in range(60_000)]
    one = layout(*rows)
    begin = time.process_time()
    picture([one])
    assert time.process_time() - begin < 2


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=8),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=8),
    st.integers(20, 120),
)
@settings(deadline=None)
def test_blocks_cover_memory_once_and_widths_fill_the_line(spans, others, columns):
    layouts = [layout(*[load(s << 20, n << 20) for s, n in some]) for some in (spans, others)]
    found = picture(layouts)
    for one, view in zip(layouts, found.views, strict=True):
        assert sum(block.loaded for block in view.blocks) == one.memory.size
        stops = [block.stop for block in view.blocks]
        assert [block.start for block in view.blocks][1:] == stops[:-1]
    widths = found.widths(columns, 1.0)
    assert min(widths) > 0
    assert sum(widths) == pytest.approx(columns)
    edges = [0.0]
    for width in widths:
        edges.append(edges[-1] + width)
    places = [found.place(edges, block.start) for block in found.blocks]
    assert places == sorted(places)


def test_a_larger_block_is_never_narrower():
    found = picture(
        [
            layout(
                load(0, 1),
                load(0x100000, 0x10000),
                load(1 << 30, 384 << 20),
                load(1 << 40, 64 << 40),
            )
        ]
    )
    widths = found.widths(100, 1.0)
    loaded = [w for w, block in zip(widths, found.blocks, strict=True) if block.loaded]
    assert loaded == sorted(loaded)
    assert loaded[1] < loaded[2] / 2


def test_labels_tell_inputs_apart():
    assert distinct(["a/b/elfcorehdr", "a/c/elfcorehdr"]) == ["b/elfcorehdr", "c/elfcorehdr"]
    assert distinct(["x/before.bin", "y/after.bin"]) == ["before.bin", "after.bin"]
    assert distinct(["same", "same"]) == ["same", "same"]
    assert distinct(["mnt/", "-"]) == ["mnt", "-"]


def test_title_says_machine_kernel_and_architecture():
    assert (
        picture([layout(*SEED, name="hdr")], read_machine("pseries-16g")).title
        == "pseries-16g, ppc64: hdr"
    )
    vmcore = GOLDEN / "x86_64" / "k7.3-1g-1cpu-crash" / "vmcore-header.bin"
    found = picture([Layout(read(str(vmcore), notes=True))])
    assert found.subject == "Linux 7.3.4+deb13-amd64, x86_64"


def test_x86_notes_and_kernel_image_are_marked():
    path = GOLDEN / "x86_64" / "k7.3-numa2-6g-high" / "elfcorehdr" / "00-load-file.bin"
    signs = {mark.sign for mark in picture([Layout(read(str(path)))]).views[0].marks}
    assert signs == {"k", "v", "n"}
