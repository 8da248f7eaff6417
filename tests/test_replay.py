"""What real kernels were seen to do, replayed (the judge of the engine)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.__main__ import main
from tests.replay.run import replay

GOLDEN = Path(__file__).parent / "golden/kernel"
CASES = sorted(p.parent for p in GOLDEN.glob("*/*/replay.json"))
PPC64 = [case for case in CASES if case.parent.name == "ppc64"]


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_every_step_of_a_captured_case_agrees(case: Path) -> None:
    verdicts = list(replay(case))
    assert verdicts
    assert [str(v) for v in verdicts if not v.passed] == []


def test_there_are_cases_for_ppc64() -> None:
    assert [c.name[0] for c in PPC64] == ["A", "B", "D", "F", "H", "K", "K", "U"]


def test_there_are_cases_for_every_other_architecture() -> None:
    arches = [c.parent.name for c in CASES]
    assert {name: arches.count(name) for name in ("x86_64", "arm64", "riscv64")} == {
        "x86_64": 15,
        "arm64": 1,
        "riscv64": 1,
    }


def test_a_wrong_header_is_seen(tmp_path: Path) -> None:
    """The judge can fail: one bit in a captured header, and the step does not agree."""
    case = PPC64[1]
    for file in case.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    header = tmp_path / "elfcorehdr-02.bin"
    data = bytearray(header.read_bytes())
    data[-8] ^= 1
    header.write_bytes(data)
    failed = [v.n for v in replay(tmp_path) if not v.passed]
    assert failed[0] == 1


def test_a_folder_of_another_form_is_passed_over_and_none_at_all_is_an_error(tmp_path, capsys):
    case = GOLDEN / "ppc64" / "F-errno-7.2.13-lab64k"
    assert main([str(tmp_path), str(case)]) == 0
    assert "passed over" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "none")]) == 2
