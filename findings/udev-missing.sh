#!/usr/bin/env bash
# udev: an attribute that is not there is not unequal to anything.
. "$(dirname "$0")/common"
deb 'udev=252*' 'libudev1=252*' libblkid1=2.38.1-5+deb12u3 libkmod2=30+20221128-1 libcap2='1:2.66-4*' libacl1=2.3.1-3 libselinux1=3.4-1+b6
cat <<TEXT
udevadm $(udevadm --version), rules on /devices/virtual/mem/null, which has no attribute and no property "nothere".
Guess: ATTR{nothere}!="x" matches, as ENV{nothere}!="x" does: what is missing is an empty string (udev(7) says nothing of it).
Seen: ENV, SYSCTL, DRIVER and RESULT are as guessed. ATTR and ATTRS of a missing attribute match neither == nor !=, nor == ""
(src/udev/udev-rules.c, token_match_attr: returns false when the attribute cannot be read, before it looks at the operator).
So a rule for "unless the kernel says 1" (ATTR{x}!="1") is not taken by a kernel without the file.
TEXT
mkdir "$tmp/rules" "$tmp/empty"
cat >"$tmp/rules/50-finding.rules" <<'RULES'
ENV{nothere}!="x", ENV{T_ENV_NOT_X}="1"
ENV{nothere}=="", ENV{T_ENV_EMPTY}="1"
SYSCTL{kernel/nothere}!="x", ENV{T_SYSCTL_NOT_X}="1"
DRIVER!="x", ENV{T_DRIVER_NOT_X}="1"
RESULT!="x", ENV{T_RESULT_NOT_X}="1"
ATTR{nothere}!="x", ENV{T_ATTR_NOT_X}="1"
ATTRS{nothere}!="x", ENV{T_ATTRS_NOT_X}="1"
ATTR{nothere}=="", ENV{T_ATTR_EMPTY}="1"
ATTR{dev}!="x", ENV{T_ATTR_DEV_NOT_X}="1"
RULES
# A mount namespace of its own: the machine's rules are out of sight, ours are the only ones.
seen=$(unshare --user --map-root-user --mount bash -s "$tmp" <<'SH'
for place in /usr/lib/udev/rules.d /lib/udev/rules.d /etc/udev/rules.d /usr/local/lib/udev/rules.d; do
    [ ! -d "$place" ] || mount --bind "$1/empty" "$place"
done
mount -t tmpfs none /run
mkdir -p /run/udev/rules.d
cp "$1/rules/50-finding.rules" /run/udev/rules.d/
udevadm test --action=add /devices/virtual/mem/null 2>"$1/err"
SH
)
answer() { grep -q "^T_$1=1$" <<<"$seen" && echo matches || echo no; }
expect 'ENV{nothere}!="x"' matches "$(answer ENV_NOT_X)"
expect 'ENV{nothere}==""' matches "$(answer ENV_EMPTY)"
expect 'SYSCTL{kernel/nothere}!="x"' matches "$(answer SYSCTL_NOT_X)"
expect 'DRIVER!="x", a device without driver' matches "$(answer DRIVER_NOT_X)"
expect 'RESULT!="x", no PROGRAM run' matches "$(answer RESULT_NOT_X)"
expect 'ATTR{dev}!="x", an attribute that is there' matches "$(answer ATTR_DEV_NOT_X)"
expect 'ATTR{nothere}!="x"' no "$(answer ATTR_NOT_X)"
expect 'ATTRS{nothere}!="x"' no "$(answer ATTRS_NOT_X)"
expect 'ATTR{nothere}==""' no "$(answer ATTR_EMPTY)"
finish
