"""map in a terminal: the bar, signs and arrows, the legend, a line for each block."""

from __future__ import annotations

import pytest

from printer import Layout, draw, from_bytes, picture, read, read_machine
from tests.headers import OURS, PPC64_A, SEED, SEED_TEXT, load, packed

BUG = (*SEED[:9], load(0, 0x10000, 0), *SEED[10:])


def text(found, columns=80, **how):
    return list(draw(found, columns, **({"colour": False, "unicode": False} | how)))


def seed():
    return picture([Layout(read(str(SEED_TEXT)))])


def test_bar_shows_every_block_and_is_as_wide_as_asked():
    lines = text(seed(), 60)
    assert lines[0] == f"ppc64: {SEED_TEXT}"
    assert lines[2] == "0x0" + "0x400000000".rjust(57)
    assert len(lines[3]) == 60
    assert [lines[3].count(c) > 0 for c in "B#=F"] == [True] * 4
    assert lines[3].startswith("B")
    assert lines[4].split() == ["v", "n"]
    assert lines[5].startswith("`--")
    assert lines[6].strip() == "64 KiB of row 0x9 read from 0x1af40000: the backup region"


def test_list_says_where_what_and_which_row():
    lines = text(seed())
    assert (
        "0x0               64 KiB  B  row 0x9: loaded from the backup region at 0x1af40000" in lines
    )
    assert "0x58000000    14.625 GiB  #  row 0xc: loaded (8 CPU notes)" in lines


def test_what_check_finds_stands_at_its_block():
    lines = text(picture([Layout(from_bytes(packed(*BUG)))]))
    assert lines[3].startswith("XX")
    assert lines[4].startswith("!")
    assert "@ 64 KiB of row 0x9 read from 0x0: not the backup region" in lines
    at = lines.index("0x0               64 KiB  X  row 0x9: loaded, but wrong")
    assert (
        lines[at + 1].strip()
        == "error: p_offset is 0, expected the backup region [backup-offset-zero]"
    )


def test_findings_about_the_whole_come_last():
    lines = text(picture([Layout(read(str(OURS / "only-empty-loads.bin")))]))
    assert lines[-1] == "error: 1 PT_LOADs, all of size 0 [no-load]"


def test_legend_keeps_to_the_width():
    lines = text(seed(), 40)
    begin = lines.index("", 2) + 1
    legend = lines[begin : lines.index("", begin)]
    assert len(legend) > 2
    assert max(map(len, legend)) <= 40


def test_two_headers_are_drawn_on_one_scale_with_what_changed():
    before, after = (Layout(read(str(PPC64_A / f"elfcorehdr-{n}.bin"))) for n in ("04", "03"))
    lines = text(picture([before, after], read_machine(str(PPC64_A / "replay.json"))))
    assert "256 MiB at 0x280000000 removed; 1 B at 0x400000000 added" in lines[0]
    bars = [line for line in lines if line.startswith("BB#")]
    assert [len(bar) for bar in bars] == [80, 80]
    assert "!" not in bars[0]
    assert "!" in bars[1]
    strip = next(line for line in lines if line.strip().startswith("---"))
    assert strip.index("-") == bars[1].index("!")
    changed = [line for line in lines if line[:2] in ("- ", "+ ", "~ ")]
    assert [line.split()[1] for line in changed] == ["0x280000000", "0x290000000", "0x400000000"]
    assert any("p_memsz 0x3a8000000 -> 0x228000000" in line for line in lines)


def test_many_blocks_are_cut_in_the_list():
    rows = [load(i << 29, 1 << 28) for i in range(38)]
    lines = text(picture([Layout(from_bytes(packed(*rows)))]), 100)
    assert len(lines[3]) == 100
    assert any(line == f"... {75 - 48} blocks more (print --format table)" for line in lines)


def test_findings_by_the_hundred_are_counted():
    rows = [load(i << 29, (1 << 28) + 1) for i in range(300)]
    lines = text(picture([Layout(from_bytes(packed(*rows)))]))
    assert any(line.endswith("and 299 more [size-one-byte-long]") for line in lines)
    assert len(lines) < 40


def test_colour_and_glyphs_only_where_asked():
    plain = "\n".join(text(seed()))
    assert plain.isascii()
    assert "\033" not in plain
    rich = "\n".join(text(seed(), colour=True, unicode=True))
    assert "\033[32m█\033[0m" in rich
    bug = "\n".join(text(picture([Layout(from_bytes(packed(*BUG)))]), colour=True, unicode=True))
    assert "\033[31m↺ 64 KiB" in bug


@pytest.mark.parametrize("columns", [20, 33, 79, 200])
def test_bar_is_as_wide_as_asked(columns):
    assert len(text(seed(), columns)[3]) == columns
