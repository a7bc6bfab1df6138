"""Reads a project file: a Project of the API, written in TOML.

Keys are the field names of the proto; enums are written in their short form (`role = "slave"`). Lists may be written
as `[[licenses]]` tables or as `licenses = [{ ... }, ... ]`, one item a line. What is checked here is the form: keys,
types, number ranges. Whether the project makes sense is the master's to say, and `ProjectFile.place` puts its answer
on a line of the file.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from licensemaster.files.texts import FileError, read_text
from licensemaster.v1 import project_pb2
from licensemaster.values.bounded import Limits, OverLimitError, read_toml
from licensemaster.values.similar import closest
from licensemaster.values.toml_lines import FieldPath, TomlLines, path_text
from master.cli.output.enum_names import short_names
from master.cli.output.failure import CommandFailed

LIMITS = Limits(size=10 * 1024 * 1024, depth=8, items=1_000_000)
"""An estate of 10,000 sites has half of that."""
PROBLEMS_SHOWN_MAX = 20
_REMEDY = "a project file is TOML, saved as UTF-8; an estate of 1,000 sites takes less than 1 MiB"
_WHOLE_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: range(-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: range(-(2**63), 2**63),
}
_FIELD_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a project file."""

    path: FieldPath
    message: str


class ProjectFileError(CommandFailed):
    """A project file cannot be used; `lines` say where and why."""


@dataclass(frozen=True)
class ProjectFile:
    """A project as read, and the text that it was read from."""

    source: str
    text: str
    project: project_pb2.Project

    @cached_property
    def _lines(self) -> TomlLines:
        return TomlLines(self.text)

    def place(self, field: str) -> str:
        """Where a field of the API stands: "licenses[3].quantity" becomes "acme.toml:12: licenses[3].quantity"."""
        return _place(self.source, self._lines, parse_field(field))


def read_project_file(path: Path) -> ProjectFile:
    """Reads a project file, or raises ProjectFileError with everything that is wrong with its form."""
    source = str(path)
    text = _read_text(path)
    try:
        document = read_toml(text, LIMITS)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(source, text, str(error)) from error
    except OverLimitError as error:
        raise ProjectFileError(f"{source}:{error.line}: the file {error}") from error
    project = project_pb2.Project()
    problems = list(_fill(project, document, ()))
    if problems:
        lines = TomlLines(text)
        raise problems_error(source, [f"{_place(source, lines, p.path)}: {p.message}" for p in problems])
    return ProjectFile(source, text, project)


def problems_error(source: str, problems: list[str]) -> ProjectFileError:
    """A failure that lists what is wrong with a file, with an end to the list."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    shown = problems[:PROBLEMS_SHOWN_MAX]
    if len(problems) > len(shown):
        shown.append(f"... and {len(problems) - len(shown)} more")
    return ProjectFileError(f"{source} has {count}; nothing was changed", lines=shown)


def parse_field(field: str) -> FieldPath:
    """The path of a field as the API names it, with or without the request's own "project." in front."""
    parts = tuple(name or int(index) for name, index in _FIELD_PART.findall(field))
    return parts[1:] if parts[:1] == ("project",) else parts


def _place(source: str, lines: TomlLines, path: FieldPath) -> str:
    line = lines.line_of(path)
    where = f"{source}:{line}" if line else source
    return f"{where}: {path_text(path)}" if path else where


def _read_text(path: Path) -> str:
    try:
        return read_text(path, most=LIMITS.size)
    except FileError as error:
        raise ProjectFileError(str(error), remedy=_REMEDY) from error


def _syntax_error(source: str, text: str, message: str) -> ProjectFileError:
    at = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    line = int(at[1]) if at and at[1] else text.count("\n") + 1
    reason = message[: at.start()] if at else message
    column = f", column {at[2]}" if at and at[2] else ""
    return ProjectFileError(
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
        elif field.is_repeated:
            yield from _fill_list(message, field, value, here)
        elif field.message_type is not None:
            yield from _fill_table(getattr(message, key), value, here)
        else:
            yield from _set_value(message, field, value, here)


def _fill_list(message: Message, field: FieldDescriptor, value: object, path: FieldPath) -> Iterable[Problem]:
    if not isinstance(value, list):
        yield Problem(path, f"must be a list, not {_kind(value)}: write [[{field.name}]] once for each item")
        return
    for index, entry in enumerate(value):
        yield from _fill_table(getattr(message, field.name).add(), entry, (*path, index))


def _fill_table(message: Message, value: object, path: FieldPath) -> Iterable[Problem]:
    if not isinstance(value, dict):
        keys = ", ".join(field.name for field in message.DESCRIPTOR.fields)
        yield Problem(path, f"must be a table with the keys {keys}, not {_kind(value)}")
        return
    message.SetInParent()
    yield from _fill(message, value, path)


def _set_value(message: Message, field: FieldDescriptor, value: object, path: FieldPath) -> Iterable[Problem]:
    if field.enum_type is not None:
        number = short_names(field.enum_type).get(value) if isinstance(value, str) else None
        if number is None:
            yield Problem(path, _bad_enum(value, field.enum_type))
        else:
            setattr(message, field.name, number)
    elif field.cpp_type in _WHOLE_NUMBERS:
        allowed = _WHOLE_NUMBERS[field.cpp_type]
        if not isinstance(value, int) or isinstance(value, bool):
            yield Problem(path, f"must be a whole number, not {_kind(value)}{_unquote_hint(value)}")
        elif value not in allowed:
            yield Problem(path, f"{value} is out of range: {allowed.start} to {allowed.stop - 1}")
        else:
            setattr(message, field.name, value)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if isinstance(value, str):
            setattr(message, field.name, value)
        else:
            yield Problem(path, f"must be a text, not {_kind(value)}{_quote_hint(field.name, value)}")
    else:  # a field of a type that project files do not have yet
        raise NotImplementedError(field.full_name)


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
    return "" if isinstance(value, list | dict) else f': write it in quotes, {key} = "{value}"'


def _unquote_hint(value: object) -> str:
    return ": take the quotes away" if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else ""
