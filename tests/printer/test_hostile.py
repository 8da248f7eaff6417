"""Hostile input: whatever the bytes, an answer or one sentence, in bounded memory and time."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from elfcorehdr.elf import Ehdr, ElfCoreHdr, Phdr
from elfcorehdr.errors import ElfFormatError, ProfileError
from elfcorehdr.lib.ranges import Range
from printer import (
    Layout,
    Surroundings,
    check,
    compare,
    draw,
    from_bytes,
    notes_of,
    parse,
    picture,
    read,
)
from printer.forms import kernel_text
from printer.forms.check_views import check_pieces
from printer.forms.diff_views import diff_pieces
from printer.forms.print_views import Shape, print_pieces
from tests.headers import CAPTURED, SEED, SEED_TEXT, VMCORE, packed

ROOT = Path(__file__).resolve().parents[2]
TEXT = SEED_TEXT.read_text()
EDGES = [0, 1, 7, 8, 63, 64, 4095, 4096, 1 << 31, 1 << 32, 1 << 63, 2**64 - 4096, 2**64 - 1]
WORD = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1))
PHDR = st.builds(
    Phdr,
    st.sampled_from([0, 1, 1, 1, 4, 4, 7, 0xFFFFFFFF]),
    st.integers(0, 2**32 - 1),
    *[WORD] * 6,
)
MACHINES = st.sampled_from([0, 21, 62, 183, 243, 258, 22, 65535])
SPANS = st.lists(st.tuples(WORD, st.integers(1, 1 << 40)), max_size=4).map(
    lambda pairs: tuple(Range(s, min(s + n, 2**64) - 1) for s, n in pairs if s + n <= 2**64)
)


@pytest.fixture(scope="module")
def memfd():
    fd = os.memfd_create("input")
    yield fd
    os.close(fd)


def given_file(fd: int, data: bytes) -> str:
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)
    return f"/proc/self/fd/{fd}"


@contextmanager
def or_one_sentence():
    """Let through what may be wrong with an input, if it is told in one sentence."""
    try:
        yield
    except (ElfFormatError, ProfileError) as error:
        text = str(error)
        if not 10 < len(text) < 2000 or "\n" in text:
            raise AssertionError(f"not one sentence: {text!r}") from error


def everything(core, machine=None):
    """Do all there is to do with a header."""
    layout = Layout(core)
    for fmt in ("kernel", "table", "json", "csv"):
        "".join(print_pieces([(layout, None)], Shape(fmt=fmt, notes=True)))
    "".join(check_pieces([(layout, check(core, machine))], "text"))
    "".join(check_pieces([(layout, check(core, machine))], "sarif"))
    found = picture([layout, Layout(from_bytes(packed(*SEED)))], machine)
    lines = list(draw(found, 80, colour=False, unicode=False))
    assert max(map(len, lines[2:4])) <= 80
    for a, b in ((core, from_bytes(packed(*SEED))), (from_bytes(packed(*SEED)), core)):
        "".join(diff_pieces(compare(a, b), "text"))


@given(MACHINES, st.lists(PHDR, max_size=12), SPANS, SPANS)
@settings(max_examples=150, deadline=None)
def test_any_program_headers_get_an_answer(machine, phdrs, memory, crashkernel):
    core = from_bytes(ElfCoreHdr(Ehdr(machine), tuple(phdrs)).pack())
    everything(core, Surroundings(memory, crashkernel, possible=4))


@given(st.sampled_from([*CAPTURED[::20], VMCORE]), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_captured_header_gets_an_answer_or_a_sentence(memfd, path, data):
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 8))
        value = data.draw(st.one_of(st.sampled_from(EDGES), st.integers(0, 255)))
        size = data.draw(st.sampled_from([1, 2, 4, 8]))
        content[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    name = given_file(memfd, bytes(content[:cut]))
    for scan in (False, True):
        with or_one_sentence():
            everything(read(name, notes=True, scan=scan))


@given(st.binary(max_size=300))
@settings(deadline=None)
@example(b"\x7fELF\x02\x01\x01" + b"\xff" * 57)
@example(b"\x7fELF\x01\x02\x01" + b"\xff" * 57)
def test_any_bytes_get_an_answer_or_a_sentence(memfd, data):
    for content in (data, b"\x7fELF" + data, b"\x7fELF\x02\x01\x01" + data):
        with or_one_sentence():
            everything(read(given_file(memfd, content), notes=True))
        with or_one_sentence():
            kernel_text.render(content)


@given(st.integers(0, len(TEXT)), st.integers(0, 40), st.text(max_size=30))
@settings(deadline=None)
def test_damaged_text_gets_an_answer_or_a_sentence(at, gone, put):
    with or_one_sentence():
        parse(TEXT[:at] + put + TEXT[at + gone :])


@given(st.lists(st.tuples(WORD, WORD, WORD), max_size=5), st.binary(max_size=40))
@settings(deadline=None)
def test_notes_that_lie_get_a_sentence(memfd, heads, tail):
    body = b"".join(struct.pack("<III", *(n & 0xFFFFFFFF for n in head)) for head in heads) + tail
    head = packed(Phdr(4, 0, 0x200, 0, 0, len(body), len(body), 4))
    name = given_file(memfd, head.ljust(0x200, b"\0") + body)
    with or_one_sentence():
        notes_of(read(name, notes=True))


@given(st.text(max_size=200))
@settings(deadline=None)
def test_any_text_as_a_machine_is_taken_or_a_sentence(memfd, text):
    from printer import read_iomem, read_machine

    name = given_file(memfd, text.encode("utf-8", "surrogatepass"))
    for reader in (read_machine, read_iomem):
        with or_one_sentence():
            reader(name)


def limited(*arguments: object, megabytes: int = 400) -> subprocess.CompletedProcess:
    """The command with its memory limited (address space) and 30 seconds of time."""
    limits = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes << 20},) * 2)"
    code = f"{limits}\nfrom printer.cli.commands import run\nrun()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        cwd=ROOT,
        check=False,
        timeout=30,
    )


def test_table_of_tens_of_thousands_is_shown_in_bounded_memory(tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(Ehdr(62, e_phnum=0x8000).pack() + os.urandom(56) * 0x8000)
    for command in (("print", "-f", "table"), ("print", "-f", "json"), ("check",), ("map",)):
        done = limited(*command, path)
        assert done.returncode in (0, 1), done.stderr[-500:]
        assert done.stderr == b""


def test_overlapping_rows_by_the_ten_thousand_take_bounded_time(tmp_path):
    path = tmp_path / "overlap"
    path.write_bytes(
        packed(*[Phdr(1, 7, 4096, 4096, i * 4096, 1 << 50, 1 << 50, 0) for i in range(15000)])
    )
    backups = tmp_path / "backups"
    backups.write_bytes(packed(*[Phdr(1, 7, i << 12, 0, 0, 1, 1, 0) for i in range(1, 15000)]))
    for command in (("check",), ("map",), ("diff", SEED_TEXT), ("diff", path)):
        for file in (path, backups):
            done = limited(*command, file)
            assert done.returncode in (0, 1), done.stderr
    done = limited("diff", "-f", "json", backups, path)
    assert len(json.loads(done.stdout)["sentence"]) < 1000


def test_image_full_of_look_alikes_is_given_up(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(packed(Phdr(4, 0, 8, 0, 8, 8, 8, 0))[:64] * 300_000)
    done = limited("print", "--scan", path)
    assert done.returncode == 2
    assert b"too many look-alikes" in done.stderr


def test_lying_count_in_an_image_costs_no_more_than_the_limit(tmp_path):
    one = bytearray(packed(Phdr(4, 0, 8, 0, 8, 8, 8, 0)))
    struct.pack_into("<H", one, 56, 0xFFFF)
    path = tmp_path / "image"
    path.write_bytes(bytes(one.ljust(128, b"\0")) * 60_000)
    done = limited("print", "--scan", path)
    assert done.returncode in (0, 2)
    assert done.stderr.count(b"\n") <= 1


def test_a_log_of_one_endless_line_takes_bounded_time(tmp_path):
    path = tmp_path / "log"
    path.write_text("ELF Program Header Summary: " + "0x0 " * 4_000_000)
    done = limited("print", path)
    assert done.returncode == 2
    assert b"Total Program Headers" in done.stderr
