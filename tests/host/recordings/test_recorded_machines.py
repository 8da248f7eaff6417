"""The dumps of real kernels, taken as recordings: the machines that follow from them boot to the same files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from elfcorehdr.arch import arch_of
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.kexec_file import KEXEC_FILE_ON_CRASH
from elfcorehdr.machine.derive.main import derive
from elfcorehdr.machine.reader import from_toml
from elfcorehdr.machine.writer import to_toml
from fsmount import procfs, sysfs
from fsmount.host.recordings.entry import Recorded
from fsmount.host.recordings.recording import Recording
from fsmount.tree.kernfs import Tree
from tests import sysfs_dump as dumps

GOLDEN = Path(__file__).parents[2] / "golden/kernel"
DUMPS = sorted(GOLDEN.glob("*/*/sysfs-dump*.json.gz"))
UNAME = {"ppc64": "ppc64le", "arm64": "aarch64"}

NOT_DERIVED = (
    # a history that no file tells
    (r"/sys/devices/system/memory/memory\d+/firmware_node", "which DIMM brought a block"),
    (r"/sys/devices/system/cpu/cpu\d+/firmware_node", "which slot a plugged CPU is in"),
    (r"/sys/devices/system/cpu/cpu\d+/(of_node|physical_id|uevent)", "what hotplug left behind"),
    (
        r"/sys/devices/system/cpu/cpu\d+/(topology/.*|crash_notes.*|hotplug)",
        "what hotplug left behind",
    ),
    (r"/sys/devices/system/cpu/modalias", "features of a processor that is not known here"),
    (r"/proc/device-tree/cpus/.*", "what hotplug left behind"),
    (r"/sys/firmware/memmap/\d+.*", "in which order memory was plugged in: a boot sorts it"),
    (
        r"/proc/device-tree/memory@.*",
        "which LMBs were plugged in: the table's bytes were not dumped",
    ),
    # the dumps keep the size of a device tree's property, not its bytes
    (r"/proc/device-tree/rtas.*", "bytes of the device tree were not dumped"),
    (r"/proc/device-tree/ibm,dynamic-reconfiguration-memory/.*", "likewise"),
    (r"/proc/p(ower)?pc(64)?/lparcfg", "likewise: MaxMem is all LMBs; live besides"),
    (
        r"/sys/(kernel/kexec/|kernel/kexec_)?(crash_)?(loaded|elfcorehdr_size)",
        "as kexec-tools loaded it",
    ),
    (r"/sys/devices/system/(cpu|memory)/crash_hotplug", "as kexec-tools loaded it"),
)


def recording(dump: Path) -> tuple[Recording, dict]:
    """A dump in the form of a recording; uname and the page size are in the case."""
    case = json.loads((dump.parent / "replay.json").read_text())
    found = Recording(f"{dump.parent.name}/{dump.name}")
    for path, row in dumps.rows_of(dump).items():
        place = path.lstrip("/")
        if "stat_errno" in row:
            continue
        if row.get("type") == "file":
            one = Recorded(content=dumps.content_of(row))
        else:
            one = Recorded(target=row.get("target"))
        found.add(place, one)
        if "read_errno" in row:
            found.errors[place] = row["read_errno"]
    found.head = {
        "uname": {
            "release": case["kernel"]["release"],
            "machine": UNAME.get(case["arch"], case["arch"]),
        },
        "page_size": case["kernel"].get("page_size", 4096),
    }
    return found, case


@pytest.mark.parametrize("dump", DUMPS, ids=lambda p: f"{p.parent.name}/{p.name.split('.')[0]}")
def test_the_tree_of_the_derived_machine_equals_the_recording(dump):
    recorded, case = recording(dump)
    derived = derive(recorded, recorded.name, lambda arch: arch_of(arch).cpuinfo_rows())
    machine = from_toml(to_toml(derived.machine), "derived")
    assert machine == derived.machine
    kernel = Kernel.boot(machine)
    if "the crash image that was loaded: load one (--load)" in derived.missing:
        kernel.kexec.file_load(None, None, b"", KEXEC_FILE_ON_CRASH)
    run = object.__new__(dumps.DumpRun)
    run.kernel, run.case = kernel, case
    run.tree = Tree(kernel, [*sysfs.GROUPS, *procfs.GROUPS])
    rows = dumps.rows_of(dump)
    result = dumps.Comparison(dump, case["arch"])
    for path, row in rows.items():
        dumps._file(result, list(dumps._compare_row(run, path, row, result)))
    dumps._file(result, list(dumps._extra(run, rows)))
    left = [
        str(one)
        for one in result.unexplained
        if not any(re.fullmatch(pattern, one.path) for pattern, _ in NOT_DERIVED)
    ]
    assert left == []
