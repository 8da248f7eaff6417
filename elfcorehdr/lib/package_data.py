"""Files that are shipped in a package, wherever it was imported from: a directory or a zip."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def package_data(package: str, name: str) -> bytes:
    """A file of an imported package; OSError if there is none of that name.

    What importlib.resources does, without tempfile, random and hashlib, which it imports.
    """
    module = sys.modules[package]
    loader: Any = module.__loader__
    place = (module.__file__ or "").rpartition("/")[0]
    data: bytes = loader.get_data(f"{place}/{name}")
    return data
