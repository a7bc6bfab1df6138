"""Messages from values of the domain: each field takes the attribute of its name; `from_messages.py` goes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import cache, partial
from operator import attrgetter
from typing import Any, TypeVar

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from master.domain.catalog.subjects import PROJECT

M = TypeVar("M", bound=Message)

_RENAMED: Mapping[str, Mapping[str, str]] = {
    "Agreement": {"bought_day": "bought_on", "auto_renewal": "renews_by"},
    "AgreementEntry": {"record_time": "recorded_at"},
    "AgreementTerm": {"begin_day": "term.begins", "end_day": "term.ends"},
    "AllocationRule": {"start_time": "starts_at", "end_time": "ends_at"},
    "AwaitedOrder": {"order": "number"},
    "CheckUpgradeResponse": {"refused": "refusal"},
    "DeadMessage": {"make_time": "made_at"},
    "DeviceKey": {"device": "name", "enroll_time": "enrolled_at"},
    "Event": {"id": "seq"},
    "Learning": {"begin_time": "learning.since", "end_time": "learning.until", "why": "learning.why"},
    "LicenseRef": {"license": "id", "type": "printed"},
    "MoveRefusal": {"quantity": "missing"},
    "GetStatusResponse": {"version_limits": "limits"},
    "Pool": {
        **{part: f"parts.{part}" for part in ("used", "leaving", "withheld", "reserved_idle", "free")},
        **{
            part: f"parts.counts.{part}"
            for part in ("reserved_used", "floating_used", "held_idle", "borrowed", "first_claims", "promised")
        },
    },
    "PoolHistory": {"peak_seven_days": "peak_lately"},
    "RemedyStep": {"until_time": "until"},
    "Right": {"newest_release": "newest", "supported": "is_supported"},
    "SiteHistory": {"peak_seven_days": "peak_lately"},
    "StandbyProblem": {"blocking": "kind.blocking"},
    "TrustedKey": {"trust_time": "trusted_at", "retire_time": "retires_at"},
    "VerifyAuditResponse": {"head_seq": "end.seq", "head_hash": "end.hash"},
    "Webhook": {"add_time": "added_at"},
}
"""The attribute of each field that has another name than its attribute, by message and field."""


def timestamp(seconds: float) -> Timestamp:
    """Return UNIX seconds as a timestamp, to the microsecond."""
    return timestamp_us(round(seconds * 1_000_000))


def timestamp_us(micros: int) -> Timestamp:
    """Return microseconds since 1970 as a timestamp."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def message(to: type[M], value: object, **given: Any) -> M:
    """Return a message with the values that are given, and for its other fields the attributes of `value`.

    `x_time` is read from `x_at` (UNIX seconds), a date `x_day` from `x`. None, and a subject that is the project as a
    whole, leave a field unset.
    Raises AttributeError if a field is neither given nor an attribute; every message that is sent has a test.
    """
    for name, attribute, written in _fields(to.DESCRIPTOR):
        read = given[name] if name in given else attribute(value)
        given[name] = read if read is None or written is None else written(read)
    return to(**given)


@cache
def _fields(descriptor: Descriptor) -> list[tuple[str, Callable[[Any], Any], Callable[[Any], Any] | None]]:
    """Return each field's name, the function that reads its attribute, and one that converts the value, if needed."""
    return [(field.name, attrgetter(attribute_of(descriptor, field)), _writer(field)) for field in descriptor.fields]


def attribute_of(descriptor: Descriptor, field: FieldDescriptor) -> str:
    """Return the attribute of a value that stands in a message's field."""
    if (renamed := _RENAMED.get(descriptor.name, {}).get(field.name)) is not None:
        return renamed
    if _is_moment(field):
        return field.name.removesuffix("_time") + "_at"
    return field.name.removesuffix("_day") if field.type == FieldDescriptor.TYPE_STRING else field.name


def _is_moment(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == Timestamp.DESCRIPTOR.full_name


def _writer(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    write: Callable[[Any], Any]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict
    if field.message_type is not None:
        to = message_factory.GetMessageClass(field.message_type)
        make = timestamp if _is_moment(field) else partial(message, to)
        if field.message_type.name == "AgreementSubject":
            write = lambda value: None if value == PROJECT else make(value)  # noqa: E731
        else:
            write = lambda value: value if isinstance(value, Message) else make(value)  # noqa: E731
    elif field.enum_type is not None:
        write = partial(_number, field.enum_type)
    else:
        if field.type != FieldDescriptor.TYPE_STRING:
            return None
        write = text
    return (lambda values: [write(value) for value in values]) if field.is_repeated else write


def _number(enum: EnumDescriptor, value: Any) -> int:
    """Return an enum's number for a value: the value is or has that number, or has or is the name of a member."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Enum) and isinstance(value.value, int):
        return value.value
    name = value.name if isinstance(value, Enum) else str(value).upper()
    number: int = enum.values_by_name[enum.values[0].name.removesuffix("UNSPECIFIED") + name].number
    return number


def text(value: object) -> str:
    """Return a value as people write it; amounts never with an exponent."""
    if type(value) is str:  # nearly always
        return value
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
