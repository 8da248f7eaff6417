"""The log in memory, read back as a dump tool reads it: by the descriptors, positions and lengths alone."""

from __future__ import annotations

import struct

import pytest

from elfcorehdr.kernel.printk import Printk
from elfcorehdr.kernel.vmcoreinfo.printk_ringbuffer import DESC_ID_MASK, ring
from elfcorehdr.kernel.vmcoreinfo.text import vmcoreinfo_of

INFO = {release: vmcoreinfo_of("x86_64", 4096, release) for release in ("6.1", "7.3.4")}


def read_back(log: Printk, release: str) -> list[tuple[int, int, bytes]]:
    """seq, level and text of each record, from tail_id to head_id, as kexec-tools' vmcore-dmesg does it."""
    info = INFO[release]
    made = ring(log, info)
    count, size = 1 << made.count_bits, 1 << made.size_bits
    width, info_width = info.size("prb_desc"), info.size("printk_info")
    found = []
    id_ = made.tail_id
    while True:
        at = id_ % count
        state, begin, behind = struct.unpack_from("<3Q", made.descs, at * width)
        if state & DESC_ID_MASK == id_ and state >> 62 in (1, 2) and begin % size != behind % size:
            seq, _, length = struct.unpack_from("<QQH", made.infos, at * info_width)
            level = made.infos[at * info_width + 19] >> 5
            start = 0 if begin % size > behind % size else begin % size
            assert struct.unpack_from("<Q", made.text, begin % size)[0] == id_
            found.append((seq, level, made.text[start + 8 : start + 8 + length]))
        if id_ == made.head_id:
            return found
        id_ = (id_ + 1) & DESC_ID_MASK


def expected(log: Printk) -> list[tuple[int, int, bytes]]:
    return [(r.seq, r.level, r.text.encode(errors="surrogateescape")) for r in log]


TEXTS = ["", "a", "two\nlines", "ünïcödé \x1b[1m", "x" * 1023, "y" * 3000, "\udc80 no UTF-8"]


@pytest.mark.parametrize("release", INFO)
def test_each_record_is_read_back(release):
    log = Printk(size=1 << 17)
    for n, text in enumerate(TEXTS):
        log.emit(n % 8, text)
    assert read_back(log, release) == expected(log)
    assert len(read_back(log, release)) == len(TEXTS)


@pytest.mark.parametrize("release", INFO)
@pytest.mark.parametrize("lengths", [(1,), (40,), (7, 300, 1000), (1023,)])
def test_what_is_left_after_the_ring_has_overflowed(release, lengths):
    log = Printk(size=1 << 12)
    for n in range(1000):
        log.emit(6, chr(97 + n % 26) * lengths[n % len(lengths)])
    assert 0 < len(expected(log)) < 1000
    assert read_back(log, release) == expected(log)


def test_a_record_that_ends_with_the_ring_stays_there_since_619():
    """Dump tools take such a block for one that wraps: makedumpfile to 1.7.9 reads it from the start."""
    for fits in (False, True):
        log = Printk(size=1 << 12)
        log.fits_exactly = fits
        for _ in range(32):
            log.emit(6, "z" * (128 - 8 - 2))  # id, text, newline and NUL: 128 bytes
        (*_, last) = log.blocks()
        _, begin, end, _ = last
        assert (begin, end) == ((4096 - 128, 4096) if fits else (4096 - 128, 4096 + 128))


def test_no_record_is_an_empty_ring():
    assert read_back(Printk(), "7.3.4") == []
