"""Suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_LETTERS_MAX: Final = 300
"""The most letters of known names that an error has room for."""
_COMPARED_MAX: Final = 30
"""The most unknown names for which a close one is looked for: an answer has room for no more errors, and among 10,000
names each search takes a fifth of a second."""


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known names close to an unknown one, as an addition to a sentence; empty where none is close."""
    spelled = {each.casefold(): each for each in sorted(known)}
    matches = get_close_matches(name.casefold(), spelled, n=1)
    return f"; did you mean {spelled[matches[0]]!r}?" if matches else ""


class Known:
    """The names that there are of a kind, for errors about a name that there is not."""

    def __init__(self, kind: str, names: Iterable[str]) -> None:
        """`kind` is what a name stands for, as "site of this project"."""
        self._kind, self._names = kind, frozenset(names)
        self._compared = 0
        self._listed = ""

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such a name."""
        return name in self._names

    def lacks(self, name: str) -> str:
        """Say that there is no such name, and which is close to it or, where none is, which there are."""
        self._compared += 1
        close = closest(name, self._names) if self._compared <= _COMPARED_MAX else ""
        return f"{name!r} is no {self._kind}{close or self._list()}"

    def _list(self) -> str:
        """Return the known names as an addition to a sentence, as many as there is room for."""
        if not self._listed:
            names, shown, room = sorted(self._names), list[str](), _LETTERS_MAX
            for name in names:
                room -= len(name) + 2
                if room < 0:
                    break
                shown.append(name)
            more = f" and {len(names) - len(shown):,} more" if len(shown) < len(names) else ""
            self._listed = f"; there are {', '.join(shown) or 'none'}{more}"
        return self._listed
