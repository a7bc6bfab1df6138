"""Terms that end, reminders and automatic renewals that are due (rules M5, P1, P4, P5, Q7, R4).

This module only finds; the caller, once a day, reports and orders. What may run on a day is in `rights.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from master.domain.agreements.ledger.orders import Extend
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ledger.state import AwaitedOrder, Cover, Holding
from master.domain.catalog.policies import Grants, Policy
from master.domain.catalog.subjects import Subject
from master.values import Value


class Ending(Value, kw_only=True):
    """The end of a term after which nothing follows."""

    day: date
    """The first day on which the term no longer holds."""
    subject: Subject
    policy: str
    title: str
    stops: Mapping[str, int]
    """Seats by license type that can no longer be used from that day on; empty where everything goes on (P5, Q7)."""
    what_stops: str
    """A text for people."""
    what_goes_on: str
    renew_by: tuple[str, ...]
    """The keys of the offers that renew the policy."""
    renews_itself: bool
    awaited_order: int
    """The number of the renewal order that awaits its payment and so is not in force; 0 where none does (P9)."""
    rules: tuple[str, ...]


class Reminder(Value, kw_only=True):
    """An ending for which a reminder is due."""

    ending: Ending
    days_left: int
    due_since_days: int
    """The reminder that is due, in days before the end. Each is sent once per subject, policy, end and these days."""


def endings(snapshot: AgreementSnapshot, *, from_day: date, to_day: date) -> tuple[Ending, ...]:
    """Return the endings from `from_day` on and before `to_day`, the earliest first."""
    return tuple(sorted((ending for ending, _ in _all(snapshot) if from_day <= ending.day < to_day), key=_by_day))


def reminders(snapshot: AgreementSnapshot, day: date) -> tuple[Reminder, ...]:
    """Return the latest reminder that is due on a day for each ending (M5)."""
    due_now: list[Reminder] = []
    for ending, policy in _all(snapshot):
        left = (ending.day - day).days
        if left > 0 and (due := [days for days in policy.reminder_days if left <= days]):
            due_now.append(Reminder(ending=ending, days_left=left, due_since_days=min(due)))
    return tuple(sorted(due_now, key=lambda reminder: _by_day(reminder.ending)))


def renewals_due(snapshot: AgreementSnapshot, day: date) -> tuple[Extend, ...]:
    """Return the renewals to order on a day for subjects with automatic renewal (P4).

    A renewal is due from the last reminder before the end on, until it is ordered, also after the end where nobody
    looked before. A renewal that awaits its payment is not ordered again, nor one that was cancelled, nor one for a
    term that had ended when automatic renewal was switched on.
    """
    due: list[Extend] = []
    awaited = {order.subject for order in snapshot.state.awaited.values() if order.kind == Extend.__name__}
    for subject in snapshot.subjects():
        holding = snapshot.state.holding(subject)
        renews_by = holding.renews_by
        if not renews_by or subject in awaited:
            continue
        policy = snapshot.time.policies[snapshot.time.offers[renews_by].policies[0]]
        ends = snapshot.cover(subject, policy.key).ends
        if ends is not None and day >= _renewal_opens(policy, ends) and _renews(holding, policy, ends):
            due.append(Extend(subjects=(subject,), offer=renews_by))
    return tuple(due)


def _renewal_opens(policy: Policy, ends: date) -> date:
    return ends - timedelta(days=min(policy.reminder_days, default=1))


def _renews(holding: Holding, policy: Policy, ends: date) -> bool:
    """Tell whether automatic renewal was switched on before this end and not cancelled for it."""
    switched, cancelled = holding.renews_from, holding.renewal_cancelled_on
    return (switched is None or switched < ends) and (cancelled is None or cancelled < _renewal_opens(policy, ends))


def unpaid_renewals(snapshot: AgreementSnapshot) -> tuple[AwaitedOrder, ...]:
    """Return the automatic renewals that await their payment (P4, P9): unpaid, they lapse."""
    return tuple(
        order
        for order in snapshot.state.awaited.values()
        if order.kind == Extend.__name__ and order.order["offer"] == snapshot.state.holding(order.subject).renews_by
    )


def _all(snapshot: AgreementSnapshot) -> Iterator[tuple[Ending, Policy]]:
    """Return every ending of a project, past and future, with its policy."""
    for subject in snapshot.subjects():
        for policy in snapshot.policies_of(subject):
            yield from ((ending, policy) for ending in _endings_of(snapshot, subject, policy))


def _endings_of(snapshot: AgreementSnapshot, subject: Subject, policy: Policy) -> Iterator[Ending]:
    holding = snapshot.state.holding(subject)
    product = snapshot.product(holding)
    if policy.stops_at_end and holding.bought_on is not None and product and policy.key not in product.policies:
        return  # the purchase took the place of the trial (P2)
    for day in _ends(snapshot.cover(subject, policy.key)):
        counts: Mapping[str, int] = {}
        if policy.stops_at_end and product is not None:
            counts = {**product.each_has, **holding.counts_on(day)}
        stops, goes_on = _said(policy, counts)
        yield Ending(
            day=day,
            subject=subject,
            policy=policy.key,
            title=policy.title,
            stops=counts,
            what_stops=stops,
            what_goes_on=goes_on,
            renew_by=tuple(offer.key for offer in snapshot.time.offers_of(policy.key)),
            renews_itself=bool(holding.renews_by)
            and policy.key in snapshot.time.offers[holding.renews_by].policies
            and _renews(holding, policy, day),
            awaited_order=next(
                (
                    order.number
                    for order in snapshot.state.awaited.values()
                    if (order.kind, order.subject) == (Extend.__name__, subject)
                    and policy.key in snapshot.time.offers[order.order["offer"]].policies
                ),
                0,
            ),
            rules=policy.rules,
        )


def _ends(cover: Cover) -> tuple[date, ...]:
    """Return the days on which a cover ends and no other term follows at once."""
    return tuple(sorted({term.term.ends for term in cover.terms if not cover.holds_on(term.term.ends)}))


def _said(policy: Policy, counts: Mapping[str, int]) -> tuple[str, str]:
    if policy.stops_at_end:
        seats = ", ".join(f"{count} {key}" for key, count in counts.items())
        return f"its use: {seats}", "nothing of it"
    if policy.grants is Grants.REPAIR:
        return "the warranty of the hardware", "the device"
    return "newer releases and support", "everything that runs, on the releases that it has"


def _by_day(ending: Ending) -> tuple[date, Subject, str]:
    return ending.day, ending.subject, ending.policy
