"""/proc and /sys of capture kernels, file by file: what the machine that crashed becomes, beside what was seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.identity.capture import rows_of
from tests.identity.compare import CAPTURE, against, capture_tree_of, compare

HERE = Path(__file__).parent.parent / "golden/kernel/identity"
SEEN = [("x86_64.7.3.4+deb13-amd64.pc-2g", 1), ("x86_64.7.3.4+deb13-amd64.pc-numa2-2s2c2t", 1), ("arm64.7.3.4+deb13-arm64.virt-4g", 0)]  # fmt: skip
"""The machine, and the CPU that crashed: the capture kernel's CPU 0 has its APIC id."""
DIFFERS = {
    "/proc/version": "who built it",
    "/proc/vmcore": "the image's end, _end, is not in /proc/iomem, from which this machine is made",
    "/proc/kcore": "as on the living kernel",
    "/sys/devices/system/cpu/cpu0/crash_notes": "a percpu allocation",
    "/sys/kernel/notes": "the build ID",
    "/sys/kernel/kexec/crash_elfcorehdr_print": "the proposal",
}


@pytest.mark.parametrize(("name", "cpu"), SEEN)
def test_capture_kernel_says_what_a_real_one_said(name: str, cpu: int) -> None:
    rows = rows_of(HERE / name, CAPTURE)
    result = against(capture_tree_of(HERE / name, cpu), rows, HERE / name)
    # What is not emulated is missing on the living kernel as well.
    living = {d.path for d in compare(HERE / name).unexplained if d.what == "missing"}
    wrong = [d for d in result.unexplained if d.path not in DIFFERS]
    assert [str(d)[:300] for d in wrong if d.path not in living] == []
    assert result.agreed > 250
    paths = {"/proc/meminfo", "/proc/iomem", "/proc/cpuinfo", "/proc/cmdline", "/proc/zoneinfo"}
    assert paths <= {*rows}
