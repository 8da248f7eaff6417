"""The facts of each architecture."""

from __future__ import annotations

from printer.layout.arches import ARCHES


def test_register_names_fill_the_note_of_each_architecture():
    # 24 bytes of heads, 8 of name, 112 + registers + pr_fpvalid rounded up to 8 (kernel.md 2.4's
    # struct elf_prstatus, include/linux/elfcore.h).
    for arch in ARCHES:
        assert arch.note_size == 24 + 8 + 112 + 8 * len(arch.registers) + 8
