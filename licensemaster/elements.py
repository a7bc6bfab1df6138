"""Counts the elements of a message while it is still bytes: what parsing would cost is known before it is done.

Reads the wire format and builds nothing. Fields inside a message that has only single plain fields are not counted:
however often they come, parsing them costs no more than their bytes. Leaves to protobuf whether a message is well
formed, except for groups, which no message of this API has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_VARINT, _BYTES, _FIXED = 0, 2, {1: 8, 5: 4}
_TORN = "it ends in the middle of a field"
_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_LONGEST_VARINT_BITS = 70
_TEXT_FIELDS_MAX = 100_000
"""The most fields that are searched in a message that cannot be parsed: as many as ten thousand seats have."""


class MalformedError(Exception):
    """Raised for bytes that are no message."""


def excess(data: bytes, kind: Descriptor, most: int) -> str | None:
    """Return the outermost field in which a message comes to more than `most` elements, "request" where that field is
    unknown; None where the message has no more.

    Elements are fields and entries, known or not, at any depth; entries of packed numbers count by their bytes. Takes
    no longer than `most` elements take.
    Raises MalformedError if the bytes are no message.
    """
    if len(data) <= most:  # an element takes a byte at least
        return None
    elements, name = 0, "request"
    around = [(fields_of(data, 0, len(data)), kind.fields_by_number)]
    while around:
        fields, known = around[-1]
        found = next(fields, None)
        if found is None:
            around.pop()
            continue
        number, wire, begins, ends = found
        field = known.get(number)
        if len(around) == 1:
            name = "request" if field is None else field.name
        elements += 1
        if wire == _BYTES and field is not None:
            inside = field.message_type
            if inside is not None and not _is_plain(inside):
                around.append((fields_of(data, begins, ends), inside.fields_by_number))
            elif inside is None and field.type not in _TEXTS:
                elements += ends - begins
        if elements > most:
            return name
    return None


def crowded(data: bytes, kind: Descriptor, entries_max: Mapping[str, int], most: int) -> str | None:
    """Return the first path of `entries_max` whose repeated field has more entries than it may; None where none has.

    Looks at no more than about `most` fields, and into none except those on these paths.
    Raises MalformedError if the bytes are no message.
    """
    inside: dict[int, dict[int, str]] = {}
    for path in entries_max:
        around, name = path.split(".")
        field = kind.fields_by_name[around]
        assert field.message_type is not None
        inside.setdefault(field.number, {})[field.message_type.fields_by_name[name].number] = path
    counted = dict.fromkeys(entries_max, 0)
    looked = 0
    for number, _, at, end in fields_of(data, 0, len(data)):
        looked += 1
        for entry, *_ in fields_of(data, at, end) if number in inside else ():
            looked += 1
            path = inside[number].get(entry, "")
            if path:
                counted[path] += 1
                if counted[path] > entries_max[path]:
                    return path
            if looked > most:
                return None
        if looked > most:
            return None
    return None


def bad_text(data: bytes, kind: Descriptor) -> tuple[str, bytes] | None:
    """Return the path of a message's first text that is no UTF-8, as `seats[3].holder`, and its bytes; None where no
    text among the first 100,000 fields is wrong. A parser's error names no field.
    Raises MalformedError if the bytes are no message."""
    texts = islice(_texts(data, 0, len(data), kind, ""), _TEXT_FIELDS_MAX)
    return next(((path, text) for path, text in texts if not _is_text(text)), None)


def _texts(data: bytes, at: int, end: int, kind: Descriptor, path: str) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the bytes of each text of a message; no bytes for each other field."""
    entries = Counter[int]()
    for number, _, begins, ends in fields_of(data, at, end):
        field = kind.fields_by_number.get(number)
        is_text = field is not None and field.type == FieldDescriptor.TYPE_STRING
        if field is None or (not is_text and field.message_type is None):
            yield "", b""
            continue
        name = f"{path}{field.name}" + (f"[{entries[number]}]" if field.is_repeated else "")
        entries[number] += 1
        yield name, data[begins:ends] if is_text else b""
        if field.message_type is not None:
            yield from _texts(data, begins, ends, field.message_type, f"{name}.")


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def fields_of(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number and the wire type of each field of a message, and where the field's content begins and ends.
    Raises MalformedError if the bytes are no message."""
    while at < end:
        tag, at = _varint(data, at, end)
        begins = at
        if (wire := tag & 7) == _BYTES:
            length, begins = _varint(data, at, end)
            at = begins + length
        elif wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire in _FIXED:
            at += _FIXED[wire]
        else:
            raise MalformedError(f"it has a field of wire type {wire}, which nothing here has")
        if at > end:
            raise MalformedError(_TORN)
        yield tag >> 3, wire, begins, at


@cache
def _is_plain(kind: Descriptor) -> bool:
    """Tell whether a message has only single plain fields."""
    return not any(field.is_repeated or field.message_type is not None for field in kind.fields)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while at < end and shift < _LONGEST_VARINT_BITS:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise MalformedError(_TORN)
