"""`kdumpfs web` without a browser: who is answered, what a write says, lines that do the same, the one file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from elfcorehdr.errors import ProfileError
from kdumpfs.testing import machine
from kdumpfs.testing.machine import options_of
from kdumpfs.web.files import Here
from kdumpfs.web.lines import line_of, write_of
from kdumpfs.web.steps import Session
from tests.kdumpfs.web_server import Server, serving

STATE = "/sys/devices/system/memory/memory30/state"


@pytest.fixture(scope="module")
def server():
    with serving("--load") as running:
        yield running


def test_nothing_but_127_0_0_1_is_listened_on(server: Server):
    ports = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=False).stdout
    port = server.host.rpartition(":")[2]
    here = [line.split()[3] for line in ports.splitlines() if line.split()[3].endswith(f":{port}")]
    assert here == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize("token", ["", "x" * 43, "..", "static"])
def test_without_the_token_nothing_is_answered(server: Server, token: str):
    for path in ("", "events", "file?path=/", "page/main.js"):
        status, said = server.ask(path, token=token)
        assert (status, said) == (403, "no token: open the address that kdumpfs web printed\n")


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Origin": "http://evil.example"}, "asked by a page of another origin"),
        ({"Origin": "null"}, "asked by a page of another origin"),
        ({"Origin": "-"}, "a write without an Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "asked by a page of another site"),
        ({"Sec-Fetch-Site": "same-site"}, "asked by a page of another site"),
        ({"Content-Type": "text/plain"}, "a write that is not application/json"),
        ({"Host": "evil.example"}, "another host's name"),
    ],
)
def test_a_write_from_elsewhere_changes_nothing_even_with_the_token(
    server: Server, headers: dict[str, str], why: str
):
    status, said = server.ask("write", {"path": STATE, "text": "offline\n"}, headers)
    assert (status, said) == (403, why + "\n")
    assert json.loads(server.ask(f"file?path={STATE}")[1])["text"] == "online\n"


def test_of_all_addresses_numbers_are_answered_and_names_are_not():
    with serving("--bind", "0.0.0.0") as everywhere:
        port = everywhere.host.rpartition(":")[2]
        local = Server(f"http://127.0.0.1:{port}/{everywhere.token}/")
        assert local.ask("file?path=/sys")[0] == 200
        assert local.ask("file?path=/sys", headers={"Host": f"127.0.0.2:{port}"})[0] == 200
        assert local.ask("file?path=/sys", headers={"Host": f"rebound.example:{port}"})[0] == 403


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["/nowhere"], "/nowhere: no kdumpfs is mounted here"),
        (["--beside", "7.1", "/nowhere"], "--beside and DIR"),
        (["--bind", "192.0.2.1"], "192.0.2.1 port 0: Cannot assign requested address"),
        (["--do", "rm -rf /"], "--do 'rm -rf /'"),
        (["-o", "/nowhere/demo.html"], "/nowhere/demo.html: No such file or directory"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(words: list[str], why: str):
    done = subprocess.run(
        [sys.executable, "-m", "kdumpfs", "web", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_mounted_machine_that_dies_is_shown_dead(kdump_mount):
    mount = kdump_mount()
    with serving(str(mount.path)) as server:
        assert server.write("/proc/sysrq-trigger", "c\n") == [""]
        told = server.ask("demo.html")[1]
        assert '"dead": "sysrq triggered crash"' in told
        (outcome,) = server.write("/sys/kernel/kexec/loaded", "1\n")
        # A file that is read-only is so to an ordinary user before anybody is asked.
        why = "Permission denied" if os.geteuid() else "Input/output error"
        assert outcome == f"bash: sys/kernel/kexec/loaded: {why}"


def test_the_page_saves_its_steps_as_one_file(server: Server):
    server.write("/sys/devices/system/memory/memory33/state", "offline\n")
    status, saved = server.ask("demo.html")
    assert status == 200
    assert "memory33/state" in saved
    assert server.token not in saved


def test_a_page_of_another_host_s_name_reads_nothing(server: Server):
    assert server.ask("file?path=/", headers={"Host": "rebound.example"})[0] == 403


def test_a_write_gets_the_errno_as_the_shell_says_it(server: Server):
    block = "/sys/devices/system/memory/memory31/state"
    assert server.write(block, "offline\n") == [""]
    assert server.write(block, "offline\n") == ["bash: echo: write error: Invalid argument"]
    assert server.write("/sys/kernel/kexec/loaded", "1\n") == [
        "bash: sys/kernel/kexec/loaded: Permission denied"
    ]
    assert server.write("/sys/kernel/none", "1\n") == ["bash: sys/kernel/none: Permission denied"]
    assert server.write(block, "online\n") == [""]


@pytest.mark.parametrize("path", ["/dev/kmsg", "/proc/kcore", "/proc/iomem"])
def test_a_file_that_waits_or_is_large_is_shown_in_part(server: Server, path: str):
    status, said = server.ask(f"file?path={path}")
    assert status == 200
    assert len(said) < 1 << 20
    assert json.loads(said).get("text") or "Permission" in said


@pytest.mark.parametrize("body", [[], {"path": 1, "text": ""}, {"path": "/"}, "x"])
def test_a_body_that_is_no_write_is_refused(server: Server, body: object):
    assert server.ask("write", body)[0] == 400


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("/sys/a/state", "offline\n", "echo offline > sys/a/state"),
        ("/sys/kernel/dlpar", "memory add count 1\n", "echo 'memory add count 1' > sys/kernel/dlpar"),
        ("/sys/a", "x", "printf %s x > sys/a"),
        ("/control/load", "{}", "kdumpfs load ."),
        ("/control/plug", '{"memory": null, "size": 1073741824}', "kdumpfs plug . memory 0x40000000"),
        ("/control/plug", '{"memory": 4294967296, "size": 4096}', "kdumpfs plug --at 0x100000000 . memory 0x1000"),
        ("/control/plug", '{"cpu": 1}', "kdumpfs plug . cpu 1"),
        ("/control/unplug", '{"memory": 4096, "size": 4096}', "kdumpfs unplug . memory 0x1000 0x1000"),
        ("/control/crash", "{}", "kdumpfs crash ."),
        ("/control/reload", "{}", "kdumpfs reload ."),
    ],
)  # fmt: skip
def test_what_is_clicked_is_a_line_that_does_the_same(path: str, text: str, line: str):
    assert line_of(path, text) == line
    again, same = write_of(line)
    assert again.strip("/") == path.strip("/")
    assert (json.loads(same) == json.loads(text)) if "control" in path else same == text


@pytest.mark.parametrize("line", ["rm -rf /", "echo x", "kdumpfs plug . memory", "echo 'x > y", "kdumpfs mount x"])  # fmt: skip
def test_another_line_is_refused(line: str):
    with pytest.raises(ProfileError, match="--do"):
        write_of(line)


def test_two_kernels_get_the_same_events_and_keep_their_own_headers():
    both = [(k, Here(options_of(kernel=k, load=True))) for k in ("7.0", "7.1")]
    session = Session(both)
    step = session.write(STATE, "offline\n")
    sides = step["sides"]
    assert [side["outcome"] for side in sides] == ["", ""]
    rules = [{one["rule"] for one in side["state"]["header"]["findings"]} for side in sides]
    assert ["backup-offset-zero" in one for one in rules] == [True, False]
    assert all([event for _, event in side["uevents"]] == ["offline@/devices/system/memory/memory30"] for side in sides)  # fmt: skip
    assert session.difference(1, 0, 1).startswith("256 MiB at 0x1e0000000 removed")
    script = session.transcript().splitlines()
    assert script[0] == "#!/bin/sh"
    assert script[2:] == ["echo offline > sys/devices/system/memory/memory30/state"]


def test_the_picture_is_what_the_files_say():
    kernel = machine("pseries-16g", load=True)
    kernel.write(STATE, "offline")
    picture = json.loads(kernel.read("/control/picture"))
    states = {first + n: code for first, count, code in picture["blocks"] for n in range(count)}
    names = [name for name in kernel.names("/sys/devices/system/memory") if name[6:].isdigit()]
    assert sorted(states) == sorted(int(name[6:]) for name in names)
    for n, code in states.items():
        said = kernel.read(f"/sys/devices/system/memory/memory{n}/state").strip()
        assert said == {1: "offline", 2: "online", 3: "online"}[code]
    online = [first + n for first, count, on, _ in picture["cpus"] for n in range(count) if on == 2]
    assert kernel.read("/sys/devices/system/cpu/online").strip() == f"0-{len(online) - 1}"


def test_the_picture_of_262_144_blocks_is_a_few_lines():
    kernel = machine("pseries-64t")
    assert len(kernel.read("/control/picture")) < 4096


def test_the_log_of_a_capture_kernel_is_told_from_its_first_line():
    session = Session([("one", Here(options_of("pc-2g", load=True)))])
    told = session.write("/proc/sysrq-trigger", "c\n")["sides"][0]
    assert told["state"]["captured"]
    assert told["log"][0][0] == 0
    assert told["log"][0][3].startswith("Linux version")


def test_what_happens_without_the_page_is_a_step_too():
    here = Here(options_of(load=True))
    session = Session([("one", here)])
    assert session.look() is None
    here.write("/sys/devices/system/cpu/cpu3/online", "0")
    step = session.look()
    assert step is not None
    assert step["line"] == "# from outside this page"
    assert session.look() is None


def test_one_file_is_written_without_a_server_and_asks_nobody(tmp_path: Path):
    out = tmp_path / "demo.html"
    line = "echo offline > sys/devices/system/memory/memory30/state"
    words = ["web", "--load", "--kernel", "7.0", "--beside", "7.1", "--do", line, "-o", str(out)]
    subprocess.run([sys.executable, "-m", "kdumpfs", *words], check=True)
    text = out.read_text("utf-8")
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert line.replace(">", "\\u003e") in text or line in text
