#!/usr/bin/env bash
# readelf -n of a 64-bit core: the mapped files are refused, by a program of 64 bits, for being one of 32.
. "$(dirname "$0")/common"
deb binutils=2.40-2 libbinutils=2.40-2 binutils-x86-64-linux-gnu=2.40-2 binutils-common=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2 libgprofng0=2.40-2 elfutils=0.188-2.1 libelf1=0.188-2.1 libdw1=0.188-2.1 libasm1=0.188-2.1
cat <<TEXT
readelf 2.40 (Debian's, amd64) and eu-readelf 0.188 on an x86-64 and an i386 core with an NT_FILE of one mapping, /bin/true.
Guess: both list the mapping; what readelf says of "32-bit build" can only be read from a readelf of 32 bits.
Seen: of every 64-bit core readelf says "Cannot decode 64-bit note in 32-bit build" and ends with 0; of the i386 core it lists the
file. When binutils went over to uint64_t, the #ifndef BFD64 around that test went and the test stayed (binutils/readelf.c,
print_core_note): 2.40 to 2.43 are said to be so, 2.44 to be mended. eu-readelf lists both.
TEXT
python3 - "$tmp" <<'PY'
import struct
import sys
for name, bits, machine in (("x86-64", 64, 62), ("i386", 32, 3)):
    word = "Q" if bits == 64 else "I"
    desc = struct.pack(f"<2{word}3{word}", 1, 4096, 0x400000, 0x402000, 0) + b"/bin/true\0"
    note = struct.pack("<3I", 5, len(desc), 0x46494C45) + b"CORE\0\0\0\0" + desc + bytes(-len(desc) % 4)
    ident = b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(9)
    sizes = (64, 56) if bits == 64 else (52, 32)
    ehdr = ident + struct.pack(f"<2HI3{word}I6H", 4, machine, 1, 0, sizes[0], 0, 0, *sizes, 1, 0, 0, 0)
    if bits == 64:
        phdr = struct.pack("<2I6Q", 4, 0, 0x100, 0, 0, len(note), len(note), 4)
    else:
        phdr = struct.pack("<8I", 4, 0x100, 0, 0, len(note), len(note), 0, 4)
    with open(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write((ehdr + phdr).ljust(0x100, b"\0") + note)
PY
answer() { "$1" -n "$tmp/$2" 2>&1 | grep -oE '/bin/true|Cannot decode .*'; }
expect "readelf is of" "ELF64" "$(readelf -h "$tmp/root/usr/bin/x86_64-linux-gnu-readelf" | awk '$1 == "Class:" { print $2 }')"
expect "x86-64, readelf" "Cannot decode 64-bit note in 32-bit build" "$(answer readelf x86-64)"
expect "i386, readelf" /bin/true "$(answer readelf i386)"
expect "x86-64, eu-readelf" /bin/true "$(answer eu-readelf x86-64)"
expect "i386, eu-readelf" /bin/true "$(answer eu-readelf i386)"
readelf -n "$tmp/x86-64" >"$tmp/said" 2>&1 && status=0 || status=$?
expect "x86-64, readelf, status" 0 "$status"
finish
