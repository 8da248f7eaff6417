#!/usr/bin/env bash
# pyudev: an attribute keeps the value of its first read.
. "$(dirname "$0")/common"
deb 'libudev1=252*'
wheels pyudev==0.24.5
cat <<TEXT
pyudev 0.24.5 on libudev 252: statistics/rx_packets of the loopback device, read, a datagram sent to it, and read again.
Guess: device.attributes reads sysfs each time, so that a loop can wait for a memory block's state to become "offline";
its docstrings say nothing else.
Seen: a Device gives the value of its first read for ever, by get() and by asint(). A new Device of the same path reads anew.
libudev keeps what it has read (src/libudev/libudev-device.c, comment of udev_device_get_sysattr_value: "Repeated calls will
return the same value and not open the attribute again"; its manual page is silent).
TEXT
cat >"$tmp/read.py" <<'PY'
import socket
from pathlib import Path
import pyudev
PATH, NAME = "/sys/class/net/lo", "statistics/rx_packets"
context = pyudev.Context()
kept = pyudev.Devices.from_path(context, PATH)
before = kept.attributes.asint(NAME)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packet:
    packet.bind(("127.0.0.1", 0))
    packet.sendto(b"x", packet.getsockname())
    packet.recv(1)
new = pyudev.Devices.from_path(context, PATH).attributes.asint(NAME)
for name, value in {
    "the file": int(Path(PATH, NAME).read_text()),
    "asint() of the same Device": kept.attributes.asint(NAME),
    "get() of the same Device": int(kept.attributes.get(NAME)),
    "asint() of a new Device": new,
}.items():
    print(name, "new" if value > before else "as before", sep="|")
PY
python "$tmp/read.py" >"$tmp/seen"
while IFS='|' read -r name value; do
    expect "$name" "$value" "$(sed -n "s/^$name|//p" "$tmp/seen")"
done <<TABLE
the file|new
asint() of the same Device|as before
get() of the same Device|as before
asint() of a new Device|new
TABLE
finish
