"""What cannot be read or written is told in one sentence with exit status 2; help and the list of commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fsmount.cli.commands import kdumpfs
from printer.cli.commands import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"kdumpfs": "kdumpfs", "elfcorehdr": "printer.cli.main"}


def run(command: str, **how):
    name, *words = command.split()
    return subprocess.run(
        [sys.executable, "-m", MODULES[name], *words],
        **{"cwd": ROOT, "stderr": subprocess.PIPE, "text": True, "timeout": 60, "check": False}
        | how,
    )


HEADER = "tests/golden/kernel/ppc64/B-seed-7.2.13-lab64k-kexec_file_load/elfcorehdr-01.bin"
PROPOSAL = "examples/elfcorehdr_print.py"
WRITERS = [
    "kdumpfs --help",
    "kdumpfs --version",
    "kdumpfs abi /sys/kernel/kexec",
    "kdumpfs changes",
    "kdumpfs completion bash",
    "kdumpfs crashkernel -m pc-2g 256M",
    "kdumpfs help run",
    "kdumpfs kernels",
    "kdumpfs machines",
    "kdumpfs machines --json",
    "kdumpfs machines pc-2g",
    "kdumpfs mount --help",
    "kdumpfs record --script",
    "kdumpfs run --help",
    f"kdumpfs skeleton {PROPOSAL}",
    "kdumpfs status",
    "elfcorehdr --help",
    "elfcorehdr --version",
    "elfcorehdr check --help",
    f"elfcorehdr check --format json {HEADER}",
    "elfcorehdr completion zsh",
    f"elfcorehdr diff {HEADER} {HEADER.replace('01', '03')}",
    "elfcorehdr help map",
    f"elfcorehdr map {HEADER}",
    f"elfcorehdr print {HEADER}",
    f"elfcorehdr print --format table {HEADER}",
]
"""Commands that print."""
LONG = "x" * 5000
NO_MOUNT = "no kdumpfs is mounted"
REFUSED = {
    # what is wrong, and a part of what is said of it, after the command's name
    "kdumpfs frob": "no such command 'frob'",
    "kdumpfs abi --module /absent/p.py": "/absent/p.py: no such file",
    "kdumpfs abi --kernel": "no such option '--kernel'; did you mean '--kernel-version'?",
    "kdumpfs abi nowhere": "nowhere: no such documented file",
    "kdumpfs changes frob": "change 'frob' is not known",
    "kdumpfs check-api README.md": "README.md: is not a Python file",
    "kdumpfs completion tcsh": "'tcsh' is not one of 'bash', 'zsh', 'fish'",
    "kdumpfs crash /": f"/: {NO_MOUNT}",
    "kdumpfs crashkernel -m /absent.toml 1G": "/absent.toml: No such file or directory",
    "kdumpfs diff-tree /absent": "/absent",
    "kdumpfs dmesg /": f"/: {NO_MOUNT}",
    "kdumpfs help frob": "no command 'frob', expected one of abi, ",
    "kdumpfs kernels frob": "got unexpected extra argument (frob)",
    "kdumpfs load /": f"/: {NO_MOUNT}",
    "kdumpfs load --initrd": "option '--initrd' requires an argument",
    "kdumpfs machines --from README.md": "README.md: ",
    f"kdumpfs machines {LONG}": "machine 'xxx",
    "kdumpfs mount": "missing argument 'DIR'",
    "kdumpfs mount /absent/mnt": "/absent/mnt: no such directory",
    "kdumpfs mount README.md": "README.md: not a directory",
    "kdumpfs mount --frob /tmp": "no such option '--frob'",
    "kdumpfs plug / memory xG": "'xG', expected a number such as 1G",
    "kdumpfs plug / cpu 1": f"/: {NO_MOUNT}",
    "kdumpfs record -o /absent/r.tar": "/absent/r.tar: No such file or directory",
    "kdumpfs record -o README.md/r.tar.gz": "README.md/r.tar.gz: Not a directory",
    "kdumpfs reload /": f"/: {NO_MOUNT}",
    "kdumpfs run --frob": "no such option '--frob'",
    "kdumpfs run --record /absent/x -- true": "--record /absent/x: No such file or directory",
    "kdumpfs run --keep /proc/x -- true": "--keep /proc/x: ",
    "kdumpfs run --recording /absent -- true": "/absent: No such file or directory",
    "kdumpfs run --rw /absent -- true": "--rw /absent: ",
    "kdumpfs skeleton /absent.py": "/absent.py: ",
    "kdumpfs status /": f"/: {NO_MOUNT}",
    "kdumpfs transcript /absent.sh": "'/absent.sh': No such file or directory",
    "kdumpfs transcript /proc/self/mem": "/proc/self/mem: Input/output error",
    "kdumpfs machines --from /proc/self/mem": "/proc/self/mem: Input/output error",
    "kdumpfs mount -m /proc/self/mem /tmp": "/tmp: ",
    "kdumpfs crashkernel -m /proc/self/mem 1G": "/proc/self/mem: Input/output error",
    "kdumpfs skeleton /proc/self/mem": "/proc/self/mem: ",
    "kdumpfs uevents /": f"/: {NO_MOUNT}",
    "kdumpfs umount /": f"/: {NO_MOUNT}",
    "kdumpfs unload /": f"/: {NO_MOUNT}",
    "kdumpfs unplug / cpu 1": f"/: {NO_MOUNT}",
    "kdumpfs userland frob kexec-tools -o README.md": "README.md",
    "kdumpfs userland ppc64le kexec-tools -o README.md/x": "README.md/x: Not a directory",
    "kdumpfs vmcore -m pc-2g -o /absent/core": "/absent/core: No such file or directory",
    "kdumpfs vmcore / -o /absent/core": "/: no kdumpfs is mounted here",
    "kdumpfs web --port 70000": "70000 is not in the range 0<=x<=65535",
    "kdumpfs web /": f"/: {NO_MOUNT}",
    f"kdumpfs web --{LONG}": "no such option '--xxx",
    "elfcorehdr frob": "no such command 'frob'",
    f"elfcorehdr check --iomem / {HEADER}": "/: Is a directory",
    "elfcorehdr check /proc/self/mem": "/proc/self/mem: Input/output error",
    "elfcorehdr completion": "missing argument",
    f"elfcorehdr diff {HEADER} /absent": "/absent: No such file or directory",
    "elfcorehdr diff a": "missing argument 'B'",
    "elfcorehdr help frob": "no command 'frob', expected one of print, diff, ",
    f"elfcorehdr map {HEADER} -o /absent/x.svg": "/absent/x.svg: ",
    f"elfcorehdr map {HEADER} --width 1": "1 is not in the range 20<=x<=1000",
    "elfcorehdr print -": "-: is empty",
    "elfcorehdr print --at x y": "'x' is not an offset",
    "elfcorehdr print /absent": "/absent: No such file or directory",
    f"elfcorehdr print --{LONG}": "no such option '--xxx",
}


def names(name: str) -> list[str]:
    import click

    return (kdumpfs if name == "kdumpfs" else cli).list_commands(click.Context(kdumpfs))


def test_the_table_has_every_command():
    tried = {tuple(line.split()[:2]) for line in REFUSED}
    assert {(name, command) for name in MODULES for command in names(name)} <= tried


@pytest.mark.parametrize("command", REFUSED, ids=lambda command: command[:60])
def test_what_is_wrong_is_one_sentence_of_who_speaks_then_the_usage_and_status_2(command):
    done = run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    sentence, *hint = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence.startswith(f"{command.split()[0]}: ")
    assert REFUSED[command] in sentence
    assert len(sentence) < 600
    assert len(hint) < 2
    if "option" in sentence or "argument" in sentence:
        assert hint
    for line in hint:
        assert re.fullmatch(r"usage: \w+ .*; `\w+ .*--help` tells more", line)


def closed_or_full(command: str, how: str) -> subprocess.CompletedProcess[str]:
    """The command with a standard output that takes nothing; the shell opens it, as a user's does."""
    name, *words = command.split()
    argv = [sys.executable, "-m", MODULES[name], *words]
    return subprocess.run(
        ["sh", "-c", f'"$@" {how}', "sh", *argv],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


TAKES_NOTHING = {">/dev/full": "No space left on device", ">&-": "Bad file descriptor"}


@pytest.mark.parametrize("how", TAKES_NOTHING)
@pytest.mark.parametrize("command", WRITERS)
def test_an_output_that_takes_nothing_is_one_sentence(command, how):
    done = closed_or_full(command, how)
    assert done.stderr == f"{command.split()[0]}: standard output: {TAKES_NOTHING[how]}\n"
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    "command", ["kdumpfs kernels", "kdumpfs dmesg /", f"elfcorehdr map {HEADER}"]
)
def test_with_no_stream_at_all_the_status_tells(command):
    assert closed_or_full(command, "<&- >&- 2>&-").returncode == 2


@pytest.mark.fuse
def test_what_reads_a_mounted_machine_tells_it_too(tmp_path):
    from kdumpfs.testing import mounted

    with mounted(load=True) as machine:
        machine.write("/sys/devices/system/memory/memory30/state", "offline")
        for words in ("dmesg", "uevents", "status"):
            for how, why in TAKES_NOTHING.items():
                done = closed_or_full(f"kdumpfs {words} {machine.path}", how)
                assert done.stderr == f"kdumpfs: standard output: {why}\n", words
                assert done.returncode == 2


@pytest.mark.namespaces
def test_a_transcript_and_a_recording_tell_it_too(tmp_path):
    script = tmp_path / "demo.sh"
    script.write_text("true\n")
    for words in (f"transcript {script}", f"record -o {tmp_path}/r.tar.gz"):
        for how, why in TAKES_NOTHING.items():
            done = closed_or_full(f"kdumpfs {words}", how)
            assert done.stderr == f"kdumpfs: standard output: {why}\n", words
            assert done.returncode == 2


@pytest.mark.namespaces
@pytest.mark.parametrize("how", TAKES_NOTHING)
def test_a_run_leaves_it_to_the_command(how):
    done = closed_or_full("kdumpfs run -- cat /sys/kernel/kexec/crash_loaded", how)
    assert done.stderr == f"cat: write error: {TAKES_NOTHING[how]}\n"
    assert done.returncode == 1


@pytest.mark.parametrize("command", WRITERS)
def test_a_reader_that_has_gone_is_no_traceback(command):
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = run(command, stdout=theirs)
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", ["kdumpfs kernels", "kdumpfs --help"])
def test_what_fits_is_written(command):
    done = run(command, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) > 1000


def test_no_line_of_the_list_of_commands_is_cut():
    text = run("kdumpfs --help", stdout=subprocess.PIPE).stdout
    assert "..." not in text.split("Commands:")[1]
    joined = " ".join(text.split())
    for name, command in kdumpfs.commands.items():
        first = " ".join((command.help or "").split("\n\n")[0].split())
        assert f"{name} {first.split('. ')[0].rstrip('.')}" in joined


@pytest.mark.parametrize(
    ("name", "command"),
    [*(("kdumpfs", c) for c in sorted(kdumpfs.commands)), *(("elfcorehdr", c) for c in COMMANDS)],
)
def test_help_command_is_the_commands_help(name, command):
    from click.testing import CliRunner

    group = kdumpfs if name == "kdumpfs" else cli
    asked = CliRunner().invoke(group, ["help", command], prog_name=name)
    usual = CliRunner().invoke(group, [command, "--help"], prog_name=name)
    assert (asked.exit_code, asked.output) == (0, usual.output)


def test_help_alone_is_the_list_and_an_unknown_command_is_refused():
    both = [run(f"kdumpfs {word}", stdout=subprocess.PIPE).stdout for word in ("help", "--help")]
    assert both[0] == both[1] != ""
    done = run("kdumpfs help nothing", stdout=subprocess.PIPE)
    assert done.returncode == 2
    assert "no command 'nothing', expected one of abi, " in done.stderr


@pytest.mark.parametrize(
    "words", ["mount x", "run --rw x -- true", "run --in x -- true", "status x", "vmcore x -o y"]
)
def test_a_current_directory_that_was_removed(tmp_path: Path, words: str):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir('../gone'); os.execv(sys.executable, [sys.executable, '-c', *sys.argv[1:]])"
    start = "from fsmount.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, start, *words.split()],
        cwd=gone,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "kdumpfs: the current directory was removed, expected one that exists: cd to another\n",
    )
