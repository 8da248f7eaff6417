#!/usr/bin/env bash
# dmesg --json of a saved log: each message has the rest of the log in it.
. "$(dirname "$0")/common"
deb 'util-linux=2.38.1-5*'
cat <<TEXT
$(dmesg --version), dmesg --file on three records as the kernel's syslog(2) gives them (<priority>[seconds] text).
Guess: --json has the three records that dmesg prints without it, one "msg" each.
Seen: "msg" of each record goes on to the end of the file: the first holds all three, with their priorities and newlines as
text. Time and priority are each record's own, the JSON is valid, the status 0. What prints text is told the length of the
message, what writes JSON wants a string that ends with NUL, and a file's records do not (sys-utils/dmesg.c, print_record();
later sources hand the length to it, too).
TEXT
printf '<6>[    1.000000] first\n<3>[    2.000000] second\n<6>[    3.000000] third\n' >"$tmp/log"
dmesg --json --file "$tmp/log" >"$tmp/json"
messages() { python3 -c 'import json, sys
print(*(json.dumps(record["msg"]) for record in json.load(open(sys.argv[1]))["dmesg"]), sep="\n")' "$tmp/json"; }
expect "records as text" 3 "$(dmesg --file "$tmp/log" | wc -l)"
expect "the second as text" "[    2.000000] second" "$(dmesg --file "$tmp/log" | sed -n 2p)"
expect "the first as JSON" '"first\n<3>[    2.000000] second\n<6>[    3.000000] third\n"' "$(messages | sed -n 1p)"
expect "the second as JSON" '"second\n<6>[    3.000000] third\n"' "$(messages | sed -n 2p)"
expect "the third as JSON" '"third\n"' "$(messages | sed -n 3p)"
finish
