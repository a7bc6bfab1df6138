"""Messages about agreements: orders, their cost, the state of agreements, what ends, what may run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from licensemaster.v1 import agreement_pb2
from master.domain.agreements.ledger.entries import Entry
from master.domain.agreements.ledger.pricing import totals
from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ordering.decide_order import Quote
from master.domain.agreements.rights.endings import Ending, Reminder
from master.domain.agreements.rights.rights import Right, features_on, has_premier
from master.domain.agreements.rights.upgrade_gate import GateAnswer
from master.domain.catalog.policies import Policy
from master.domain.catalog.subjects import Subject
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message, text
from master.service.agreements.ordering import Placed
from master.service.estates.agreement_ledgers import Known
from master.values import Value


def refusal(refused: AgreementRefusal, *, order: str = "") -> agreement_pb2.AgreementRefusal:
    """Return the message of a refusal; `order` is the message field of the refused order.
    Raises InvalidArgumentError if a value of the order means nothing; that is a failure, not an answer."""
    if refused.problem is AgreementProblem.MALFORMED and order:
        raise InvalidArgumentError(
            f"order.{order}{'.' if refused.field else ''}{refused.field}", f"{refused.message}; {refused.remedy}"
        )
    return message(agreement_pb2.AgreementRefusal, refused)


def placed(order: Placed) -> agreement_pb2.PlacedOrder:
    """Return the message of an order that was carried out."""
    return message(
        agreement_pb2.PlacedOrder,
        order,
        entries=[entry(line) for line in order.entries],
        totals=amounts(totals(order.lines)),
    )


def quote(quoted: Quote) -> agreement_pb2.Quote:
    """Return the message of what an order would cost."""
    return message(agreement_pb2.Quote, quoted, totals=amounts(quoted.totals))


def amounts(by_unit: Mapping[str, Decimal]) -> list[agreement_pb2.Amount]:
    return [agreement_pb2.Amount(amount=text(amount), unit=unit) for unit, amount in by_unit.items()]


def entry(line: Entry, *, reversed_: bool = False) -> agreement_pb2.AgreementEntry:
    """Return the message of a ledger's entry; `reversed_` says whether a later entry reversed it."""
    return message(
        agreement_pb2.AgreementEntry,
        line,
        kind=line.kind.name.lower(),
        details=json.dumps(line.details, ensure_ascii=False),
        reversed=reversed_,
    )


# --- How things stand -------------------------------------------------------------------------------------------------


class Page(Value):
    """Some of a project's subjects, in order, and the token of the next page; empty at the end."""

    subjects: Sequence[Subject]
    next_token: str


def page_of(snapshot: AgreementSnapshot, *, kind: str, after: str, size: int) -> Page:
    """Return the page of the subjects after the token `after`, of one kind, or of all where `kind` is empty."""
    start = Subject(*after.partition("/")[::2])
    subjects = [
        subject for subject in snapshot.subjects() if kind in ("", subject.kind) and (not after or subject > start)
    ]
    last = subjects[size - 1] if len(subjects) > size else None
    return Page(subjects[:size], f"{last.kind}/{last.id}" if last is not None else "")


def agreements(known: Known, page: Page) -> agreement_pb2.ListAgreementsResponse:
    """Return the state of the agreements of a page's subjects, with the project's awaited orders and balance."""
    snapshot = known.snapshot
    awaited = sorted(snapshot.state.awaited.values(), key=lambda order: order.number)
    return agreement_pb2.ListAgreementsResponse(
        agreements=[agreement(snapshot, subject, known.day) for subject in page.subjects],
        next_page_token=page.next_token,
        awaited=[message(agreement_pb2.AwaitedOrder, order) for order in awaited],
        balance=text(snapshot.state.balance),
        day=str(known.day),
    )


def agreement(snapshot: AgreementSnapshot, about: Subject, on: date) -> agreement_pb2.Agreement:
    """Return the state of one subject's agreements on a day."""
    holding, facts = snapshot.state.holding(about), snapshot.license(about)
    product = snapshot.product(holding)
    is_license = facts is not None and product is None
    return message(
        agreement_pb2.Agreement,
        holding,
        subject=about,
        title=product.title if product is not None else facts or about,
        covers=[cover(snapshot, about, policy, on) for policy in snapshot.policies_of(about)],
        counts={facts.type.key: facts.quantity} if facts and is_license else holding.counts_on(on),
        version=snapshot.version(facts) if facts and is_license else holding.major,
        begin_day=facts.first_bound_on if facts is not None else holding.delivered_on,
        release=holding.installed,
        allowed_builds=sorted(holding.builds),
        features=features_on(holding, product) if product is not None else (),
        premier=has_premier(snapshot, holding, on),
    )


def cover(snapshot: AgreementSnapshot, about: Subject, policy: Policy, on: date) -> agreement_pb2.AgreementCover:
    """Return the state of one policy for one subject on a day."""
    covered = snapshot.cover(about, policy.key)
    return message(
        agreement_pb2.AgreementCover,
        covered,
        title=policy.title,
        in_force=covered.holds_on(on),
        end_day=covered.end_from(on) or covered.ends,
        stops_at_end=policy.stops_at_end,
    )


# --- What ends, what may run ------------------------------------------------------------------------------------------


def endings(
    snapshot: AgreementSnapshot, ends: Sequence[Ending], due: Iterable[Reminder], *, from_day: date, to_day: date
) -> agreement_pb2.ListEndingsResponse:
    """Return what ends between two days, and for which of these ends a reminder is due."""
    reminded = {(reminder.ending.subject, reminder.ending.policy, reminder.ending.day) for reminder in due}
    return agreement_pb2.ListEndingsResponse(
        endings=[
            message(
                agreement_pb2.Ending,
                ending,
                days_left=(ending.day - from_day).days,
                reminder_due=(ending.subject, ending.policy, ending.day) in reminded,
                reminder_days=snapshot.time.policies[ending.policy].reminder_days,
            )
            for ending in ends
        ],
        from_day=str(from_day),
        to_day=str(to_day),
    )


def right(judged: Right) -> agreement_pb2.Right:
    """Return the message of what one license, device or contract may do."""
    return message(agreement_pb2.Right, judged, rules=dict.fromkeys(judged.rules))


def gate_answer(answer: GateAnswer) -> agreement_pb2.CheckUpgradeResponse:
    return message(agreement_pb2.CheckUpgradeResponse, answer)
