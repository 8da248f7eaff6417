"""Findings as SARIF."""

from __future__ import annotations

from elfcorehdr.elf import Phdr
from printer import Layout, check, from_bytes
from printer.forms.as_sarif import sarif
from tests.headers import (
    SEED,
    load,
    packed,
)


def with_row(row: int, phdr: Phdr):
    return (*SEED[:row], phdr, *SEED[row + 1 :])


def test_findings_as_sarif_point_at_the_rows_bytes():
    core = from_bytes(packed(*with_row(9, load(0, 0x10000, 0))), "a dir/hdr")
    document = sarif(Layout(core), check(core))
    assert document["version"] == "2.1.0"
    run = document["runs"][0]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20dir/hdr"
    assert place["region"] == {"byteOffset": 64 + 9 * 56, "byteLength": 56}
