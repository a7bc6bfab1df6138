"""Names of software releases as vendors write them, ordered: "7.1", "7.4.2", "V3", "12r1 sr4".

`versions.py` reads what PBXs report and licenses are compared with; this module reads any vendor's release numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from licensemaster.values import clean, plain

_DOTTED = re.compile(r"v?\s*\d{1,6}(\.\d{1,6}){0,5}", re.IGNORECASE)
_LETTERED = re.compile(r"v?\s*(\d{1,3})(?:\s*r\s*(\d{1,3}))?(?:\s*+\.?\s*+sr\s*(\d{1,3}))?", re.IGNORECASE)
_BEHIND = re.compile(r"(?:[\s_,+-]*[a-z(\[].*)?", re.IGNORECASE | re.DOTALL)
"""What may stand behind a release: "7.1b", "7.1.2-hotfix3", "12r1 sr4 [12.5416]"; no further number."""


@dataclass(frozen=True, slots=True, order=True)
class ReleaseName:  # no `Value`, all of whose fields count where two are compared
    """A release, equal and ordered by its numbers, whatever its spelling: 7.1 is 7.1.0."""

    numbers: tuple[int, ...]
    """The numbers without zeros at the end."""
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def major(self) -> int:
        return self.numbers[0] if self.numbers else 0

    @classmethod
    def parse(cls, text: str) -> ReleaseName:
        """Read the release that something runs; a suffix is kept as text and makes no difference.
        Raises ValueError if the text does not begin with a release; the message says which forms do."""
        whole = clean(text)
        cleaned = plain(whole)
        begins = max(filter(None, (_DOTTED.match(cleaned), _LETTERED.match(cleaned))), key=re.Match.end, default=None)
        if begins is None or not _BEHIND.fullmatch(cleaned, begins.end()):
            raise ValueError(f"{text!r} is not a release; write it like 7.1, 7.4.2, 12 or 12r1 sr4")
        return cls(cls.exact(begins[0]).numbers, whole)

    @classmethod
    def exact(cls, text: str) -> ReleaseName:
        """Read the name of a release that is published or that a rule names, without a suffix.
        Raises ValueError if the text is no release; the message says which forms are."""
        whole = clean(text)
        cleaned = plain(whole)
        if _DOTTED.fullmatch(cleaned):
            numbers = [int(part) for part in re.findall(r"\d+", cleaned)]
        elif match := _LETTERED.fullmatch(cleaned):
            numbers = [int(part or 0) for part in match.groups()]
        else:
            raise ValueError(f"{text!r} is not a release; write it like 7.1, 7.4.2, 12 or 12r1 sr4")
        while numbers and numbers[-1] == 0:
            numbers.pop()
        return cls(tuple(numbers), whole)
