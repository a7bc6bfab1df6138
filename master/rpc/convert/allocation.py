"""Allocations as they are sent, and as the domain has them."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster import values
from licensemaster.api_enums import HolderKind
from licensemaster.v1 import allocation_pb2, seat_pb2
from master.domain.allocation import policies
from master.rpc.convert.incoming import moment
from master.rpc.convert.refusals import kind_message
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message
from master.service.leases.waiting_lists import WaitingSeat
from master.service.runtime.names import PbxName

_PATIENCE_SECONDS = policies.QueuePolicy(length_max=1).patience_seconds


def allocation(sent: allocation_pb2.Allocation) -> policies.Allocation:
    """An allocation as it was sent, in normal forms; `domain/estate/contradictions.py` judges it.

    Raises:
        InvalidArgumentError: a holder kind or a moment cannot be meant.
    """
    named = values.resource
    return policies.Allocation(
        groups=tuple(policies.SiteGroup(name=named(group.name), sites=_names(group.sites)) for group in sent.groups),
        rules=tuple(_rule(rule, index) for index, rule in enumerate(sent.rules)),
        types=tuple(_type(policy) for policy in sent.types),
    )


def _rule(sent: allocation_pb2.AllocationRule, index: int) -> policies.AllocationRule:
    def at(field: str, value: Timestamp) -> float | None:
        return moment(f"rules[{index}].{field}", value) if sent.HasField(field) else None  # type: ignore[arg-type]

    return policies.AllocationRule(
        name=values.resource(sent.name),
        site=values.resource(sent.site),
        group=values.resource(sent.group),
        reserve=dict(sent.reserve),
        maximum=dict(sent.maximum),
        weight=dict(sent.weight),
        priority=dict(sent.priority),
        allow=_names(sent.allow),
        deny=_names(sent.deny),
        holder_kinds=tuple(_kind(kind, index) for kind in sent.holder_kinds),
        serves_emergencies=sent.serves_emergencies,
        starts_at=at("start_time", sent.start_time),
        ends_at=at("end_time", sent.end_time),
    )


def _type(sent: allocation_pb2.TypePolicy) -> policies.TypePolicy:
    queue, overdraft = sent.queue, sent.overdraft
    return policies.TypePolicy(
        license_type=values.resource(sent.license_type),
        queue=policies.QueuePolicy(
            length_max=queue.length_max,
            express_seats_max=queue.express_seats_max,
            patience_seconds=queue.patience_seconds or _PATIENCE_SECONDS,
        )
        if sent.HasField("queue")
        else None,
        overdraft=policies.OverdraftPolicy(
            seats=overdraft.seats,
            budget_seat_hours=overdraft.budget_seat_hours,
            refill_seat_hours_per_day=overdraft.refill_seat_hours_per_day,
        )
        if sent.HasField("overdraft")
        else None,
        first_claim_seconds=sent.first_claim_seconds,
        block_seats_max=sent.block_seats_max,
        loan_days_max=sent.loan_days_max,
    )


def _kind(number: int, index: int) -> HolderKind:
    try:
        return HolderKind(number)
    except ValueError as error:
        known = ", ".join(kind.name for kind in HolderKind)
        raise InvalidArgumentError(
            f"rules[{index}].holder_kinds", f"{number} is no kind of holder; use one of {known}"
        ) from error


def _names(sent: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(values.resource, sent))


def waiting_message(project: str, waiting: WaitingSeat) -> allocation_pb2.WaitingSeat:
    """Return one who waits."""
    waiter, (license_type, kind, holder) = waiting.waiter, waiting.waiter.key
    return message(
        allocation_pb2.WaitingSeat,
        waiting,
        pbx=PbxName(project, waiting.pbx),
        site=waiter.site,
        seat=seat_pb2.Seat(license_type=license_type, holder_kind=kind_message(kind), holder=holder),
        ask_time=waiter.asked_at,
        call_seats=waiter.call_seats,
        connected=waiter.is_there,
    )
