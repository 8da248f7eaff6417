"""The command elfcorehdr: exit statuses, errors, help that works as pasted, the fast path."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import printer
from printer.cli.commands import cli
from tests.headers import CAPTURED, PPC64_A, SEED, SEED_TEXT, VMCORE, elf_of, load, packed, xnum

ROOT = Path(__file__).resolve().parents[2]
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


# print


def test_print_gives_the_cover_letters_sample_byte_for_byte(seed_bin):
    done = run("print", seed_bin)
    assert (done.returncode, done.stdout, done.stderr) == (0, SEED_TEXT.read_bytes(), b"")


@pytest.mark.parametrize("path", [CAPTURED[0], CAPTURED[-1], VMCORE], ids=lambda p: p.stem)
def test_fast_path_and_click_print_the_same(path):
    fast = run("print", path)
    slow = run("print", "--format", "kernel", path)
    assert fast.stdout == slow.stdout
    assert fast.returncode == slow.returncode == 0


def test_fast_path_does_not_import_click(seed_bin):
    code = (
        "import sys; sys.argv = ['elfcorehdr', 'print', sys.argv[1]]\n"
        "from printer.cli.main import main; main()\n"
        "print([m for m in ('click', 're', 'dataclasses', 'typing') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(seed_bin)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_standard_input_is_read_as_a_file_and_as_a_pipe(seed_bin):
    assert run("print", "-", stdin=seed_bin.read_bytes()).stdout == SEED_TEXT.read_bytes()
    with seed_bin.open("rb") as file:
        done = subprocess.run(
            [*COMMAND, "print", "-"], stdin=file, capture_output=True, cwd=ROOT, check=True
        )
    assert done.stdout == SEED_TEXT.read_bytes()


@pytest.mark.parametrize(
    "data",
    [
        SEED_TEXT.read_bytes(),
        b"[    1.0] Linux\n" * 9000 + SEED_TEXT.read_bytes(),
        elf_of(2, 2, SEED),
        packed(*SEED) + bytes(1 << 20),
        xnum(0x10001),
        b"",
        b"\x7f",
        packed(*SEED)[:700],
        bytes(100),
    ],
    ids=[
        "text",
        "log",
        "big endian",
        "more behind",
        "xnum",
        "empty",
        "one byte",
        "cut off",
        "zeroes",
    ],
)
def test_pipe_loses_nothing_between_the_fast_path_and_click(data):
    fast, slow = run("print", "-", stdin=data), run("print", "-", "-f", "kernel", stdin=data)
    assert fast.stdout == slow.stdout
    assert fast.stderr == slow.stderr
    assert fast.returncode == slow.returncode


def test_header_that_comes_in_pieces_is_put_together(seed_bin):
    command = (
        f"(head -c 3; sleep 0.05; head -c 97; sleep 0.05; cat) | {shlex.join(COMMAND)} print -"
    )
    with seed_bin.open("rb") as file:
        done = subprocess.run(
            ["sh", "-c", command], stdin=file, capture_output=True, cwd=ROOT, check=True
        )
    assert done.stdout == SEED_TEXT.read_bytes()


def test_named_pipe_is_opened_once(tmp_path, seed_bin):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = subprocess.Popen(["sh", "-c", f"cat {seed_bin} > {fifo}"])
    assert run("print", fifo).stdout == SEED_TEXT.read_bytes()
    assert writer.wait(10) == 0


def test_printed_text_prints_itself():
    assert run("print", SEED_TEXT).stdout == SEED_TEXT.read_bytes()


def test_reader_that_stops_early_is_no_error_message(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(packed(*[load(i << 20, 1 << 20) for i in range(60000)]))
    for arguments in ([path], ["-f", "table", path]):
        pipe = subprocess.Popen(
            [*COMMAND, "print", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        pipe.stdout.readline()
        pipe.stdout.close()
        assert pipe.stderr.read() == b""
        pipe.stderr.close()
        assert pipe.wait(60) == 1


@pytest.mark.parametrize("how", [(), ("-f", "table"), ("-f", "json")])
def test_full_standard_output_is_one_sentence(seed_bin, how):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "print", *how, str(seed_bin)],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            check=False,
        )
    assert done.stderr == b"Error: standard output: No space left on device\n"
    assert done.returncode == 2


def test_only_and_sort(seed_bin):
    result = invoke(
        "print", seed_bin, "--only", "load", "--sort", "memsz", "--reverse", "-f", "jsonl"
    )
    assert [json.loads(line)["index"] for line in result.output.splitlines()] == [12, 10, 11, 9]


def test_unknown_format_names_those_there_are(seed_bin):
    result = invoke("print", seed_bin, "-f", "xml")
    assert result.exit_code == 2
    assert (
        "'xml' is not a format, expected one of kernel, json, jsonl, table, markdown"
        in result.output
    )


def test_scan_tells_of_other_headers(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(packed(*SEED).ljust(4096, b"\0") + packed(*SEED[:12]))
    result = invoke("print", "--scan", path)
    assert "header at 0x0 shown, others (--at): 0x1000" in result.stderr
    assert "Total Program Headers: 12 (0xc)" in invoke("print", "--at", "0x1000", path).output


# Errors


@pytest.mark.parametrize("command", ["print", "check", "map"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nonexistent/file", "Error: /nonexistent/file: No such file or directory"),
        ("/dev/zero", "Error: /dev/zero: offset 0: begins with 00 00 00 00"),
        ("/dev/null", "Error: /dev/null: is empty"),
        ("/proc", "Error: /proc: is a directory without control/elfcorehdr"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_status_2(command, name, message):
    result = invoke(command, name)
    assert result.exit_code == 2
    assert result.output.startswith(message)
    assert result.output.count("\n") == 1


def test_fast_path_leaves_errors_to_click():
    for name in ("/nonexistent/file", "/dev/zero", "/proc", "--format", "a\0b"[:1]):
        fast, slow = run("print", name), run("print", "-f", "kernel", name)
        if name != "--format":
            assert fast.stderr == slow.stderr
        assert fast.returncode == slow.returncode == 2
        assert fast.stdout == b""


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


# diff and check: exit statuses


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
    assert document["removed"] == [{"start": "0x280000000", "size": "0x10000000"}]
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


# map


def test_map_to_a_file_that_cannot_be_written():
    pytest.importorskip("matplotlib", reason="matplotlib (kdumpfs[plot]) is not installed")
    result = invoke("map", SEED_TEXT, "-o", "/nonexistent/x.svg")
    assert (result.exit_code, result.output) == (
        2,
        "Error: /nonexistent/x.svg: No such file or directory\n",
    )


def test_map_is_plain_without_a_terminal():
    done = run("map", SEED_TEXT, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"\033" not in done.stdout


# Help, version, completion


def tree_of_examples(tmp_path: Path) -> dict[str, Path]:
    """Files by the names that the examples use."""
    (tmp_path / "mnt/control").mkdir(parents=True)
    (tmp_path / "mnt/control/elfcorehdr").write_bytes(packed(*SEED))
    block = tmp_path / "mnt/sys/devices/system/memory/memory62"
    block.mkdir(parents=True)
    for name in ("elfcorehdr.bin", "before.bin", "after.bin", "FILE"):
        (tmp_path / name).write_bytes(packed(*SEED))
    (tmp_path / "before.txt").write_bytes(SEED_TEXT.read_bytes())
    (tmp_path / "guest-ram.img").write_bytes(bytes(8192) + packed(*SEED))
    (tmp_path / "vmcore").write_bytes(VMCORE.read_bytes())
    (tmp_path / "iomem").write_text("00000000-3ffffffff : System RAM\n")
    (tmp_path / "machine.toml").write_text("memory = [{ start = 0, size = 0x400000000 }]\n")
    (tmp_path / "dmesg").write_text(f"#!/bin/sh\ncat {SEED_TEXT}\n")
    (tmp_path / "jq").write_text("#!/bin/sh\ncat\n")
    (tmp_path / "elfcorehdr").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    for tool in ("dmesg", "jq", "elfcorehdr"):
        (tmp_path / tool).chmod(0o755)
    return {
        "/proc/vmcore": tmp_path / "vmcore",
        "/proc/iomem": tmp_path / "iomem",
        "/mnt": tmp_path / "mnt",
    }


def examples() -> list[str]:
    found = []
    for name in (None, *cli.commands):
        text = invoke(*([name] if name else []), "--help").output
        block = text.split("Examples:")[1].split("Options:")[0]
        lines = [re.sub(r"  +\S.*", "", line.strip()) for line in block.splitlines()]
        found += [line for line in lines if "elfcorehdr " in line]
    return found


def test_there_are_examples_for_every_command():
    shown = " ".join(examples())
    assert all(f"elfcorehdr {name}" in shown for name in cli.commands)


@pytest.mark.parametrize("example", examples())
def test_example_of_help_works_as_pasted(example, tmp_path):
    for name, stand_in in tree_of_examples(tmp_path).items():
        example = example.replace(name, str(stand_in))
    done = subprocess.run(
        ["bash", "-c", example],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "-o memory.svg" in example and "matplotlib is needed" in done.stderr:
        pytest.skip("matplotlib (kdumpfs[plot]) is not installed")
    assert done.stderr == ""
    assert done.returncode in ((0, 1) if "check" in example or "diff" in example else (0,))


def test_help_imports_nothing_but_click(seed_bin):
    code = (
        "import sys; import click; before = set(sys.modules)\n"
        "import printer.cli.main; from printer.cli.commands import cli\n"
        "try: cli(['print', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in set(sys.modules) - before if m in ('tabulate', 'json', 'struct', 'elfcorehdr.elf')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_the_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert printer.__version__ == project["version"]
    assert invoke("--version").output == f"elfcorehdr {project['version']}\n"


def test_shell_completion_works():
    done = run(
        _ELFCOREHDR_COMPLETE="bash_complete", COMP_WORDS="elfcorehdr print --fo", COMP_CWORD="2"
    )
    assert done.stdout.decode().split() == ["plain,--format"]
    done = run(_ELFCOREHDR_COMPLETE="bash_complete", COMP_WORDS="elfcorehdr ", COMP_CWORD="1")
    assert {line.split(",")[1] for line in done.stdout.decode().split()} >= {
        "print",
        "diff",
        "check",
        "map",
    }


def test_shell_completion_knows_the_formats():
    words = "elfcorehdr print --format js"
    done = run(_ELFCOREHDR_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="3")
    assert done.stdout.decode().split() == ["plain,json", "plain,jsonl"]


# The Python API


def test_every_public_name_is_there_and_documented():
    declared = ast.parse(Path(printer.__file__).read_text())
    typed = {
        alias.asname
        for node in ast.walk(declared)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert typed == set(printer._HOME)
    for name in sorted(typed):
        assert getattr(printer, name).__doc__, name
        assert name in dir(printer)
    with pytest.raises(AttributeError):
        printer.nothing  # noqa: B018 - the attribute error is what is tested


def test_star_import_gives_every_public_name():
    names: dict[str, object] = {}
    exec("from printer import *", names)
    assert set(printer._HOME) <= set(names)
    assert names["read"] is printer.read


def test_importing_the_package_imports_none_of_its_modules():
    code = "import sys, printer; print([m for m in sys.modules if m.startswith('printer.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "[]\n"
