"""Whether the installed package has the pytest plugin; an editable install from before it has not."""

from __future__ import annotations

from importlib.metadata import entry_points

MISSING = not any(one.value == "kdumpfs.pytest_plugin" for one in entry_points(group="pytest11"))
OPTIONS = ["-p", "kdumpfs.pytest_plugin"] if MISSING else []
"""What a pytest of its own needs."""
