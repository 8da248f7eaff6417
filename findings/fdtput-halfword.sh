#!/usr/bin/env bash
# fdtput of 16-bit values: the first byte is the low one, and what does not fit is cut.
. "$(dirname "$0")/common"
deb device-tree-compiler=1.6.1-4+b1 libfdt1=1.6.1-4+b1 libyaml-0-2=0.2.5-1
cat <<TEXT
fdtput 1.6.1, types x (32 bits), hx (16) and bx (8), on a tree with an empty node; each ends with status 0.
Guess: hx 1234 becomes the bytes 12 34, which fdtget -t hx reads as 1234; a number too large for its type is refused.
Seen: for hx two bytes are made and only the first is written, with the number's low byte: 34, where 12 should be (fdtput.c,
encode_value: a size of 4 goes through cpu_to_fdt32(), any other is a byte); the second is whatever the buffer holds. fdtget
reads 16 bits as they are meant. bx 1ff becomes ff, and x 100000000 becomes 0. Same in the sources of May 2026 (1.8.1).
TEXT
printf '/dts-v1/;\n/ {\n\tnode {\n\t\tmeant = /bits/ 16 <0x1234>;\n\t};\n};\n' >"$tmp/x.dts"
dtc -q -O dtb -o "$tmp/x.dtb" "$tmp/x.dts"
put() { fdtput -t "$1" "$tmp/x.dtb" /node x "$2" && fdtget -t bx "$tmp/x.dtb" /node x; }
expect "dtc, /bits/ 16 <0x1234>, its bytes" "12 34" "$(fdtget -t bx "$tmp/x.dtb" /node meant)"
expect "fdtget -t hx of it" 1234 "$(fdtget -t hx "$tmp/x.dtb" /node meant)"
expect "fdtput -t x 12345678, its bytes" "12 34 56 78" "$(put x 12345678)"
expect "fdtput -t hx 1234, how many bytes" 2 "$(put hx 1234 | wc -w)"
expect "fdtput -t hx 1234, the first byte" 34 "$(put hx 1234 | cut -d' ' -f1)"
expect "fdtput -t bx 1ff" ff "$(put bx 1ff)"
expect "fdtput -t x 100000000" "0 0 0 0" "$(put x 100000000)"
finish
