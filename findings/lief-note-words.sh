#!/usr/bin/env bash
# LIEF and notes of a big-endian core: text comes out in fours backwards.
. "$(dirname "$0")/common"
deb elfutils=0.188-2.1 libelf1=0.188-2.1 libdw1=0.188-2.1 libasm1=0.188-2.1
wheels lief==1.0.0 pyelftools==0.33
cat <<TEXT
LIEF 1.0.0, pyelftools 0.33, elfutils 0.188 on an aarch64 and an s390x core of one thread: NT_PRPSINFO (uid 1000, name
"sleep"), NT_PRSTATUS (signal 11, pid 42) and VMCOREINFO of 45 bytes.
Guess: the same answers for both; a reader that did not know the byte order would have wrong numbers and right text.
Seen: of s390x LIEF has right 32-bit numbers and wrong text: "sleep" is "eels", three NULs, "p", VMCOREINFO's OSRELEASE is
"ERSOSAEL", 16-bit numbers (cursig) are 0, 64-bit ones have their halves changed; no error. It reads each descriptor as words
of 32 bits in the file's byte order and hands out their bytes in the machine's (src/ELF/Note.cpp, Note::create; so in August
2026). For the same reason each descriptor's size is a multiple of 4, of aarch64 too. The others have both cores right.
TEXT
cat >"$tmp/write.py" <<'PY'
import struct
import sys
for name, order, machine, registers in (("aarch64", "<", 183, 34), ("s390x", ">", 22, 27)):
    def note(owner, kind, desc):
        head = struct.pack(order + "3I", len(owner) + 1, len(desc), kind) + owner + b"\0"
        return head + bytes(-len(head) % 4) + desc + bytes(-len(desc) % 4)
    ids = struct.pack(order + "4i", 42, 41, 40, 39)
    info = b"\0R\0\0" + bytes(4) + struct.pack(order + "Q2I", 0x400000, 1000, 1001) + ids
    info += b"sleep".ljust(16, b"\0") + b"sleep 1000 ".ljust(80, b"\0")
    status = struct.pack(order + "3ih2x2Q", 11, 0, 0, 11, 0, 0) + ids + bytes(64 + 8 * registers + 8)
    notes = note(b"CORE", 3, info) + note(b"CORE", 1, status)
    notes += note(b"VMCOREINFO", 0, b"OSRELEASE=6.1.0\nPAGESIZE=4096\nKERNELOFFSET=0\n")
    ehdr = b"\x7fELF" + bytes([2, 1 if order == "<" else 2, 1]) + bytes(9)
    ehdr += struct.pack(order + "2HI3QI6H", 4, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    phdr = struct.pack(order + "2I6Q", 4, 0, 0x100, 0, 0, len(notes), len(notes), 4)
    with open(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write((ehdr + phdr).ljust(0x100, b"\0") + notes)
PY
cat >"$tmp/read.py" <<'PY'
import sys
reader, path = sys.argv[1:]
if reader == "lief":
    import lief
    binary = lief.parse(path)
    info, status, text = binary.notes
    data = bytes(text.description)
    print(info.info.uid, repr(info.info.filename.rstrip("\0")), status.status.cursig, status.status.pid, data[:9], len(data))
else:
    from elftools.elf.elffile import ELFFile
    info, status, text = next(ELFFile(open(path, "rb")).iter_segments("PT_NOTE")).iter_notes()
    data = text["n_descdata"]
    print(info["n_desc"]["pr_uid"], repr(info["n_desc"]["pr_fname"].rstrip(b"\0").decode()), data[:9], len(data))
PY
python "$tmp/write.py" "$tmp"
for name in aarch64 s390x; do
    case $name in
        aarch64) lief="1000 'sleep' 11 42 b'OSRELEASE' 48" ;;
        s390x) lief="1000 'eels\x00\x00\x00p' 0 42 b'ERSOSAEL.' 48" ;;
    esac
    expect "$name, LIEF: uid, name, cursig, pid, VMCOREINFO" "$lief" "$(python "$tmp/read.py" lief "$tmp/$name")"
    expect "$name, pyelftools: uid, name, VMCOREINFO" "1000 'sleep' b'OSRELEASE' 45" "$(python "$tmp/read.py" pyelftools "$tmp/$name")"
    expect "$name, eu-readelf: name" sleep "$(eu-readelf -n "$tmp/$name" | sed -nE 's/.*fname: ([^,]*),.*/\1/p')"
done
finish
