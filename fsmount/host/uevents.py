"""The kernel's uevents onto a private network namespace: lib/kobject_uevent.c, uevent_net_rcv().

A message to the kernel's own uevent socket is broadcast to the namespace of the sender, from port
0 and root, with the host's SEQNUM appended; so a listener cannot tell it from a real one. Needs
CAP_SYS_ADMIN over the namespace.
"""

from __future__ import annotations

import _socket as socket
import errno
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from elfcorehdr.lib.kobject_uevent import Uevent

NETLINK_KOBJECT_UEVENT = 15
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_NLMSG_ERROR, _MESSAGE = 2, 16  # any type above NLMSG_MIN_TYPE; the kernel does not look
_NLMSGHDR = struct.Struct("=IHHII")  # len type flags seq pid


def open_socket() -> socket.socket:
    """A sender for the network namespace that this process is in."""
    sender = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT)
    sender.bind((0, 1))  # and hear what it sent, with its number
    sender.settimeout(5)
    return sender


def host_seqnum() -> int:
    """The number of the host's last event, which the next one of ours follows; 0 where none is told."""
    try:
        with open("/sys/kernel/uevent_seqnum", encoding="utf-8") as file:
            return int(file.read())
    except OSError:
        return 0


def send(sender: socket.socket, event: Uevent) -> int:
    """Broadcast one event; when it returns, every listener has it. The SEQNUM it got; OSError with the kernel's errno."""
    payload = event.payload(seqnum=False)
    flags = _NLM_F_REQUEST | _NLM_F_ACK
    header = _NLMSGHDR.pack(16 + len(payload), _MESSAGE, flags, event.seqnum & 0xFFFFFFFF, 0)
    sender.sendto(header + payload, (0, 0))
    number = event.seqnum
    while True:
        try:
            reply = sender.recv(4096)
        except OSError as full:
            if full.errno == errno.ENOBUFS:
                continue  # somebody made network devices faster than we send
            raise
        if reply.startswith(payload):
            number = int(reply[len(payload) :].removeprefix(b"SEQNUM=").rstrip(b"\0"))
        elif len(reply) >= 20 and _NLMSGHDR.unpack_from(reply)[1] == _NLMSG_ERROR:
            (error,) = struct.unpack_from("=i", reply, 16)
            if error:
                raise OSError(-error, f"uevent {event}")
            return number
