"""Values of the domain from messages: reads what `messages.py` writes, with texts in their normal form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cache, partial
from operator import attrgetter
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from licensemaster import values
from master.rpc.convert.incoming import moment
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import attribute_of

V = TypeVar("V", bound=Struct)
_Read = Callable[[Any, str], Any]
"""Reads a value of a message; the text is the path of its field, for a refusal."""
_SHOWN = frozenset({"display_name", "model", "software_version"})
"""Text fields that are for people; all other texts are names."""


def value_from(kind: type[V], sent: Any, at: str = "") -> V:
    """Return a value with the fields of a message as its attributes; a number that is 0 gets its attribute's default.
    Raises InvalidArgumentError if an enum's number or a moment is not valid, and names the field."""
    return kind(**{name: read(sent, at) for name, read in _readers(kind, sent.DESCRIPTOR)})


@cache
def _readers(kind: type[Struct], descriptor: Descriptor) -> Sequence[tuple[str, _Read]]:
    hints, by_attribute = get_type_hints(kind), {attribute_of(descriptor, field): field for field in descriptor.fields}
    return [(each.name, _reader(hints[each.name], each.default, by_attribute[each.name])) for each in fields(kind)]


def _reader(of: Any, usual: Any, field: FieldDescriptor) -> _Read:
    name, get, parts = field.name, attrgetter(field.name), get_args(of)
    in_normal_form = values.clean if name in _SHOWN else values.resource
    if of is str:
        return lambda sent, at: in_normal_form(get(sent))
    if of is int:
        return lambda sent, at: get(sent) or (0 if usual is NODEFAULT else usual)
    if get_origin(of) is Mapping:
        return lambda sent, at: dict(get(sent))
    if of == tuple[str, ...]:
        return lambda sent, at: tuple(map(in_normal_form, get(sent)))
    read = _reader_of_one(parts[0] if parts else of)
    if field.is_repeated:
        return lambda sent, at: tuple([read(one, f"{at}{name}[{index}]") for index, one in enumerate(get(sent))])
    if NoneType in parts:
        return lambda sent, at: read(get(sent), at + name) if sent.HasField(name) else None
    return lambda sent, at: read(get(sent), at + name)


def _reader_of_one(of: Any) -> _Read:
    if of is float:
        return lambda value, at: moment(at, value)
    if issubclass(of, Struct):
        return lambda value, at: value_from(of, value, f"{at}.")
    return partial(_member, of) if issubclass(of, Enum) else lambda value, at: value


def _member(kind: type[Enum], value: int, at: str) -> Enum:
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidArgumentError(at, f"must be one of {', '.join(each.name.lower() for each in kind)}") from error
