"""map: the files that matplotlib draws."""

from __future__ import annotations

import pytest

from elfcorehdr.errors import ProfileError
from printer import Layout, from_bytes, picture, read
from tests.headers import PPC64_A, SEED, SEED_TEXT, packed


@pytest.mark.parametrize(
    ("ending", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_matplotlib_draws_a_file(tmp_path, ending, magic):
    pytest.importorskip("matplotlib", reason="matplotlib (kdumpfs[plot]) is not installed")
    from printer import save

    path = tmp_path / f"map.{ending}"
    found = picture([Layout(read(str(PPC64_A / f"elfcorehdr-{n}.bin"))) for n in ("04", "03")])
    save(found, str(path))
    assert path.read_bytes().startswith(magic)
    if ending == "svg":
        drawn = path.read_text()
        assert "elfcorehdr-03.bin" in drawn
        assert "64 KiB read from 0x1ab90000" in drawn


def test_name_that_looks_like_a_formula_is_drawn_as_it_is(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib (kdumpfs[plot]) is not installed")
    from printer import save

    path = tmp_path / "map.svg"
    save(picture([Layout(from_bytes(packed(*SEED), r"$\frac$ $_"))]), str(path))
    assert path.read_bytes().startswith(b"<?xml")


def test_file_of_another_ending_is_one_sentence(tmp_path):
    from printer import save

    found = picture([Layout(read(str(SEED_TEXT)))])
    with pytest.raises(ProfileError, match=r"ends in \.gif, expected \.svg, \.png or \.pdf"):
        save(found, str(tmp_path / "map.gif"))
