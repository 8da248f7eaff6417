"""`kdumpfs machines`, `kernels`, `changes`, `crashkernel`: what is answered without a mount."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from elfcorehdr import profiles
from elfcorehdr.errors import ProfileError
from elfcorehdr.machine.quick import Quick, quick, with_cmdline
from elfcorehdr.machine.reader import from_toml
from elfcorehdr.machine.writer import to_toml
from fsmount.cli.boot import BootOptions, boot
from fsmount.cli.commands import kdumpfs


def said(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(kdumpfs, words)
    assert result.exit_code == status, result.output
    return result.output


def test_a_table_tells_what_each_string_reserves_on_each_kernel() -> None:
    text = said("crashkernel", "-m", "pc-2g", "--kernel", "6.1,7.3", "256M", "4G")
    assert text.splitlines() == [
        "machine  kernel  crashkernel  reserved",
        "pc-2g    6.1.0   256M         256M at 0x6e000000",
        "    Reserving 256MB of memory at 1760MB for crashkernel (System RAM: 2047MB)",
        "pc-2g    6.1.0   4G           nothing",
        "    crashkernel reservation failed - No suitable area found.",
        "    (0x100000000 bytes fit nowhere: the largest free place has 0x7a7b0000, at 0x4430000)",
        "pc-2g    7.3.0   256M         256M at 0x6e000000",
        "    crashkernel reserved: 0x000000006e000000 - 0x000000007e000000 (256 MB)",
        "pc-2g    7.3.0   4G           nothing",
        "    (0x100000000 bytes are not less than the 0x7ff7ec00 of memory)",
    ]


def test_the_same_as_json_with_the_machine_s_own_kernel() -> None:
    rows = json.loads(said("crashkernel", "-m", "pc-numa2-6g", "--json", "512M,high"))
    assert rows == [
        {
            "machine": "pc-numa2-6g",
            "arch": "x86_64",
            "kernel": "7.3.4",
            "crashkernel": "crashkernel=512M,high",
            "reserved": [
                {
                    "kind": "crashk_res",
                    "start": "0x19f000000",
                    "end": "0x1beffffff",
                    "size": "0x20000000",
                },
                {
                    "kind": "crashk_low_res",
                    "start": "0xae000000",
                    "end": "0xbdffffff",
                    "size": "0x10000000",
                },
            ],
            "log": [
                "crashkernel low memory reserved: 0xae000000 - 0xbe000000 (256 MB)",
                "crashkernel reserved: 0x000000019f000000 - 0x00000001bf000000 (512 MB)",
            ],
            "nothing": None,
        }
    ]


def test_several_words_are_one_string_and_sizes_may_be_other() -> None:
    words = "crashkernel=512M,high crashkernel=0,low"
    (row,) = json.loads(said("crashkernel", "-m", "pc-2g", "--memory", "8G", "--json", words))
    assert row["crashkernel"] == words
    assert [r["kind"] for r in row["reserved"]] == ["crashk_res"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("-m", "pc-2g,", "1G"), "expected names with a comma between them"),
        (("-m", "pc-2h", "1G"), "did you mean pc-2g?"),
        (("--kernel", "99.9", "1G"), "newer than anything known here"),
        (("--memory", "x", "1G"), "--memory: 'x', expected a size such as 48G"),
        (("x" * 3000,), "--cmdline: "),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_sentence(
    words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in said("crashkernel", *words, status=2)


def test_lists_are_there_as_json() -> None:
    machines = json.loads(said("machines", "--json"))
    assert [m["name"] for m in machines] == profiles.names()
    kernels = {row["version"]: row for row in json.loads(said("kernels", "--json"))}
    assert kernels["7.1"]["default"]
    assert "iomem-crash-row-ppc64" in kernels["6.17"]["changes"]
    assert "iomem-crash-row-ppc64" not in kernels["6.18"]["changes"]
    rows = json.loads(said("changes", "--json"))
    assert json.loads(said("changes", "--json", rows[0]["name"])) == rows[0]
    assert {row["name"]: row for row in rows}["iomem-crash-row-ppc64"]["until"] == "6.18"


def test_a_change_that_ended_is_taken_away_in_the_list() -> None:
    text = said("kernels")
    assert "    + iomem-crash-row-ppc64" in text
    assert "    - iomem-crash-row-ppc64" in text


# quick machines


@pytest.mark.parametrize("name", profiles.names())
def test_a_machine_survives_being_written_and_read(name: str) -> None:
    machine = profiles.load(name)
    assert from_toml(to_toml(machine), "x.toml") == machine


@pytest.mark.parametrize("name", profiles.names())
def test_any_shipped_machine_can_be_of_another_size(name: str) -> None:
    wanted = Quick(memory="48G", cpus="64", threads="2", nodes="4")
    machine = quick(profiles.load(name), wanted)
    assert from_toml(to_toml(machine), "x.toml") == machine
    assert len(machine.possible_cpus) == 64
    kernel, _ = boot(BootOptions(machine=name, memory="48G", cpus="64", threads="2", nodes="4"))
    assert kernel.machine.cpus.threads == 2
    assert kernel.nodes.ids() == [0, 1, 2, 3]
    assert 0 <= (48 << 30) - kernel.memblock.total() < 2 << 20
    assert [kernel.cpus.node_of(n) for n in (0, 16, 32, 63)] == [0, 1, 2, 3]
    assert kernel.kexec.crash_size() > 0


def test_resolved_prints_a_file_that_boots(tmp_path: Path) -> None:
    text = said("machines", "--resolved", "pseries-16g", "--memory", "32G", "--page-size", "4K")
    (tmp_path / "x.toml").write_text(text)
    machine = profiles.load(str(tmp_path / "x.toml"))
    assert (machine.memory[0].size, machine.page_size) == (32 << 30, 4096)
    assert machine.source.endswith("; changed: --memory 32G --page-size 4K")


@pytest.mark.parametrize(
    ("name", "wanted", "sentence"),
    [
        ("pseries-16g", Quick(memory="100M"), "--memory: 100M, expected a multiple of 256M"),
        ("pseries-16g", Quick(memory="5G", nodes="3"), "a multiple of 256M for each of 3 nodes"),
        ("pseries-16g", Quick(memory="0"), "--memory: '0', expected a size such as 48G, above 0"),
        ("pseries-16g", Quick(cpus="3"), "--cpus: 3, expected a multiple of 8 threads"),
        ("pseries-16g", Quick(cpus="-1"), "--cpus: '-1', expected a number from 1 to"),
        ("pseries-16g", Quick(cpus="9999"), "--cpus: 9999, expected a multiple of 8 threads"),
        ("pseries-16g", Quick(cpus="8000"), "below 2048 (CONFIG_NR_CPUS)"),
        ("pseries-16g", Quick(nodes="999"), "--nodes: 999, expected at most 256 on ppc64"),
        ("pseries-16g", Quick(page_size="8K"), "page_size: 8192, expected 4096 or 65536"),
        (
            "pc-2g",
            Quick(block_size="3M"),
            "--block-size: 3M, expected a power of two from 128M to 2G on x86_64",
        ),
        ("arm64-virt-4g", Quick(block_size="1G"), "--block-size: 1G, expected 128M on arm64"),
        ("pseries-16g", Quick(threads="3"), "--threads: 3, expected one of 1, 2, 4, 8 on ppc64"),
        (
            "pc-2g",
            Quick(nodes="300"),
            "--nodes: 300, expected that 2G of memory are a multiple of 128M for each of 300",
        ),
        ("pc-2g", Quick(threads="8", cpus="8"), "--threads: 8, expected one of 1, 2 on x86_64"),
        ("powernv-32g", Quick(memory="512M"), "opal: 0x30000000 + 0x1c10000, expected a place"),
    ],
)
def test_a_size_that_cannot_be_is_refused_with_the_option(
    name: str, wanted: Quick, sentence: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        quick(profiles.load(name), wanted)
    assert sentence in str(caught.value)


def test_a_command_line_that_no_kernel_takes_is_refused() -> None:
    machine = profiles.load("pc-2g")
    for cmdline, sentence in (("x" * 2048, "at most 2047"), ("a\nb", "text of one line")):
        with pytest.raises(ProfileError, match=sentence):
            with_cmdline(machine, cmdline)


@pytest.mark.parametrize(
    ("cmdline", "size"),
    [("crashkernel=128M", 128 << 20), ("quiet", 0), ("quiet crashkernel=256M", 256 << 20)],
)
def test_the_command_line_decides_what_is_reserved(cmdline: str, size: int) -> None:
    kernel, _ = boot(BootOptions(machine="pc-2g", cmdline=cmdline))
    assert kernel.kexec.crash_size() == size


def test_a_load_without_a_reservation_says_why() -> None:
    for cmdline, why in (
        ("quiet", "there is no crashkernel= on the command line"),
        ("crashkernel=1T", "are not less than the"),
    ):
        with pytest.raises(ProfileError, match=why):
            boot(BootOptions(machine="pc-2g", cmdline=cmdline, load=True))


def test_another_command_line_is_written_with_what_the_reservation_is_pinned_for() -> None:
    machine = with_cmdline(profiles.load("pc-2g"), "quiet")
    assert machine.pinned_for == "crashkernel=256M"
    assert from_toml(to_toml(machine), "x.toml") == machine
    plain = with_cmdline(profiles.load("pseries-16g"), "quiet")
    assert from_toml(to_toml(plain), "x.toml") == plain
