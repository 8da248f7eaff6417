"""The plugin, where the package's entry point is not installed anew yet."""

from __future__ import annotations

from tests.kdumpfs.plugins import MISSING
from tests.kdumpfs.web_server import chromium as chromium

if MISSING:
    from kdumpfs.pytest_plugin import kdump_machine as kdump_machine
    from kdumpfs.pytest_plugin import kdump_mount as kdump_mount
    from kdumpfs.pytest_plugin import kdump_run as kdump_run
