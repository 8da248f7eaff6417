"""A capture's folder as rows by path: two forms, those of ppc64 (jsonl) and those of the others (json)."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.replay.machine import Json

LIVING = "living"
MODES = {"r": 4, "w": 2, "x": 1, "t": 1, "s": 1}
TOO_LIVE = re.compile(r"/proc/(\d+|self|thread-self|self-maps|self-status)(/.*)?")
"""Of processes, which are the host's."""


def text_of(path: Path) -> str:
    """A file's text, unpacked."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("latin-1")


def found(directory: Path, name: str) -> Path | None:
    """The file of that name, packed or not."""
    return next((p for p in (directory / name, directory / f"{name}.gz") if p.exists()), None)


def rows_of(capture: Path, part: str = LIVING) -> dict[str, Json]:
    """Path to type, mode, size, and text, b64, target, names or an errno; of the living kernel, or another part."""
    living = capture / part
    rows: dict[str, Json] = {}
    for path, row in (*_proc(living), *_json(living), *_jsonl(living)):
        known = rows.setdefault(path, {}) if not TOO_LIVE.fullmatch(path) else {}
        # A second list has gone through links: of one it names what it points to.
        if not (known.get("type") == "link" and row.get("type") == "dir"):
            known.update(row)
    return rows


def _proc(living: Path) -> Iterator[tuple[str, Json]]:
    """The names and modes of /proc, and the files that were read."""
    yield "/proc", {"type": "dir"}
    for name in ("ls.txt", "ls-la"):
        listing = living / "proc" / name
        if listing.exists():
            yield from _listing("/proc", listing.read_text())
    for file in sorted((living / "proc").rglob("*")):
        name = str(file.relative_to(living / "proc"))
        own = name.removesuffix(".gz")
        if file.is_file() and not re.search(r"^ls|\.txt$|\.jsonl|^stat-of|/errors$", name):
            raw = file.read_bytes()
            data = gzip.decompress(raw) if name.endswith(".gz") else raw
            yield f"/proc/{own}", {"type": "file", "b64": base64.b64encode(data).decode()}


def _listing(directory: str, text: str) -> Iterator[tuple[str, Json]]:
    """The lines of `ls -la`."""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 9 or words[8] in (".", "..") or words[8].isdecimal():
            continue
        kind = {"d": "dir", "l": "link", "-": "file"}[words[0][0]]
        bits = "".join(
            str(sum(MODES.get(c, 0) for c in words[0][i : i + 3])) for i in range(1, 10, 3)
        )
        row: Json = {"type": kind, "mode": f"0{bits}"}
        if kind == "link":
            row["target"] = words[10]
        elif kind == "file":
            row["size"] = int(words[4])
        yield f"{directory}/{words[8]}", row


def _json(living: Path) -> Iterator[tuple[str, Json]]:
    """sys-cpu.json and its like: path to mode, size, value or hex."""
    for file in sorted((*living.glob("sys*.json"), *living.glob("sys*.json.gz"))):
        for path, row in json.loads(text_of(file)).items():
            if not isinstance(row, dict):
                continue
            row = dict(row)
            row.setdefault("type", "file")
            if "value" in row:
                row["text"] = row.pop("value")
            if "hex" in row:
                row["b64"] = base64.b64encode(bytes.fromhex(row.pop("hex"))).decode()
            row.pop("error", None)
            if row["type"] in ("dir", "link"):
                row.pop(
                    "size", None
                )  # of a directory in sysfs 0, of a link what its file system makes of it
            yield path, row


def _jsonl(living: Path) -> Iterator[tuple[str, Json]]:
    """The ppc64 captures' lines."""
    for file in sorted((*living.rglob("*.jsonl"), *living.rglob("*.jsonl.gz"))):
        for line in text_of(file).splitlines():
            row = json.loads(line)
            path = row.pop("path")
            if row.get("stat_errno") == "ENOENT":
                continue  # named on the recorder's command line, and not there
            if "open_errno" in row or "read_errno" in row:
                row.pop("text", None)
            row.pop("open_errno", None)
            if row.get("type") in ("dir", "link"):
                row.pop("size", None)
            yield path, row
