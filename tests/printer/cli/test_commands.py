"""The commands: options, exit statuses, errors in one sentence."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from printer.cli.commands import cli
from tests.headers import PPC64_A, SEED, SEED_TEXT, VMCORE, load, packed

ROOT = Path(__file__).resolve().parents[3]


COMMAND = [sys.executable, "-m", "printer.cli.main"]


def run(*arguments: object, stdin: bytes = b"", **environment: str):
    """The command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
        timeout=60,
    )


def invoke(*arguments: object, stdin: bytes = b""):
    """The click side in this process."""
    return CliRunner().invoke(cli, list(map(str, arguments)), input=stdin, prog_name="elfcorehdr")


@pytest.fixture
def seed_bin(tmp_path):
    path = tmp_path / "seed.bin"
    path.write_bytes(packed(*SEED))
    return path


def test_printed_text_prints_itself():
    assert run("print", SEED_TEXT).stdout == SEED_TEXT.read_bytes()


def test_only_and_sort(seed_bin):
    result = invoke(
        "print", seed_bin, "--only", "load", "--sort", "memsz", "--reverse", "-f", "jsonl"
    )
    assert [json.loads(line)["index"] for line in result.output.splitlines()] == [12, 10, 11, 9]


def test_unknown_format_names_those_there_are(seed_bin):
    result = invoke("print", seed_bin, "-f", "xml")
    assert result.exit_code == 2
    assert (
        "'xml' is not a format, expected one of kernel, raw, pairs, json, jsonl, table, markdown"
        in result.output
    )


def test_scan_tells_of_other_headers(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(packed(*SEED).ljust(4096, b"\0") + packed(*SEED[:12]))
    result = invoke("print", "--scan", path)
    assert "header at 0x0 shown, others (--at): 0x1000" in result.stderr
    assert "Total Program Headers: 12 (0xc)" in invoke("print", "--at", "0x1000", path).output


@pytest.mark.parametrize("command", ["print", "check", "map"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nonexistent/file", "elfcorehdr: /nonexistent/file: No such file or directory"),
        ("/dev/zero", "elfcorehdr: /dev/zero: offset 0: begins with 00 00 00 00"),
        ("/dev/null", "elfcorehdr: /dev/null: is empty"),
        ("/proc", "elfcorehdr: /proc: is a directory without control/elfcorehdr"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_status_2(command, name, message):
    result = invoke(command, name)
    assert result.exit_code == 2
    assert result.output.startswith(message)
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("at", ["x", "-1", "0x1ffffffffffffffff"])
def test_wrong_offset_is_refused(at, seed_bin):
    result = invoke("print", "--at", at, seed_bin)
    assert result.exit_code == 2
    assert "is not an offset, expected bytes such as 0x1af50000" in result.output


def test_name_with_control_characters_is_still_one_line(tmp_path):
    path = tmp_path / "a\nb\033[31m\udcff"
    done = run("print", path, PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"\033" not in done.stderr
    path.write_bytes(packed(*SEED))
    for command in ("check", "map"):
        done = run(command, path, PYTHONIOENCODING="utf-8:strict")
        assert done.returncode == 0, done.stderr
        assert b"\033" not in done.stdout


def test_diff_exit_statuses(seed_bin):
    assert invoke("diff", seed_bin, SEED_TEXT).exit_code == 0
    different = invoke("diff", PPC64_A / "elfcorehdr-04.bin", PPC64_A / "elfcorehdr-03.bin")
    assert different.exit_code == 1
    assert different.output.startswith("256 MiB at 0x280000000 removed; ")
    assert invoke("diff", seed_bin, "/nonexistent").exit_code == 2
    assert invoke("diff", "-", "-").exit_code == 2


def test_diff_as_json(seed_bin):
    result = invoke(
        "diff", "-f", "json", PPC64_A / "elfcorehdr-04.bin", PPC64_A / "elfcorehdr-03.bin"
    )
    document = json.loads(result.output)
    assert document["removed"] == [
        {"start": "0x280000000", "size": "0x10000000", "address": 0x280000000, "bytes": 0x10000000}
    ]
    assert [row["changes"] for row in document["rows"]] == [["shrank"], ["appeared"]]
    assert document["rows"][1]["a"] is None


def test_quiet_says_nothing(seed_bin):
    result = invoke("diff", "-q", seed_bin, PPC64_A / "elfcorehdr-03.bin")
    assert (result.exit_code, result.output) == (1, "")
    result = invoke("check", "-q", PPC64_A / "elfcorehdr-03.bin")
    assert (result.exit_code, result.output) == (1, "")


def test_check_exit_status_follows_fail_on():
    path = PPC64_A / "elfcorehdr-04.bin"  # its one finding is a note: RTAS' exact size
    assert invoke("check", path).exit_code == 0
    assert invoke("check", "--fail-on", "note", path).exit_code == 1
    path = PPC64_A / "elfcorehdr-01.bin"  # a warning: kexec-tools puts RTAS last
    assert invoke("check", path).exit_code == 1
    assert invoke("check", "--fail-on", "error", path).exit_code == 0


def test_check_says_why_and_which_change(tmp_path):
    path = tmp_path / "bug"
    path.write_bytes(packed(*SEED[:9], load(0, 0x10000, 0), *SEED[10:]))
    result = invoke("check", path)
    assert result.exit_code == 1
    first, why, see, last = result.output.splitlines()
    assert (
        first
        == "error: row 0x9 (first 64 KiB): p_offset is 0, expected the backup region [backup-offset-zero]"
    )
    assert "purgatory saves the first 64 KiB" in why
    assert "789335cacdf3" in see
    assert last == f"{path}: 1 error"


def test_check_with_a_machine_finds_missing_memory():
    result = invoke("check", "--machine", PPC64_A / "replay.json", PPC64_A / "elfcorehdr-03.bin")
    assert "256 MiB at 0x280000000 is in no load [memory-not-loaded]" in result.output


def test_check_reads_a_pipe_once():
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(COMMAND)} check -f json <(cat {VMCORE})"],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stderr == b""
    assert json.loads(done.stdout)["findings"] == []


def test_check_counts_what_it_does_not_write_out(tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(packed(*[load(i * 0x200000 + 8, 0x1000) for i in range(500)]))
    result = invoke("check", path)
    assert "... and 480 more [unaligned-start]" in result.output


def test_map_to_a_file_that_cannot_be_written():
    pytest.importorskip("matplotlib", reason="matplotlib, of the extra [plot], is not installed")
    result = invoke("map", SEED_TEXT, "-o", "/nonexistent/x.svg")
    assert (result.exit_code, result.output) == (
        2,
        "elfcorehdr: /nonexistent/x.svg: No such file or directory\n",
    )


def test_map_is_plain_without_a_terminal():
    done = run("map", SEED_TEXT, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"\033" not in done.stdout
