"""The tree against dumps of real kernels' /sys and /proc, file by file: tests/sysfs_dump.py."""

from __future__ import annotations

import functools
import gzip
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.sysfs_dump import Comparison, compare, dumps_of, main, markdown, replayed, rows_of
from tests.sysfs_dump_table import LIVE, TABLE

GOLDEN = Path(__file__).parents[1] / "golden/kernel"
CASES = [
    case
    for arch in ("ppc64", "arm64", "riscv64", "x86_64")
    for case in sorted((GOLDEN / arch).iterdir())
    if dumps_of(case)
]
DUMPS = [dump for case in CASES for dump in dumps_of(case)]


@functools.cache
def compared(dump: Path) -> Comparison:
    return compare(dump)


@pytest.mark.parametrize(
    "dump", DUMPS, ids=lambda p: f"{p.parents[1].name}-{p.parent.name[0]}-{p.name[:-8]}"
)
def test_every_difference_from_a_real_kernel_is_in_the_table(dump):
    result = compared(dump)
    assert [str(difference) for difference in result.unexplained] == []
    assert result.agreed > 250


def test_every_entry_of_the_table_explains_something():
    used = {entry for dump in DUMPS for entry in compared(dump).used}
    sys.stdout.write(markdown())
    assert [entry.pattern for entry in LIVE + TABLE if entry not in used] == []


def test_there_are_dumps_of_every_architecture():
    found = [(case.parent.name, case.name[0], len(dumps_of(case))) for case in CASES]
    ppc64 = [("ppc64", name, 2) for name in "ABDHKKU"]
    assert found[:9] == [*ppc64, ("arm64", "B", 2), ("riscv64", "A", 2)]
    assert sum(dumps for arch, _, dumps in found if arch == "x86_64") == 18


@pytest.mark.parametrize("case", CASES[:3], ids=lambda p: p.name[0])
def test_as_many_uevents_lie_between_two_dumps_as_the_real_kernel_counted(case):
    unloaded, loaded = (rows_of(case / f"sysfs-dump{at}.json.gz") for at in ("-unloaded", ""))
    path = "/sys/kernel/uevent_seqnum"
    run = replayed(case / "sysfs-dump.json.gz", loaded)
    assert int(run.read(path)) == int(loaded[path]["text"]) - int(unloaded[path]["text"])


WRONG = {
    "content": ("/sys/devices/system/memory/memory5/phys_index", "text", "00000006\n"),
    "mode": ("/sys/kernel/vmcoreinfo", "mode", "0644"),
    "size": ("/sys/kernel/vmcoreinfo", "size", 4096),
    "type": ("/sys/kernel/kexec", "type", "file"),
    "target": ("/sys/devices/system/cpu/cpu0/node0", "target", "../../node/node1"),
    "form": ("/sys/devices/system/node/node0/vmstat", "text", "nr_free_pages 1\n"),
    "iomem": ("/proc/iomem", "text", "00000000-2ffffffff : System RAM\n"),
    "missing": ("/sys/devices/system/memory/memory5/no_such", "", None),
    "extra": ("/sys/devices/system/memory/memory5/state", "stat_errno", "ENOENT"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_row_is_seen(what, tmp_path):
    """The judge can fail: one changed row of a real dump, and that row alone is told."""
    path, key, value = WRONG[what]
    for name in ("replay.json", "machine.json"):
        shutil.copy(CASES[0] / name, tmp_path)
    rows = list(rows_of(CASES[0] / "sysfs-dump-unloaded.json.gz").values())
    row = next((r for r in rows if r["path"] == path), None)
    if row is None:
        rows.append({"path": path, "type": "file", "mode": "0444", "size": 0})
    else:
        row[key] = value
    with gzip.open(tmp_path / "sysfs-dump-unloaded.json.gz", "wt") as file:
        json.dump(rows, file)
    result = compare(tmp_path / "sysfs-dump-unloaded.json.gz")
    assert [difference.path for difference in result.unexplained] == [path]


def test_a_name_that_only_the_tree_has_is_seen(tmp_path):
    for name in ("replay.json", "machine.json"):
        shutil.copy(CASES[0] / name, tmp_path)
    rows = rows_of(CASES[0] / "sysfs-dump-unloaded.json.gz")
    gone = "/sys/devices/system/memory/memory5/valid_zones"
    del rows[gone]
    with gzip.open(tmp_path / "sysfs-dump-unloaded.json.gz", "wt") as file:
        json.dump(list(rows.values()), file)
    result = compare(tmp_path / "sysfs-dump-unloaded.json.gz")
    assert [str(difference) for difference in result.unexplained] == [f"{gone}: extra"]


def test_the_command_says_how_many_paths_agree(capsys):
    assert main([str(CASES[1])]) == 0
    out = capsys.readouterr().out
    assert "sysfs-dump.json.gz: " in out
    assert "0 are not" in out


def test_a_folder_without_a_dump_is_refused(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "expected a case's folder" in capsys.readouterr().err
