"""A reader of values in a TOML text, which refuses a wrong one with file, line, field and reason.

The callers say what the values mean: catalogs (`catalog_file.py`), price files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, Protocol, Self, TypeVar, get_args, get_origin

from msgspec.structs import fields

from licensemaster.values.bounded import OverLimitError, TextLimits, read_toml
from licensemaster.values.similar import closest
from licensemaster.values.toml_lines import FieldPath, TomlLines, path_text

E = TypeVar("E", bound=Enum)
R = TypeVar("R")

LIMITS = TextLimits(size=256 * 1024, depth=8, items=20_000)
"""The limits of a catalog or price file: ten times what the largest has."""
_KIND_NAMES = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}
_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,6})?")


class Exact(Protocol):
    """A type whose values are written as a text, such as a version."""

    @classmethod
    def exact(cls, text: str, /) -> Self:
        """Read a value from a text that holds nothing else; raise ValueError where the text is no value."""


P = TypeVar("P", bound=Exact)


def keys_of(kind: type[Any]) -> set[str]:
    """Return the keys that a TOML table of a type may have; the field `key` is the name of the table itself."""
    return set(_fields_of(kind)) - {"key"}


def _read_fields(kind: Any) -> dict[str, tuple[Any, Any]]:
    return {field.name: (field.type, None if field.required else field.default) for field in fields(kind)}


_fields_of: Callable[[Any], Mapping[str, tuple[Any, Any]]] = cache(_read_fields)
"""The type and the default of each field of a type; None for no default."""


class TomlReader:
    """A reader of one TOML document, whose errors name the place in the file.
    Raises `failure` if the text is no TOML."""

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

    def record(self, kind: type[R], table: Mapping[str, Any], at: FieldPath, **given: Any) -> R:
        """Return a value whose fields are the keys of a table; each field that is not given is read as its type says.

        A text or choice without a default must be in the table. Any other missing key becomes the default, none or
        empty.
        """
        self.known_keys(table, at, keys_of(kind))
        read = {name: of for name, of in _fields_of(kind).items() if name not in given}
        return kind(**given, **{name: self._value(*of, table, (*at, name)) for name, of in read.items()})

    def optional(self, kind: type[R], table: Mapping[str, Any], at: FieldPath) -> R | None:
        """Return a value of a type; None where the key is missing or the text is empty."""
        if at[-1] not in table or (table[str(at[-1])] == "" and not issubclass(kind, Enum)):
            return None
        value: R = self._value(kind, None, table, at)
        return value

    def _value(self, kind: Any, default: Any, table: Mapping[str, Any], at: FieldPath) -> Any:
        parts, outer = get_args(kind), get_origin(kind)
        if NoneType in parts:
            return self.optional(parts[0], table, at)
        if outer is Mapping:
            nested = self.typed(table, at, dict, {})
            return {name: self._value(parts[1], None, nested, (*at, name)) for name in nested}
        if outer in (tuple, frozenset):
            return outer(self._values(parts[0], table, at))
        if kind is str:
            return self.string(table, at, default)
        if kind is int:
            return self.whole_number(table, at)
        if kind is bool:
            return self.typed(table, at, bool, bool(default))
        if issubclass(kind, Enum):
            return self.choice(kind, table, at, default)
        return self.parsed(kind, self.string(table, at), at)

    def _values(self, kind: Any, table: Mapping[str, Any], at: FieldPath) -> Iterable[Any]:
        if kind is str:
            return self.strings(table, at)
        if kind is int:
            return sorted(self.whole_numbers(table, at))
        if issubclass(kind, Enum):
            return [self.member(kind, value, at) for value in self.strings(table, at)]
        tables = self._listed(table, at, lambda entry: isinstance(entry, dict), "a table")
        return [self.record(kind, entry, at) for entry in tables]

    def known_keys(self, table: Mapping[str, Any], at: FieldPath, known: set[str]) -> None:
        for key in table:
            if key not in known:
                raise self.error((*at, key), f"unknown key{closest(key, known)}")

    def known_names(self, at: FieldPath, names: Iterable[str], known: Collection[str], what: str) -> None:
        """Refuse names that are not among the known ones; `what` is the kind of name in the error."""
        for name in names:
            if name not in known:
                raise self.error(at, f"there is no {what} {name!r}{closest(name, known)}")

    def typed(self, table: Mapping[str, Any], at: FieldPath, kind: type, default: Any) -> Any:
        """Return a value of a type, or the default where the key is missing; where the default is None, an error."""
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
        """Return a table; its absence is an error."""
        nested: Mapping[str, Any] = self.typed(table, at, dict, None)
        return nested

    def string(self, table: Mapping[str, Any], at: FieldPath, default: str | None = None) -> str:
        """Return a text; without a default, a missing or empty one is an error."""
        text = str(self.typed(table, at, str, default))
        if default is None and not text:
            raise self.error(at, "must not be empty")
        return text

    def strings(self, table: Mapping[str, Any], at: FieldPath) -> list[str]:
        """Return a list of texts, none of them empty; an empty list where the key is missing."""
        return self._listed(table, at, lambda value: isinstance(value, str) and value != "", "a text")

    def _listed(self, table: Mapping[str, Any], at: FieldPath, fits: Callable[[Any], bool], what: str) -> list[Any]:
        values = self.typed(table, at, list, ())
        for value in values:
            if not fits(value):
                raise self.error(at, f"{value!r} must be {what}")
        return list(values)

    def whole_number(self, table: Mapping[str, Any], at: FieldPath) -> int:
        """Return a whole number of 0 or more; 0 where the key is missing."""
        value = int(self.typed(table, at, int, 0))
        if value < 0:
            raise self.error(at, f"{value} must not be negative")
        return value

    def whole_numbers(self, table: Mapping[str, Any], at: FieldPath) -> frozenset[int]:
        """Return the whole numbers above 0 of a list."""
        above_0 = self._listed(table, at, lambda value: type(value) is int and value > 0, "a whole number above 0")
        return frozenset(above_0)

    def parsed(self, kind: type[P], text: str, at: FieldPath) -> P:
        """Return what a type reads from a text, such as a version or a release."""
        try:
            return kind.exact(text)
        except ValueError as error:
            raise self.error(at, str(error)) from error

    def decimal(self, table: Mapping[str, Any], at: FieldPath, default: str | None = None) -> Decimal:
        """Return an exact decimal, written as a text such as "12.50"; never negative."""
        text = self.string(table, at, default)
        if not _DECIMAL.fullmatch(text):
            raise self.error(at, f'{text!r} must be a decimal in quotes, not negative, such as "12.50"')
        return Decimal(text)

    def day(self, table: Mapping[str, Any], at: FieldPath) -> date:
        """Return a day that is written without quotes, such as 2013-06-01."""
        value = self.typed(table, at, object, None)
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.error(at, f"{str(value)!r} must be a day without quotes, such as 2013-06-01")
        return value

    def choice(self, kind: type[E], table: Mapping[str, Any], at: FieldPath, default: E | None) -> E:
        """Read one member of an enum by its name in small letters."""
        if default is not None and at[-1] not in table:
            return default
        return self.member(kind, self.string(table, at), at)

    def member(self, kind: type[E], value: str, at: FieldPath) -> E:
        """Return the member of an enum that a name in small letters means."""
        names = {member.name.lower(): member for member in kind}
        if value not in names:
            raise self.error(at, f"{value!r} is none of {', '.join(names)}")
        return names[value]

    def error(self, at: FieldPath, reason: str) -> Exception:
        """Return the error of a value at a place, as `file:line: field: reason`."""
        line = TomlLines(self._text).line_of(at) or 1
        return self._failure(f"{self._file}:{line}: {path_text(at)}: {reason}")


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> int:
    """Return the line that a syntax error names; the last line where the error names none."""
    match = re.search(r"at line (\d+)", str(error))
    return int(match[1]) if match else max(len(text.splitlines()), 1)
