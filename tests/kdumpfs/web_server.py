"""A `kdumpfs web` of the tests' own, as everybody starts it, and a browser for its page."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import required

BROWSER = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Options with which Debian's chromium runs where there is no display, no sandbox and no network."""


class Server:
    """A server that runs: its address with the token, and requests to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        found = re.fullmatch(r"(http://([^/]+))/([\w-]{43})/", url)
        assert found, url
        self.origin, self.host, self.token = found.groups()

    def ask(
        self,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        token: str | None = None,
    ) -> tuple[int, str]:
        """Status and text of a request, by default as the page makes it."""
        data = json.dumps(body).encode() if body is not None else None
        sent = {"Origin": self.origin, "Content-Type": "application/json"} if data else {}
        sent |= headers or {}
        url = f"{self.origin}/{self.token if token is None else token}/{path}"
        request = urllib.request.Request(
            url, data, {key: value for key, value in sent.items() if value != "-"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def write(self, path: str, text: str) -> list[str]:
        """What the shell would say of a write, of each machine."""
        status, said = self.ask("write", {"path": path, "text": text})
        assert status == 200, said
        outcomes: list[str] = json.loads(said)["outcomes"]
        return outcomes


@contextmanager
def serving(*words: str) -> Iterator[Server]:
    """`kdumpfs web WORDS` while this lasts."""
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is missing: pip install {name}")
    process = subprocess.Popen(
        [sys.executable, "-m", "kdumpfs", "web", *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield Server(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium by playwright; where either is missing skipped, or failed if it is required."""
    path = shutil.which("chromium")
    lack = ""
    if path is None:
        lack = "chromium is missing: apt install chromium"
    elif importlib.util.find_spec("playwright") is None:
        lack = "playwright, which drives it, is missing: pip install playwright"
    if lack and required("browser"):
        pytest.fail(f"browser is required, but: {lack}", pytrace=False)
    if lack:
        pytest.skip(lack)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*BROWSER])
        yield browser
        browser.close()


def opened(chromium: Any, url: str, **how: Any) -> Any:
    """The page, when it has begun; what it complains of fails the test at its next look."""
    page = chromium.new_context(**({"viewport": {"width": 1280, "height": 900}} | how)).new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.complaints.append(said.text))
    page.goto(url)
    page.wait_for_selector("body[data-ready=yes]")
    return page
