"""The one way in which tables are written for spreadsheets: no cell is taken for a formula.

Names come from PBXs, reasons from people; a spreadsheet computes a cell that begins with one of a few signs, and takes
their wide forms for them, also behind white space, quotes and characters that are not seen.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

Cell = str | int

_SIGNS: Final = frozenset("=+-@|%\u2212")
_QUOTES: Final = frozenset("\"'`\u00b4\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a")
_UNSEEN: Final = "ZCM"
"""Categories of characters, by their first letter: white space; controls, formats and unassigned; combining marks."""
_ENDS_OF_CELLS: Final = re.compile("([;\t\r\n])")
"""What some spreadsheets take for the end of a cell besides the comma."""


def csv_table(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """Return rows as CSV with a heading; columns that a row does not have stay empty."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return lines.getvalue()


def cell(value: Cell) -> Cell:
    """Return a cell's text, with an apostrophe before it where a spreadsheet could take it for a formula."""
    if not isinstance(value, str):
        return value
    marked = "'" if value[:1] in {"\t", "\r", "\n"} else ""
    return marked + "".join(f"'{part}" if _begins_formula(part) else part for part in _ENDS_OF_CELLS.split(value))


def _begins_formula(text: str) -> bool:
    for character in text:
        if unicodedata.category(character)[0] in _UNSEEN:
            continue
        meant = unicodedata.normalize("NFKC", character)[:1]
        if meant not in _QUOTES and meant != " ":  # an accent by itself is a space with it
            return meant in _SIGNS
    return False
