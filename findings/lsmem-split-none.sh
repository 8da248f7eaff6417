#!/usr/bin/env bash
# lsmem --split none: offline blocks in a range that is called online.
. "$(dirname "$0")/common"
deb 'util-linux=2.38.1-5*' 'libsmartcols1=2.38.1-5*'
cat <<TEXT
$(lsmem --version), a tree of four blocks of 128 MiB: 0 and 1 online, 2 and 3 offline.
Guess: with --split none the STATE of a range of both is empty or mixed (lsmem(1): "none" keeps ranges of all blocks together).
Seen: one range of 512 MiB with the state of its first block, online, in the table and in JSON, above "Total online memory:
256M". Who adds up the ranges of STATE online from JSON counts twice as much as there is (sys-utils/lsmem.c: a range
keeps the block that began it).
TEXT
memory=$tmp/tree/sys/devices/system/memory
mkdir -p "$memory"
echo 8000000 >"$memory/block_size_bytes"
for block in 0 1 2 3; do
    mkdir "$memory/memory$block"
    echo 1 >"$memory/memory$block/removable"
    [ $block -lt 2 ] && echo online >"$memory/memory$block/state" || echo offline >"$memory/memory$block/state"
done
list() { lsmem --sysroot "$tmp/tree" --noheadings --summary=never -o SIZE,STATE "$@" | tr -s ' ' | sed 's/^ //' | paste -sd, -; }
lsmem --sysroot "$tmp/tree" --split none | sed 's/^/  | /'
expect "--split STATE" "256M online,256M offline" "$(list --split STATE)"
expect "--split none" "512M online" "$(list --split none)"
finish
