"""Every link of README and of the pages leads to a file and a heading that are there; the site has every page, and asks no other host."""

from __future__ import annotations

import importlib.util
import re

import pytest

from pages.links import Link, anchors, broken, links
from pages.site import NAV, build
from tests.conftest import required
from tests.pages.reader import ROOT

PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    assert [said for link in links(page) if (said := broken(link, ROOT))] == []


def test_a_link_to_nowhere_is_found(tmp_path):
    page = tmp_path / "a.md"
    page.write_text(
        "# A b: `c`\n[x](b.md) [y](#a-b-c) [z](#d)\n![p](p.svg) `[not](one)` [o](http:/x)\n"
    )
    said = [broken(link, tmp_path) for link in links(page)]
    assert said == [
        "a.md:2: b.md: no such file",
        "",
        "a.md:2: #d: no such heading",
        "a.md:3: p.svg: no such file",
        "a.md:3: http:/x: no such file",
    ]
    assert broken(Link(page, 1, "https://lore.kernel.org/all/"), tmp_path) == ""


def test_headings_are_named_as_github_names_them():
    assert {
        "cannot-make-a-user-namespace-devfuse-is-missing",
        "tail-file-prints-nothing",
    } <= anchors(ROOT / "docs/troubleshooting.md")


def test_every_page_is_in_the_menu_and_in_readme():
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert sorted(name for names in NAV.values() for name in names) == sorted({*pages, "index"})
    linked = {link.target for link in links(ROOT / "README.md")}
    assert {f"docs/{page}.md" for page in pages} - linked == set()


def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        assert not required("fuse"), "mkdocs is missing: pip install '.[site]'"
        pytest.skip("mkdocs is missing: pip install '.[site]'")
    assert build(ROOT, tmp_path / "site") == ""
    made = {page.name: page.read_text() for page in (tmp_path / "site").glob("*.html")}
    assert {f"{name}.html" for names in NAV.values() for name in names} <= made.keys()
    for name, text in made.items():
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:[^"]*)"', text)
        assert loaded == [], name
    assert "bug-plugged.svg" in made["bug.html"]
    assert (tmp_path / "site/bug-plugged.svg").exists()
