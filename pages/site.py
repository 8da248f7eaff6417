"""The site: README and docs/ as mkdocs builds them, offline, with nothing that is loaded from another host."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pages.markdown import GENERATED
from printer.version import __version__

NAV: dict[str, tuple[str, ...]] = {
    "Start": ("index", "proposing", "bug", "glossary"),
    "Use": ("run", "testing", "ci", "crash", "recording", "web"),
    "Reference": ("commands", "files", "machine", "api", "elfcorehdr"),
    "Help": ("troubleshooting", "reporting"),
    "How it is": ("fidelity", "safety", "performance", "architecture"),
}
"""Every page, in the order of the menu."""


CSS = """\
.wy-table-responsive table td, .wy-table-responsive table th { white-space: normal; }
.wy-nav-content { max-width: 1100px; }
"""
"""The theme keeps table cells on one line, wherever that ends."""


def assemble(root: Path, folder: Path) -> None:
    """README as index.md, docs/ beside it, and what they link to; links are rewritten."""
    shutil.copytree(root / "docs", folder, ignore=shutil.ignore_patterns("man"), dirs_exist_ok=True)
    shutil.copytree(root / "examples", folder / "examples")
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(root / name, folder)
    shutil.copy(root / "README.md", folder / "index.md")
    (folder / "site.css").write_text(CSS)
    for page in folder.glob("*.md"):
        text = page.read_text().removeprefix(GENERATED)  # a title is what comes first
        if page.name in ("index.md", "CONTRIBUTING.md", "CHANGELOG.md"):
            text = re.sub(r"(\]\()docs/", r"\1", text)
        text = re.sub(r"(\]\()\.\./README\.md", r"\1index.md", text)
        text = re.sub(r"(\]\()\.\./", r"\1", text)
        page.write_text(text)


def config(source: Path, out: Path) -> str:
    """mkdocs.yml, which JSON is, too."""
    return json.dumps({
        "site_name": f"kdumpfs {__version__}",
        "docs_dir": str(source),
        "site_dir": str(out),
        "use_directory_urls": False,
        "theme": {"name": "readthedocs", "highlightjs": False, "locale": "en"},
        "plugins": ["search"],
        "extra_css": ["site.css"],
        "nav": [
            {part: [f"{page}.md" for page in pages]} for part, pages in NAV.items()
        ],
        "not_in_nav": "CHANGELOG.md\nCONTRIBUTING.md\n",
        "validation": {"links": {"anchors": "warn", "unrecognized_links": "warn", "absolute_links": "warn"}},
    })  # fmt: skip


def build(root: Path, out: Path) -> str:
    """Build it; what mkdocs warns of, empty if of nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "pages")
        assemble(root, source)
        settings = Path(scratch, "mkdocs.yml")
        settings.write_text(config(source, out.resolve()))
        done = subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(settings)],
            capture_output=True,
            text=True,
            check=False,
        )
    return "" if done.returncode == 0 else done.stderr.strip()
