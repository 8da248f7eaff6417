"""The debugger's side: a call of a guest, from the stop to the result, with a gdbstub that is not qemu's."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import pytest

from elfcorehdr.errors import KernelError
from fsmount.foreign.gdb import MOST_BYTES, Gdb, Gone, connect
from fsmount.foreign.guests import GUESTS, Guest
from fsmount.foreign.tracer import Traced

MEMORY = 0x10000
PC = MEMORY + 0x104


class Stub:
    """A stopped program at the other end: 64 KiB of memory, registers, what it was asked."""

    def __init__(self, guest: Guest, instruction: bytes = b"") -> None:
        self.guest = guest
        self.memory = bytearray(0x10000)
        self.memory[PC - 4 - MEMORY : PC - MEMORY] = instruction or bytes(4)
        self.registers = dict.fromkeys(range(80), 0) | {guest.pc: PC}
        self.asked: list[str] = []
        self.ours, theirs = socket.socketpair()
        self._socket = theirs
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self, packet: str) -> None:
        self._send(packet)

    def _send(self, text: str) -> None:
        data = text.encode()
        self._socket.sendall(b"+$%s#%02x" % (data, sum(data) & 0xFF))

    def _serve(self) -> None:
        buffer = b""
        while data := self._socket.recv(65536):
            buffer += data
            while b"$" in buffer and len(buffer) >= (end := buffer.find(b"#")) + 3 > 2:
                packet = buffer[buffer.find(b"$") + 1 : end].decode()
                buffer = buffer[end + 3 :]
                self.asked.append(packet)
                if (answer := self._answer(packet)) is not None:
                    self._send(answer)

    def _answer(self, packet: str) -> str | None:
        kind, rest = packet[:1], packet[1:]
        if kind in ("c", "C"):
            return None
        if kind == "p":
            size = 4 if int(rest, 16) == self.guest.cr else 8
            return self.registers[int(rest, 16)].to_bytes(size, "little").hex()
        if kind == "P":
            number, value = rest.split("=")
            self.registers[int(number, 16)] = int.from_bytes(bytes.fromhex(value), "little")
        if kind == "m":
            at, size = (int(part, 16) for part in rest.split(","))
            if not MEMORY <= at <= at + size <= MEMORY + len(self.memory):
                return "E14"
            return self.memory[at - MEMORY : at - MEMORY + size].hex()
        if kind == "M":
            place, _, content = rest.partition(":")
            at, size = (int(part, 16) for part in place.split(","))
            self.memory[at - MEMORY : at - MEMORY + size] = bytes.fromhex(content)
        return "OK"


def guest(machine: str) -> Guest:
    return next(g for g in GUESTS if g.machine == machine)


def call(stub: Stub, answer: Callable[[tuple[int, ...]], int], name: str = "kexec_load") -> None:
    """A program makes a call: entry, return, and the breakpoint behind it."""
    traced = Traced(Gdb(stub.ours), stub.guest, lambda gdb, stack, name, args: answer(args))
    number = stub.guest.syscalls[name]
    traced.start()
    for packet in (
        f"T05thread:1;syscall_entry:{number:x};",
        f"T05thread:1;syscall_return:{number:x};",
        "T05thread:1;",
    ):
        stub.stop(packet)
        traced.serve()


@pytest.mark.parametrize("machine", [g.machine for g in GUESTS])
def test_call_of_each_guest_gets_its_arguments_and_its_result(machine: str):
    stub = Stub(guest(machine))
    for at, register in enumerate(stub.guest.arguments):
        stub.registers[register] = 0x1000 + at
    seen: list[tuple[int, ...]] = []
    call(stub, lambda args: seen.append(args) or -13)  # type: ignore[func-returns-value]
    assert seen == [tuple(range(0x1000, 0x1006))]
    assert stub.registers[stub.guest.result] == (1 << 64) - 13
    assert f"Z0,{PC:x},4" in stub.asked
    assert f"z0,{PC:x},4" in stub.asked


@pytest.mark.parametrize(("result", "r3", "cr"), [(-13, 13, 1 << 28), (0, 0, 0)])
def test_sc_of_powerpc_says_by_a_flag_whether_the_result_is_an_errno(result: int, r3: int, cr: int):
    stub = Stub(guest("ppc64le"), bytes.fromhex("02000044"))
    stub.registers[66] = 1 << 28 if not cr else 0
    call(stub, lambda args: result)
    assert stub.registers[3] == r3
    assert stub.registers[66] == cr


def test_signal_of_the_guest_is_handed_on():
    stub = Stub(guest("ppc64le"))
    traced = Traced(Gdb(stub.ours), stub.guest, lambda *_: 0)
    traced.start()
    stub.stop("T11thread:1;")
    traced.serve()
    Gdb(stub.ours).ask("p0")
    assert "C11" in stub.asked


def test_end_of_the_program_ends_the_tracing():
    stub = Stub(guest("ppc64le"))
    traced = Traced(Gdb(stub.ours), stub.guest, lambda *_: 0)
    traced.start()
    stub.stop("W00")
    with pytest.raises(Gone):
        traced.serve()


def test_memory_is_read_in_pieces_and_what_cannot_be_read_is_efault():
    stub = Stub(guest("ppc64le"))
    stub.memory[:] = os.urandom(len(stub.memory))
    gdb = Gdb(stub.ours)
    assert gdb.read(MEMORY + 1, 50000) == stub.memory[1:50001]
    with pytest.raises(KernelError, match="EFAULT"):
        gdb.read(MEMORY + 0xFFF0, 32)
    gdb.write(MEMORY + 10, bytes(5000))
    assert stub.memory[10:5010] == bytes(5000)


def test_who_floods_or_closes_is_gone():
    ours, theirs = socket.socketpair()
    theirs.sendall(b"x" * 100)
    theirs.close()
    with pytest.raises(Gone):
        Gdb(ours).ask("p0")
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.sendall(b"$" * (MOST_BYTES // 2))
    gdb = Gdb(ours)
    with pytest.raises(Gone):
        _flood(gdb, theirs)


def _flood(gdb: Gdb, theirs: socket.socket) -> None:
    for _ in range(8):
        gdb.take()
        theirs.sendall(b"x" * (MOST_BYTES // 4))


def test_socket_that_nobody_listens_on_yet_is_tried_again(tmp_path):
    directory = os.open(tmp_path, os.O_RDONLY)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "7"))
    assert connect(directory, "7") is None
    listener.listen(1)
    gdb = connect(directory, "7")
    assert gdb is not None
    assert gdb.pid == os.getpid()
    assert os.listdir(tmp_path) == []
    with pytest.raises(Gone):
        connect(directory, "9")
    os.close(directory)
