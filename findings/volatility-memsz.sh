#!/usr/bin/env bash
# volatility3 leaves out each PT_LOAD whose p_memsz is not its p_filesz, with the bytes that the file has.
. "$(dirname "$0")/common"
wheels volatility3==2.28.2 drgn==0.3.0
cat <<TEXT
volatility3 2.28.2 (its Elf64Layer) and drgn 0.3.0 on a core with PT_LOADs at 0x1000 (p_filesz 0x1000, p_memsz 0x2000, as
makedumpfile -d 1 -E writes a row that ends in zero pages) and at 0x5000 (0x1000 of both).
Guess: what the file has of a row is read; behind it are zeros, as gABI says, or an error.
Seen: the row at 0x1000 is not there at all, the page of the file neither; the layer says nothing and begins at 0x5000. With
no other row there is no layer ("No ELF segments defined"). framework/layers/elf.py, _load_segments, takes a PT_LOAD only if
p_filesz is p_memsz. drgn reads the page and then zeros.
TEXT
cat >"$tmp/read.py" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import drgn
from volatility3.framework import contexts, exceptions
from volatility3.framework.layers import elf, physical
from core import core, prstatus, vmcoreinfo
reader, rows, address = sys.argv[3], sys.argv[4], int(sys.argv[5], 16)
path = Path(sys.argv[2]) / rows
page = b"A" * 4096
loads = [(0x1000, page, 0x2000), (0x5000, page, 0x1000)][: 1 if rows == "one" else 2]
core(str(path), prstatus(1) + vmcoreinfo(), loads)
if reader == "drgn":
    program = drgn.Program()
    program.set_core_dump(path)
    print(program.read(address, 2, physical=True))
else:
    context = contexts.Context()
    context.config["file.location"] = path.as_uri()
    context.add_layer(physical.FileLayer(context, "file", "file"))
    context.config["elf.base_layer"] = "file"
    try:
        context.add_layer(elf.Elf64Layer(context, "elf", "elf"))
        print(context.layers["elf"].read(address, 2))
    except exceptions.InvalidAddressException:
        print("invalid address")
    except elf.ElfFormatException as error:
        print(str(error).partition(" in ")[0])
PY
answer() { python "$tmp/read.py" "$here" "$tmp" "$@"; }
expect "drgn, 0x1000" "b'AA'" "$(answer drgn two 0x1000)"
expect "drgn, 0x2000" "b'\x00\x00'" "$(answer drgn two 0x2000)"
expect "volatility3, 0x1000" "invalid address" "$(answer volatility3 two 0x1000)"
expect "volatility3, 0x5000" "b'AA'" "$(answer volatility3 two 0x5000)"
expect "volatility3, only the row at 0x1000" "No ELF segments defined" "$(answer volatility3 one 0x1000)"
finish
