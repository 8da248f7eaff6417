"""The write batteries of real kernels inside `run`: each write(2) to the command's own /sys and /proc."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from elfcorehdr.machine.writer import to_toml
from tests.replay.machine import build
from tests.run.machine import inside

pytestmark = pytest.mark.namespaces

GOLDEN = Path(__file__).parent.parent / "golden/kernel"
SCRIPT = r"""
import errno, json, os, subprocess, sys

def cli(*words):
    return subprocess.run([sys.executable, "-m", "fsmount.cli.main", *words], capture_output=True).returncode

def value(path):
    with open(path, "rb") as file:
        return file.read().decode("latin-1").rstrip("\n")

said = []
for do in json.load(open(sys.argv[1])):
    got = {}
    op, tree = do["op"], "/run/kdumpfs/fuse"
    if op == "load":
        got["rc"] = cli("load", tree)
    elif op == "unload":
        got["rc"] = cli("unload", tree)
    elif op == "plug_memory":
        got["rc"] = cli("plug", tree, "memory", do["size"], "--at", do["start"])
    elif op == "unplug_memory":
        got["rc"] = cli("unplug", tree, "memory", do["start"], do["size"])
    elif op == "write":
        got["errno"] = None
        try:
            fd = os.open(do["path"], os.O_WRONLY | os.O_TRUNC)
            try:
                got["ret"] = os.write(fd, do["data"].encode("latin-1"))
            finally:
                os.close(fd)
        except OSError as error:
            got["errno"] = errno.errorcode[error.errno]
        try:
            got["value"] = value(do["path"])
        except OSError as error:
            got["value"] = None
    said.append(got)
print(json.dumps(said))
"""


@pytest.mark.parametrize(
    ("case", "least"),
    [
        ("x86_64/k7.3-state-write-sizes", 60),
        ("x86_64/k7.3-write-battery", 100),
        ("riscv64/A-7.2.13-lab-kexec_file_load", 20),
    ],
)
def test_every_write_ends_as_on_the_real_kernel(case: str, least: int, tmp_path: Path) -> None:
    told = json.loads((GOLDEN / case / "replay.json").read_text())
    machine = tmp_path / "machine.toml"
    machine.write_text(to_toml(build(told)))
    # What the running system kept in memory is not known in advance: from there on states differ.
    steps: list[dict[str, Any]] = []
    for step in told["steps"]:
        if step["seen"].get("environment"):
            break
        steps.append(step)
    todo, program = tmp_path / "todo.json", tmp_path / "writes.py"
    todo.write_text(json.dumps([step["do"] for step in steps]))
    program.write_text(SCRIPT)
    printed = inside(f"{sys.executable} {program} {todo}", "-m", str(machine))
    compared = 0
    for step, got in zip(steps, json.loads(printed), strict=True):
        do, seen = step["do"], step["seen"]
        if do["op"] != "write" or "errno" not in seen:
            continue
        what = f"{do['path']} {do['data'][:60]!r}"
        assert got["errno"] == seen["errno"], what
        if "ret" in seen and seen["errno"] is None:
            assert got["ret"] == seen["ret"], what
        if "value" in seen:
            assert got["value"] == seen["value"], what
        compared += 1
    assert compared >= least
