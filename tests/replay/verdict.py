"""What became of one step."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field


@dataclass(slots=True)
class Verdict:
    """One step: what was compared, and what differs."""

    n: int
    what: str
    agreed: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.differs

    def check(self, name: str, expected: object, got: object) -> None:
        """Compare one thing."""
        if expected == got:
            self.agreed.append(name)
        else:
            self.differs.append(f"{name}: expected {expected!r}, got {got!r}")

    def check_lines(self, name: str, expected: list[str], got: list[str]) -> None:
        """Compare two lists of lines; a difference is shown line by line."""
        if expected == got:
            self.agreed.append(name)
            return
        diff = difflib.unified_diff(expected, got, "expected", "got", lineterm="", n=0)
        self.differs.append(f"{name}: " + "\n            ".join(list(diff)[2:]))

    def __str__(self) -> str:
        head = (
            f"{'ok  ' if self.passed else 'FAIL'} {self.n:4} {self.what}: {', '.join(self.agreed)}"
        )
        return "\n".join([head.rstrip(": "), *(f"          {d}" for d in self.differs)])
