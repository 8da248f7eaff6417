"""elfcorehdr's face: its names are there, and cost nothing before they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import elfcorehdr


@pytest.mark.parametrize("name", elfcorehdr.__all__)
def test_each_name_is_that_of_the_file_it_comes_from(name: str):
    assert getattr(elfcorehdr, name).__name__ == name
    assert name in dir(elfcorehdr)


def test_the_package_alone_imports_nothing_of_ours():
    code = "import elfcorehdr, sys; print([m for m in sys.modules if m.startswith('elfcorehdr.')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_the_docstring_s_way_boots():
    kernel = elfcorehdr.Kernel.boot(elfcorehdr.load("pc-2g"))
    with pytest.raises(AttributeError, match="no attribute 'Kernels'"):
        _ = elfcorehdr.Kernels
    assert kernel.platform.name == "pc"
