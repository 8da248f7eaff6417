"""Findings as SARIF: OASIS's schema, and the rules of Microsoft's validator (sarif-multitool 5.7.0)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from printer import Layout, Surroundings, check, from_bytes, read
from printer.forms.as_sarif import sarif
from printer.judge.rules import RULES
from tests.headers import CAPTURED, GOLDEN, OURS, SEED, SEED_TEXT, load, packed

SCHEMA = GOLDEN.parent / "standards" / "sarif-schema-2.1.0.json"
BUG = (*SEED[:9], load(0, 0x10000, 0), *SEED[10:])


def checked(core, machine=None):
    return Layout(core), check(core, machine)


def document():
    """Findings about rows and about the whole, of raw headers, text, cores; odd names."""
    missing = Surroundings(possible=12)
    odd = from_bytes(packed(*BUG), "a dir/h\udcffdr: 50%")
    text = read(str(SEED_TEXT))
    ours = [checked(read(str(path), notes=True)) for path in sorted(OURS.glob("*.bin"))]
    kernels = [checked(read(str(path))) for path in CAPTURED[::15]]
    stdin = from_bytes(packed(*BUG[:8]), "-")
    return sarif([checked(odd), checked(text, missing), checked(stdin), *ours, *kernels])


def test_schema_of_oasis_accepts_it():
    jsonschema = pytest.importorskip(
        "jsonschema", reason="jsonschema (kdumpfs[dev]) is not installed"
    )
    schema = json.loads(SCHEMA.read_text())
    found = document()
    assert found["$schema"] == schema["id"]
    assert len(found["runs"][0]["results"]) > 10
    errors = jsonschema.Draft4Validator(schema).iter_errors(json.loads(json.dumps(found)))
    assert [error.message for error in errors] == []


def test_rules_of_a_published_validator_are_kept():
    """By number: what sarif-multitool's rules of kind Sarif and Gh ask for, beyond the schema."""
    run = document()["runs"][0]
    driver = run["tool"]["driver"]
    assert driver["informationUri"].startswith("https://")  # SARIF2005
    assert re.fullmatch(r"\d+\.\d+\.\d+", driver["semanticVersion"])  # SARIF2005
    assert len({rule["id"] for rule in driver["rules"]}) == len(RULES)
    for rule in driver["rules"]:
        assert re.fullmatch("([A-Z][a-z0-9]*)+", rule["name"]), rule["id"]  # SARIF2012
        assert rule["helpUri"].startswith("https://")  # SARIF2012
        for key in ("shortDescription", "fullDescription", "help"):
            assert rule[key]["text"].endswith("."), rule["id"]  # SARIF2001
            assert len(rule[key]["text"]) > 10, rule["id"]
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]  # SARIF1010
        assert result["message"]["text"].endswith(".")  # SARIF2001
        (location,) = result["locations"]  # GH1001
        place = location["physicalLocation"]
        uri = place["artifactLocation"]["uri"]
        assert uri.startswith("file:///") or not uri.startswith("/")  # SARIF1004, SARIF2016
        assert re.fullmatch(r"[\w%./:~-]+", uri, flags=re.ASCII)
        assert place["region"]["startLine"] >= 1  # SARIF2017, GH1003
        if "byteOffset" in place["region"]:
            assert place["region"]["byteLength"] > 0  # SARIF1007


def test_microsofts_validator_accepts_it(tmp_path):
    tool = shutil.which("Sarif.Multitool") or shutil.which("sarif-multitool")
    if tool is None:
        pytest.skip("sarif-multitool is missing: npm install -g @microsoft/sarif-multitool")
    (tmp_path / "found.sarif").write_text(json.dumps(document()))
    command = [tool, "validate", "--rule-kind", "Sarif;Gh", "--level", "Error;Warning;Note"]
    done = subprocess.run(
        [*command, "--kind", "Fail;Open;Review", "found.sarif"],
        cwd=tmp_path,
        env=os.environ | {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "1 files scanned" in done.stdout
    assert re.findall(r"(?:error|warning) \w+\d+:.*", done.stdout) == []


def test_rows_are_regions_of_their_file():
    core = from_bytes(packed(*BUG), "a dir/hdr")
    (result,) = sarif([checked(core)])["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20dir/hdr"
    assert place["region"] == {"byteOffset": 64 + 9 * 56, "byteLength": 56, "startLine": 1}
    assert result["message"]["text"].startswith("Program header 0x9 (first 64 KiB): p_offset is 0")


def test_whole_file_findings_are_at_its_elf_header_and_those_of_text_at_a_line(tmp_path):
    core = from_bytes(packed(*SEED[:9]))
    (result,) = sarif([checked(core)])["runs"][0]["results"]
    region = result["locations"][0]["physicalLocation"]["region"]
    assert region == {"byteOffset": 0, "byteLength": 64, "startLine": 1}
    path = tmp_path / "log"
    path.write_text("a line\n" + SEED_TEXT.read_text().replace("0x1af40000  ", "0x0         "))
    found = sarif(
        [
            checked(
                read(str(path)),
            ),
            checked(read(str(path)), Surroundings(possible=9)),
        ]
    )
    lines = [
        result["locations"][0]["physicalLocation"]["region"]["startLine"]
        for result in found["runs"][0]["results"]
    ]
    row = next(
        n for n, line in enumerate(path.read_text().splitlines(), 1) if line.startswith("0x9 ")
    )
    assert lines == [row, 2, row]
    assert Path(path).read_text().splitlines()[1].startswith("ELF Program Header Summary")


def test_absolute_names_are_file_uris(tmp_path):
    path = tmp_path / "hdr"
    path.write_bytes(packed(*BUG))
    (result,) = sarif([checked(read(str(path)))])["runs"][0]["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == path.as_uri()
