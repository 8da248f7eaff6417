"""The page's parts: as the server gives them, and all in one file that replays a recorded run without a network."""

from __future__ import annotations

import base64
import json
import secrets
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

PAGE = files("kdumpfs.web") / "page"
MODULES = ("main", "model", "map", "panels", "files")
"""The page's ES modules: each imports the others as `kdumpfs/NAME`, which an import map finds."""
TYPES = {".js": "text/javascript", ".css": "text/css"}


@cache
def _text(name: str) -> str:
    return (PAGE / name).read_text("utf-8")


def part(name: str) -> tuple[str, str] | None:
    """A file of the page and its media type."""
    known = {"page.css", *(f"{module}.js" for module in MODULES)}
    return (_text(name), TYPES[Path(name).suffix]) if name in known else None


def live_page() -> tuple[str, str]:
    """The page that the server gives, and its Content-Security-Policy."""
    nonce = secrets.token_urlsafe(16)
    imports = {f"kdumpfs/{module}": f"./page/{module}.js" for module in MODULES}
    style = '<link rel="stylesheet" href="page/page.css">'
    policy = (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return _assembled(style, imports, "null", nonce), policy


def one_file(told: dict[str, Any]) -> str:
    """The page with a recorded run in it: what is told is a time line as Web.told() has it."""
    imports = {
        f"kdumpfs/{module}": "data:text/javascript;base64,"
        + base64.b64encode(_text(f"{module}.js").encode()).decode()
        for module in MODULES
    }
    recorded = json.dumps(told).replace("<", "\\u003c")
    return _assembled(f"<style>{_text('page.css')}</style>", imports, recorded, "")


def _assembled(style: str, imports: dict[str, str], recorded: str, nonce: str) -> str:
    of = f' nonce="{nonce}"' if nonce else ""
    scripts = (
        f'<script type="importmap"{of}>{json.dumps({"imports": imports})}</script>\n'
        f'<script type="application/json" id="recorded"{of}>{recorded}</script>\n'
        f'<script type="module"{of}>import "kdumpfs/main";</script>'
    )
    return _text("page.html").replace("<!-- style -->", style).replace("<!-- scripts -->", scripts)
