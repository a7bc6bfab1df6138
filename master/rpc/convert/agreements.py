"""Agreements as the wire writes them: what was ordered, what it costs, how things stand, what ends, what may run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from licensemaster.v1 import agreement_order_pb2, agreement_pb2
from master.domain.agreements.ledger.entries import Entry
from master.domain.agreements.ledger.pricing import QuoteLine, totals
from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ordering.decide_order import Quote
from master.domain.agreements.rights.endings import Ending, Reminder
from master.domain.agreements.rights.rights import Right, RightStatus, features_on, has_premier
from master.domain.agreements.rights.upgrade_gate import GateAnswer
from master.domain.catalog.policies import Policy, SubjectKind
from master.domain.catalog.subjects import Subject
from master.rpc.convert.times import timestamp
from master.rpc.errors import InvalidArgumentError
from master.service.agreements.ordering import Placed
from master.service.estates.agreement_ledgers import Known

_KINDS = {kind.value: agreement_order_pb2.SubjectKind.Value(f"SUBJECT_KIND_{kind.name}") for kind in SubjectKind}
_STATUSES = {
    right_status: agreement_pb2.RightStatus.Value(f"RIGHT_STATUS_{right_status.name}") for right_status in RightStatus
}


def subject(found: Subject) -> agreement_order_pb2.AgreementSubject | None:
    """What something is about; None for the project as a whole."""
    return agreement_order_pb2.AgreementSubject(kind=_KINDS[found.kind], id=found.id) if found.kind else None


def refusal(found: AgreementRefusal, *, order: str = "") -> agreement_pb2.AgreementRefusal:
    """A "no"; `order` is the message field of the order that it answers.

    Raises:
        InvalidArgumentError: a value of the order means nothing; that is a failure, not an answer.
    """
    if found.problem is AgreementProblem.MALFORMED and order:
        raise InvalidArgumentError(
            f"order.{order}{'.' if found.field else ''}{found.field}", f"{found.message}; {found.remedy}"
        )
    return agreement_pb2.AgreementRefusal(
        problem=agreement_pb2.AgreementProblem.ValueType(found.problem),
        message=found.message,
        remedy=found.remedy,
        rules=found.rules,
        subject=subject(found.subject),
        field=found.field,
    )


def placed(found: Placed) -> agreement_pb2.PlacedOrder:
    """An order that was carried out."""
    return agreement_pb2.PlacedOrder(
        entries=[entry(one) for one in found.entries],
        lines=[line(one) for one in found.lines],
        totals=amounts(totals(found.lines)),
        balance=decimal(found.balance),
        awaits_payment=found.awaits_payment,
        notes=found.notes,
    )


def quote(found: Quote) -> agreement_pb2.Quote:
    """What an order would cost."""
    return agreement_pb2.Quote(
        lines=[line(one) for one in found.lines],
        totals=amounts(found.totals),
        balance=decimal(found.balance),
        credits_short=decimal(found.credits_short),
        notes=found.notes,
    )


def line(found: QuoteLine) -> agreement_pb2.QuoteLine:
    return agreement_pb2.QuoteLine(
        subject=subject(found.subject),
        what=found.what,
        quantity=found.quantity,
        each=decimal(found.each),
        months="" if found.months is None else str(found.months),
        amount=decimal(found.amount),
        unit=found.unit,
        why=found.why,
        rules=found.rules,
    )


def amounts(found: Mapping[str, Decimal]) -> list[agreement_pb2.Amount]:
    return [agreement_pb2.Amount(amount=decimal(amount), unit=unit) for unit, amount in found.items()]


def decimal(found: Decimal) -> str:
    """An amount as people write it, never with an exponent."""
    return f"{found:f}"


def entry(found: Entry, *, reversed_: bool = False) -> agreement_pb2.AgreementEntry:
    """A line of the ledger, and whether a later one reversed it."""
    return agreement_pb2.AgreementEntry(
        number=found.number,
        record_time=timestamp(found.recorded_at),
        day=str(found.day),
        kind=found.kind.name.lower(),
        subject=subject(found.subject),
        policy=found.policy,
        details=json.dumps(found.details, ensure_ascii=False),
        reason=found.reason,
        rules=found.rules,
        caller=found.caller,
        order=found.order,
        given_reason=found.given_reason,
        reversed=reversed_,
    )


# --- How things stand -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what is known, in order, and the token of what follows; empty at the end."""

    subjects: Sequence[Subject]
    next_token: str


def page_of(snapshot: AgreementSnapshot, *, kind: str, after: str, size: int) -> Page:
    """The subjects behind a token, of one kind where that is not empty."""
    start = Subject(*after.partition("/")[::2])
    subjects = [one for one in snapshot.subjects() if kind in ("", one.kind) and (not after or one > start)]
    last = subjects[size - 1] if len(subjects) > size else None
    return Page(subjects[:size], f"{last.kind}/{last.id}" if last is not None else "")


def agreements(known: Known, page: Page) -> agreement_pb2.ListAgreementsResponse:
    """How the subjects of a page stand."""
    snapshot = known.snapshot
    awaited = sorted(snapshot.state.awaited.values(), key=lambda one: one.number)
    return agreement_pb2.ListAgreementsResponse(
        agreements=[agreement(snapshot, one, known.day) for one in page.subjects],
        next_page_token=page.next_token,
        awaited=[
            agreement_pb2.AwaitedOrder(
                order=order.number, subject=subject(order.subject), day=str(order.day), reason=order.reason
            )
            for order in awaited
        ],
        balance=decimal(snapshot.state.balance),
        day=str(known.day),
    )


def agreement(snapshot: AgreementSnapshot, about: Subject, on: date) -> agreement_pb2.Agreement:
    """How one subject stands on a day."""
    holding, facts = snapshot.state.holding(about), snapshot.license(about)
    product = snapshot.product(holding)
    counts = {facts.type.key: facts.quantity} if facts is not None and product is None else holding.counts_on(on)
    begins = facts.first_bound_on if facts is not None else holding.delivered_on
    version = snapshot.version(facts) if facts is not None and product is None else holding.major
    title = product.title if product is not None else str(facts) if facts is not None else str(about)
    return agreement_pb2.Agreement(
        subject=subject(about),
        title=title,
        product=holding.product,
        covers=[cover(snapshot, about, policy, on) for policy in snapshot.policies_of(about)],
        counts=dict(counts),
        version=version or 0,
        keys=[agreement_pb2.AgreementKey(key=key.key, day=str(key.day)) for key in holding.keys],
        auto_renewal=holding.renews_by,
        bought_day=_day(holding.bought_on),
        begin_day=_day(begins),
        serial=holding.serial,
        release=str(holding.installed or ""),
        allowed_builds=[str(build) for build in sorted(holding.builds)],
        features=features_on(holding, product) if product is not None else (),
        seats=[agreement_pb2.AssignedSeat(user=seat.user, uses=seat.uses) for seat in holding.seats],
        premier=has_premier(snapshot, holding, on),
    )


def cover(snapshot: AgreementSnapshot, about: Subject, policy: Policy, on: date) -> agreement_pb2.AgreementCover:
    """How one policy stands for one subject on a day."""
    found = snapshot.cover(about, policy.key)
    return agreement_pb2.AgreementCover(
        policy=policy.key,
        title=policy.title,
        in_force=found.holds_on(on),
        end_day=_day(found.end_from(on) or found.ends),
        stops_at_end=policy.stops_at_end,
        terms=[
            agreement_pb2.AgreementTerm(
                begin_day=str(term.term.begins), end_day=str(term.term.ends), how=term.how, offer=term.offer
            )
            for term in found.terms
        ],
    )


# --- What ends, what may run ------------------------------------------------------------------------------------------


def endings(
    snapshot: AgreementSnapshot, found: Sequence[Ending], due: Iterable[Reminder], *, from_day: date, to_day: date
) -> agreement_pb2.ListEndingsResponse:
    """What ends, and of what one is to be reminded by now."""
    reminded = {(reminder.ending.subject, reminder.ending.policy, reminder.ending.day) for reminder in due}
    return agreement_pb2.ListEndingsResponse(
        endings=[
            agreement_pb2.Ending(
                day=str(ending.day),
                subject=subject(ending.subject),
                policy=ending.policy,
                title=ending.title,
                stops=dict(ending.stops),
                what_stops=ending.what_stops,
                what_goes_on=ending.what_goes_on,
                renew_by=ending.renew_by,
                renews_itself=ending.renews_itself,
                awaited_order=ending.awaited_order,
                rules=ending.rules,
                days_left=(ending.day - from_day).days,
                reminder_due=(ending.subject, ending.policy, ending.day) in reminded,
                reminder_days=snapshot.time.policies[ending.policy].reminder_days,
            )
            for ending in found
        ],
        from_day=str(from_day),
        to_day=str(to_day),
    )


def right(found: Right) -> agreement_pb2.Right:
    """What one subject may do."""
    return agreement_pb2.Right(
        subject=subject(found.subject),
        title=found.title,
        status=_STATUSES[found.status],
        counts=dict(found.counts),
        until_day=_day(found.until),
        upgrades_until_day=_day(found.upgrades_until),
        version=found.version or 0,
        newest_release=str(found.newest or ""),
        features=found.features,
        supported=found.is_supported,
        warranty_until_day=_day(found.warranty_until),
        why=found.why,
        rules=dict.fromkeys(found.rules),
    )


def gate_answer(found: GateAnswer) -> agreement_pb2.CheckUpgradeResponse:
    return agreement_pb2.CheckUpgradeResponse(
        allowed=found.allowed,
        why=found.why,
        rules=found.rules,
        path=found.path,
        refused=refusal(found.refusal) if found.refusal is not None else None,
    )


def _day(found: date | None) -> str:
    return "" if found is None else str(found)
