#!/usr/bin/env bash
# hwloc-calc of what is not there: an empty set, status 0.
. "$(dirname "$0")/common"
deb hwloc-nox=2.9.0-1 libhwloc15=2.9.0-1
cat <<TEXT
hwloc-calc and hwloc-bind 2.9.0 on a synthetic machine of two packages, four cores and eight PUs.
Guess: what is no location ends with 1 and prints no set, and so does one that does not exist; hwloc-calc(1) promises "nonzero if any
kind of error occurs, such as ... failure to parse the command line".
Seen: status 0, and the set of what is left of the command line: 0x0 for core:9, for gpuu:0 and for a name with a typing error;
half of what was asked for where a range goes past the end. The words on stderr are all there is (that an object that does not
exist is "non-fatal" stands in the manual, at -q, which hides them), so "taskset \$(hwloc-calc gpuu:0 core:1)" runs on core 1.
hwloc-bind refuses the same empty set (utils/hwloc/hwloc-calc.c: what cannot be parsed is "ignored").
TEXT
machine=(--if synthetic -i "[numa] pack:2 core:2 pu:2")
answer() {
    local status=0
    hwloc-calc "${machine[@]}" "$@" >"$tmp/set" 2>"$tmp/said" || status=$?
    echo "$(cat "$tmp/set") status $status"
}
expect "core:3" "0x000000c0 status 0" "$(answer core:3)"
expect "core:9" "0x0 status 0" "$(answer core:9)"
expect "core:9, lines on stderr" 2 "$(wc -l <"$tmp/said")"
expect "-q core:9" "0x0 status 0" "$(answer -q core:9)"
expect "gpuu:0" "0x0 status 0" "$(answer gpuu:0)"
expect "core:x" "0x0 status 0" "$(answer core:x)"
expect "pu:6-9" "0x000000c0 status 0" "$(answer pu:6-9)"
expect "core:0 and corr:1" "0x00000003 status 0" "$(answer core:0 corr:1)"
status=0
hwloc-bind pu:99999 -- echo ran >"$tmp/said" 2>&1 || status=$?
expect "hwloc-bind pu:99999 -- echo ran" "cannot cpubind to empty set status 1" "$(tail -1 "$tmp/said") status $status"
finish
