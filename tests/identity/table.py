"""What differs between the identity captures and the tree, each with the reason; docs/fidelity.md has it in words."""

from __future__ import annotations

from tests import sysfs_dump_table
from tests.sysfs_dump_table import Entry

LIVE: tuple[Entry, ...] = (
    Entry("form", "/proc/stat", "the machine does nothing", without="(?<=cpu ) "),
    Entry("form", "/proc/(meminfo|vmstat|buddyinfo|pagetypeinfo)", "nothing is allocated here"),
    Entry("form", "/proc/zoneinfo", "nothing is allocated here", without=r" +(?=\d)"),
    Entry(
        "form",
        "/proc/powerpc/lparcfg",
        "the machine does nothing",
        number=r"(?<=\npurr=)\d+|(?<=\ntbr=)\d+|(?<=\ndispatches=)\d+",
    ),
    Entry("form", "/proc/(uptime|loadavg|softirqs)", "the machine does nothing"),
    Entry(
        "form",
        "/proc/interrupts",
        "none ever comes, and no device on PCI is there to ask for one",
        number=r"\d+",
        without=r".*virtio.*\n",
    ),
    Entry("form", "/proc/cpuinfo", "calibrated", number=r"(?<=(?:bogomips\t|cpu MHz\t\t): )[\d.]+"),
    *sysfs_dump_table.LIVE,
)
"""Files whose content is live: compared by form."""
TABLE: tuple[Entry, ...] = (*sysfs_dump_table.TABLE,)
"""Differences that are known."""
