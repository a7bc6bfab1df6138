"""Reads the files that operators apply, projects and allocations: messages of the API, written in TOML.

Keys are the field names of the proto; enums are written in their short form (`role = "slave"`), maps as tables
(`reserve = { port = 40 }`), moments as date-times with their offset. Lists may be written as `[[licenses]]` tables
or as `licenses = [{ ... }, ... ]`, one item a line. What is checked here is the form: keys, types, number ranges.
Whether it makes sense is the master's to say, and `MessageFile.violation` puts its answer on lines of the file.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.files.texts import FileError, read_text
from licensemaster.v1 import allocation_pb2, project_pb2
from licensemaster.values.bounded import OverLimitError, TextLimits, read_toml
from licensemaster.values.similar import closest
from licensemaster.values.toml_lines import FieldPath, TomlLines, path_text
from master.cli.output.enum_names import short_names
from master.cli.output.failure import CommandFailed
from master.cli.output.file_remedies import file_remedy
from master.values import Value

LIMITS = TextLimits(size=10 * 1024 * 1024, depth=8, items=1_000_000)
"""What a file may hold at most; an estate of 10,000 sites has half of that."""
PROBLEMS_SHOWN_MAX = 20
_WHOLE_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: range(-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: range(-(2**63), 2**63),
}
_FIELD_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_NAMED_PATH = re.compile(r"\b[a-z_]+\[\d+\](?:\.[a-z_]+)*")

M = TypeVar("M", bound=Message)


class FileKind(Value, Generic[M]):
    """What a kind of file holds, and what helps if the file cannot be read."""

    message: type[M]
    field: str
    """The field that holds the message in the request; the API names it in front of the fields that it refuses."""
    remedy: str


PROJECT = FileKind(
    project_pb2.Project,
    "project",
    "a project file is TOML, saved as UTF-8; an estate of 1,000 sites takes less than 1 MiB",
)
ALLOCATION = FileKind(
    allocation_pb2.Allocation, "allocation", "an allocation file is TOML, saved as UTF-8; see docs/fairness.md"
)


class Problem(Value):
    """A mistake in the form of a file, and its place."""

    path: FieldPath
    message: str


class _WrongError(Exception):
    """A value does not fit its field; says why."""


class MessageFileError(CommandFailed):
    """A file cannot be used; `lines` say where and why."""


class MessageFile(Value, Generic[M], dict=True):
    """A message read from a file, and the text of the file."""

    source: str
    text: str
    message: M
    kind: FileKind[M]

    @cached_property
    def _lines(self) -> TomlLines:
        return TomlLines(self.text)

    def violation(self, field: str, reason: str) -> str:
        """Return why the API refuses a field, with the lines of the field and of other fields that the reason names."""
        return f"{self.place(field)}: {_NAMED_PATH.sub(self._with_line, reason)}"

    def place(self, field: str) -> str:
        """Return where a field stands: "acme.toml:12: licenses[3].quantity" for "licenses[3].quantity"."""
        path = parse_field(field)
        return _place(self.source, self._lines, path[1:] if path[:1] == (self.kind.field,) else path)

    def _with_line(self, named: re.Match[str]) -> str:
        line = self._lines.by_path.get(parse_field(named[0]))
        return f"{named[0]}, line {line}" if line else named[0]


def read_file(path: Path, kind: FileKind[M]) -> MessageFile[M]:
    """Read a file of a kind.
    Raises MessageFileError if the file cannot be read, or its form is wrong, and lists every mistake."""
    source = str(path)
    text = _read_text(path, kind.remedy)
    try:
        document = read_toml(text, LIMITS)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(source, text, str(error)) from error
    except OverLimitError as error:
        raise MessageFileError(f"{source}:{error.line}: the file {error}") from error
    message = kind.message()
    problems = list(_fill(message, document, ()))
    if problems:
        lines = TomlLines(text)
        raise problems_error(source, [f"{_place(source, lines, p.path)}: {p.message}" for p in problems])
    return MessageFile(source, text, message, kind)


def problems_error(source: str, problems: list[str]) -> MessageFileError:
    """Make a failure that lists what is wrong with a file, at most `PROBLEMS_SHOWN_MAX` problems."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    shown = problems[:PROBLEMS_SHOWN_MAX]
    if len(problems) > len(shown):
        shown.append(f"... and {len(problems) - len(shown)} more")
    return MessageFileError(f"{source} has {count}; nothing was changed", lines=shown)


def parse_field(field: str) -> FieldPath:
    """Split the name of a field of the API into the parts of its path."""
    return tuple(name or int(index) for name, index in _FIELD_PART.findall(field))


def _place(source: str, lines: TomlLines, path: FieldPath) -> str:
    line = lines.line_of(path)
    where = f"{source}:{line}" if line else source
    return f"{where}: {path_text(path)}" if path else where


def _read_text(path: Path, remedy: str) -> str:
    try:
        return read_text(path, most=LIMITS.size)
    except FileError as error:
        raise MessageFileError(str(error), remedy=file_remedy(error) or remedy) from error


def _syntax_error(source: str, text: str, message: str) -> MessageFileError:
    at = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    line = int(at[1]) if at and at[1] else text.count("\n") + 1
    reason = message[: at.start()] if at else message
    column = f", column {at[2]}" if at and at[2] else ""
    return MessageFileError(
        f"{source}:{line}: not valid TOML{column}: {reason}",
        lines=[text.splitlines()[line - 1].strip()] if at and at[1] else [],
        remedy="see https://toml.io for the format, or the files under examples/",
    )


def _fill(message: Message, table: Mapping[str, object], path: FieldPath) -> Iterable[Problem]:
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    for key, value in table.items():
        field = descriptor.fields_by_name.get(key)
        here = (*path, key)
        if field is None:
            yield Problem(here, _unknown_key(key, descriptor))
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from _fill_map(getattr(message, key), field.message_type.fields_by_name["value"], value, here)
        elif field.is_repeated:
            yield from _fill_list(getattr(message, key), field, value, here)
        elif field.message_type is not None:
            yield from _fill_table(getattr(message, key), value, here)
        else:
            try:
                setattr(message, key, _scalar(field, key, value))
            except _WrongError as error:
                yield Problem(here, str(error))


def _fill_map(entries: Any, of: FieldDescriptor, value: object, path: FieldPath) -> Iterable[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"must be a table, not {_kind(value)}: write {path[-1]} = {{ NAME = VALUE, ... }}")
        return
    for key, entry in value.items():
        try:
            entries[key] = _scalar(of, key, entry)
        except _WrongError as error:
            yield Problem((*path, key), str(error))


def _fill_list(entries: Any, field: FieldDescriptor, value: object, path: FieldPath) -> Iterable[Problem]:
    if not isinstance(value, list):
        write = f"write [[{field.name}]] once for each item" if field.message_type is not None else "write it in [ ]"
        yield Problem(path, f"must be a list, not {_kind(value)}: {write}")
        return
    for index, entry in enumerate(value):
        if field.message_type is not None:
            yield from _fill_table(entries.add(), entry, (*path, index))
            continue
        try:
            entries.append(_scalar(field, "", entry))
        except _WrongError as error:
            yield Problem((*path, index), str(error))


def _fill_table(message: Message, value: object, path: FieldPath) -> Iterable[Problem]:
    if isinstance(message, Timestamp):
        if isinstance(value, datetime) and value.tzinfo is not None:
            message.FromDatetime(value)
        else:
            yield Problem(path, f"must be a moment with its offset, as 2026-03-01T08:00:00+01:00, not {_kind(value)}")
        return
    if not isinstance(value, dict):
        keys = ", ".join(field.name for field in message.DESCRIPTOR.fields)
        yield Problem(path, f"must be a table with the keys {keys}, not {_kind(value)}")
        return
    message.SetInParent()
    yield from _fill(message, value, path)


def _scalar(field: FieldDescriptor, key: str, value: object) -> int | str:
    """Return the value of a field that is no message; `key` is what it stands behind in the file, "" in a list.
    Raises _WrongError if the value does not fit the field."""
    if field.enum_type is not None:
        number = short_names(field.enum_type).get(value) if isinstance(value, str) else None
        if number is None:
            raise _WrongError(_bad_enum(value, field.enum_type))
        return number
    if field.cpp_type in _WHOLE_NUMBERS:
        allowed = _WHOLE_NUMBERS[field.cpp_type]
        if not isinstance(value, int) or isinstance(value, bool):
            raise _WrongError(f"must be a whole number, not {_kind(value)}{_unquote_hint(value)}")
        if value not in allowed:
            raise _WrongError(f"{value} is out of range: {allowed.start} to {allowed.stop - 1}")
        return value
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise _WrongError(f"must be true or false, not {_kind(value)}")
        return value
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if not isinstance(value, str):
            raise _WrongError(f"must be a text, not {_kind(value)}{_quote_hint(key, value)}")
        return value
    raise NotImplementedError(field.full_name)  # of a type that no file has yet


def _unknown_key(key: str, descriptor: Descriptor) -> str:
    known = [field.name for field in descriptor.fields]
    return "unknown key" + (closest(key, known) or f"; known keys here: {', '.join(known)}")


def _bad_enum(value: object, enum: EnumDescriptor) -> str:
    known = list(short_names(enum))
    quoted = ", ".join(f'"{name}"' for name in known)
    if not isinstance(value, str):
        return f"must be one of {quoted}, not {_kind(value)}"
    return f'"{value}" is not one of {quoted}{closest(value, known)}'


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'the text "{value if len(value) <= 40 else value[:40] + "..."}"'
        case int():
            return f"the number {value}"
        case float():
            return f"the fraction {value}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"the date or time {value}"


def _quote_hint(key: str, value: object) -> str:
    quoted = f'{key} = "{value}"' if key else f'"{value}"'
    return "" if isinstance(value, list | dict) else f": write it in quotes, {quoted}"


def _unquote_hint(value: object) -> str:
    return ": take the quotes away" if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else ""
