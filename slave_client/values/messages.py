"""Translation of seats and answers between the client's values and the messages of the API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from licensemaster.api_enums import Basis, HolderKind, RemedyAction
from licensemaster.v1 import lease_pb2, seat_pb2
from slave_client.values.seats import (
    Granted,
    LicenseRef,
    Outcome,
    Reason,
    Refused,
    Remedy,
    RemedyStep,
    Returned,
    ReturnOutcome,
    SeatKey,
    TopHolder,
    Want,
)

_REASONS: Final = {
    number: Reason[reason]
    for name, number in seat_pb2.RefusalReason.items()
    if (reason := name.removeprefix("REFUSAL_REASON_")) in Reason.__members__
}
_BASES: Final[dict[int, Basis]] = {basis.value: basis for basis in Basis}
_ACTIONS: Final[dict[int, RemedyAction]] = {action.value: action for action in RemedyAction}
V = TypeVar("V", Refused, Remedy, RemedyStep, TopHolder, LicenseRef)
_NAMES: Final = {kind: tuple(kind.__slots__) for kind in (Refused, Remedy, RemedyStep, TopHolder, LicenseRef)}
_KINDS: Final = {kind: seat_pb2.HolderKind.ValueType(kind.value) for kind in HolderKind}
_KINDS_BACK: Final[dict[int, HolderKind]] = {kind.value: kind for kind in HolderKind}


def seat_from_want(want: Want) -> seat_pb2.Seat:
    """Translate a wanted seat into a message."""
    return seat_pb2.Seat(
        license_type=want.license_type,
        holder_kind=_KINDS[want.holder_kind],
        holder=want.holder,
        user=want.user,
        line=want.line,
        application_version=want.application_version,
    )


def want_from_seat(seat: seat_pb2.Seat) -> Want:
    """Translate a seat that the master names; raises ValueError for a kind of holder that this client does not know."""
    return Want(
        license_type=seat.license_type,
        holder_kind=HolderKind(seat.holder_kind),
        holder=seat.holder,
        user=seat.user,
        line=seat.line,
        application_version=seat.application_version,
    )


def outcome_from_result(want: Want, result: seat_pb2.SeatResult) -> Outcome:
    """Translate the master's answer for one wanted seat."""
    if result.WhichOneof("outcome") == "granted":
        grant = result.granted
        return Granted(
            want=want,
            basis=_BASES.get(grant.basis),
            already_held=grant.already_held,
            included_in=grant.included_in,
            device=grant.device,
            reassignable=grant.reassignable,
        )
    return refused_from_refusal(want, result.refused)


def outcomes_from_results(wants: Iterable[Want], results: Iterable[seat_pb2.SeatResult]) -> list[Outcome]:
    """Translate the master's answers, one for each wanted seat."""
    return [outcome_from_result(want, result) for want, result in zip(wants, results, strict=True)]


def outcome_from_return(want: Want, result: lease_pb2.ReturnResult) -> ReturnOutcome:
    """Translate the master's answer for one seat to be returned."""
    if result.HasField("refused"):
        return refused_from_refusal(want, result.refused)
    return Returned(want=want, held=result.returned)


def refused_from_refusal(want: Want, refusal: seat_pb2.Refusal) -> Refused:
    """Translate the master's refusal of a seat."""
    remedy = refusal.remedy
    ways = tuple(tuple(_step(step) for step in way.steps) for way in remedy.ways)
    return _read(
        Refused,
        refusal,
        want=want,
        reason=_REASONS.get(refusal.reason, Reason.UNKNOWN),
        rules=tuple(refusal.rules),
        top_holders=tuple(_read(TopHolder, holder) for holder in refusal.top_holders),
        licenses=licenses_from_refs(refusal.licenses),
        seats=keys_from_seats(refusal.seats),
        remedy=_read(Remedy, remedy, action=_ACTIONS.get(remedy.action), ways=ways),
    )


def _step(step: seat_pb2.RemedyStep) -> RemedyStep:
    return _read(
        RemedyStep,
        step,
        action=_ACTIONS.get(step.action),
        licenses=licenses_from_refs(step.licenses),
        seats=keys_from_seats(step.seats),
        until=step.until_time.ToDatetime(UTC) if step.HasField("until_time") else None,
        accepted=tuple(step.accepted),
    )


def _read(kind: type[V], message: Message, **given: Any) -> V:
    """Make a value from the message's fields of the same names and from the fields in `given`, which win."""
    return kind(**given, **{name: getattr(message, name) for name in _NAMES[kind] if name not in given})


def keys_from_seats(seats: Iterable[seat_pb2.Seat]) -> tuple[SeatKey, ...]:
    """Translate the names of seats, without those whose kind of holder this client does not know."""
    return tuple(
        SeatKey(seat.license_type, _KINDS_BACK[seat.holder_kind], seat.holder)
        for seat in seats
        if seat.holder_kind in _KINDS_BACK
    )


def licenses_from_refs(references: Iterable[seat_pb2.LicenseRef]) -> tuple[LicenseRef, ...]:
    """Translate the licenses that a refusal or a notice names."""
    return tuple(_read(LicenseRef, reference) for reference in references)
