"""Memory blocks: states, zones, vetoes, and the order of notifier, log and uevent."""

from __future__ import annotations

import errno

import pytest

from elfcorehdr import profiles
from elfcorehdr.drivers.base.memory import MemoryBlock, MemState, OnlineType
from elfcorehdr.errors import KernelError
from elfcorehdr.init.main import Kernel
from elfcorehdr.kernel.notifier import MemAction, MemoryNotify


@pytest.fixture
def kernel() -> Kernel:
    return Kernel.boot(profiles.load("pseries-4g"))


def block(kernel: Kernel, n: int) -> MemoryBlock:
    found = kernel.memory.block(n)
    assert found is not None
    return found


def code_of(call: object) -> str:
    with pytest.raises(KernelError) as caught:
        call()  # type: ignore[operator]
    return errno.errorcode[caught.value.errno]


@pytest.mark.parametrize("n", [0, 2, 3, 15])
def test_blocks_that_hold_something_of_the_kernel_stay_online(kernel: Kernel, n: int) -> None:
    # 0: the kernel; 2, 3: the reservation and RTAS; 15: the crash notes
    assert code_of(lambda: kernel.memory_hotplug.offline(block(kernel, n))) == "EBUSY"
    assert block(kernel, n).online
    assert [r.text for r in kernel.log][-1] == "page dumped because: unmovable page"


def test_the_notifiers_hear_every_phase_before_state_and_uevent_change(kernel: Kernel) -> None:
    heard: list[tuple[MemAction, MemState, int]] = []

    def listener(action: MemAction, notify: MemoryNotify) -> None:
        heard.append((action, block(kernel, 8).state, kernel.uevents.seqnum))

    kernel.memory_chain.register(listener)
    kernel.memory_hotplug.offline(block(kernel, 8))
    kernel.memory_hotplug.online(block(kernel, 8), OnlineType.ONLINE)
    assert heard == [
        (MemAction.GOING_OFFLINE, MemState.GOING_OFFLINE, 0),
        (MemAction.OFFLINE, MemState.GOING_OFFLINE, 0),
        (MemAction.GOING_ONLINE, MemState.OFFLINE, 1),
        (MemAction.ONLINE, MemState.OFFLINE, 1),
    ]
    assert [str(e) for e in kernel.uevents.kept] == [
        "offline@/devices/system/memory/memory8",
        "online@/devices/system/memory/memory8",
    ]


@pytest.mark.parametrize(
    ("action", "start_offline"),
    [(MemAction.GOING_OFFLINE, False), (MemAction.GOING_ONLINE, True)],
)
def test_an_injected_error_vetoes_and_leaves_the_block_as_it_was(
    kernel: Kernel, action: MemAction, start_offline: bool
) -> None:
    if start_offline:
        kernel.memory_hotplug.offline(block(kernel, 8))
    before = block(kernel, 8).state
    kernel.memory_errors.set(action, -12)
    if start_offline:
        assert (
            code_of(lambda: kernel.memory_hotplug.online(block(kernel, 8), OnlineType.ONLINE))
            == "ENOMEM"
        )
    else:
        assert code_of(lambda: kernel.memory_hotplug.offline(block(kernel, 8))) == "ENOMEM"
    assert block(kernel, 8).state is before
    assert f"Injecting error (-12) to {action.value}" in [r.text for r in kernel.log]


def test_zones_of_a_block_follow_where_it_was_put(kernel: Kernel) -> None:
    b = block(kernel, 8)
    zones = kernel.memory_hotplug.valid_zones
    assert zones(b) == "Normal"
    kernel.memory_hotplug.offline(b)
    assert zones(b) == "Normal Movable"
    kernel.memory_hotplug.online(b, OnlineType.ONLINE_MOVABLE)
    assert zones(b) == "Movable"
    kernel.memory_hotplug.offline(b)
    assert zones(b) == "Normal Movable"  # Normal still reaches over it


def test_the_policy_decides_the_zone_of_new_blocks(kernel: Kernel) -> None:
    kernel.memory_hotplug.auto_online = OnlineType.ONLINE_MOVABLE
    kernel.platform.plug_memory(0x100000000, 0x10000000)
    assert kernel.memory_hotplug.valid_zones(block(kernel, 16)) == "Movable"


def test_removed_memory_is_gone_from_every_list(kernel: Kernel) -> None:
    kernel.platform.plug_memory(0x100000000, 0x20000000)
    seq = kernel.names_seq
    kernel.platform.unplug_memory(0x100000000, 0x20000000)
    assert kernel.memory.block(16) is None
    assert kernel.memblock.end_of_dram() == 0x100000000
    assert kernel.names_seq > seq
    assert [str(e).split("/")[0] for e in kernel.uevents.kept] == [
        *("add@", "online@") * 2,
        *("offline@", "remove@") * 2,
    ]


@pytest.mark.parametrize(
    ("address", "code"), [(0x10000, "EINVAL"), (0, "EEXIST"), (1 << 60, "E2BIG")]
)
def test_probe_refuses_what_is_no_new_block(kernel: Kernel, address: int, code: str) -> None:
    assert code_of(lambda: kernel.memory_hotplug.probe(address)) == code


def test_removing_online_memory_is_ebusy_and_says_so(kernel: Kernel) -> None:
    assert code_of(lambda: kernel.memory_hotplug.remove(0x80000000, 0x10000000)) == "EBUSY"
    assert "is onlined" in [r.text for r in kernel.log][-1]
