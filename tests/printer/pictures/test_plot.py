"""map -o: the files that matplotlib draws."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from printer import Layout, from_bytes, picture, read, read_machine
from tests.headers import PPC64_A, SEED, SEED_TEXT, load, packed

DOCS = Path(__file__).resolve().parents[3] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
BUG = (*SEED[:9], load(0, 0x10000, 0), *SEED[10:])


def saved(found, path):
    pytest.importorskip("matplotlib", reason="matplotlib, of the extra [plot], is not installed")
    from printer import save

    save(found, str(path))
    return path


def hot_remove():
    layouts = [Layout(read(str(PPC64_A / f"elfcorehdr-{n}.bin"))) for n in ("04", "03")]
    return picture(layouts, read_machine(str(PPC64_A / "replay.json")))


def words(path):
    return [text.text for text in ET.parse(path).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("ending", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_matplotlib_draws_a_file(tmp_path, ending, magic):
    path = saved(hot_remove(), tmp_path / f"map.{ending}")
    assert path.read_bytes().startswith(magic)


def test_svg_has_its_text_as_text(tmp_path):
    shown = words(saved(hot_remove(), tmp_path / "map.svg"))
    for text in (
        "elfcorehdr-04.bin",
        "elfcorehdr-03.bin",
        "A-seed-7.2.13-64k-kexec_load, Linux 7.2.13+deb14-powerpc64le-64k, ppc64",
        "256 MiB at 0x280000000 removed; 1 B at 0x400000000 added; a size is one byte too long",
        "64 KiB read from 0x1ab90000, the backup region",
        "- 256 MiB",
        "8.625 GiB",
        "0x280000000",
        "memory that is not loaded",
    ):
        assert text in shown, text
    assert sum("size-one-byte-long" in text for text in shown) == 1


def test_svg_tells_a_screen_reader_what_it_shows(tmp_path):
    path = saved(picture([Layout(from_bytes(packed(*BUG), "hdr"))]), tmp_path / "map.svg")
    root = ET.parse(path).getroot()
    assert root.get("role") == "img"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == "ppc64: hdr"
    assert root[1].tag == f"{SVG}desc"
    assert "error: p_offset is 0, expected the backup region" in root[1].text


def test_svg_follows_a_dark_page(tmp_path):
    text = saved(hot_remove(), tmp_path / "map.svg").read_text()
    assert "@media (prefers-color-scheme: dark)" in text
    for name in ("ink", "paper", "alarm", "calm"):
        assert f"--{name}:" in text
        assert f"var(--{name}, " in text
    assert re.search(r": #1b1c1e\b", text) is None


def test_the_mails_bug_is_red_and_the_fix_is_not(tmp_path):
    for rows, label, colour in ((BUG, "64 KiB read from 0x0: not the backup region", "alarm"),
                                (SEED, "64 KiB read from 0x1af40000, the backup region", "calm")):  # fmt: skip
        path = saved(picture([Layout(from_bytes(packed(*rows)))]), tmp_path / "map.svg")
        (text,) = (t for t in ET.parse(path).iter(f"{SVG}text") if t.text == label)
        assert f"var(--{colour}" in text.get("style")


def test_the_same_header_gives_the_same_file(tmp_path):
    one, other = (saved(hot_remove(), tmp_path / f"{n}.svg").read_bytes() for n in (1, 2))
    assert one == other


def test_thousands_of_blocks_make_a_small_file(tmp_path):
    rows = [load(i << 29, 1 << 28) for i in range(20_000)]
    path = saved(picture([Layout(from_bytes(packed(*rows)))]), tmp_path / "map.svg")
    assert path.stat().st_size < 100_000
    assert any(text.startswith("20,000 rows: ") for text in words(path))


def test_name_that_looks_like_a_formula_is_drawn_as_it_is(tmp_path):
    path = saved(picture([Layout(from_bytes(packed(*SEED), r"$\frac$ $_"))]), tmp_path / "map.svg")
    assert r"$\frac$ $_" in words(path)


def test_file_of_another_ending_is_one_sentence(tmp_path):
    from printer import save

    found = picture([Layout(read(str(SEED_TEXT)))])
    with pytest.raises(ProfileError, match=r"ends in \.gif, expected \.svg, \.png or \.pdf"):
        save(found, str(tmp_path / "map.gif"))
