"""DLPAR: all or nothing, and undone when it cannot be all (what golden ppc64 does not reach)."""

from __future__ import annotations

import errno

import pytest

from elfcorehdr import profiles
from elfcorehdr.arch.powerpc.platforms.pseries.dlpar import Dlpar
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.lib.record import replace
from elfcorehdr.machine import Region


@pytest.fixture
def kernel() -> Kernel:
    """The mail's LPAR: boot memory can be removed, 32 LMBs more can be added."""
    return Kernel.boot(profiles.load("pseries-16g"))


def dlpar(kernel: Kernel) -> Dlpar:
    assert kernel.platform.dlpar is not None
    return kernel.platform.dlpar


def refused(kernel: Kernel, request: str) -> str:
    with pytest.raises(KernelError) as caught:
        dlpar(kernel).store(request)
    return errno.errorcode[caught.value.errno]


def texts(kernel: Kernel) -> list[str]:
    return [r.text for r in kernel.log]


def test_count_takes_the_first_that_go_and_passes_over_pinned_ones(kernel: Kernel) -> None:
    dlpar(kernel).store("memory remove count 2\n")
    gone = [n for n in range(64) if kernel.memory.block(n) is None]
    assert gone == [6, 7]  # 0 to 5: kernel, reservation and RTAS
    assert "pseries-hotplug-mem: Memory at 60000000 was hot-removed" in texts(kernel)


def test_a_count_that_cannot_be_met_puts_everything_back(kernel: Kernel) -> None:
    assert refused(kernel, "memory remove count 60") == "EINVAL"
    assert kernel.memory.count() == 64
    assert "pseries-hotplug-mem: Memory hot-remove failed, adding LMB's back" in texts(kernel)
    assert texts(kernel)[-1] == 'dlpar: Could not handle DLPAR request "memory remove count 60"'


def test_a_run_with_a_pinned_lmb_is_undone() -> None:
    machine = replace(profiles.load("pseries-16g"), pinned=(Region(0xA0000000, 0x1000),))
    kernel = Kernel.boot(machine)
    assert refused(kernel, "memory remove indexed-count 3 0x80000008") == "EINVAL"
    assert kernel.memory.count() == 64
    assert (
        "pseries-hotplug-mem: Memory indexed-count-remove failed, adding any removed LMBs"
        in texts(kernel)
    )


def test_added_lmbs_go_online_whatever_the_policy(kernel: Kernel) -> None:
    dlpar(kernel).store("memory add count 1")
    block = kernel.memory.block(64)
    assert block is not None
    assert block.online


def test_a_count_of_free_lmbs_is_checked_before_any_is_added(kernel: Kernel) -> None:
    assert refused(kernel, "memory add count 33") == "EINVAL"
    assert kernel.memory.count() == 64


def test_a_hypervisor_that_refuses_leaves_nothing_half_done(kernel: Kernel) -> None:
    dlpar(kernel).firmware.refuses = True
    assert refused(kernel, "memory add count 2") == "EINVAL"
    assert kernel.memory.count() == 64


def test_cpu_remove_takes_a_whole_core(kernel: Kernel) -> None:
    assert refused(kernel, "cpu remove index 0x10000000") == "EINVAL"  # the only one
    assert "pseries-hotplug-cpu: Failed to offline CPU PowerPC,POWER10, rc: -16" in texts(kernel)


def test_events_of_one_lmb_come_in_the_kernel_s_order(kernel: Kernel) -> None:
    dlpar(kernel).store("memory add index 0x80000040")
    dlpar(kernel).store("memory remove index 0x80000040")
    assert [str(e) for e in kernel.uevents.kept] == [
        f"{action}@/devices/system/memory/memory64"
        for action in ("add", "online", "offline", "remove")
    ]
