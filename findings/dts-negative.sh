#!/usr/bin/env bash
# Numbers below zero in a DTS expression: dtc, dtlib and C have three answers.
. "$(dirname "$0")/common"
deb device-tree-compiler=1.6.1-4+b1 libfdt1=1.6.1-4+b1 libyaml-0-2=0.2.5-1
wheels devicetree==0.0.2
cat <<TEXT
dtc 1.6.1 and dtlib (Zephyr's parser, PyPI's devicetree 0.0.2) on cells of expressions such as <(-1 > 0)>.
Guess: the operators are C's (Devicetree Specification v0.4, 6.3, lists them by C's signs), and where a cell may be (-1) they
count as C's int does: 0, -7 % 3 is -1, and two compilers of one source agree.
Seen: they do not. dtc holds every value in a uint64_t (dtc-parser.y), so -1 > 0 is 1, -1 < 1 is 0 and -7 % 3 is 0; dtlib has
Python's whole numbers: -1 > 0 is 0, and division rounds down (-7 / 2 is -4, -7 % 3 is 2). Neither says a word; dtc's
-7 / 2 fits no cell of 32 bits, which is its one error, and one of 64 bits takes it. dtc's sources of May 2026 (1.8.1) do the same.
TEXT
cell() { # cell READER EXPRESSION [BITS]: the value as hexadecimal digits
    printf '/dts-v1/;\n/ {\n\tx = %s <(%s)>;\n};\n' "${3:+/bits/ $3}" "$2" >"$tmp/x.dts"
    if [ "$1" = dtc ]; then
        dtc -q -O dtb -o "$tmp/x.dtb" "$tmp/x.dts" 2>"$tmp/said" && fdtget -t x "$tmp/x.dtb" / x || grep -oE 'out of range' "$tmp/said"
    else
        python -c 'import sys; from devicetree import dtlib; print(f"{dtlib.to_num(dtlib.DT(sys.argv[1]).root.props[sys.argv[2]].value):x}")' "$tmp/x.dts" x
    fi
}
both() { expect "$1${2:+ ($2 bits)}, dtc, dtlib" "$3" "$(cell dtc "$1" "$2"), $(cell dtlib "$1" "$2")"; }
both "-1" "" "ffffffff, ffffffff"
both "7 / 2" "" "3, 3"
both "-1 > 0" "" "1, 0"
both "-1 < 1" "" "0, 1"
both "5 - 6 < 0" "" "0, 1"
both "-7 % 3" "" "0, 2"
both "-7 / 2" "" "out of range, fffffffc"
both "-7 / 2" 64 "7fffffff fffffffc, fffffffffffffffc"
finish
