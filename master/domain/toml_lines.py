"""Finds the line of a TOML file on which a value stands, so that a refusal can name it.

`tomllib` parses exactly but forgets positions. This remembers them for tables, arrays of tables and keys written one to
a line, which is how people write such files; anything else falls back to the line of its table.
"""

from __future__ import annotations

import re
from collections import Counter

FieldPath = tuple[str | int, ...]

_TABLE = re.compile(r"\s*(\[\[?)\s*([^\]#]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*([A-Za-z0-9_-]+|"[^"]+")\s*=""")


class TomlLines:
    """The line of every table and key in one TOML text."""

    def __init__(self, text: str) -> None:
        self._lines: dict[FieldPath, int] = {}
        arrays: Counter[str] = Counter()
        table: FieldPath = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _TABLE.match(line):
                name = header[2]
                parts: FieldPath = tuple(part.strip().strip('"') for part in name.split("."))
                if header[1] == "[[":
                    table = (*parts, arrays[name])
                    arrays[name] += 1
                elif len(parts) > 1 and arrays[str(parts[0])]:
                    table = (parts[0], arrays[str(parts[0])] - 1, *parts[1:])
                else:
                    table = parts
                for length in range(1, len(table) + 1):  # `[a.b]` is the first sign of `a` too
                    self._lines.setdefault(table[:length], number)
            elif key := _KEY.match(line):
                self._lines.setdefault((*table, key[1].strip('"')), number)

    def line_of(self, path: FieldPath) -> int:
        """The line of the value at `path`, or of the nearest table around it; 1 where there is none."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return 1


def path_text(path: FieldPath) -> str:
    """A path as people write it: `licenses[3].quantity`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
