"""The kernel's text read back: survives text and back, out of any log."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfcorehdr.elf import EM_PPC64, Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError
from printer import parse
from printer.forms import kernel_text
from tests.headers import CAPTURED, GOLDEN, SEED_TEXT, name, seed_header
from tests.headers import SEED as SEED_PHDRS

SEED = SEED_TEXT.read_text()


def test_parses_the_cover_letters_sample():
    assert parse(SEED, EM_PPC64) == seed_header()


@pytest.mark.parametrize("path", CAPTURED, ids=name)
def test_captured_header_survives_text_and_back(path):
    header = ElfCoreHdr.unpack(path.read_bytes())
    text = kernel_text.render(path.read_bytes())
    assert parse(text, header.ehdr.e_machine) == ElfCoreHdr(
        header.ehdr, tuple(p._replace(p_align=0) for p in header.phdrs)
    )
    assert kernel_text.render(parse(text).pack()) == text


def test_there_are_captured_headers_of_four_architectures():
    assert {p.relative_to(GOLDEN).parts[0] for p in CAPTURED} == {
        "arm64",
        "ppc64",
        "riscv64",
        "x86_64",
    }


U64 = st.integers(0, 2**64 - 1)


PHDRS = st.lists(
    st.builds(
        Phdr,
        st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 0x6474E551, 0x70000001, 0xFFFFFFFF]),
        st.integers(0, 7),
        U64,
        U64,
        U64,
        U64,
        U64,
        st.just(0),
    ),
    max_size=30,
)


@given(PHDRS)
@settings(deadline=None)
def test_text_to_header_to_text_is_the_identity(phdrs):
    header = ElfCoreHdr(Ehdr(0, e_phnum=len(phdrs)), tuple(phdrs))
    text = kernel_text.render(header.pack())
    assert parse(text) == header
    assert kernel_text.render(parse(text).pack()) == text


def as_log(prefix: str) -> str:
    lines = SEED.splitlines()
    return "".join(f"{prefix}{line}\n" if line else "\n" for line in lines)


@pytest.mark.parametrize(
    "prefix",
    [
        "kexec_core: ",
        "[   42.100000] kexec_core: ",
        "[   42.100000][ T1234] kexec_core: ",
        "<3>[   42.100000] kexec_core: ",
        "3,1021,42100000,-;kexec_core: ",
        "Mar 03 13:47:14 ltc kernel: kexec_core: ",
        "[Tue Mar  3 13:47:14 2026] kexec_core: ",
    ],
)
def test_table_is_found_in_a_log(prefix):
    log = f"{prefix}Linux version 7.0\n" + as_log(prefix) + f"{prefix}crash hp: hp_action 3\n"
    assert parse(log, EM_PPC64) == seed_header()


def test_other_records_between_the_rows_are_passed_over():
    rng = random.Random(6)
    lines = []
    for line in as_log("[    9.000001] kexec_core: ").splitlines(keepends=True):
        lines.append(line)
        if rng.random() < 0.5:
            lines.append("[    9.000002] page: refcount:1 mapcount:0 index:0x0 pfn:0x3ffe0\n")
    assert parse("".join(lines), EM_PPC64) == seed_header()


def test_serial_console_line_ends_are_taken():
    assert parse(SEED.replace("\n", "\r\n"), EM_PPC64) == seed_header()


def test_of_two_prints_in_a_log_the_last_counts():
    older = kernel_text.render(ElfCoreHdr(Ehdr(EM_PPC64), SEED_PHDRS[:3]).pack())
    assert parse(older + SEED, EM_PPC64) == seed_header()


def test_the_early_revision_that_calls_every_row_pt_load_is_read():
    early = SEED.replace("Program Headers:\nIndex", "PT_LOAD Segments:\nIndex")
    early = "".join(
        line.replace("PT_NOTE    ", "PT_LOAD    ") if line.startswith("0x") else line
        for line in early.splitlines(keepends=True)
    )
    assert parse(early, EM_PPC64) == seed_header()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: "", "no line"),
        (lambda t: t[:1000], "line 14: program header 0x5 is damaged or cut off"),
        (lambda t: t[: t.index("0x5 ")], "Total Program Headers is 13, but 5 rows follow"),
        (lambda t: t.replace("0xb  ", "0x1b "), "line 20: index is 0x1b, expected 0xb"),
        (lambda t: t.replace("13 (0xd)", "13 (0xe)"), "line 2: Total Program Headers is 13 but"),
        (lambda t: t.replace("4 (0x4)", "5 (0x5)"), "PT_LOAD segments is 5, but 4 rows follow"),
        (lambda t: t.replace("  PT_NOTE seg", "  x"), 'no "PT_NOTE segments: N (0xN)"'),
        (lambda t: t.replace("0xb   PT_LOAD", "0xb   PT_LOAF"), "line 20: type is PT_LOAF"),
        (lambda t: t.replace("0x1390000 ", "0x13900000000000000 "), "line 20: program header 0xb"),
    ],
)
def test_damaged_text_is_an_error_that_names_the_line(damage, message):
    with pytest.raises(ElfFormatError) as error:
        parse(damage(SEED))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
