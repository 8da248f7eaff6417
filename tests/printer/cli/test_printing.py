"""print's habits: columns, raw lines, pairs, the ELF header, several files, tables that are cut off."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess

import pytest
from click.testing import CliRunner

from elfcorehdr.elf import ElfCoreHdr
from printer.cli.commands import cli
from printer.forms.columns import COLUMNS
from tests.headers import PPC64_A, SEED, SEED_TEXT, VMCORE, packed


@pytest.fixture
def seed_bin(tmp_path):
    path = tmp_path / "seed.bin"
    path.write_bytes(packed(*SEED))
    return path


def invoke(*arguments: object):
    return CliRunner().invoke(cli, list(map(str, arguments)), prog_name="elfcorehdr")


def test_columns_are_chosen_and_ordered(seed_bin):
    lines = invoke(
        "print", "-o", "size,paddr,index", "--only", "load", seed_bin
    ).output.splitlines()
    assert lines[0].split() == ["Size", "PhysAddr", "Index"]
    assert lines[2].split() == ["64", "KiB", "0x0", "0x9"]
    added = invoke("print", "-o", "+end", "--only", "load", seed_bin).output.splitlines()
    assert added[0].split()[-2:] == ["What", "End"]
    assert added[-1].split()[-1] == "0x3ffffffff"


def test_sizes_in_bytes_without_a_heading_are_for_scripts(seed_bin):
    done = invoke("print", "-bn", "-o", "INDEX,SIZE", "--only", "load", seed_bin)
    assert [line.split() for line in done.output.splitlines()] == [
        ["0x9", "65536"], ["0xa", str(0x17FF0000)], ["0xb", str(0x1390000)], ["0xc", str(0x3A8000000)],
    ]  # fmt: skip


def test_raw_lines_have_as_many_words_as_columns(seed_bin):
    lines = invoke("print", "-r", seed_bin).output.splitlines()
    assert {len(line.split(" ")) for line in lines} == {11}
    assert lines[0].split()[:3] == ["INDEX", "TYPE", "OFFSET"]
    assert lines[10].split()[-1] == r"memory,\x20read\x20from\x20backup\x20at\x200x1af40000"
    assert invoke("print", "-rn", seed_bin).output.splitlines() == lines[1:]


def test_pairs_are_what_a_shell_evaluates(seed_bin):
    line = invoke(
        "print", "-P", "-o", "INDEX,PADDR,WHAT", "--only", "load", seed_bin
    ).output.splitlines()[0]
    done = subprocess.run(
        ["sh", "-c", f'{line}\nprintf \'%s|%s|%s\' "$INDEX" "$PADDR" "$WHAT"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0x9|0x0|memory, read from backup at 0x1af40000"


def test_names_of_files_are_no_code_in_pairs(tmp_path):
    path = tmp_path / 'a $(touch x) `b` "c"'
    path.write_bytes(packed(*SEED[:1]))
    line = invoke("print", "-P", "-o", "FILE", path).output
    assert "$(" not in line
    assert "`" not in line
    (word,) = shlex.split(line)
    assert word.startswith("FILE=/")


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "raw", "pairs", "json", "jsonl"])
def test_every_column_is_in_every_form(form, seed_bin):
    done = invoke("print", "-f", form, "-o", ",".join(COLUMNS), seed_bin)
    assert done.exit_code == 0, done.output
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(done.output)))
        assert [row["PhysAddr"] for row in rows] == [hex(p.p_paddr) for p in SEED]
    if form == "jsonl":
        rows = [json.loads(line) for line in done.output.splitlines()]
        assert [row["end"] for row in rows] == [p.p_paddr + p.p_memsz - 1 for p in SEED]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "INDEX,COLOUR"], "'COLOUR' is no column, expected some of FILE, INDEX"),
        (["-r", "-P"], "only one of --format, --raw and --pairs"),
        (["-r", "-f", "json"], "only one of --format, --raw and --pairs"),
    ],
)
def test_wrong_columns_and_forms_are_refused(options, message, seed_bin):
    done = invoke("print", *options, seed_bin)
    assert done.exit_code == 2
    assert message in done.output


def test_elf_header_is_shown_too(seed_bin):
    done = invoke("print", "-h", seed_bin).output
    fields = {line.split()[0]: line.split()[1:] for line in done.split("\n\n")[0].splitlines()}
    assert fields["e_machine"] == ["21", "ppc64"]
    assert fields["e_type"] == ["4", "core"]
    assert fields["ei_data"] == ["1", "little", "endian"]
    assert done.split("\n\n", 1)[1].encode() == SEED_TEXT.read_bytes()


def test_several_files_are_told_apart(seed_bin):
    other = PPC64_A / "elfcorehdr-03.bin"
    text = invoke("print", seed_bin, other).output
    assert text.startswith(f"File: {seed_bin}\n\nELF Program Header Summary:")
    assert f"\n\nFile: {other}\n\nELF Program" in text
    documents = json.loads(invoke("print", "-f", "json", seed_bin, other).output)
    assert [d["name"] for d in documents] == [str(seed_bin), str(other)]
    rows = [
        json.loads(line)
        for line in invoke("print", "-f", "jsonl", seed_bin, other).output.splitlines()
    ]
    assert {row["file"] for row in rows} == {str(seed_bin), str(other)}
    table = list(csv.DictReader(io.StringIO(invoke("print", "-f", "csv", seed_bin, other).output)))
    assert {row["File"] for row in table} == {str(seed_bin), str(other)}
    assert len(table) == 13 + 14


def test_trouble_with_one_of_several_files_does_not_hide_the_others(seed_bin, tmp_path):
    done = invoke("print", tmp_path / "none", seed_bin)
    assert done.exit_code == 2
    assert "none: No such file" in done.stderr
    assert "PT_LOAD" in done.stdout
    assert invoke("check", tmp_path / "none", seed_bin).exit_code == 2
    assert "only one of the files can be standard input" in invoke("print", "-", "-").output


# Tables that are cut off


def test_table_cut_at_a_page_prints_its_whole_rows(tmp_path):
    text = SEED_TEXT.read_text()
    path = tmp_path / "cut"
    path.write_text(text[: text.index("0x9   PT_LOAD") + 40])
    done = invoke("print", path)
    assert done.exit_code == 0
    assert done.stderr == f"{path}: is cut off: 9 of 13 program headers are whole\n"
    assert done.stdout.splitlines()[-1].startswith("0x8   PT_NOTE")
    strict = invoke("print", "--strict", path)
    assert strict.exit_code == 2
    assert "damaged or cut off" in strict.output
    assert invoke("check", path).exit_code == 2


def test_elf_that_ends_within_its_table_prints_its_whole_rows(tmp_path):
    path = tmp_path / "torn"
    path.write_bytes(packed(*SEED)[: 64 + 5 * 56 + 30])
    done = invoke("print", path)
    assert (done.exit_code, done.stderr) == (
        0,
        f"{path}: is cut off: 5 of 13 program headers are whole\n",
    )
    assert done.stdout.encode().startswith(
        b"ELF Program Header Summary:\n  Total Program Headers: 5 (0x5)"
    )
    assert invoke("print", "--strict", path).exit_code == 2
    assert invoke("print", "-f", "json", path).exit_code == 0


def test_damage_in_the_middle_is_no_cut(tmp_path):
    path = tmp_path / "damaged"
    path.write_text(
        SEED_TEXT.read_text().replace("0x3fda86400        0x218", "0x3fda86400        ", 1)
    )
    assert invoke("print", path).exit_code == 2


def test_header_of_a_file_stays_byte_for_byte(tmp_path):
    done = invoke("print", "-f", "kernel", VMCORE)
    header = ElfCoreHdr.unpack(VMCORE.read_bytes())
    assert done.output.count("PT_LOAD ") == sum(p.p_type == 1 for p in header.phdrs) + 1
