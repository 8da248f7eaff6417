"""What differs between the identity captures and the tree, each with the reason; docs/fidelity.md has it in words."""

from __future__ import annotations

from tests import sysfs_dump_table
from tests.sysfs_dump_table import Entry

LIVE: tuple[Entry, ...] = (*sysfs_dump_table.LIVE,)
"""Files whose content is live: compared by form."""
TABLE: tuple[Entry, ...] = (*sysfs_dump_table.TABLE,)
"""Differences that are known."""
