"""Command line of the replay."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.replay.run import replay


def main(args: list[str]) -> int:
    """Replay each case; 0 only if there was one and every step of every case agrees.

    A folder of another form (dumps, logs) is named and passed over, so that a glob may be given.
    """
    verbose = "-v" in args
    cases = [Path(a) for a in args if a != "-v"]
    if not cases:
        sys.stderr.write("usage: python -m tests.replay [-v] CASE_DIR...\n")
        return 2
    passed = failed = done = 0
    for case in cases:
        if not (case / "replay.json").is_file():
            if not case.is_dir():
                sys.stderr.write(f"{case}: no such folder, expected a case's\n")
                return 2
            sys.stderr.write(f"{case}: no replay.json in it, not a case of steps: passed over\n")
            continue
        done += 1
        verdicts = list(replay(case))
        bad = [v for v in verdicts if not v.passed]
        for v in verdicts:
            if verbose or not v.passed:
                print(v)
        print(f"{case.name}: {len(verdicts) - len(bad)} of {len(verdicts)} steps agree")
        passed += len(verdicts) - len(bad)
        failed += len(bad)
    if not done:
        sys.stderr.write("no case of steps among these folders\n")
        return 2
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
