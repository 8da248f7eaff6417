"""The page in a real headless Chromium: what is clicked happens to the machine, and is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from kdumpfs.testing import Lack, mounted
from kdumpfs.testing.machine import options_of
from kdumpfs.web.files import Here
from kdumpfs.web.steps import Session
from tests.kdumpfs.web_server import opened, serving

LINE = "echo offline > sys/devices/system/memory/memory30/state"


def click_block(page: Any, n: int, *, map_: int = 0) -> None:
    """Click a block on the map itself, where it is drawn."""
    at = page.evaluate(
        "([n, m]) => { const p = window.kdumpfs.panels[0], map = m ? p.lens : p.map; return map.x((n + .5) * map.state.block_size); }",
        [n, map_],
    )
    page.locator(".map canvas").nth(map_).click(position={"x": at, "y": 50})


def settled(page: Any, step: int) -> None:
    page.wait_for_selector(f"body[data-step='{step}']")
    assert page.complaints == []


def shows(page: Any, selector: str, text: str) -> None:
    """Wait until an element has a text in it."""
    page.locator(selector, has_text=text).wait_for()


def pixel(page: Any, block: int) -> list[int]:
    """The colour at the middle of a block, as drawn."""
    return page.evaluate(
        """async (n) => { await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const map = window.kdumpfs.panels[0].map, ratio = devicePixelRatio;
        const x = map.x((n + .5) * map.state.block_size) * ratio;
        return [...map.canvas.getContext("2d").getImageData(x, 50 * ratio, 1, 1).data].slice(0, 3); }""",
        block,
    )


@pytest.fixture
def mount():
    try:
        with mounted(load=True) as machine:
            yield machine
    except Lack as lack:
        pytest.skip(str(lack))


def test_a_block_goes_offline_by_clicks_and_all_agree_with_cat_from_the_mount(chromium, mount):
    with serving(str(mount.path)) as server:
        page = opened(chromium, server.url)
        for path in ("/../../../../../etc/hostname", "/sys/../../../../../etc/hostname"):
            assert "Operation not permitted" in server.ask(f"file?path={path}")[1]
        assert "Linux version" in server.ask("file?path=/dev/kmsg")[1]  # which waits for more
        before = pixel(page, 30)
        click_block(page, 30)
        page.get_by_role("button", name="offline", exact=True).click()
        settled(page, 1)
        assert mount.read("/sys/devices/system/memory/memory30/state") == "offline\n"
        shown = page.locator(".table div[data-row]:not(.gone)").all_inner_texts()
        cat = mount.read("/sys/kernel/kexec/crash_elfcorehdr_print").splitlines()
        rows = [line.strip() for line in cat if line.startswith("0x")]
        assert [line.strip() for line in shown] == rows
        assert page.locator(".table .changed").count() >= 1
        assert page.locator(".table .gone").count() >= 1
        assert (
            page.locator("#uevents .new")
            .all_inner_texts()[-1]
            .endswith("offline@/devices/system/memory/memory30")
        )
        assert mount.log[-1] in page.locator("#log div").last.inner_text()
        assert pixel(page, 30) != before
        assert "256 MiB at 0x1e0000000 removed" in page.locator("#difference").inner_text()
        (mount.path / "sys/devices/system/cpu/cpu3/online").write_text("0")  # from a shell
        settled(page, 2)
        assert page.locator("[data-cpu='3']").get_attribute("aria-pressed") == "false"
        page.locator("[data-cpu='3']").click()
        settled(page, 3)
        assert mount.read("/sys/devices/system/cpu/cpu3/online") == "1\n"


def test_the_bug_is_a_red_arrow_to_0_on_7_0_and_cured_on_7_1(chromium):
    with serving("--load", "--kernel", "7.0", "--beside", "7.1") as server:
        page = opened(chromium, server.url)
        machines = page.locator(".machine")
        bug, cure = (machines.nth(n).locator(".arrow").first for n in (0, 1))
        bug.wait_for(state="attached")
        cure.wait_for(state="attached")
        assert bug.get_attribute("class") == "arrow bad"
        assert bug.get_attribute("data-offset") == "0x0"
        assert cure.get_attribute("class") == "arrow good"
        assert cure.get_attribute("data-offset") == "0x1af40000"
        assert "backup-offset-zero" in machines.nth(0).locator(".findings").inner_text()
        assert machines.nth(1).locator(".findings").inner_text() == "check finds nothing wrong"
        assert machines.nth(0).locator(".differs[data-row]").count() == 1


def test_a_module_is_edited_and_reloaded_on_the_page(chromium, tmp_path: Path):
    module = tmp_path / "proposal.py"
    text = (
        "from kdumpfs.module import AttributeGroup, Kernel, singleton\n"
        'proposal = AttributeGroup("kernel/kexec", singleton)\n\n'
        "@proposal.show\ndef crash_mine_show(kernel: Kernel) -> str:\n"
        '    """Mine."""\n    return "first\\n"\n'
    )
    module.write_text(text)
    with serving("--load", "--module", str(module)) as server:
        page = opened(chromium, server.url)
        page.fill("#path", "/sys/kernel/kexec/crash_mine")
        page.click("#open button")
        shows(page, "#content", "first")
        module.write_text(text.replace("first", "second"))
        page.click("#reload")
        settled(page, 1)
        page.click("#open button")
        shows(page, "#content", "second")
        module.write_text("def broken(:\n")
        page.click("#reload")
        shows(page, "#said", "proposal.py")


def test_a_file_is_written_and_the_shell_s_words_are_shown(chromium):
    with serving("--load") as server:
        page = opened(chromium, server.url)
        page.fill("#path", "/sys/devices/system/memory/memory30/state")
        page.fill("#text", "offline")
        page.click("#echo button")
        settled(page, 1)
        shows(page, "#content", "offline")
        page.click("#echo button")
        settled(page, 2)
        shows(page, "#answer", "write error: Invalid argument")


def test_the_keyboard_alone_offlines_a_block_and_goes_back_in_time(chromium):
    with serving("--load") as server:
        page = opened(chromium, server.url)
        page.locator(".map canvas").first.focus()
        page.keyboard.press("Home")
        for _ in range(30):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        settled(page, 1)
        assert page.locator("#uevents").inner_text().endswith("memory30")
        page.keyboard.press("[")
        settled(page, 0)
        assert page.url.endswith("#step=0")
        assert "memory30" not in page.locator("#uevents").inner_text()
        page.keyboard.press("]")
        page.keyboard.press("l")
        assert page.evaluate("document.documentElement.classList.contains('large')")
        for button in page.locator("button:visible").all():
            assert (button.inner_text() + (button.get_attribute("aria-label") or "")).strip()


def test_it_crashes_and_the_capture_kernel_shows_its_vmcore(chromium):
    with serving("-m", "pc-2g", "--load") as server:
        page = opened(chromium, server.url)
        page.click("#crash")
        page.click("#crash")
        settled(page, 1)
        assert "capture kernel" in page.locator(".machine h2").inner_text()
        assert "/proc/vmcore" in page.locator(".vmcore").inner_text()


def test_a_dimm_is_dragged_onto_the_map_and_the_script_does_the_same(
    chromium, mount, tmp_path: Path
):
    with serving("--load") as server:
        page = opened(chromium, server.url)
        at = page.evaluate("window.kdumpfs.panels[0].map.x(0x400000000 + (1 << 27))")
        canvas = page.locator(".map canvas").first
        page.locator("#chip").drag_to(
            canvas, source_position={"x": 8, "y": 8}, target_position={"x": at, "y": 50}
        )
        settled(page, 1)
        assert page.locator("#said").inner_text() == ""
        click_block(page, 30)
        page.get_by_role("button", name="offline", exact=True).click()
        settled(page, 2)
        script = tmp_path / "script.sh"
        script.write_text(server.ask("transcript.sh")[1])
        assert "kdumpfs plug --at 0x400000000 . memory 0x10000000" in script.read_text()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["sh", script, mount.path], check=True, env={**os.environ, "PATH": path})
        for block in (30, 64):
            file = f"/sys/devices/system/memory/memory{block}/state"
            assert json.loads(server.ask(f"file?path={file}")[1])["text"] == mount.read(file)


def test_the_one_file_replays_without_a_server(chromium, tmp_path: Path):
    out = tmp_path / "demo.html"
    words = ["web", "--load", "--do", LINE, "--do", LINE, "-o", str(out)]
    subprocess.run([sys.executable, "-m", "kdumpfs", *words], check=True)
    asked: list[str] = []
    context = chromium.new_context()
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(out.as_uri())
    page.wait_for_selector("body[data-ready=yes]")
    settled(page, 0)
    assert page.locator(".table .changed").count() == 0
    page.keyboard.press("]")
    settled(page, 1)
    assert page.locator(".table .changed").count() >= 1
    page.keyboard.press("]")
    settled(page, 2)
    assert "write error: Invalid argument" in page.locator("#said").inner_text()
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]


def test_a_hostile_page_in_the_same_browser_can_do_nothing(chromium):
    with serving("--load") as server, serving("--load") as other:
        page = opened(chromium, other.url)  # another origin, which knows the token
        page.evaluate(
            """async (url) => { const body = JSON.stringify({path: "/sys/devices/system/memory/memory30/state", text: "offline\\n"});
            for (const mode of ["cors", "no-cors"]) for (const type of ["application/json", "text/plain"])
              await fetch(url + "write", {method: "POST", mode, body, headers: {"content-type": type}}).catch(() => 0); }""",
            server.url,
        )
        status, said = server.ask("file?path=/sys/devices/system/memory/memory30/state")
        assert status == 200
        assert '"online\\n"' in said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_paints_within_a_second_and_fits_the_window(chromium, width: int, scheme: str):
    with serving("--load", "--kernel", "7.0", "--beside", "7.1") as server:
        painted: list[float] = []
        while len(painted) < 3 or (min(painted) > 1000 and len(painted) < 12):
            size = {"width": width, "height": 800}
            page = opened(chromium, server.url, viewport=size, color_scheme=scheme)
            painted.append(
                page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("document.documentElement.className") == (
                "dark" if scheme == "dark" else ""
            )
            assert page.complaints == []
            page.context.close()
        assert min(painted) <= 1000, painted


def test_262_144_blocks_are_drawn_at_30_frames_a_second_and_an_event_takes_less_than_100_ms(
    chromium,
):
    """What the server (CPU time) and the page (its thread) spend on an event, the least of several: others run here too."""
    session = Session([("one", Here(options_of("pseries-64t", load=True)))])
    server_ms = []
    for n in range(1000, 6000, 1000):
        since = time.process_time()
        json.dumps(session.write(f"/sys/devices/system/memory/memory{n}/state", "offline\n"))
        server_ms.append((time.process_time() - since) * 1000)
    with serving("-m", "pseries-64t", "--load") as server:
        for n in range(1000, 6000, 1000):
            server.write(f"/sys/devices/system/memory/memory{n}/state", "offline\n")
        page = opened(chromium, server.url)
        settled(page, 5)
        assert page.locator("#uevents .new").count() == 1
        page.locator(".cpu-canvas").focus()
        for key in ("Home", "ArrowRight", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        settled(page, 6)
        said = server.ask("file?path=/sys/devices/system/cpu/cpu2/online")[1]
        assert json.loads(said)["text"] == "0\n"
        page_ms = page.evaluate(
            """async () => { const model = await import("kdumpfs/model"), map = window.kdumpfs.panels[0].map, spent = [];
            for (let n = 1; n <= 5; n++) { model.go(n - 1); map.draw();
              const since = performance.now(); model.go(n); map.draw(); document.body.offsetHeight;
              spent.push(performance.now() - since); }
            return spent; }"""
        )
        page.evaluate(  # the worst there is: no block is in its neighbours' state
            """() => { const lens = window.kdumpfs.panels[0].lens;
            lens.state = {...lens.state, blocks: Array.from({length: 262144}, (_, n) => [n, 1, 1 + n % 2])}; }"""
        )
        frame_ms: list[float] = []
        for _ in range(5):
            if frame_ms and median(frame_ms) <= 1000 / 30:
                break
            frame_ms = page.evaluate(
                """async () => { const lens = window.kdumpfs.panels[0].lens, wide = lens.state.block_size, spent = [];
            for (let n = 0; n < 60; n++) { const since = performance.now();
              lens.look(0, wide * 262144 * (n + 1) / 60); lens.draw(); spent.push(performance.now() - since);
              await new Promise((done) => requestAnimationFrame(done)); }
            return spent; }"""
            )
        assert page.complaints == []
    assert min(server_ms) + min(page_ms) <= 100, (server_ms, page_ms)
    assert median(frame_ms) <= 1000 / 30, frame_ms
