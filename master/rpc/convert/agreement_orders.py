"""Reads orders of agreements: each message has the fields of the value that it becomes.

Form is checked here: texts, days, amounts. `master/domain/agreements` decides whether an order may be placed.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from google.protobuf.message import Message

from licensemaster import values
from licensemaster.v1 import agreement_order_pb2, agreement_pb2
from master.domain.agreements.ledger.orders import NEED_A_REASON, Order
from master.domain.agreements.ledger.problems import AgreementRefusal
from master.domain.catalog.policies import SubjectKind
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject
from master.domain.catalog.toml_reader import LIMITS
from master.rpc.convert import incoming
from master.rpc.errors import InvalidArgumentError
from master.service.agreements.ordering import Placed, PlaceOrder, PriceText
from master.service.runtime.request_answers import RequestKey

NAMED_MAX = 1000
"""The most subjects, licenses or counts in one order."""
_TEXT_MAX = 200
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,9})?")
_SERVER = re.compile(r"projects/([^/]{1,128})/(devices|pbxs|licenses)/([^/]{1,200})")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def message_field(order: type[Any]) -> str:
    """Return the name of an order's field in the message: `add_credits` for AddCredits."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", order.__name__).lower()


ORDERS: Mapping[str, type[Order]] = {message_field(arg): arg for arg in typing.get_args(Order)}
_TYPES = {field: typing.get_type_hints(order) for field, order in ORDERS.items()}
_SUBJECTS = {
    agreement_order_pb2.SUBJECT_KIND_LICENSE: SubjectKind.LICENSE,
    agreement_order_pb2.SUBJECT_KIND_DEVICE: SubjectKind.DEVICE,
    agreement_order_pb2.SUBJECT_KIND_CONTRACT: SubjectKind.CONTRACT,
}


def place_order(
    request: agreement_pb2.PlaceOrderRequest, key: RequestKey[Placed | AgreementRefusal], caller: str
) -> PlaceOrder:
    """Read an order to be placed. Raises InvalidArgumentError if a field is wrong, and names it."""
    wanted = order(request.order)
    if isinstance(wanted, NEED_A_REASON) and not request.reason and not request.dry_run:
        raise InvalidArgumentError("reason", "is empty; what is put right says why, for the audit")
    return PlaceOrder(
        project=incoming.project_name(request.project),
        order=wanted,
        prices=prices(request.prices) if request.HasField("prices") else None,
        caller=caller,
        key=key,
        reason=incoming.reason(request.reason),
        dry_run=request.dry_run,
    )


def order(message: agreement_order_pb2.AgreementOrder) -> Order:
    """Read an order from its message. Raises InvalidArgumentError if a field is wrong, and names it."""
    kind = message.WhichOneof("order")
    if kind is None:
        raise InvalidArgumentError("order", f"must be one of {', '.join(ORDERS)}")
    wanted = ORDERS[kind]
    sent: Message = getattr(message, kind)
    return wanted(**{name: _read(f"order.{kind}.{name}", of, getattr(sent, name)) for name, of in _TYPES[kind].items()})


def prices(message: agreement_pb2.PriceFile, field: str = "prices") -> PriceText:
    """Read a price file; its content is not checked against the project's catalog here.
    Raises InvalidArgumentError if the file is empty, too large, or has no usable name."""
    name = _name(f"{field}.name", message.name, most=255)
    if not message.text or len(message.text.encode()) > LIMITS.size:
        raise InvalidArgumentError(f"{field}.text", f"must be a price file of at most {LIMITS.size:,} bytes")
    return PriceText(name, message.text)


def day(field: str, text: str) -> date:
    """Read a day, such as 2026-03-01. Raises InvalidArgumentError if the text is no day."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidArgumentError(field, f"{text[:80]!r} must be a day such as 2026-03-01")


def optional_day(field: str, text: str) -> date | None:
    return day(field, text) if text else None


def subject(field: str, message: agreement_order_pb2.AgreementSubject) -> Subject:
    """Read the license, device or contract that an order or a question is about.
    Raises InvalidArgumentError if the subject's kind or id is missing or wrong."""
    if message.kind not in _SUBJECTS:
        names = ", ".join(kind.value for kind in SubjectKind)
        raise InvalidArgumentError(f"{field}.kind", f"{message.kind} must be one of {names}")
    return Subject.of(_SUBJECTS[message.kind], _name(f"{field}.id", message.id))


def subject_kind(kind: int) -> str:
    """Read a kind of subject, as the ledger writes it; empty for any kind."""
    subject_kind = _SUBJECTS.get(agreement_order_pb2.SubjectKind.ValueType(kind))
    if subject_kind is None and kind != agreement_order_pb2.SUBJECT_KIND_UNSPECIFIED:
        raise InvalidArgumentError("kind", f"{kind} must be one of {', '.join(name.value for name in SubjectKind)}")
    return subject_kind.value if subject_kind is not None else ""


def server(text: str) -> tuple[str, str, str]:
    """Read what an upgrade is for, as (project, "devices", "pbxs" or "licenses", name).
    Raises InvalidArgumentError if the text is no such name."""
    match = _SERVER.fullmatch(values.resource(text))
    if match is None or not values.is_shown(match[0]):
        raise InvalidArgumentError(
            "server", f"{text[:80]!r} must be projects/PROJECT/ and devices/DEVICE, pbxs/PBX or licenses/LICENSE"
        )
    return incoming.project_name(f"projects/{match[1]}", "server"), match[2], match[3]


def release(field: str, text: str) -> ReleaseName:
    """Read the name of a release. Raises InvalidArgumentError if the text is no name of a release."""
    return incoming.checked(field, ReleaseName.parse, _text(field, text))


def _read(field: str, kind: Any, value: Any) -> Any:
    """Read one field of an order, by the type that it becomes."""
    if kind is str:
        return _text(field, value)
    if kind is Decimal:
        if not _DECIMAL.fullmatch(value):
            raise InvalidArgumentError(field, f"{value[:80]!r} must be a decimal such as 12.50")
        return Decimal(value)
    if kind is date:
        return day(field, value)
    if kind == date | None:
        return optional_day(field, value)
    if kind in (int, bool):
        return value
    if len(value) > NAMED_MAX:
        raise InvalidArgumentError(field, f"{len(value)} in one order; name at most {NAMED_MAX}")
    if kind == tuple[Subject, ...]:
        return tuple(subject(f"{field}[{index}]", entry) for index, entry in enumerate(value))
    if kind == tuple[str, ...]:
        return tuple(_text(f"{field}[{index}]", entry) for index, entry in enumerate(value))
    return {_text(field, key): int(count) for key, count in sorted(value.items())}


def _text(field: str, value: str) -> str:
    return incoming.checked(field, partial(values.free_text, most=_TEXT_MAX), value)


def _name(field: str, value: str, *, most: int = _TEXT_MAX) -> str:
    return incoming.checked(field, partial(values.short_text, most=most), value)
