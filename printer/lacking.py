"""Libraries that an extra brings, where they are missing: what installs them for this very Python. Imports nothing of ours."""

from __future__ import annotations

import os
import sys


def install(*names: str) -> str:
    """The command that installs these libraries where this process would find them.

    `pip install 'kdumpfs[plot]'` asks an index for kdumpfs, which may have come from a file or a clone.
    """
    from importlib.util import find_spec

    listed = " ".join(names)
    if not os.path.exists(__file__):
        packages = " ".join(f"python3-{name}" for name in names)
        return f"this zipapp takes it from {sys.executable}, for which apt install {packages}"
    if "/pipx/" in sys.prefix:
        return f"pipx inject kdumpfs {listed}"
    if find_spec("pip") is None:
        return f"uv pip install --python {sys.executable} {listed}"
    return f"{sys.executable} -m pip install {listed}"
