"""What is wrong with a machine's file: all of it in one sentence of bounded length."""

from __future__ import annotations

from collections.abc import Iterable

from elfcorehdr.errors import ProfileError
from elfcorehdr.machine.sizes import shown

TOLD = 6
"""Faults that are told; how many more there are is said."""
LONGEST = 300
"""Characters of a fault, at most."""


class Faults:
    """Faults as they are found, in the order of the file."""

    def __init__(self, file: str) -> None:
        self._file = file if len(file) <= 200 else "..." + file[-197:]
        self._said: list[str] = []

    def __len__(self) -> int:
        return len(self._said)

    def sentences(self) -> list[str]:
        """Those that were found."""
        return list(self._said)

    def say(self, sentence: str) -> None:
        """A fault in words, place first."""
        if len(self._said) < 10_000:
            cut = sentence if len(sentence) <= LONGEST else sentence[: LONGEST - 3] + "..."
            self._said.append(cut)

    def add(self, at: str, value: object, expected: str) -> None:
        """A value that is not what was expected; texts that are no value of the file are given as they are."""
        self.say(f"{at}: {shown(value)}, expected {expected}")

    def word(self, at: str, value: str, known: Iterable[str], hint: str = "") -> None:
        """A word that is none of those known."""
        words = sorted(w for w in known if w)
        near = hint and f" (did you mean {hint}?)"
        said = f"{at}: {shown(value)}{near or near_of(value, words)}"
        self.say(f"{said}, expected one of {', '.join(words)}")

    def raise_if_any(self) -> None:
        """ProfileError with the first few, and how many more there are."""
        if not self._said:
            return
        told = "; ".join(self._said[:TOLD])
        more = len(self._said) - TOLD
        raise ProfileError(f"{self._file}: {told}" + (f"; and {more} more" if more > 0 else ""))


def near_of(word: str, known: Iterable[str]) -> str:
    """ " (did you mean …?)" for a word that is nearly a known one, else nothing."""
    import difflib  # for who has misspelt something only

    near = difflib.get_close_matches(word, list(known), n=2, cutoff=0.7)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
