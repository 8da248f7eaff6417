#!/usr/bin/env bash
# PyPI's fdt: parse_dts() leaves out what does not stand as dtc prints it.
. "$(dirname "$0")/common"
deb device-tree-compiler=1.6.1-4+b1 libfdt1=1.6.1-4+b1 libyaml-0-2=0.2.5-1
wheels fdt==0.3.3
cat <<TEXT
fdt 0.3.3, parse_dts(), and dtc 1.6.1 on device tree sources of a few lines, all valid.
Guess: they agree on nodes and values, and what fdt does not know is an error, as it is for /bits/ and (1 + 2).
Seen: no error and another tree. A node whose braces are on one line is dropped with its properties, a root on one line makes
to_dtb() write nothing; a second "/ { }" block and "&label { }" are dropped; a string loses its ";", and one that begins with
"//" becomes the property on the next line. The parser goes by lines, and comments are out before it knows strings
(fdt/__init__.py, parse_dts; fdt/misc.py, strip_comments and split_to_lines).
TEXT
cat >"$tmp/read.py" <<'PY'
import sys
import fdt
tree = fdt.parse_dts(open(sys.argv[1]).read())
with open(sys.argv[2], "wb") as file:
    file.write(tree.to_dtb(version=17))
PY
# read WITH SOURCE: names and values in dtc's notation, on one line, without phandles.
read_by() {
    printf '/dts-v1/;\n%b\n' "$2" >"$tmp/x.dts"
    if [ "$1" = dtc ]; then dtc -q -O dtb -o "$tmp/x.dtb" "$tmp/x.dts"; else python "$tmp/read.py" "$tmp/x.dts" "$tmp/x.dtb"; fi
    [ -s "$tmp/x.dtb" ] || { echo "a blob of 0 bytes"; return; }
    dtc -q -I dtb -O dts "$tmp/x.dtb" | grep -vE 'dts-v1|phandle' | tr -d '\n\t' | sed 's/};$//; s/^\/ {//'
}
both() {
    expect "$1, dtc" "$3" "$(read_by dtc "$2")"
    expect "$1, fdt" "$4" "$(read_by fdt "$2")"
}
both "as dtc prints it" '/ {\n\tn {\n\t\ta = <1>;\n\t};\n};' 'n {a = <0x01>;};' 'n {a = <0x01>;};'
both "a node on one line" '/ {\n\tn { a = <1>; };\n};' 'n {a = <0x01>;};' ''
both "the root on one line" '/ { a = <1>; };' 'a = <0x01>;' 'a blob of 0 bytes'
both "the root twice" '/ {\n\ta = <1>;\n};\n/ {\n\tb = <2>;\n};' 'a = <0x01>;b = <0x02>;' 'a = <0x01>;'
both "a label's node" '/ {\n\tl: n {\n\t\ta = <1>;\n\t};\n};\n&l {\n\tb = <2>;\n};' 'n {a = <0x01>;b = <0x02>;};' 'n {a = <0x01>;};'
both "a string with ;" '/ {\n\ta = "b;c";\n};' 'a = "b;c";' 'a = "bc";'
both "a string of //" '/ {\n\ta = "//b";\n\tc = <3>;\n};' 'a = "//b";c = <0x03>;' 'a = "c = <3>";'
finish
