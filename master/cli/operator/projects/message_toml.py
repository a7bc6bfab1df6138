"""Writing a message as the file that `message_file.py` reads: one item a line, columns in line, only what is set."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from master.cli.output.enum_names import short_name_of
from master.cli.output.toml_text import toml_text


def message_toml(message: Message) -> str:
    """Return a message as the text of a file that reads back as the same message."""
    blocks: list[list[str]] = [[]]
    for field, value in _set_fields(message):
        if field.is_repeated and field.message_type is not None:
            blocks.append([f"{field.name} = [", *_rows(cast(list[Message], value)), "]"])
        else:
            blocks[0].append(f"{field.name} = {_value(field, value)}")
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _rows(items: Iterable[Message]) -> list[str]:
    """Return messages as inline tables, one a line, each key in the same column."""
    cells = [{field.name: f"{field.name} = {_value(field, value)}" for field, value in _set_fields(i)} for i in items]
    columns = [
        (key, max(len(row.get(key, "")) for row in cells)) for key in dict.fromkeys(key for row in cells for key in row)
    ]
    return [f"  {{ {_row(row, columns)} }}," if row else "  {}," for row in cells]


def _row(row: dict[str, str], columns: list[tuple[str, int]]) -> str:
    keys = list(row)
    text = ""
    for key, width in columns:
        if key in row:
            separator = ", " if key != keys[-1] else ""
            text += (row[key] + separator).ljust(width + 2)
        else:
            text += " " * (width + 2)
    return text.rstrip()


def _set_fields(message: Message) -> Iterable[tuple[FieldDescriptor, object]]:
    """Return the fields of a message that are set, with their values, in the order of the proto."""
    values = {field.name: value for field, value in message.ListFields()}
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    return [(field, values[field.name]) for field in descriptor.fields if field.name in values]


def _value(field: FieldDescriptor, value: object) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return _table(
            (_key(key), _scalar(of, entry)) for key, entry in sorted(cast(Mapping[str, object], value).items())
        )
    if field.is_repeated:
        return f"[{', '.join(_scalar(field, entry) for entry in cast(Iterable[object], value))}]"
    return _scalar(field, value)


def _scalar(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Message):
        return _table((inner.name, _value(inner, of)) for inner, of in _set_fields(value))
    if field.enum_type is not None:
        return f'"{short_name_of(field.enum_type, cast(int, value))}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return toml_text(value) if isinstance(value, str) else str(value)


def _table(entries: Iterable[tuple[str, str]]) -> str:
    inner = ", ".join(f"{key} = {value}" for key, value in entries)
    return f"{{ {inner} }}" if inner else "{}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)
