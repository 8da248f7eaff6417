"""The time line: each thing that is done, to one machine or to several at once, and what they were like after it."""

from __future__ import annotations

import time
import zlib
from typing import Any

from kdumpfs.web.files import Files
from kdumpfs.web.lines import line_of
from kdumpfs.web.state import difference, state

MOST_STEPS = 500
"""Steps that are kept for a page that comes later, and for the file; what comes after is shown, and not kept."""
INSIDE = "/run/kdumpfs/fuse"
"""Where the whole tree is inside `kdumpfs run`."""
OUTSIDE = "# from outside this page"


class Side:
    """One machine of the page, and how much of its log and uevents is told already."""

    def __init__(self, label: str, files: Files) -> None:
        self.label, self.files = label, files
        self.log_seen = self.uevent_seen = -1
        self.sequence = ""
        self.header = b""

    def told(self) -> dict[str, Any]:
        """Its state, and what its log and uevents got since the last time."""
        before, self.sequence = self.sequence, self.files.read("/control/sequence")
        if before.split(" ")[0] != self.sequence.split(" ")[0]:
            self.log_seen = (
                self.uevent_seen
            ) = -1  # another kernel has started, its numbers begin anew
        log = [*self.files.log()]
        new = [list(one) for one in log if one[0] > self.log_seen]
        if log:
            self.log_seen = log[-1][0]
        uevents = [line.split(" ", 1) for line in self.files.read("/control/uevents").splitlines()]
        fresh = [[int(n), text] for n, text in uevents if int(n) > self.uevent_seen]
        if uevents:
            self.uevent_seen = int(uevents[-1][0])
        return {"state": state(self.files), "log": new, "uevents": fresh}


class Session:
    """What the page shows: machines that get the same events, and the steps so far."""

    def __init__(self, sides: list[tuple[str, Files]]) -> None:
        self.sides = [Side(label, files) for label, files in sides]
        self.steps: list[dict[str, Any]] = []
        self._headers: list[list[bytes]] = []
        self._began = time.monotonic()
        self._add("# booted", ["" for _ in self.sides])

    @property
    def full(self) -> bool:
        """Whether no step is recorded any more."""
        return len(self.steps) >= MOST_STEPS

    def write(self, path: str, text: str) -> dict[str, Any]:
        """One write to each machine; the step, whose `outcomes` are what the shell would say, empty if it went well."""
        return self._add(
            line_of(path, text), [_write(side.files, path, text) for side in self.sides]
        )

    def look(self) -> dict[str, Any] | None:
        """The step for what happened without us since the last one; None if nothing did."""
        if all(side.files.read("/control/sequence") == side.sequence for side in self.sides):
            return None
        return self._add(OUTSIDE, ["" for _ in self.sides])

    def difference(self, side: int, before: int, after: int) -> str:
        """What `elfcorehdr diff` says of the headers after two steps; IndexError."""
        a, b = (zlib.decompress(self._headers[n][side]) for n in (before, after))
        return difference(a, b)

    def transcript(self) -> str:
        """A script of what was done: `sh SCRIPT mnt`, or with `kdumpfs run` and `transcript`, where the tree has its place."""
        done = [step["line"] for step in self.steps[1:] if step["line"] != OUTSIDE]
        lines = ["#!/bin/sh", f'cd "${{1:-{INSIDE}}}"', *done]
        return "\n".join(lines) + "\n"

    def _add(self, line: str, outcomes: list[str]) -> dict[str, Any]:
        sides = []
        kept = []
        for side, outcome in zip(self.sides, outcomes, strict=True):
            told = side.told()
            header = side.files.read_bytes("/control/elfcorehdr")
            told["difference"] = difference(side.header, header) if self.steps else ""
            told["outcome"] = outcome
            side.header = header
            kept.append(zlib.compress(header, 1))
            sides.append(told)
        seconds = round(time.monotonic() - self._began, 3)
        step = {"n": len(self.steps), "line": line, "at": seconds, "sides": sides}
        if not self.full:
            self.steps.append(step)
            self._headers.append(kept)
        return step


def _write(files: Files, path: str, text: str) -> str:
    """Empty, or what bash says of the redirection or of echo."""
    try:
        files.write(path, text)
    except OSError as error:
        if error.filename is not None:
            return f"bash: {path.strip('/')}: {error.strerror}"
        said = f"bash: echo: write error: {error.strerror}"
        why = files.read("/control/error").strip() if path.strip("/").startswith("control/") else ""
        return f"{said}: {why}" if why else said
    return ""
