"""Completion, asked of a real bash, zsh and fish: a line is begun, and the shell says what it makes of it."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import required

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"kdumpfs": "kdumpfs", "elfcorehdr": "printer.cli.main"}
LINES = {
    "kdumpfs crashk": "crashkernel",
    "elfcorehdr prin": "print",
    "kdumpfs help crashk": "crashkernel",
    "kdumpfs machines pseries-6": "pseries-64t",
    "kdumpfs changes backup-offset-at-l": "backup-offset-at-load",
    "kdumpfs abi /sys/kernel/kexec/crash_lo": "/sys/kernel/kexec/crash_loaded",
    "kdumpfs run -- one-of-a-k": "one-of-a-kind",
    "kdumpfs run -- cat prop": "proposal.py",
    "kdumpfs mount --machine pseries-6": "pseries-64t",
    "kdumpfs mount --machine=pseries-6": "--machine=pseries-64t",
    "kdumpfs mount --machine=my-": "--machine=my-own.toml",
    "kdumpfs run --machine=pc-2g --without=backup-offset-at-l": "--without=backup-offset-at-load",
    "kdumpfs run --module=prop": "--module=proposal.py",
    "kdumpfs run --pack": "--package",
    "kdumpfs crashkernel -m pc-2g,arm": "pc-2g,arm64-virt-4g",
    "kdumpfs plug mnt mem": "memory",
    "kdumpfs umount mn": "mnt/",
    "kdumpfs userland ppc": "ppc64le",
    "elfcorehdr check --machine=riscv": "--machine=riscv64-virt-2g",
    "elfcorehdr print --format mark": "markdown",
}
"""A line that is begun, and what its last word becomes."""
MOST_S = 60
"""Seconds in which a shell must have done what it was told, however many others run here."""


def lacking(shell: str) -> None:
    """Skip, or fail where CI has it, unless the shell is here."""
    if shutil.which(shell) is None:
        said = f"{shell} is missing: apt install {shell}"
        if required("shells"):
            pytest.fail(said, pytrace=False)
        pytest.skip(said)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with our commands and one more in bin/, the files of completion, and something to complete."""
    place = tmp_path_factory.mktemp("completion")
    (place / "bin").mkdir()
    (place / "mnt").mkdir()
    for name in ("proposal.py", "my-own.toml"):
        (place / name).touch()
    scripts = {name: f'exec {sys.executable} -m {module} "$@"' for name, module in MODULES.items()}
    for name, line in (scripts | {"one-of-a-kind": "true"}).items():
        script = place / "bin" / name
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        for name, module in MODULES.items():
            with open(place / f"{name}.{shell}", "w") as file:
                argv = [sys.executable, "-m", module, "completion", shell]
                subprocess.run(argv, cwd=ROOT, stdout=file, check=True)
    return place


def environment(place: Path) -> dict[str, str]:
    path = f"{place}/bin:{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(place), "TERM": "dumb"}
    return os.environ | own | {"XDG_CONFIG_HOME": str(place), "XDG_DATA_HOME": str(place)}


class Terminal:
    """A shell on a terminal, to which keys are sent."""

    def __init__(self, argv: list[str], place: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(place)
            os.execvpe(argv[0], argv, environment(place))
        self.seen = ""

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for it to appear on the terminal; what is before is forgotten."""
        end = time.monotonic() + MOST_S
        while not (found := re.search(pattern, self.seen)):
            if not select.select([self.fd], [], [], max(0.0, end - time.monotonic()))[0]:
                pytest.fail(f"no {pattern!r} in {self.seen!r}")
            self.seen += os.read(self.fd, 4096).decode(errors="replace")
        self.seen = self.seen[found.end() :]
        return found

    def completed(self, line: str) -> str:
        """The last word of the line after a TAB: the line is then made one that prints its words."""
        self.press("\x15" + line + "\t")
        self.press("\x01printf '<%s>' \x05 ''; echo\n")
        words = self.until(r"<(?:kdumpfs|elfcorehdr)>(<[^>]*>)*<>\s").group(1)
        return words[1:-1]

    def close(self) -> None:
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture(scope="module")
def bash(place: Path) -> Iterator[Terminal]:
    lacking("bash")
    shell = Terminal(["bash", "--norc", "--noprofile", "-i"], place)
    shell.press("bind 'set enable-bracketed-paste off'; bind 'set bell-style none'\n")
    shell.press("source kdumpfs.bash; source elfcorehdr.bash; echo rea''dy\n")
    shell.until("ready")
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def zsh(place: Path) -> Iterator[Terminal]:
    lacking("zsh")
    shell = Terminal(["zsh", "-f", "-i"], place)
    shell.press(
        "unsetopt prompt_cr prompt_sp auto_remove_slash; autoload -Uz compinit; compinit -u -D\n"
    )
    shell.press("bindkey -e; source ./kdumpfs.zsh; source ./elfcorehdr.zsh; echo rea''dy\n")
    shell.until("ready")
    yield shell
    shell.close()


def test_zsh_completes_by_the_installed_file_at_each_tab(place: Path) -> None:
    lacking("zsh")
    shell = Terminal(["zsh", "-f", "-i"], place)
    shell.press(f"unsetopt prompt_cr prompt_sp; fpath=({ROOT}/docs/completion/zsh $fpath)\n")
    shell.press("autoload -Uz compinit; compinit -u -D; bindkey -e; echo rea''dy\n")
    shell.until("ready")
    for line in ("kdumpfs machines pseries-6", "elfcorehdr print --format mark") * 2:
        assert shell.completed(line) == LINES[line]
    shell.close()


@pytest.mark.parametrize("line", LINES)
def test_bash_completes(bash: Terminal, line: str) -> None:
    assert bash.completed(line) == LINES[line]


@pytest.mark.parametrize("line", LINES)
def test_zsh_completes(zsh: Terminal, line: str) -> None:
    assert zsh.completed(line) == LINES[line]


@pytest.mark.parametrize("line", LINES)
def test_fish_completes(place: Path, line: str) -> None:
    lacking("fish")
    done = subprocess.run(
        ["fish", "-c", 'source kdumpfs.fish; source elfcorehdr.fish; complete -C "$argv"', line],
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_S,
    )
    assert done.stderr == ""
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [LINES[line]]


def test_a_path_of_abi_is_completed_a_name_at_a_time(place: Path) -> None:
    from click.shell_completion import CompletionItem

    from fsmount.cli.commands import kdumpfs
    from printer.cli.completion import SHELLS

    asked = SHELLS["fish"](kdumpfs, {}, "kdumpfs", "_KDUMPFS_COMPLETE")
    found: list[CompletionItem] = asked.get_completions(["abi"], "/sys/devices/system/")
    names = [item.value for item in found]
    assert "/sys/devices/system/memory/" in names
    assert len(names) == len({*names}) < 8


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("name", MODULES)
def test_the_file_parses_in_its_shell(place: Path, shell: str, name: str) -> None:
    lacking(shell)
    subprocess.run([shell, "-n", f"{place}/{name}.{shell}"], check=True, timeout=MOST_S)
