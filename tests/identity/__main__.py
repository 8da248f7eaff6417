"""`python -m tests.identity [-v] DIR...`: compare captures; 0 only if every difference is in the table."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.identity.compare import compare


def main(args: list[str]) -> int:
    """Print what differs, a line each."""
    failed = False
    for capture in (Path(a) for a in args if a != "-v"):
        if not (capture / "living/proc").is_dir():
            sys.stdout.write(
                f"{capture.name}: no capture of a living kernel's /proc: passed over\n"
            )
            continue
        result = compare(capture)
        for difference in result.unexplained:
            sys.stdout.write(f"  {str(difference)[:1500]}\n")
        if "-v" in args:
            for difference, entry in result.explained:
                sys.stdout.write(f"  in the table: {str(difference)[:300]}: {entry.reason}\n")
        sys.stdout.write(f"{result}\n")
        failed |= bool(result.unexplained)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
