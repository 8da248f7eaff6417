"""Machine descriptions: what is wrong is said in one sentence with file, place, value, expectation."""

from __future__ import annotations

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.machine import Machine

GOOD = """
name = "x"
source = "this test"
arch = "ppc64"
page_size = 0x10000
[[memory]]
start = 0
size = 0x100000000
[cpus]
possible = "0-3"
"""


def test_a_short_description_boots() -> None:
    kernel = Kernel.boot(Machine.from_toml(GOOD, "x.toml"))
    assert kernel.memory.count() == 16


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'source = "this test"',
            "",
            "x.toml: key 'source' is missing: say where the numbers come from",
        ),
        (
            "page_size = 0x10000",
            "page_size = 5",
            "x.toml: page_size: 5, expected 4096, 16384 or 65536",
        ),
        (
            "size = 0x100000000",
            'size = "4G"',
            "x.toml: memory[0].size: '4G', expected a number, 0 or more",
        ),
        (
            "size = 0x100000000",
            "size = 3",
            "x.toml: memory[0]: 0x0 + 0x3, expected whole pages, not empty",
        ),
        (
            'possible = "0-3"',
            'possible = "a"',
            "x.toml: cpus.possible: 'a', expected a CPU list such as 0-3,6",
        ),
        ('arch = "ppc64"', "", "x.toml: key 'arch' is missing"),
        ("[cpus]", "[cpu]", "x.toml: cpu: unknown key, expected one of arch,"),
        ('name = "x"', "name = ", "x.toml: not TOML: Invalid value"),
    ],
)
def test_wrong_input_is_one_sentence(old: str, new: str, sentence: str) -> None:
    with pytest.raises(ProfileError) as caught:
        Machine.from_toml(GOOD.replace(old, new), "x.toml")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_machine_boots_and_says_where_it_comes_from(name: str) -> None:
    machine = profiles.load(name)
    assert machine.name == name
    assert len(machine.source) > 20
    assert Kernel.boot(machine).kexec.crash_size() > 0


def test_an_unknown_machine_names_the_near_one() -> None:
    with pytest.raises(ProfileError, match=r"did you mean pseries-16g\?"):
        profiles.load("pseries-16")


def test_s390x_and_unknown_architectures_are_refused_with_a_sentence() -> None:
    for arch, sentence in (("s390x", "makes its own header"), ("vax", "expected one of")):
        machine = Machine.from_toml(GOOD.replace("ppc64", arch), "x.toml")
        with pytest.raises(ProfileError, match=sentence):
            Kernel.boot(machine)
