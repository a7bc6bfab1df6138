"""Writes a Project as a project file: one item a line, columns in line, only what is set."""

import json
from collections.abc import Iterable
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from licensemaster.v1 import project_pb2
from master.cli.output.enum_names import short_name_of


def project_toml(project: project_pb2.Project) -> str:
    """The project file that reads back as this project."""
    blocks: list[list[str]] = [[]]
    for field, value in _set_fields(project):
        if field.is_repeated:
            blocks.append([f"{field.name} = [", *_rows(cast(list[Message], value)), "]"])
        else:
            blocks[0].append(f"{field.name} = {_value(field, value)}")
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _rows(items: Iterable[Message]) -> list[str]:
    """Inline tables, each key in the same column in all of them."""
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
    """The fields that are set, in the order of the proto."""
    values = {field.name: value for field, value in message.ListFields()}
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    return [(field, values[field.name]) for field in descriptor.fields if field.name in values]


def _value(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Message):
        inner = ", ".join(f"{inner.name} = {_value(inner, of)}" for inner, of in _set_fields(value))
        return f"{{ {inner} }}" if inner else "{}"
    if field.enum_type is not None:
        return f'"{short_name_of(field.enum_type, cast(int, value))}"'
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
