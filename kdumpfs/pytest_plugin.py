"""The fixtures, for pytest: an entry point of the package. Imports nothing of ours until a test asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest


def _lacking(name: str, why: Exception) -> None:
    """Skip, or fail where KDUMPFS_REQUIRE (or CI=true and KDUMPFS_REQUIRE unset) wants it."""
    if name in os.environ.get("KDUMPFS_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required, but: {why}", pytrace=False)
    pytest.skip(f"no {name} here: {why}")


@pytest.fixture
def kdump_machine() -> Callable[..., Any]:
    """A function that boots a machine without a mount: kdumpfs.testing.machine()."""
    from kdumpfs.testing.machine import machine

    return machine


@pytest.fixture
def kdump_mount() -> Iterator[Callable[..., Any]]:
    """A function that mounts a machine until the test ends: kdumpfs.testing.mounted()."""
    from kdumpfs.testing.machine import Lack
    from kdumpfs.testing.outside import mounted

    with ExitStack() as stack:

        def mount(*given: Any, **options: Any) -> Any:
            try:
                return stack.enter_context(mounted(*given, **options))
            except Lack as why:
                return _lacking("fuse", why)

        yield mount


@pytest.fixture
def kdump_run() -> Callable[..., Any]:
    """A function that runs a command in a machine: kdumpfs.testing.run()."""
    from kdumpfs.testing.machine import Lack
    from kdumpfs.testing.outside import run

    def in_machine(*given: Any, **options: Any) -> Any:
        try:
            return run(*given, **options)
        except Lack as why:
            return _lacking("namespaces", why)

    return in_machine


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """What is different between two headers, where an assertion compares them."""
    if type(left).__name__ != "Header" or type(right).__name__ != "Header" or op != "==":
        return None
    from kdumpfs.testing.header import Header

    if not isinstance(left, Header) or not isinstance(right, Header):
        return None
    return [f"{left!r} == {right!r}", "", *left.differences(right)]
