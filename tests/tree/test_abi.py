"""Documentation/ABI text from docstrings."""

from __future__ import annotations

from fsmount.devfs.kmsg import dev
from fsmount.tree.abi import abi_text
from fsmount.tree.kobject import AttributeGroup, Kset, Link, singleton
from tests.counters import DECLARATIONS


def test_entry_has_path_access_and_description():
    assert abi_text(DECLARATIONS, "/sys/kernel/text/") == (
        "What:\t\t/sys/kernel/text/length\n"
        "Access:\t\tR (0444)\n"
        "Description:\n"
        "\t\tNumber of characters of the text.\n"
        "\n"
        "What:\t\t/sys/kernel/text/text\n"
        "Access:\t\tRW (0644)\n"
        "Description:\n"
        "\t\tThe text.\n"
        "\n"
        "\t\tAnything but `no` becomes the text.\n"
    )


def test_objects_and_links_and_files_of_their_own():
    blocks = Kset(names=lambda _: (), lookup=lambda _, name: None, count=lambda _: 0)
    group = AttributeGroup("devices/system/memory/memory*", blocks, doc="A memory block.")
    link = Link("bus/x", singleton, "devices", doc="A link.")
    text = abi_text([link, group, dev])
    whats = [line for line in text.splitlines() if line.startswith(("What", "Access"))]
    assert whats == [
        "What:\t\t/dev/kmsg",
        "Access:\t\tRW (0644)",
        "What:\t\t/sys/bus/x",
        "Access:\t\tlink",
        "What:\t\t/sys/devices/system/memory/memoryX",
        "Access:\t\tdirectory",
    ]
