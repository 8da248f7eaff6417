"""The archive that `kdumpfs record` writes: a tar, with an index at its end. Part of record.py; Python 3.6, nothing else.

A reader who wants one file does not read the others: the entries of a directory lie together, the last but one
entry (TAIL) says where, and the last (FOOT) where that is. A .tar.gz is many gzip members of CHUNK bytes of tar,
which gzip(1) and tar(1) read as one; its last two members are TAIL and FOOT. Other compressions are read whole.
"""

import zlib

HEAD, TAIL = "kdumpfs-recording.json", "kdumpfs-recording-end.json"
FOOT = "kdumpfs-recording-foot.json"
BLOCK = 512
CHUNK = 1 << 18
"""Bytes of tar in a gzip member."""
END = 4 * BLOCK
"""Bytes of tar in the last member: the entry FOOT, and the two empty blocks that end a tar."""
LEVEL = 3


def member(data, level=LEVEL):
    # type: (bytes, int) -> bytes
    """A gzip member."""
    packed = zlib.compressobj(level, zlib.DEFLATED, 31)
    return packed.compress(data) + packed.flush()
