"""fsmount/options.py: the same words give the same result, with click and without."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fsmount.cli import commands
from fsmount.cli.options import MOUNT_OPTIONS, parse

ROOT = Path(__file__).parents[2]
KDUMPFS = [sys.executable, "-m", "fsmount.cli.main"]


def with_click(words):
    """What the click command gets; None if click ends instead (an error, --help)."""
    try:
        return commands.mount.make_context("mount", list(words)).params
    except (click.ClickException, click.exceptions.Exit):
        return None


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory: mnt, a directory; own.py, a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    os.mkdir("mnt")
    (tmp_path / "own.py").write_text("")
    return tmp_path


TAKEN = [
    "mnt",
    "-m pseries-4g mnt",
    "-mpseries-4g mnt",
    "-m=odd mnt",
    "--machine=a.toml mnt",
    "--machine= mnt",
    "mnt --machine a.toml",
    "-m a -m b mnt",
    "--kernel 6.18 --kernel=7.0 mnt",
    "--with a --with b --without=c --without d mnt",
    "--load --load --debug mnt",
    "--no-page-limit --foreground mnt --direct",
    "--libfuse mnt",
    "--cmdline crashkernel=1G mnt",
    "--cmdline=a=b mnt",
    "--cmdline --load mnt",
    "--cmdline -- mnt",
    "--module own.py --module own.py mnt",
    "--print-mode dmesg mnt",
    "--print-mode=both mnt",
    "--load -- mnt",
    "-- mnt",
    "mnt --",
    "no-such",
    "-",
]
LEFT_TO_CLICK = [
    "",
    "--help",
    "-h",
    "mnt --help",
    "mnt mnt",
    "mnt -- --load",
    "mnt --machine",
    "mnt -m",
    "mnt --kernel",
    "--load=yes mnt",
    "--load= mnt",
    "--loa mnt",
    "--mach a mnt",
    "-x mnt",
    "-lm a mnt",
    "-d mnt",
    "--unknown mnt",
    "--print-mode loud mnt",
    "--print-mode TEXT mnt",
    "--print-mode= mnt",
    "--module mnt mnt",
    "--module no-such.py mnt",
    "---load mnt",
]


@pytest.mark.parametrize("line", TAKEN)
def test_an_ordinary_command_line_is_taken_as_click_takes_it(place, line):
    words = line.split()
    expected = with_click(words)
    assert expected is not None
    assert parse(words, MOUNT_OPTIONS, "directory") == expected


@pytest.mark.parametrize("line", LEFT_TO_CLICK)
def test_what_click_has_to_judge_is_left_to_it(place, line):
    assert parse(line.split(), MOUNT_OPTIONS, "directory") is None


def test_whatever_is_taken_is_what_click_would_make_of_it(place):
    atoms = ["mnt", "--", "-", "-m", "-ma", "--machine", "--with=", "--load", "--load=1", "both"]
    atoms += ["--print-mode", "--print-mode=both", "--module", "own.py", "-h", "--cmdline", ""]
    taken = 0
    for words in itertools.product(atoms, repeat=3):
        ours = parse(words, MOUNT_OPTIONS, "directory")
        if ours is not None:
            taken += 1
            assert ours == with_click(words), words
    assert taken > 200


def test_every_option_means_the_same_to_both(place):
    for option in MOUNT_OPTIONS:
        value = option.choices[-1] if option.choices else "own.py"
        for word in option.words:
            words = [word, *([value] if option.metavar else []), "mnt"]
            ours = parse(words, MOUNT_OPTIONS, "directory")
            assert ours is not None
            assert ours == with_click(words)
            assert ours[option.name] != option.default


def test_the_directory_is_not_touched_before_it_is_known_what_is_mounted_there(place):
    os.chmod("mnt", 0)
    for path in ("mnt", ""):
        assert parse([path], MOUNT_OPTIONS, "directory") == with_click([path])


def test_errors_read_the_same_before_click_and_after(place):
    by_click = "import sys; sys.argv[0] = 'kdumpfs'; from fsmount.cli.commands import run; run()"
    said = [
        subprocess.run([*command, "mount", "own.py"], capture_output=True, text=True, check=False)
        for command in (KDUMPFS, [sys.executable, "-c", by_click])
    ]
    for done in said:
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "kdumpfs: own.py: not a directory, expected an empty one\n"


def test_version_is_the_same_with_click_and_without(place):
    outputs = [
        subprocess.run([*KDUMPFS, *words], capture_output=True, check=True).stdout
        for words in (["--version"], ["-V"], ["--version", "machines"])
    ]
    assert outputs[0] == outputs[1] == outputs[2] == b"kdumpfs, version 0.1.0\n"


def test_shell_completion_of_mount_is_clicks(place):
    environment = {"_KDUMPFS_COMPLETE": "bash_complete", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'kdumpfs'; sys.argv[1:] = ['mount', 'mnt']\n"
         "from fsmount.cli.main import main; main()"],
        env=os.environ | environment | {"COMP_WORDS": "kdumpfs mount -m pseries-4"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["plain,pseries-4g", "file,pseries-4"]


def test_version_that_cannot_be_written_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*KDUMPFS, "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert done.returncode == 2
    assert done.stderr == "kdumpfs: standard output: No space left on device\n"
