"""Reads values out of a TOML text and refuses a wrong one with file, line, field and reason.

What the values mean is the affair of whoever reads: catalogs (`catalog_file.py`), price files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar

from licensemaster.values.bounded import Limits, OverLimitError, read_toml
from master.domain.similar import closest
from master.domain.toml_lines import FieldPath, TomlLines, path_text
from master.domain.versions import Version

E = TypeVar("E", bound=Enum)

LIMITS = Limits(size=256 * 1024, depth=8, items=20_000)
"""Of a catalog or price file: ten times what the largest has."""
_KIND_NAMES = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}
_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,6})?")


class TomlReader:
    """Walks one document; every complaint knows its place.

    Raises:
        failure: the text is no TOML.
    """

    def __init__(self, text: str, *, file: str, failure: type[Exception]) -> None:
        self._text = text = text.removeprefix("\ufeff")
        self._file = file
        self._failure = failure
        try:
            self.document: Mapping[str, Any] = read_toml(text, LIMITS)
        except tomllib.TOMLDecodeError as error:
            raise failure(f"{file}:{_line_of(error, text)}: not TOML: {error}") from error
        except OverLimitError as error:
            raise failure(f"{file}:{error.line}: not usable: {error}") from error

    def known_keys(self, table: Mapping[str, Any], at: FieldPath, known: set[str]) -> None:
        for key in table:
            if key not in known:
                raise self.error((*at, key), f"unknown key{closest(key, known)}")

    def typed(self, table: Mapping[str, Any], at: FieldPath, kind: type, default: Any) -> Any:
        """A value of one kind, or the default; None as the default: it must be there."""
        key = str(at[-1])
        if key not in table:
            if default is None:
                raise self.error(at, "is missing")
            return default
        value = table[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(at, f"{value!r} must be {_KIND_NAMES[kind]}")
        return value

    def table(self, table: Mapping[str, Any], at: FieldPath) -> Mapping[str, Any]:
        """A table that must be there."""
        found: Mapping[str, Any] = self.typed(table, at, dict, None)
        return found

    def tables(self, table: Mapping[str, Any], at: FieldPath, keys: set[str]) -> list[Mapping[str, Any]]:
        """A list of tables that have these keys only."""
        items = self.typed(table, at, list, ())
        for item in items:
            if not isinstance(item, dict):
                raise self.error(at, f"{item!r} must be a table")
            self.known_keys(item, at, keys)
        return list(items)

    def string(self, table: Mapping[str, Any], at: FieldPath, default: str | None = None) -> str:
        """A text; without a default it must be there and not be empty."""
        text = str(self.typed(table, at, str, default))
        if default is None and not text:
            raise self.error(at, "must not be empty")
        return text

    def strings(self, table: Mapping[str, Any], at: FieldPath) -> list[str]:
        """A list of texts, none empty."""
        values = self.typed(table, at, list, ())
        for value in values:
            if not isinstance(value, str) or not value:
                raise self.error(at, f"{value!r} must be a text")
        return list(values)

    def whole_number(self, table: Mapping[str, Any], at: FieldPath, default: int) -> int:
        """A whole number, not negative."""
        value = int(self.typed(table, at, int, default))
        if value < 0:
            raise self.error(at, f"{value} must not be negative")
        return value

    def whole_numbers(self, table: Mapping[str, Any], at: FieldPath) -> frozenset[int]:
        """A set of whole numbers above 0."""
        values = self.typed(table, at, list, ())
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise self.error(at, f"{value!r} must be a whole number above 0")
        return frozenset(values)

    def counts(self, table: Mapping[str, Any], at: FieldPath) -> dict[str, int]:
        """A table of whole numbers."""
        counts = self.typed(table, at, dict, {})
        return {key: self.whole_number(counts, (*at, key), 0) for key in counts}

    def version(self, table: Mapping[str, Any], at: FieldPath) -> Version | None:
        """A PBX software version; None where there is none."""
        text = self.string(table, at, "")
        if not text:
            return None
        try:
            return Version.exact(text)
        except ValueError as error:
            raise self.error(at, str(error)) from error

    def decimal(self, table: Mapping[str, Any], at: FieldPath, default: str | None = None) -> Decimal:
        """An exact decimal, written as a text such as "12.50"; never negative."""
        text = self.string(table, at, default)
        if not _DECIMAL.fullmatch(text):
            raise self.error(at, f'{text!r} must be a decimal in quotes, not negative, such as "12.50"')
        return Decimal(text)

    def day(self, table: Mapping[str, Any], at: FieldPath) -> date:
        """A day, written without quotes such as 2013-06-01."""
        value = self.typed(table, at, object, None)
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.error(at, f"{str(value)!r} must be a day without quotes, such as 2013-06-01")
        return value

    def choice(self, kind: type[E], table: Mapping[str, Any], at: FieldPath, default: E | None) -> E:
        """One member of an enum by its name in small letters."""
        if default is not None and at[-1] not in table:
            return default
        return self.member(kind, self.string(table, at), at)

    def choices(self, kind: type[E], table: Mapping[str, Any], at: FieldPath) -> frozenset[E]:
        """Several members of an enum."""
        return frozenset(self.member(kind, value, at) for value in self.strings(table, at))

    def member(self, kind: type[E], value: str, at: FieldPath) -> E:
        """The member of an enum that a name means."""
        names = {member.name.lower(): member for member in kind}
        if value not in names:
            raise self.error(at, f"{value!r} is none of {', '.join(names)}")
        return names[value]

    def error(self, at: FieldPath, reason: str) -> Exception:
        """What is wrong with the value at a place, as `file:line: field: reason`."""
        line = TomlLines(self._text).line_of(at) or 1
        return self._failure(f"{self._file}:{line}: {path_text(at)}: {reason}")


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> int:
    """The line that a syntax error names; the last one where it was found at the end."""
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else max(len(text.splitlines()), 1)
