#!/usr/bin/env bash
# pyudev: match() with two properties finds the devices that have one of them.
. "$(dirname "$0")/common"
deb 'libudev1=252*'
wheels pyudev==0.24.5
cat <<TEXT
pyudev 0.24.5 on libudev 252, the devices null (DEVNAME /dev/null, dev 1:3) and zero (/dev/zero, 1:5) of every Linux.
Guess: each match_...() and each keyword of match() narrows what is found, as its docstrings suggest ("Include all
devices, whose ..."); DEVNAME=/dev/null and MINOR=5 is no device.
Seen: it is two devices: properties are joined by or, though with the subsystem and attributes by and. Two attributes
are joined by and, two values of one attribute by or (src/libsystemd/sd-device/device-enumerator.c, match_property: true at the
first property that matches). libudev's manual pages do not tell.
TEXT
cat >"$tmp/found.py" <<'PY'
import sys
import pyudev
found = pyudev.Context().list_devices(subsystem="mem")
for kind, name, value in (word.split(":", 2) for word in sys.argv[1:]):
    getattr(found, "match_" + kind)(name, value)
print(*sorted(device.sys_name for device in found))
PY
cat >"$tmp/keywords.py" <<'PY'
import pyudev
found = pyudev.Context().list_devices().match(subsystem="mem", DEVNAME="/dev/null", MINOR=5)
print(*sorted(device.sys_name for device in found))
PY
found() { python "$tmp/found.py" "$@"; }
expect "DEVNAME=/dev/null" null "$(found property:DEVNAME:/dev/null)"
expect "DEVNAME=/dev/null, MINOR=5" "null zero" "$(found property:DEVNAME:/dev/null property:MINOR:5)"
expect "match(subsystem='mem', DEVNAME='/dev/null', MINOR=5)" "null zero" "$(python "$tmp/keywords.py")"
expect "attribute dev 1:3, property MINOR=5" "" "$(found attribute:dev:1:3 property:MINOR:5)"
expect "attributes dev 1:3, subsystem mem" null "$(found attribute:dev:1:3 attribute:subsystem:mem)"
expect "attributes dev 1:3, subsystem tty" "" "$(found attribute:dev:1:3 attribute:subsystem:tty)"
expect "attributes dev 1:3, dev 1:5" "null zero" "$(found attribute:dev:1:3 attribute:dev:1:5)"
finish
