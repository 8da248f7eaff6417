"""map: the ranges of the picture, and its text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfcorehdr.lib.ranges import Range
from printer import Layout, Surroundings, draw, from_bytes, picture, read, read_machine
from printer.pictures.memmap import Kind
from tests.headers import GOLDEN, PPC64_A, SEED, SEED_TEXT, load, note, packed


def layout(*phdrs):
    return Layout(from_bytes(packed(*phdrs)))


def text(found, columns=80, **how):
    return list(draw(found, columns, **({"colour": False, "unicode": False} | how)))


def test_picture_of_the_cover_letters_machine():
    found = picture([Layout(read(str(SEED_TEXT)))])
    assert [(span.start, kind) for span, kind in zip(found.ranges, found.views[0].kinds, strict=True)] == [
        (0, Kind.BACKED_UP),
        (0x10000, Kind.LOADED),
        (0x18000000, Kind.CRASHKERNEL),
        (0x2EC70000, Kind.FIRMWARE),
        (0x30000000, Kind.CRASHKERNEL),
        (0x58000000, Kind.LOADED),
    ]  # fmt: skip
    assert found.ranges[-1].end == 0x3FFFFFFFF


def test_bar_shows_every_range_and_is_as_wide_as_asked():
    lines = text(picture([Layout(read(str(SEED_TEXT)))]), 60)
    assert lines[0] == "0x0" + "0x400000000".rjust(57)
    assert len(lines[1]) == 60
    assert [lines[1].count(c) > 0 for c in "B#=F"] == [True] * 4
    assert lines[1].startswith("B#")
    assert lines[2].strip().split() == ["v", "b", "n"]


def test_list_says_where_what_and_which_row():
    lines = text(picture([Layout(read(str(SEED_TEXT)))]))
    assert (
        "0x0               64 KiB  B  row 0x9: loaded from the backup region at 0x1af40000" in lines
    )
    assert "0x58000000    14.625 GiB  #  row 0xc: loaded (8 CPU notes)" in lines


def test_legend_keeps_to_the_width():
    lines = text(picture([Layout(read(str(SEED_TEXT)))]), 40)
    legend = lines[lines.index("") + 1 : lines.index("", lines.index("") + 1) - 1]
    assert len(legend) > 2
    assert max(map(len, legend)) <= 40


def test_two_headers_are_drawn_on_one_scale_with_what_changed():
    before, after = (Layout(read(str(PPC64_A / f"elfcorehdr-{n}.bin"))) for n in ("04", "03"))
    found = picture([before, after], read_machine(str(PPC64_A / "replay.json")))
    lines = text(found)
    bars = [line for line in lines if line.startswith("B#")]
    assert [len(bar) for bar in bars] == [80, 80]
    assert "!" not in bars[0]
    assert "!" in bars[1]
    changed = [line for line in lines if line[:2] in ("- ", "+ ")]
    assert [line.split()[1] for line in changed] == ["0x280000000", "0x400000000"]


def test_machines_crashkernel_and_ram_are_drawn():
    machine = Surroundings(
        memory=(Range.sized(0, 0x40000000),), crashkernel=(Range.sized(0x10000000, 0x10000000),)
    )
    found = picture([layout(load(0x20000000, 0x10000000))], machine)
    assert found.views[0].kinds == (
        Kind.NOT_LOADED,
        Kind.CRASHKERNEL,
        Kind.LOADED,
        Kind.NOT_LOADED,
    )


def test_many_ranges_are_sampled_in_the_bar_and_cut_in_the_list():
    found = picture([layout(*[load(i << 29, 1 << 28) for i in range(5000)])])
    lines = text(found, 100)
    assert len(lines[1]) == 100
    assert any(line == f"... {9999 - 48} ranges more (print --format table)" for line in lines)
    assert len(lines) < 70


@pytest.mark.parametrize("phdrs", [(), (note(0x1000, 0x218),), (load(0, 0),)])
def test_header_without_memory_is_drawn(phdrs):
    assert text(picture([layout(*phdrs)]))


def test_size_that_wraps_ends_at_the_last_address():
    found = picture([layout(*SEED[:12], load(0x3F0000000, 0xFFFFFFFFF0000000))])
    assert found.ranges[-1].end == 2**64 - 1


def test_colour_and_glyphs_only_where_asked():
    plain = "\n".join(text(picture([Layout(read(str(SEED_TEXT)))])))
    assert plain.isascii()
    assert "\033" not in plain
    rich = "\n".join(text(picture([Layout(read(str(SEED_TEXT)))]), colour=True, unicode=True))
    assert "\033[32m█\033[0m" in rich


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=8),
    st.integers(20, 120),
)
@settings(deadline=None)
def test_widths_give_every_range_a_column_and_fill_the_line(spans, columns):
    found = picture([layout(*[load(s << 20, n << 20) for s, n in spans])])
    widths = found.widths(columns)
    assert min(widths) >= 1
    assert sum(widths) == max(columns, len(widths))
    column = found.placer(widths)
    places = [column(span.start) for span in found.ranges]
    assert places == sorted(places)
    assert places[0] == 0


def test_x86_notes_and_kernel_image_are_marked():
    path = GOLDEN / "x86_64" / "k7.3-numa2-6g-high" / "elfcorehdr" / "00-load-file.bin"
    signs = {mark.sign for mark in picture([Layout(read(str(path)))]).views[0].marks}
    assert signs == {"k", "v", "n"}
