"""`kdumpfs run --record`: what the command read, wrote and called in the machine, one line each."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping

from elfcorehdr.errors import KernelError
from fsmount.run.inside import session
from fsmount.run.syscalls import ARGUMENTS
from fsmount.run.task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class Recorder:
    """Writes to an open file; status gives a thread's /proc/PID/status, {} if it is gone."""

    def __init__(self, file: TextIO, status: Callable[[int], Mapping[str, str]]) -> None:
        self._file = file
        self._status = status
        self._works = True

    def saw_file(self, pid: int, verb: str, path: str, data: bytes, result: int) -> None:
        """A request for one of the machine's files, with its outcome."""
        comm = self._status(pid).get("Name", "?")
        shown = f' "{_printable(data)}"' if data else ""
        self._note(f"{comm}[{pid}] {verb} {path}{shown} = {_result(result)}")

    def saw_call(self, task: Task, name: str, args: tuple[int, ...], result: int) -> None:
        """A system call, with its outcome."""
        try:
            who = f"{task.comm}[{task.pid_inside}]"
        except KernelError:
            who = "?[?]"
        shown = ", ".join(f"{arg:#x}" for arg in args[: ARGUMENTS.get(name, 6)])
        self._note(f"{who} {name}({shown}) = {_result(result)}")

    def _note(self, line: str) -> None:
        left = f"{line}\n".encode(errors="backslashreplace")
        while left and self._works:
            try:
                left = left[os.write(self._file.fileno(), left) :]
            except OSError as error:  # a full disk is not the command's affair
                self._works = False
                why = f"{error.strerror}; nothing more is recorded"
                session.remark(f"--record {self._file.name}: {why}")


def _printable(data: bytes, limit: int = 200) -> str:
    text = data[:limit].decode(errors="backslashreplace")
    text = text.encode("unicode_escape").decode().replace('"', '\\"')
    return text + ("..." if len(data) > limit else "")


def _result(result: int) -> str:
    if result >= 0:
        return str(result)
    return f"-1 {errno.errorcode.get(-result, -result)} ({os.strerror(-result)})"
