"""The command before click: the fast path, pipes, standard output."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from printer.cli.commands import cli
from tests.headers import CAPTURED, SEED, SEED_TEXT, VMCORE, elf_of, load, packed, xnum

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
    assert done.stderr == b"elfcorehdr: standard output: No space left on device\n"
    assert done.returncode == 2


def test_fast_path_leaves_errors_to_click():
    for name in ("/nonexistent/file", "/dev/zero", "/proc", "--format", "a\0b"[:1]):
        fast, slow = run("print", name), run("print", "-f", "kernel", name)
        if name != "--format":
            assert fast.stderr == slow.stderr
        assert fast.returncode == slow.returncode == 2
        assert fast.stdout == b""
