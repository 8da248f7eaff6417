#!/usr/bin/env bash
# More program headers than a reader expects: LIEF, dissect.executable and volatility3 leave rows out without an error.
. "$(dirname "$0")/common"
deb binutils=2.40-2 libbinutils=2.40-2 binutils-x86-64-linux-gnu=2.40-2 binutils-common=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2 libgprofng0=2.40-2
wheels lief==1.0.0 dissect.executable==1.11 volatility3==2.28.2 pyelftools==0.33 drgn==0.3.0
cat <<TEXT
LIEF 1.0.0, dissect.executable 1.11, volatility3 2.28.2, pyelftools 0.33, drgn 0.3.0, binutils 2.40 on cores of 20001 and
70001 program headers: a PT_NOTE, then PT_LOADs of 16 bytes. e_phnum of the second is PN_XNUM (0xffff), the number is in
sh_info of section 0, as gABI and elf(5) have it.
Guess: readers of cores know PN_XNUM, which is older than all of them but binutils; one that does not says so.
Seen: readelf, pyelftools and drgn have all rows. dissect.executable and volatility3 take 0xffff for the number: 65535 rows,
and what is behind is an address that does not exist. LIEF has 10000 rows of either file, though its header tells 20001 of the
first, and raises nothing (LIEF/ELF/Parser.hpp, NB_MAX_SEGMENTS).
TEXT
cat >"$tmp/make.py" <<'PY'
import struct
import sys
sys.path.insert(0, sys.argv[1])
from core import prstatus, vmcoreinfo
PN_XNUM = 0xFFFF
path, count = sys.argv[2], int(sys.argv[3])
notes = prstatus(1) + vmcoreinfo()
shoff = 64 + 56 * count
first = shoff + 64
data = first + len(notes)
rows = [struct.pack("<2I6Q", 4, 0, first, 0, 0, len(notes), len(notes), 4)]
for n in range(count - 1):
    address = 0x1000 * (n + 1)
    rows.append(struct.pack("<2I6Q", 1, 7, data + 16 * n, address, address, 16, 16, 0))
many = count >= PN_XNUM
ehdr = struct.pack("<2HI3QI6H", 4, 62, 1, 0, 64, shoff if many else 0, 0, 64, 56, min(count, PN_XNUM), 64, many, 0)
shdr = struct.pack("<2I4Q2I2Q", 0, 0, 0, 0, 0, 0, 0, count if many else 0, 0, 0)
body = b"".join(struct.pack("<2Q", n + 1, 0) for n in range(count - 1))
open(path, "wb").write(b"\x7fELF\2\1\1" + bytes(9) + ehdr + b"".join(rows) + shdr + notes + body)
PY
cat >"$tmp/read.py" <<'PY'
import sys
from pathlib import Path
reader, path, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
if reader == "LIEF":
    import lief
    print(len(lief.ELF.parse(str(path)).segments))
elif reader == "dissect.executable":
    from dissect.executable import ELF
    print(sum(1 for _ in ELF(path.open("rb")).segments))
elif reader == "pyelftools":
    from elftools.elf.elffile import ELFFile
    print(sum(1 for _ in ELFFile(path.open("rb")).iter_segments()))
elif reader == "drgn, the last row's number":
    import drgn
    program = drgn.Program()
    program.set_core_dump(path)
    print(program.read_u64(0x1000 * (count - 1), physical=True) + 1)
else:
    from volatility3.framework import contexts
    from volatility3.framework.layers import elf, physical
    context = contexts.Context()
    context.config["file.location"] = path.as_uri()
    context.add_layer(physical.FileLayer(context, "file", "file"))
    context.config["elf.base_layer"] = "file"
    layer = elf.Elf64Layer(context, "elf", "elf")
    print((layer.maximum_address >> 12) + 1)
PY
while IFS='|' read -r count lief literal; do
    python "$tmp/make.py" "$here" "$tmp/$count" "$count"
    expect "$count, readelf" "$count" "$(readelf -lW "$tmp/$count" 2>/dev/null | grep -cE '^ +(LOAD|NOTE) ')"
    for reader in pyelftools "drgn, the last row's number"; do
        expect "$count, $reader" "$count" "$(python "$tmp/read.py" "$reader" "$tmp/$count" "$count")"
    done
    expect "$count, LIEF" "$lief" "$(python "$tmp/read.py" LIEF "$tmp/$count" "$count")"
    for reader in dissect.executable "volatility3, the last row's number"; do
        expect "$count, $reader" "$literal" "$(python "$tmp/read.py" "$reader" "$tmp/$count" "$count")"
    done
done <<TABLE
20001|10000|20001
70001|10000|65535
TABLE
finish
