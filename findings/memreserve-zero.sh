#!/usr/bin/env bash
# A reserved range of no bytes ends the list of a device tree blob, for those who do not follow the specification.
. "$(dirname "$0")/common"
deb device-tree-compiler=1.6.1-4+b1 libfdt1=1.6.1-4+b1 libyaml-0-2=0.2.5-1 python3-libfdt=1.6.1-4+b1
wheels fdt==0.3.3 pyfdt==0.3
cat <<TEXT
dtc and libfdt 1.6.1, fdt 0.3.3, pyfdt 0.3 on a blob that dtc made of "/memreserve/ 0x10000 0;" and "/memreserve/ 0x20000
0x1000;" (an initrd of no bytes, then one of a page).
Guess: two ranges, or the one that has bytes: the list ends with an entry whose address and size are both 0 (Devicetree
Specification v0.4, 5.3.2), and dtc, which writes both entries, reads what it writes.
Seen: fdt and pyfdt have two. dtc -I dtb has none, without a word, and libfdt counts none: both take a size of 0 for the end
(flattree.c, flat_read_mem_reserve; libfdt/fdt_ro.c, fdt_num_mem_rsv), so dtb to dts to dtb takes away the reservation of the
page behind it, too. Same in the sources of May 2026 (1.8.1); Linux asks libfdt and stops there as well (drivers/of/fdt.c).
TEXT
printf '/dts-v1/;\n/memreserve/ 0x10000 0x0;\n/memreserve/ 0x20000 0x1000;\n/ {\n};\n' >"$tmp/x.dts"
dtc -q -O dtb -o "$tmp/x.dtb" "$tmp/x.dts"
dtc -q -I dtb -O dts "$tmp/x.dtb" >"$tmp/again.dts"
dtc -q -O dtb -o "$tmp/again.dtb" "$tmp/again.dts"
cat >"$tmp/read.py" <<'PY'
import sys
reader, path, libfdt_in = sys.argv[1:]
if reader == "fdt":
    import fdt
    print(fdt.parse_dtb(open(path, "rb").read()).to_dts().count("/memreserve/"))
elif reader == "pyfdt":
    from pyfdt.pyfdt import FdtBlobParse
    print(FdtBlobParse(open(path, "rb")).to_fdt().to_dts().count("/memreserve/"))
else:
    sys.path.append(libfdt_in)
    import libfdt
    print(libfdt.FdtRo(open(path, "rb").read()).num_mem_rsv())
PY
answer() { python3 "$tmp/read.py" "$1" "$tmp/$2.dtb" "$tmp/root/usr/lib/python3/dist-packages"; }
expect "entries in the blob before the end (bytes / 16)" 2 "$(python3 -c 'import sys
blob = open(sys.argv[1], "rb").read()
start = int.from_bytes(blob[16:20], "big")
print(next(n for n in range(99) if blob[start + 16 * n :][:16] == bytes(16)))' "$tmp/x.dtb")"
expect "ranges, fdt" 2 "$(answer fdt x)"
expect "ranges, pyfdt" 2 "$(answer pyfdt x)"
expect "ranges, libfdt" 0 "$(answer libfdt x)"
expect "ranges, dtc -I dtb" 0 "$(grep -c memreserve "$tmp/again.dts" || true)"
expect "ranges after dtb to dts to dtb, fdt" 0 "$(answer fdt again)"
finish
