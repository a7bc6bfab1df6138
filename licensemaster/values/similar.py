"""Suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known names close to an unknown one, as an addition to a sentence; empty where none is close."""
    spelled = {each.casefold(): each for each in sorted(known)}
    matches = get_close_matches(name.casefold(), spelled, n=1)
    return f"; did you mean {spelled[matches[0]]!r}?" if matches else ""
