"""Decisions on time that is bought: put under an agreement, extended, renewed, resumed; the same code for every vendor.

What an offer and its policies say decides where the new term begins and how long it lasts (M3, M4, M6, P1, P4, Q4, N1
to N3); nothing here knows a vendor. A renewal never shortens a term: it begins where the last one ends, or later.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NoReturn

from master.domain.agreements.ledger.entries import EntryKind
from master.domain.agreements.ledger.orders import Extend
from master.domain.agreements.ledger.pricing import ExactLine
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ledger.serials import serial_form
from master.domain.agreements.ledger.state import PaidTerm
from master.domain.agreements.ordering.order_draft import MONTHS_MAX, OrderDraft, malformed, refuse
from master.domain.agreements.ordering.seat_prices import SeatCharge, charge_seats
from master.domain.catalog.dates import Term, add_days, add_months
from master.domain.catalog.policies import Begins, Counted, Late, Offer, Policy, PriceBasis
from master.domain.catalog.subjects import Subject

LAST_YEAR = 2999
GAP = "gap"
"""The value of `PaidTerm.how` for time that is paid after it has passed (M6)."""


def extend(draft: OrderDraft, order: Extend) -> None:
    offer = draft.offer(order.offer)
    subjects = _subjects(draft, order, offer)
    if (offer.needs_key or offer.payment_first) and len(subjects) > 1:
        message = f"{offer.title} comes with a key for each, so it is ordered for one at a time"
        malformed("subjects", message, remedy="order it for each of them by itself", rules=offer.rules)
    if order.key and not offer.needs_key:
        malformed(
            "key",
            f"{offer.title} is ordered without a key"
            + ("; its key comes with the confirmation of its payment" if offer.payment_first else ""),
            remedy="leave the key out" + (", and give it when the payment is confirmed" if offer.payment_first else ""),
            rules=offer.rules,
        )
    months = period(offer, order.months)
    for subject in subjects:
        _known(draft, subject)
        serial = draft.snapshot.state.holding(subject).serial
        if order.serial and serial_form(order.serial) != serial_form(serial):
            refuse(
                AgreementProblem.WRONG_SERIAL,
                f"{subject} has the serial number {serial or '(none)'}, not {order.serial}",
                remedy="use the key for the device that it is meant for",
                rules=offer.rules,
                subject=subject,
                field="serial",
            )
        if offer.payment_first:
            draft.payment_first = (subject, offer.rules)
        buy(draft, subject, offer, months)
    if offer.needs_key:
        take_key(draft, subjects[0], offer, order.key)


def take_key(draft: OrderDraft, subject: Subject, offer: Offer, key: str) -> None:
    """Write the key that comes with an offer: a trial's is in force from now on (P1, P9), others are activated once."""
    used = draft.unused_key(key, rules=offer.rules)
    product = draft.snapshot.product(draft.snapshot.state.holding(subject))
    is_trial = product is not None and product.trial == offer.key
    kind = EntryKind.KEY_ISSUED if is_trial else EntryKind.KEY_USED
    reason = f"{offer.title} put in place" if is_trial else f"key for {offer.title}"
    draft.write(kind, subject, {"key": used}, reason=reason, rules=offer.rules)


def _subjects(draft: OrderDraft, order: Extend, offer: Offer) -> tuple[Subject, ...]:
    """Return the subjects that an order names, and all licenses on the PBX it names that the offer covers (M4)."""
    named = order.subjects
    if order.pbx:
        on_pbx = (license for license in draft.snapshot.licenses.values() if license.pbx == order.pbx)
        policies = {draft.snapshot.time.policies[key] for key in offer.policies}
        covered = [facts.subject for facts in on_pbx if policies <= set(draft.snapshot.policies_of(facts.subject))]
        if not covered:
            message = f"no license that {offer.title} covers is bound to a device of a PBX {order.pbx!r}"
            remedy = "check the PBX's name; licenses are bound first"
            refuse(AgreementProblem.UNKNOWN_SUBJECT, message, remedy=remedy, rules=("M4",), field="pbx")
        named = (*named, *sorted(covered))
    if not named or len(set(named)) < len(named):
        message = "subjects is empty, or names one twice"
        malformed("subjects", message, remedy="name each license, device or contract once, or a PBX")
    return named


def period(offer: Offer, months: int) -> int:
    """Return the period that an order means, in months; 0 for an offer that is counted in days."""
    if offer.days:
        if months:
            message = f"{offer.title} is for {offer.days} days"
            remedy = "give no months"
            refuse(AgreementProblem.PERIOD_NOT_OFFERED, message, remedy=remedy, rules=offer.rules, field="months")
        return 0
    if months == 0 and len(offer.months) == 1:
        return offer.months[0]
    if not 0 < months <= MONTHS_MAX:
        message = f"{months} months is no period"
        malformed("months", message, remedy=f"give months as a whole number from 1 to {MONTHS_MAX}", rules=offer.rules)
    if offer.months and months not in offer.months:
        listed = " or ".join(map(str, offer.months))
        message = f"{offer.title} is not sold for {months} months"
        remedy = f"order it for {listed} months"
        refuse(AgreementProblem.PERIOD_NOT_OFFERED, message, remedy=remedy, rules=offer.rules, field="months")
    return months


def buy(draft: OrderDraft, subject: Subject, offer: Offer, months: int) -> None:
    """Add the terms of an offer for one subject, and charge them."""
    bought: tuple[PaidTerm, ...] = ()
    for key in offer.policies:
        policy = draft.snapshot.time.policies[key]
        _may_be_covered(draft, subject, policy, offer)
        bought = paid_terms(draft, subject, policy, offer, months)
        _ahead(draft, subject, policy, offer, bought[-1].term.ends)
        draft.carry_over(subject, policy)
        for paid in bought:
            reason = f"{policy.title}, paid afterwards" if paid.how == GAP else offer.title
            draft.add_term(subject, policy, paid, reason=f"{reason}: {paid.term}")
    for paid in bought:
        charge_term(draft, subject, offer, months, paid)


def paid_terms(draft: OrderDraft, subject: Subject, policy: Policy, offer: Offer, months: int) -> tuple[PaidTerm, ...]:
    """Return the terms that are bought, in order: the unpaid gap where the offer charges it, then the new term."""
    begins = draft.snapshot.begins(subject, policy)
    last = draft.snapshot.cover(subject, policy.key).last
    if begins is None and offer.days:  # a trial begins with its key (P1)
        begins = draft.day
    if begins is None:
        _not_begun(subject, policy)
    start = max(last.term.ends, begins) if last is not None else begins  # M4: nothing before is charged
    if last is not None and start > last.term.ends:
        last = None  # what ended before the first binding is nothing to go on from (M3)
    if offer.counted is Counted.DELIVERY:
        return (_from_delivery(subject, offer, begins, start, months),)
    if draft.day > start and offer.late is not Late.FROM_LAST_END:
        fresh = _bought(draft.day, draft.day, 0, offer, months, days_on_top=1)
        if offer.late is Late.FROM_TODAY:
            return (fresh,)
        anchor = last.anchor if last is not None else start
        gap = PaidTerm(term=Term(start, draft.day), anchor=anchor, anchor_months=0, how=GAP, offer=offer.key)
        return (gap, fresh)
    anchor, passed = (last.anchor, last.anchor_months) if last is not None else (start, 0)
    return (_bought(start, anchor, passed, offer, months, days_on_top=0 if last is not None else 1),)


def _bought(start: date, anchor: date, passed: int, offer: Offer, months: int, *, days_on_top: int) -> PaidTerm:
    """Return a term from `start` on: its months continue those already counted from the anchor.

    Days are full ones: the day on which the key comes has begun by then, so it is on top of them (P1).
    """
    try:
        if offer.days:
            ends = add_days(start, offer.days + days_on_top)
            return PaidTerm(term=Term(start, ends), anchor=ends, anchor_months=0, how="bought", offer=offer.key)
        counted = passed + months
        ends = add_months(anchor, counted)
        if ends.year > LAST_YEAR:
            raise OverflowError(f"it would end after the year {LAST_YEAR}")
        return PaidTerm(term=Term(start, ends), anchor=anchor, anchor_months=counted, how="bought", offer=offer.key)
    except OverflowError as error:
        malformed("months", str(error), remedy="order a shorter period")


def _from_delivery(subject: Subject, offer: Offer, delivered: date, start: date, months: int) -> PaidTerm:
    ends = add_months(delivered, months)
    if ends <= start:
        message = f"{subject} has it until {start} already; {offer.title} would end on {ends}"
        remedy = "wait until it has ended"
        refuse(AgreementProblem.PURCHASED_ALREADY, message, remedy=remedy, rules=offer.rules, subject=subject)
    return PaidTerm(term=Term(start, ends), anchor=delivered, anchor_months=months, how="bought", offer=offer.key)


def _known(draft: OrderDraft, subject: Subject) -> None:
    if draft.snapshot.license(subject) is None and not draft.snapshot.state.holding(subject).product:
        message = f"the project has no {subject}"
        remedy = "check the name; devices are registered and contracts bought first"
        refuse(AgreementProblem.UNKNOWN_SUBJECT, message, remedy=remedy, subject=subject, field="subjects")


def _may_be_covered(draft: OrderDraft, subject: Subject, policy: Policy, offer: Offer) -> None:
    if policy not in draft.snapshot.policies_of(subject):
        facts = draft.snapshot.license(subject)
        what = str(facts) if facts is not None else str(subject)
        covered = [
            license_type.display_name
            for license_type in draft.snapshot.catalog.types.values()
            if policy.key in license_type.policies
        ]
        since = facts.type.covered_from_version if facts is not None and policy.key in facts.type.policies else 0
        only = f"from version {since} on only" if since else f"{', '.join(covered) or 'other things'} only"
        refuse(
            AgreementProblem.NOT_COVERED,
            f"{policy.title} does not cover {what}: it covers {only}",
            remedy="leave it out of the order",
            rules=("M8",) if covered else policy.rules,
            subject=subject,
            field="subjects",
        )
    holding = draft.snapshot.state.holding(subject)
    product = draft.snapshot.product(holding)
    if product is not None and product.trial == offer.key and holding.bought_on is not None:
        message = f"{subject} was bought on {holding.bought_on}; there is nothing left to try"
        remedy = "start the trial of another license, for a staging server for example"
        refuse(AgreementProblem.ALREADY_THERE, message, remedy=remedy, rules=offer.rules, subject=subject)
    cover = draft.snapshot.cover(subject, policy.key)
    if policy.purchases_max and cover.purchases >= policy.purchases_max:
        refuse(
            AgreementProblem.PURCHASED_ALREADY,
            f"{subject} had {policy.title} {cover.purchases} times already, and {policy.purchases_max} is all there is;"
            f" it ends on {cover.ends}",
            remedy="buy the product" if policy.stops_at_end else "order all years at once, for another device",
            rules=policy.rules,
            subject=subject,
        )
    _within_window(draft, subject, offer)


def _within_window(draft: OrderDraft, subject: Subject, offer: Offer) -> None:
    delivered = draft.snapshot.state.holding(subject).delivered_on
    if delivered is None or offer.is_open(delivered, draft.day):
        return
    opens, closes = offer.opens(delivered), offer.closes(delivered)
    others = [
        other.key
        for other in draft.snapshot.time.offers.values()
        if other is not offer and set(other.policies) & set(offer.policies) and other.is_open(delivered, draft.day)
    ]
    said = f"from {opens} on" if closes is None else f"from {opens} to {add_days(closes, -1)}"
    message = f"{offer.title} is sold {said} for {subject}, which was delivered on {delivered}; today is {draft.day}"
    remedy = f"order {' or '.join(others)} instead" if others else "nothing of the kind is sold for it any more"
    refuse(AgreementProblem.OUTSIDE_WINDOW, message, remedy=remedy, rules=offer.rules, subject=subject, field="offer")


def _ahead(draft: OrderDraft, subject: Subject, policy: Policy, offer: Offer, ends: date) -> None:
    if not policy.ahead_months_max or ends <= add_months(draft.day, policy.ahead_months_max):
        return
    earliest = add_months(ends, -policy.ahead_months_max)
    while add_months(earliest, policy.ahead_months_max) < ends:
        earliest = add_days(earliest, 1)
    message = f"{policy.title} of {subject} would end on {ends}, more than {policy.ahead_months_max} months ahead"
    remedy = f"order it on {earliest} or later"
    refuse(AgreementProblem.TOO_FAR_AHEAD, message, remedy=remedy, rules=offer.rules, subject=subject)


def _not_begun(subject: Subject, policy: Policy) -> NoReturn:
    if policy.begins is Begins.FIRST_BINDING:
        message = f"{subject} was never bound to a device, and {policy.title} counts from the first binding"
        remedy = "bind it to its device first"
        refuse(AgreementProblem.NEVER_BOUND, message, remedy=remedy, rules=("M3", "L7"), subject=subject)
    message = f"{subject} was not bought yet, so it has no {policy.title}"
    refuse(AgreementProblem.NOT_IN_FORCE, message, remedy="buy it first", rules=policy.rules, subject=subject)


def charge_term(draft: OrderDraft, subject: Subject, offer: Offer, months: int, paid: PaidTerm) -> None:
    """Charge one paid term by the offer's basis of price: a share of the value, seats and months, or a fixed price."""
    why, factor = f"{offer.title}, {paid.term}", Fraction(1)
    if paid.how == GAP:
        why, factor = f"unpaid time {paid.term}, at {offer.gap_factor} times the price", Fraction(offer.gap_factor)
    match offer.price:
        case PriceBasis.SHARE_PER_YEAR:
            _charge_share(draft, subject, offer, paid, why, factor)
        case PriceBasis.PER_SEAT_AND_MONTH:
            holding = draft.snapshot.state.holding(subject)
            counts = holding.counts_on(paid.term.begins)
            seats = SeatCharge(counts=counts, why=why, rules=offer.rules, factor=factor)
            charge_seats(draft, holding, seats, paid.term, anchor=paid.anchor)
        case PriceBasis.FIXED if paid.how != GAP:
            each = draft.price(f"offers.{offer.key}", months, unit=offer.unit)
            draft.charge(
                ExactLine(subject=subject, what=offer.title, each=each, paid_in=offer.unit, why=why, rules=offer.rules)
            )


def _charge_share(
    draft: OrderDraft, subject: Subject, offer: Offer, paid: PaidTerm, why: str, factor: Fraction
) -> None:
    facts = draft.snapshot.license(subject)
    if facts is None:
        return
    key = facts.type.key if facts.tier is None else f"{facts.type.key}%{facts.tier}"
    each = draft.price("values", key, unit=offer.unit)
    share = draft.prices.shares.get(offer.key, offer.share) if draft.prices else offer.share
    draft.charge(
        ExactLine(
            subject=subject,
            what=str(facts),
            quantity=facts.quantity,
            each=each,
            months=paid.months,
            factor=factor * Fraction(share) * paid.months / 12,
            paid_in=offer.unit,
            why=f"{why}; {percent(share)} % of the value a year",
            rules=offer.rules,
        )
    )


def percent(share: Decimal) -> str:
    """Return a share as a percentage in text: "15" for 0.15."""
    return f"{(share * 100).normalize():f}"
