"""The kernel's text, byte for byte."""

from __future__ import annotations

import pytest

from elfcorehdr.elf import EM_PPC64, Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError
from printer import parse
from printer.forms import kernel_text
from tests.headers import SEED_TEXT, elf_of, seed_header, xnum

SEED = SEED_TEXT.read_text()


def test_renders_the_cover_letters_sample_byte_for_byte():
    assert kernel_text.render(seed_header().pack()) == SEED
    assert len(SEED) == 1946


def test_bytes_behind_the_last_program_header_do_not_show():
    assert kernel_text.render(seed_header().pack() + b"\xff" * 4096) == SEED


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_render_takes_any_buffer(kind):
    assert kernel_text.render(kind(seed_header().pack())) == SEED


def test_an_index_above_0xfff_widens_its_column():
    row = Phdr(1, 7, 0, 0, 0, 0, 0, 0)
    text = kernel_text.render(ElfCoreHdr(Ehdr(EM_PPC64), (row,) * 0x1001).pack())
    assert text.splitlines()[-2].startswith("0xfff PT_LOAD            0x0")
    assert text.splitlines()[-1].startswith("0x1000 PT_LOAD            0x0")
    assert "  Total Program Headers: 4097 (0x1001)\n" in text


def test_no_program_headers_print_the_heading_alone():
    text = kernel_text.render(ElfCoreHdr(Ehdr(EM_PPC64), ()).pack())
    assert text.startswith("ELF Program Header Summary:\n  Total Program Headers: 0 (0x0)\n")
    assert text.endswith("=" * 80 + "\n")
    assert parse(text).phdrs == ()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("klass", [1, 2])
def test_either_class_and_byte_order_prints_the_same_rows(klass, order):
    phdrs = (Phdr(4, 0, 0x200, 0, 0x200, 0x94, 0x94, 0), Phdr(1, 5, 0, 0xC0000000, 0, 9, 9, 0))
    assert kernel_text.render(elf_of(klass, order, phdrs)).splitlines()[8:] == [
        "0x0   PT_NOTE            0x200              0x0                0x200              "
        "0x94               0x94               ---",
        "0x1   PT_LOAD            0x0                0xc0000000         0x0                "
        "0x9                0x9                R-X",
    ]


def test_pn_xnum_takes_the_count_from_section_0():
    text = kernel_text.render(xnum(0x10001))
    assert "  Total Program Headers: 65537 (0x10001)\n" in text
    assert text.splitlines()[-1].startswith("0x10000 PT_NULL ")


def test_65535_program_headers_without_section_0_are_65535():
    buf = Ehdr(62, e_phnum=0xFFFF).pack() + bytes(56) * 0xFFFF
    assert "  Total Program Headers: 65535 (0xffff)\n" in kernel_text.render(buf)


@pytest.mark.parametrize("cut", [0, 3, 15, 40, 63, 64, 400, 791])
def test_cut_off_header_is_an_elf_format_error(cut):
    with pytest.raises(ElfFormatError):
        kernel_text.render(seed_header().pack()[:cut])
