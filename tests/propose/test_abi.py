"""Documentation/ABI text from docstrings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsmount.cli.commands import kdumpfs
from fsmount.devfs.kmsg import dev
from fsmount.propose.abi import abi_text
from fsmount.tree.kobject import AttributeGroup, Kset, Link, singleton
from tests.counters import DECLARATIONS
from tests.propose.kernel import abi_script

TORTURE = Path(__file__).with_name("torture.py")

BLOCKS = Kset(names=lambda _: (), lookup=lambda _, name: None, count=lambda _: 0)


def whats(text):
    return [line.split()[1] for line in text.splitlines() if line.startswith("What:")]


def test_entry_has_path_access_and_description_of_reading_and_writing():
    assert abi_text(DECLARATIONS, "/sys/kernel/text/") == (
        "What:\t\t/sys/kernel/text/length\n"
        "Description:\n"
        "\t\t(RO) Number of characters of the text.\n"
        "\n"
        "What:\t\t/sys/kernel/text/text\n"
        "Description:\n"
        "\t\t(RW) The text.\n"
        "\n"
        "\t\tWriting: Anything but `no` becomes the text.\n"
    )


def test_a_store_that_is_declared_first_is_told_last():
    group = AttributeGroup("x", singleton)
    group.add("y", store=lambda _, buf: None, doc="The new one.")
    group.add("y", show=lambda _: "", doc="The old one.")
    assert "(RW) The old one.\n\n\t\tWriting: The new one.\n" in abi_text([group])


def test_fields_at_the_end_of_a_docstring_and_of_its_module():
    group = AttributeGroup("x", singleton)
    group.add("y", show=lambda _: "", doc="What it is.\n\nDate: Mar 2026\nUsers: kexec-tools")
    fields = {"Date": "Jan 2026", "KernelVersion": "7.2", "Contact": "A B <a@b.c>"}
    assert abi_text([], of=[(group, fields)]) == (
        "What:\t\t/sys/x/y\n"
        "Date:\t\tMar 2026\n"
        "KernelVersion:\t7.2\n"
        "Contact:\tA B <a@b.c>\n"
        "Description:\n"
        "\t\t(RO) What it is.\n"
        "Users:\t\tkexec-tools\n"
    )


def test_objects_and_links_and_files_of_their_own():
    group = AttributeGroup("devices/system/memory/memory*", BLOCKS, doc="A memory block.")
    rows = AttributeGroup("rows/*", BLOCKS, doc="A row.")
    link = Link("bus/x", singleton, "devices", doc="A link.")
    text = abi_text([link, group, dev, rows])
    assert whats(text) == [
        "/dev/kmsg",
        "/sys/bus/x",
        "/sys/devices/system/memory/memoryX",
        "/sys/rows/<N>",
    ]
    assert "(link) A link." in text
    assert "(directory) A memory block." in text


def test_a_mode_that_is_not_the_usual_one_is_told():
    group = AttributeGroup("x", singleton)
    group.add("y", show=lambda _: "", mode=0o400, doc="Secret.")
    assert "(RO, mode 0400) Secret." in abi_text([group])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/sys/m/memory30/state", 1),
        ("/sys/m/memoryX/state", 1),
        ("sys/m/memory30", 1),
        ("/sys/m/mem", 0),
        ("/sys/m/memory30/stat", 0),
        ("/sys/m/memory30/state/x", 0),
        ("", 1),
    ],
)
def test_a_path_is_found_by_whole_names_and_an_object_by_its_own(path, found):
    group = AttributeGroup("m/memory*", BLOCKS)
    group.add("state", show=lambda _: "", doc="Its state.")
    assert len(whats(abi_text([group], path))) == found


def test_a_file_in_place_of_another_is_there_once():
    one, other = AttributeGroup("x", singleton), AttributeGroup("x", singleton)
    one.add("y", show=lambda _: "", doc="The kernel's.")
    other.add("y", show=lambda _: "", doc="Mine.")
    text = abi_text([one], of=[(other, {})])
    assert whats(text) == ["/sys/x/y"]
    assert "Mine." in text


@pytest.mark.apt
def test_the_kernel_s_own_script_accepts_it(tmp_path):
    examples = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
    modules = [word for path in (TORTURE, *examples) for word in ("--module", str(path))]
    place = tmp_path / "Documentation/ABI/testing"
    place.mkdir(parents=True)
    done = CliRunner().invoke(kdumpfs, ["abi", *modules])
    assert done.exit_code == 0, done.output
    (place / "sysfs-kernel-ours").write_text(done.stdout)

    def script(*words):
        return subprocess.run(
            [sys.executable, "-B", abi_script(), "--dir", place.parent, *words],
            capture_output=True,
            text=True,
            check=False,
        )

    valid = script("validate")
    assert (valid.returncode, valid.stdout, valid.stderr) == (0, "", "")
    found = script("search", "p_offset").stdout
    assert "/sys/kernel/kexec/crash_elfcorehdr/<N>/p_offset" in found
    assert "kexec@lists.infradead.org" in found
    shown = script("rest", "--raw").stdout
    assert shown.count("Defined on file") == done.stdout.count("What:")
    (place / "wrong").write_text("What:\t\t/sys/x\nAccess:\t\tR\n")
    assert "wrong:2: tag 'what' is invalid" in script("validate").stderr
