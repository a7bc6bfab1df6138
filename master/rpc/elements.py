"""Counts what a message is made of while it is still bytes: what parsing it would cost is known before it is parsed.

Reads the wire format and builds nothing. What stands in a message of single plain fields is not counted: however often
it is there, it costs no more than its bytes. Leaves to protobuf whether a message is well formed, but for groups, which
no message of this API has.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_VARINT, _BYTES, _FIXED = 0, 2, {1: 8, 5: 4}
_TORN = "it ends in the middle of a field"
_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_LONGEST_VARINT_BITS = 70


class MalformedError(Exception):
    """Bytes that are no message."""


def excess(data: bytes, kind: Descriptor, most: int) -> str | None:
    """The field of a message in which it comes to more than `most` elements, or "request"; None if it does not.

    Elements are fields and entries, known or not, at any depth; entries of packed numbers count by their bytes. Takes
    no longer than `most` elements take.

    Raises:
        MalformedError: it is no message.
    """
    if len(data) <= most:  # an element takes a byte at least
        return None
    found, at, end, fields = 0, 0, len(data), kind.fields_by_number
    around: list[tuple[int, Mapping[int, FieldDescriptor]]] = []
    name = "request"
    while True:
        while at < end:
            tag, at = _varint(data, at, end)
            field = fields.get(tag >> 3)
            if not around:
                name = "request" if field is None else field.name
            found += 1
            wire = tag & 7
            if wire == _BYTES:
                length, at = _varint(data, at, end)
                if at + length > end:
                    raise MalformedError(_TORN)
                if field is not None and field.message_type is not None and not _is_plain(field.message_type):
                    around.append((end, fields))
                    end, fields = at + length, field.message_type.fields_by_number
                else:
                    found += 0 if field is None or field.message_type or field.type in _TEXTS else length
                    at += length
            elif wire == _VARINT:
                _, at = _varint(data, at, end)
            elif wire in _FIXED:
                at += _FIXED[wire]
            else:
                raise MalformedError(f"it has a field of wire type {wire}, which nothing here has")
            if found > most:
                return name
        if at > end:
            raise MalformedError(_TORN)
        if not around:
            return None
        end, fields = around.pop()


@cache
def _is_plain(kind: Descriptor) -> bool:
    """Whether a message has single plain fields only."""
    return not any(field.is_repeated or field.message_type is not None for field in kind.fields)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    found = shift = 0
    while at < end and shift < _LONGEST_VARINT_BITS:
        byte = data[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, at
        shift += 7
    raise MalformedError(_TORN)
