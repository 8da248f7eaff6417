"""The machine around a header: /proc/iomem, machines, captured cases."""

from __future__ import annotations

import pytest

from elfcorehdr.errors import ProfileError
from elfcorehdr.lib.ranges import Range
from printer import check, read_iomem


def found(core, machine=None):
    return [(f.rule.id, f.row) for f in check(core, machine)]


def test_iomem_gives_system_ram_and_crashkernel(tmp_path):
    path = tmp_path / "iomem"
    path.write_text(
        "00001000-0009fbff : System RAM\n"
        "00100000-7ffdffff : System RAM\n"
        "  01000000-01e00000 : Kernel code\n"
        "  6e000000-7dffffff : Crash kernel\n"
        "  70000000-70ffffff : System RAM\n"
        "100000000-10fffffff : Device\n"
        "  100000000-10fffffff : System RAM (virtio_mem)\n"
    )
    machine = read_iomem(str(path))
    assert machine.memory == (
        Range(0x1000, 0x9FBFF),
        Range(0x100000, 0x7FFDFFFF),
        Range(0x100000000, 0x10FFFFFFF),
    )
    assert machine.crashkernel == (Range(0x6E000000, 0x7DFFFFFF),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line with System RAM"),
        ("00000000-00000000 : System RAM\n", "only root is shown"),
        ("2000-1000 : System RAM\n", "ends before it begins"),
    ],
)
def test_wrong_iomem_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "iomem"
    path.write_text(text)
    with pytest.raises(ProfileError, match=message):
        read_iomem(str(path))
