#!/usr/bin/env bash
# Archivers that lose sysfs without a word.
. "$(dirname "$0")/common"
deb tar=1.34+dfsg-1.2+deb12u1 cpio=2.13+dfsg-7.1 squashfs-tools=1:4.5.1-1 liblzo2-2=2.10-2 'libarchive-tools=3.6.2-1*' 'libarchive13=3.6.2-1*'
cat <<TEXT
GNU tar 1.34, cpio 2.13, bsdtar (libarchive) 3.6.2, squashfs-tools 4.5.1 on one attribute of sysfs.
An attribute's st_size is a page whatever a read gives (fs/sysfs/file.c, sysfs_add_file_mode_ns: size = PAGE_SIZE).
Guess: each pads the text to a page with zeros, as plain GNU tar does, and says so.
Seen: only plain tar keeps the text and fails. tar --sparse takes st_blocks 0 for a file that is one hole (its sparse.c,
sparse_scan_file_wholesparse) and reads nothing: a page of zeros, status 0, in silence. mksquashfs reads less than
st_size, makes the file empty and ends with 0. bsdtar and cpio pad and end with 0, bsdtar in silence.
TEXT
attribute=/sys/kernel/uevent_seqnum
[ -r "$attribute" ] || attribute=/sys/kernel/cpu_byteorder
cd "${attribute%/*}"
name=${attribute##*/}
text() { tr -d '\0' | wc -c; }
length=$(wc -c <"$name")
result() { # STATUS, FILE OF STDERR, BYTES OF TEXT
    local kept=all said=said
    [ "$3" = "$length" ] || kept="$3 of"
    [ -s "$2" ] || said=silent
    echo "status $1, $said, $kept the text"
}
status=0; tar -cf "$tmp/plain.tar" "$name" 2>"$tmp/err" || status=$?
expect "tar -c" "status 1, said, all the text" "$(result $status "$tmp/err" "$(tar -xOf "$tmp/plain.tar" | text)")"
status=0; tar -cSf "$tmp/sparse.tar" "$name" 2>"$tmp/err" || status=$?
expect "tar -cS" "status 0, silent, 0 of the text" "$(result $status "$tmp/err" "$(tar -xOf "$tmp/sparse.tar" | text)")"
status=0; bsdtar -cf "$tmp/bsd.tar" "$name" 2>"$tmp/err" || status=$?
expect "bsdtar -c" "status 0, silent, all the text" "$(result $status "$tmp/err" "$(tar -xOf "$tmp/bsd.tar" | text)")"
status=0; echo "$name" | cpio -o --quiet -H newc >"$tmp/cpio" 2>"$tmp/err" || status=$?
expect "cpio -o" "status 0, said, all the text" "$(result $status "$tmp/err" "$(cpio -i --quiet --to-stdout <"$tmp/cpio" | text)")"
status=0; mksquashfs "$name" "$tmp/squash" -quiet -no-progress 2>"$tmp/err" || status=$?
expect "mksquashfs" "status 0, said, 0 of the text" "$(result $status "$tmp/err" "$(unsquashfs -cat "$tmp/squash" "$name" | text)")"
finish
