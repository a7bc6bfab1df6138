"""The line of each value in a TOML text, so that errors can name the line.

`tomllib` parses exactly but keeps no positions. This reads a text that `tomllib` has accepted already, so it finds its
way by punctuation and checks nothing.
"""

from __future__ import annotations

import re
import tomllib

FieldPath = tuple[str | int, ...]
"""The keys and list indexes that lead to a value."""

_TOKEN = re.compile(
    r"""
      (?P<blank>[ \t\r]+|\#[^\n]*)
    | (?P<newline>\n)
    | (?P<string>\"\"\"(?:\\.|[^\\])*?\"{3,5}|'''.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    | (?P<mark>[\[\]{}=,.])
    | (?P<word>[^\s\[\]{}=,.\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_VALUE_ENDS = {"\n", ",", "]", "}", ""}


class TomlLines:
    """The line, counted from 1, of every key, table and list element of a valid TOML text."""

    def __init__(self, text: str) -> None:
        self.by_path = _Scanner(text).document()

    def line_of(self, path: FieldPath) -> int | None:
        """Return the line of the value at `path`, or of the nearest table around it; None if the text has neither."""
        return next((self.by_path[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.by_path), None)


def path_text(path: FieldPath) -> str:
    """Return a path as people write it: `licenses[3].quantity` for ("licenses", 3, "quantity")."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class _Scanner:
    """Walks the tokens of a text once, noting the line of each path that begins."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "blank":
                self._tokens.append((match.group(), line))
            line += match.group().count("\n")
        self._tokens.append(("", line))
        self._at = 0
        self._lines: dict[FieldPath, int] = {}
        self._last_index: dict[FieldPath, int] = {}

    def document(self) -> dict[FieldPath, int]:
        table: FieldPath = ()
        while True:
            self._skip_newlines()
            if self._peek() == "":
                return self._lines
            if self._peek() == "[":
                table = self._header()
            else:
                self._assignment(table)

    def _header(self) -> FieldPath:
        line = self._line()
        self._take()
        is_array = self._peek() == "["
        if is_array:
            self._take()
        path: FieldPath = ()
        key = self._key()
        for depth, part in enumerate(key):
            path += (part,)
            if is_array and depth == len(key) - 1:
                self._last_index[path] = self._last_index.get(path, -1) + 1
            if path in self._last_index:
                self._lines.setdefault(path, line)
                path += (self._last_index[path],)
            self._lines.setdefault(path, line)
        while self._peek() == "]":
            self._take()
        return path

    def _assignment(self, table: FieldPath) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path += (part,)
            self._lines.setdefault(path, line)
        self._take()  # the "="
        self._value(path)

    def _value(self, path: FieldPath) -> None:
        opening = self._peek()
        if opening == "[":
            self._take()
            index = 0
            while not self._closed("]"):
                self._lines[(*path, index)] = self._line()
                self._value((*path, index))
                index += 1
        elif opening == "{":
            self._take()
            while not self._closed("}"):
                self._assignment(path)
        else:
            while self._peek() not in _VALUE_ENDS:
                self._take()

    def _closed(self, mark: str) -> bool:
        while self._peek() in {"\n", ","}:
            self._take()
        if self._peek() in {mark, ""}:
            self._take()
            return True
        return False

    def _key(self) -> tuple[str, ...]:
        parts = [self._take()]
        while self._peek() == ".":
            self._take()
            parts.append(self._take())
        return tuple(tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part for part in parts)

    def _skip_newlines(self) -> None:
        while self._peek() == "\n":
            self._take()

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _line(self) -> int:
        return self._tokens[self._at][1]

    def _take(self) -> str:
        token = self._peek()
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token
