"""Every file operation of golden x86_64's write battery on both servers and in `run`, against what sysfs of 7.3.4 said."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.run.machine import ENVIRONMENT, RUN

pytestmark = [pytest.mark.fuse, pytest.mark.skipif(os.geteuid() != 0, reason="as root")]

SCRIPT = Path(__file__).parent / "operations.py"
BATTERY = Path(__file__).parents[1] / "golden/kernel/x86_64/k7.3-write-battery/writes.json.gz"
GROUPS = {
    "cpu": (
        "devices/system/cpu/possible",
        "devices/system/cpu/cpu1/online",
        "devices/system/cpu/cpu1",
    ),
    "kexec": ("kernel/vmcoreinfo", "kernel/kexec/crash_size", "kernel/kexec"),
    "memoryN": (
        "devices/system/memory/memory5/removable",
        "devices/system/memory/memory5/state",
        "devices/system/memory/memory5",
    ),
}
"""A read-only file, one to write, and a directory, of each section of the battery."""
ALSO = {
    "lseek END 0 after a read": {"result": 4096},
    "open ro file O_DIRECT": {"errno": "EINVAL"},
    "open dir O_DIRECT": {"errno": "EINVAL"},
    "open dir O_TMPFILE": {"errno": "ENOTSUP"},
    "fsync dir": {"errno": "EINVAL"},
    "fdatasync ro": {"result": None},
    "mmap PROT_READ shared": {"errno": "ENODEV"},
}
"""What sysfs of a running 6.18 said to the same script: operations that the battery has not."""
FUSE = {
    "mmap PROT_READ private": "FUSE's direct I/O lets private mappings be",
    "setxattr trusted.x": "no attributes are kept",
    "F_SETFL O_DIRECT": "FUSE says that it can, for every file",
    "name_to_handle_at": "FUSE makes handles for every file",
}
"""Differences that stay, with the reason."""


def expected(group: str) -> dict[str, Any]:
    with gzip.open(BATTERY) as file:
        rows = json.load(file)["sections"][f"fs semantics: {group}"]
    said = {r["op"]: {k: r[k] for k in ("result", "errno") if k in r} for r in rows}
    return {**said, **ALSO}


def shape(op: str, outcome: Any) -> Any:
    """An outcome without what depends on the machine: contents by length, names not at all."""
    if op.startswith("readdir"):
        return None
    if op.startswith("access") and isinstance(outcome.get("result"), dict):
        return {"result": list(outcome["result"].values())}
    if op in ("stat rw", "stat dir", "statvfs"):
        out = ("st_dev", "f_flag", "st_nlink")
        return {k: v for k, v in outcome["result"].items() if k not in out}
    if "read" in op and "result" in outcome:
        return _lengths(outcome["result"])
    return outcome


def _lengths(value: Any) -> Any:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return [_lengths(v) for v in value]
    if isinstance(value, dict):
        return {k: _lengths(v) for k, v in value.items()}
    return value


def compare(root: str, done: dict[str, dict[str, Any]]) -> None:
    """Every operation that the script knows, but for what FUSE does not let be."""
    wrong = []
    for group, outcomes in done.items():
        said = expected(group)
        for op, got in outcomes.items():
            if op in FUSE or (op, group) == ("fallocate rw", "kexec"):
                continue  # it writes only behind the end of the content, which was shorter there
            want = said[op]
            if shape(op, want) != shape(op, got):
                wrong.append(f"{root} {group}: {op}: {want} became {got}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("server", [(), ("--libfuse",)], ids=["direct", "libfuse"])
def test_every_operation_on_a_mount_is_sysfs(server: tuple[str, ...]) -> None:
    tmp_path = Path(tempfile.mkdtemp(prefix="kdumpfs-operations-"))  # where uid 1000 may go
    tmp_path.chmod(0o755)
    main = [sys.executable, "-m", "fsmount.cli.main"]
    subprocess.run([*main, "mount", "-m", "pc-2g", *server, tmp_path], check=True, env=ENVIRONMENT)
    try:
        done = {
            group: json.loads(
                subprocess.run(
                    [sys.executable, SCRIPT, *(tmp_path / "sys" / path for path in paths)],
                    check=True, capture_output=True, text=True,
                ).stdout
            )
            for group, paths in GROUPS.items()
        }  # fmt: skip
    finally:
        subprocess.run([*main, "umount", tmp_path], check=True, env=ENVIRONMENT)
        tmp_path.rmdir()
    compare("mount", done)


@pytest.mark.namespaces
def test_every_operation_in_run_is_sysfs() -> None:
    done = {}
    for group, paths in GROUPS.items():
        argv = [sys.executable, str(SCRIPT), *(f"/sys/{path}" for path in paths)]
        said = subprocess.run(
            [*RUN, "-m", "pc-2g", "--", *argv],
            check=True,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
        )
        done[group] = json.loads(said.stdout)
    compare("run", done)


def test_the_script_does_every_operation_of_the_battery() -> None:
    from tests.mounted.operations import OPS

    for group in GROUPS:
        left = {
            op
            for op in expected(group)
            if op not in OPS and not op.startswith(("read whole", "times advance"))
        }
        assert left == set()
