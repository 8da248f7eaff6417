"""Command line of the replay."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.replay.run import replay


def main(args: list[str]) -> int:
    """Replay each case; 0 only if every step of every case agrees."""
    verbose = "-v" in args
    cases = [Path(a) for a in args if a != "-v"]
    if not cases:
        sys.stderr.write("usage: python -m tests.replay [-v] CASE_DIR...\n")
        return 2
    passed = failed = 0
    for case in cases:
        if not (case / "replay.json").is_file():
            sys.stderr.write(f"{case}: no replay.json in it, expected a case's folder\n")
            return 2
        verdicts = list(replay(case))
        bad = [v for v in verdicts if not v.passed]
        for v in verdicts:
            if verbose or not v.passed:
                print(v)
        print(f"{case.name}: {len(verdicts) - len(bad)} of {len(verdicts)} steps agree")
        passed += len(verdicts) - len(bad)
        failed += len(bad)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
