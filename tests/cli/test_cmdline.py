"""Words of --cmdline that leave CPUs out are obeyed; those that would change memory are refused."""

from __future__ import annotations

import pytest

from elfcorehdr.errors import ProfileError
from fsmount.cli.boot import BootOptions, machine_of


@pytest.mark.parametrize(
    ("name", "cmdline", "possible", "online"),
    [
        ("pc-2g", "maxcpus=1", "0-7", "0"),
        ("pc-2g", "maxcpus=0", "0-7", "0"),
        ("pc-2g", "nr_cpus=1", "0", "0"),
        ("pc-2g", "nr_cpus=99", "0-7", "0-1"),
        ("pseries-16g", "nr_cpus=1", "0-7", "0-7"),  # whole cores
        ("powernv-32g", "nr_cpus=5 maxcpus=2", "0-7", "0-1"),
        ("arm64-virt-4g", "maxcpus=2", "0-3", "0-1"),
        ("arm64-virt-4g", "quiet", "0-3", "0-1"),
    ],
)
def test_cpus_that_the_command_line_leaves(
    name: str, cmdline: str, possible: str, online: str
) -> None:
    cpus = machine_of(BootOptions(machine=name, cmdline=cmdline)).cpus
    assert cpus.possible == possible
    assert (cpus.online or cpus.present or cpus.possible) == online


def test_a_number_on_the_command_line_is_of_the_cpus_that_are_asked_for() -> None:
    options = BootOptions(machine="pc-2g", cmdline="nr_cpus=3", cpus="64")
    assert machine_of(options).cpus.possible == "0-2"


@pytest.mark.parametrize(
    ("cmdline", "said"),
    [
        ("mem=1G", "--cmdline: 'mem=1G': not obeyed here, --memory says how much there is"),
        ("memmap=64M$1G", "--cmdline: 'memmap=64M$1G': not obeyed here"),
        ("nr_cpus=x", "--cmdline: 'nr_cpus=x', expected a number of CPUs"),
        ("maxcpus=", "--cmdline: 'maxcpus=', expected a number of CPUs"),
    ],
)
def test_what_is_not_obeyed_is_refused(cmdline: str, said: str) -> None:
    with pytest.raises(ProfileError, match="--cmdline") as caught:
        machine_of(BootOptions(machine="pc-2g", cmdline=cmdline))
    assert said in str(caught.value)


def test_what_the_machine_says_itself_was_obeyed_when_it_was_captured() -> None:
    options = BootOptions(machine="arm64-virt-4g")
    own = machine_of(options)
    again = machine_of(BootOptions(machine="arm64-virt-4g", cmdline=own.cmdline))
    assert again.cpus == own.cpus
