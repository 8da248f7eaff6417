"""Platforms: which an architecture has, and what their firmware does not do."""

from __future__ import annotations

import errno

import pytest

from elfcorehdr import profiles
from elfcorehdr.errors import KernelError, ProfileError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import replace


@pytest.mark.parametrize(
    ("machine", "first"),
    [
        ("pseries-4g", "pseries"),
        ("pc-2g", "pc"),
        ("arm64-virt-4g", "virt"),
        ("riscv64-virt-2g", "virt"),
    ],
)
def test_a_machine_that_does_not_say_has_its_architecture_s_first(machine: str, first: str):
    kernel = Kernel.boot(replace(profiles.load(machine), platform=""))
    assert kernel.platform.name == first


def test_an_unknown_platform_is_refused_with_those_of_the_architecture():
    machine = replace(profiles.load("pseries-4g"), platform="pc")
    with pytest.raises(ProfileError) as refused:
        Kernel.boot(machine)
    assert str(refused.value) == "platform 'pc': expected one of powernv, pseries for arch 'ppc64'"


def test_powernv_has_no_hypervisor_that_plugs():
    platform = Kernel.boot(profiles.load("powernv-32g")).platform
    size = 1 << 30
    start = platform.next_free_memory(size)
    for call in (
        lambda: platform.plug_memory(start, size),
        lambda: platform.unplug_memory(0, size),
        lambda: platform.plug_cpu(0),
        lambda: platform.unplug_cpu(1),
    ):
        with pytest.raises(KernelError) as refused:
            call()
        assert refused.value.errno == errno.EOPNOTSUPP
    assert platform.dlpar is None
