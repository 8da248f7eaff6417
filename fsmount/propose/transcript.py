"""A shell script as the text of a cover letter: each command behind a prompt, then what it prints."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from itertools import count

from elfcorehdr.errors import ProfileError

BOOT_S = 1_767_225_600
"""When the machine of a transcript has booted, for `ls -l` and `stat`: 1 January 2026, UTC."""
TICK_NS = 1_000_000
"""What each look at its clock takes: a log's time stamps are the same in every run."""
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
MOST = 120_000
"""Bytes that one argument of a program may have, less some: MAX_ARG_STRLEN, include/uapi/linux/binfmts.h."""


def clock() -> int:
    """Nanoseconds: a tick more each time, whatever the host's clock says."""
    return next(_ticks) * TICK_NS


_ticks = count()


def driver(script: str, name: str, prompt: str) -> tuple[str, str]:
    """What is to be printed first, and a bash script for what follows: each command is printed and then done.

    Comments become prose, a shebang goes, empty lines stay. ProfileError names the line of a
    command that does not end.
    """
    first, lines = "", ["exec 2>&1 </dev/null"]
    for number, (shown, commands) in enumerate(_steps(script, name, prompt)):
        if number:
            lines.append(f"printf '%s' {shlex.quote(shown)}")
        else:
            first = shown
        lines += commands
    text = "\n".join(lines) + "\n"
    if len((first + text).encode(errors="surrogateescape")) > MOST:
        raise ProfileError(
            f"{name}: is longer than {MOST // 2:,} bytes, expected a script of a page"
        )
    return first, text


def _steps(script: str, name: str, prompt: str) -> Iterator[tuple[str, list[str]]]:
    """What is printed, whole lines, and the commands that are then done."""
    pending: list[str] = []
    first = 0
    for number, line in enumerate(script.splitlines(), 1):
        if number == 1 and line.startswith("#!"):
            continue
        bare = line.strip()
        if not pending and (not bare or bare.startswith("#")):
            yield bare.lstrip("#").removeprefix(" ") + "\n", []
            continue
        if not pending:
            first = number
        pending.append(line)
        if _complete("\n".join(pending) + "\n"):
            yield "".join(line + "\n" for line in _shown(pending, prompt)), pending
            pending = []
    if pending:
        raise ProfileError(
            f"{name}: line {first}: {pending[0].strip()[:60]!r} does not end, expected a whole command"
        )


def _shown(lines: list[str], prompt: str) -> Iterator[str]:
    yield prompt + lines[0]
    yield from ("> " + line for line in lines[1:])


def _complete(text: str) -> bool:
    """Whether bash takes it as whole commands; what is wrong in another way is left to bash, too."""
    if (len(text) - len(text.rstrip("\n").rstrip("\\")) - 1) % 2:
        return False
    try:
        done = subprocess.run(
            ["bash", "-n"], input=text, capture_output=True, text=True, check=False, env=ENVIRONMENT
        )
    except FileNotFoundError:
        raise ProfileError("bash is missing: apt install bash") from None
    ends = ("unexpected end of file", "unexpected EOF", "here-document")
    return not any(word in done.stderr for word in ends)
