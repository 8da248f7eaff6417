"""What `kdumpfs record --anonymize` takes out. Part of record.py; Python 3.6, nothing else."""

import functools
import re

# What names a person, a customer or a place, and by what it is replaced: lengths stay.
SECRETS = (
    (re.compile(rb"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), b"0"),
    (re.compile(rb"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b"), b"0"),
    (re.compile(rb"\b(?:\d{1,3}\.){3}\d{1,3}\b"), b"0"),
    (re.compile(rb"(?<=[ =,])(?:LABEL|UUID|PARTUUID)=[^ \n]+"), b"x"),
    (re.compile(rb"(?<=root=)(?!/dev/)[^ \n]+|(?<=nfsroot=)[^ \n]+|(?<=ip=)[^ \n]+"), b"x"),
    (re.compile(rb"(?<=rd\.lvm\.lv=)[^ \n]+|(?<=/dev/mapper/)[^ \n]+"), b"x"),
)
SECRET_FILES = re.compile(
    r".*/(system-id|host-serial|ibm,partition-name|ibm,partition-uuid|ibm,loc-code|serial-number"
    r"|vm,uuid|host-model|hostname|domainname|boot_id|bootid)$|proc/(mounts|partitions)$"
)
SECRET_ROWS = re.compile(rb"(?m)^(serial_number|system_id|partition_name|host_serial)=.*$")


def _instead(letter, found):
    # type: (bytes, re.Match[bytes]) -> bytes
    return letter * len(found.group())


def without_secrets(path, content):
    # type: (str, bytes) -> bytes
    """The same number of bytes with names, addresses and serial numbers taken out."""
    if SECRET_FILES.match(path):
        return re.sub(rb"[^\0\n ]", b"x", content)
    if b"\0" in content.rstrip(b"\0"):
        return content  # binary: numbers of the machine
    for pattern, letter in SECRETS:
        content = pattern.sub(functools.partial(_instead, letter), content)
    return SECRET_ROWS.sub(lambda found: found.group(1) + b"=x", content)
