"""Links of the pages: where each leads, and which headings a page has, as GitHub and mkdocs name them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```.*?^```$", re.S | re.M)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)|^\[[^\]]+\]: (\S+)$", re.M)
_HEADING = re.compile(r"^#{1,6} (.*)$", re.M)


class Link(NamedTuple):
    """A link, and the page with the line that has it."""

    page: Path
    line: int
    target: str


def links(page: Path) -> Iterator[Link]:
    """Every link and image of a page, those in code left out."""

    def blanked(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    text = _CODE.sub(blanked, _FENCE.sub(blanked, page.read_text()))
    for match in _LINK.finditer(text):
        yield Link(page, text.count("\n", 0, match.start()) + 1, match[1] or match[2])


def anchors(page: Path) -> set[str]:
    """The names of a page's headings."""
    found: set[str] = set()
    for title in _HEADING.findall(_FENCE.sub("", page.read_text())):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("\\", "")
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-1")
    return found


def broken(link: Link, root: Path) -> str:
    """What is wrong with a link inside the project; empty if it leads somewhere, or outside."""
    where = f"{link.page.relative_to(root)}:{link.line}: {link.target}"
    if re.match(r"https?://[\w.-]+\.\w+(/|$)", link.target):
        return ""
    path, _, anchor = link.target.partition("#")
    target = Path(os.path.normpath(link.page.parent / path)) if path else link.page
    if not target.is_relative_to(root) or not target.exists():
        return f"{where}: no such file"
    if anchor and (target.suffix != ".md" or anchor not in anchors(target)):
        return f"{where}: no such heading"
    return ""
