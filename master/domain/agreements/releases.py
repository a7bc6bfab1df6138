"""Names of software releases as vendors write them, ordered: "7.1", "7.4.2", "V3", "12r1 sr4".

`versions.py` reads what PBXs report and what licenses are held against; this reads any vendor's release numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

_DOTTED = re.compile(r"v?\s*\d{1,6}(\.\d{1,6}){0,5}", re.IGNORECASE)
_LETTERED = re.compile(r"v?\s*(\d{1,3})(?:\s*r\s*(\d{1,3}))?(?:\s*\.?\s*sr\s*(\d{1,3}))?", re.IGNORECASE)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class ReleaseName:
    """A release; equal and ordered by its numbers, whatever its spelling: 7.1 is 7.1.0."""

    numbers: tuple[int, ...]
    """Without zeros at the end."""
    text: str

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReleaseName) and self.numbers == other.numbers

    def __lt__(self, other: ReleaseName) -> bool:
        return self.numbers < other.numbers

    def __hash__(self) -> int:
        return hash(self.numbers)

    @property
    def major(self) -> int:
        """Its first number."""
        return self.numbers[0] if self.numbers else 0

    @classmethod
    def parse(cls, text: str) -> ReleaseName:
        """Read a release name.

        Raises:
            ValueError: the text is none; says which forms are.
        """
        stripped = text.strip()
        if _DOTTED.fullmatch(stripped):
            numbers = [int(part) for part in re.findall(r"\d+", stripped)]
        elif match := _LETTERED.fullmatch(stripped):
            numbers = [int(part or 0) for part in match.groups()]
        else:
            raise ValueError(f"{text!r} is not a release; write it like 7.1, 7.4.2, 12 or 12r1 sr4")
        while numbers and numbers[-1] == 0:
            numbers.pop()
        return cls(tuple(numbers), stripped)
