#!/usr/bin/env bash
# LIEF writes a note back with other sizes: drgn no longer finds VMCOREINFO.
. "$(dirname "$0")/common"
deb elfutils=0.188-2.1 libelf1=0.188-2.1 libdw1=0.188-2.1 libasm1=0.188-2.1 crash=8.0.2-1 liblzo2-2=2.10-2 libsnappy1v5=1.1.9-3
wheels lief==1.0.0 drgn==0.3.0
cat <<TEXT
LIEF 1.0.0, drgn 0.3.0, crash 8.0.2, elfutils 0.188: a core with NT_PRSTATUS and VMCOREINFO (105 bytes), parsed by LIEF and
written without a change.
Guess: the same bytes; at least the same notes, padding aside.
Seen: the note's n_namesz goes from 11 to 12 and n_descsz from 105 to 108. LIEF keeps the terminating NUL of an owner that it
does not know in the name and writes one more, and reads the descriptor by words of four (src/ELF/Note.cpp, Note::create). For
drgn, which wants the name's exact size, there is no VMCOREINFO any more, eu-readelf shows an unknown note, crash has it still.
TEXT
python - "$here" "$tmp" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import lief
from core import core, note, prstatus
text = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffffff82a0a000\nNUMBER(phys_base)=0\nKERNELOFFSET=0\n"
core(sys.argv[2] + "/before", prstatus(1) + note(b"VMCOREINFO", 0, text), [(0x1000, b"A" * 4096, 4096)])
lief.ELF.parse(sys.argv[2] + "/before").write(sys.argv[2] + "/after")
PY
cat >"$tmp/sizes.py" <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read()
print(*struct.unpack_from("<2I", data, data.index(b"VMCOREINFO\0") - 12))
PY
cat >"$tmp/with_drgn.py" <<'PY'
import sys
import drgn
program = drgn.Program()
program.set_core_dump(sys.argv[1])
try:
    print(program["VMCOREINFO"].string_().decode().splitlines()[0])
except LookupError as error:
    print(error)
PY
while IFS='|' read -r name sizes drgn crash elfutils; do
    expect "$name, n_namesz and n_descsz" "$sizes" "$(python "$tmp/sizes.py" "$tmp/$name")"
    expect "$name, drgn" "$drgn" "$(python "$tmp/with_drgn.py" "$tmp/$name")"
    expect "$name, crash --osrelease" "$crash" "$(crash --osrelease "$tmp/$name" 2>/dev/null | tail -1)"
    expect "$name, eu-readelf -n, OSRELEASE" "$elfutils" "$(eu-readelf -n "$tmp/$name" 2>/dev/null | grep -c OSRELEASE || :)"
done <<TABLE
before|11 105|OSRELEASE=6.1.0|6.1.0|1
after|12 108|could not find 'VMCOREINFO'|6.1.0|0
TABLE
finish
