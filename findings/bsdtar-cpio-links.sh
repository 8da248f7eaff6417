#!/usr/bin/env bash
# bsdtar, from an initramfs (cpio) to tar: files with two names are empty.
. "$(dirname "$0")/common"
deb 'libarchive-tools=3.6.2-1*' 'libarchive13=3.6.2-1*' cpio=2.13+dfsg-7.1
cat <<TEXT
bsdtar, libarchive 3.6.2, on what GNU cpio 2.13 writes for an initramfs (-H newc) of one file of 6 bytes under three names.
Guess: "bsdtar -cf OUT @IN" keeps the bytes, in whatever format OUT is, or says that it cannot.
Seen: status 0, no word, and as ustar, pax, gnutar or odc the file has 0 bytes, under each of its names, whoever unpacks it. In
newc the bytes stand at the last name; to libarchive the first name is an empty file, the others are links to it, the last one a
link with bytes, and in tar a link has none (archive_write_set_format_pax.c sets its size to 0). Only newc to newc keeps them.
"bsdtar -xOf IN NAME" has 6 bytes for the last name and 0 for the others; cpio unpacks any. That the other direction, tar to
newc, loses them is libarchive's issue 1469, closed: a stream cannot go back.
TEXT
mkdir "$tmp/in"
printf 'hello\n' >"$tmp/in/one"
ln "$tmp/in/one" "$tmp/in/two"
ln "$tmp/in/one" "$tmp/in/three"
(cd "$tmp/in" && printf 'one\nthree\ntwo\n' | cpio -o -H newc --quiet) >"$tmp/in.cpio"
# unpacked COMMAND...: the sizes of one, two and three where the command has unpacked its standard input.
unpacked() {
    rm -rf "$tmp/out"
    mkdir "$tmp/out"
    (cd "$tmp/out" && "$@" >/dev/null && stat -c %s one two three | xargs)
}
expect "newc, unpacked by cpio" "6 6 6" "$(unpacked cpio -id --quiet <"$tmp/in.cpio")"
expect "newc, unpacked by bsdtar" "6 6 6" "$(unpacked bsdtar -xf - <"$tmp/in.cpio")"
for format in ustar pax gnutar odc newc; do
    case $format in
        odc | newc) by="cpio -id --quiet" ;;
        *) by="tar -xf -" ;;
    esac
    case $format in newc) sizes="6 6 6" ;; *) sizes="0 0 0" ;; esac
    status=0
    bsdtar -cf "$tmp/$format" --format $format "@$tmp/in.cpio" 2>"$tmp/said" || status=$?
    expect "to $format: status and bytes on stderr" "0 0" "$status $(stat -c %s "$tmp/said")"
    expect "to $format, unpacked by ${by%% *}" "$sizes" "$(unpacked $by <"$tmp/$format")"
done
for name in one two three; do
    case $name in two) size=6 ;; *) size=0 ;; esac
    expect "bsdtar -xOf, bytes of $name" $size "$(bsdtar -xOf "$tmp/in.cpio" $name | wc -c)"
done
finish
