"""What was probably meant by a name that is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(name: str, known: Iterable[str]) -> str:
    """What was probably meant, to be added to a sentence; empty where nothing is close."""
    spelled = {each.casefold(): each for each in sorted(known)}
    matches = get_close_matches(name.casefold(), spelled, n=1)
    return f"; did you mean {spelled[matches[0]]!r}?" if matches else ""
