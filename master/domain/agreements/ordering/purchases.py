"""Decisions on trials, purchases, tiers, seats, automatic renewal and premier support (P1 to P6, R3 to R5)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from licensemaster.values.similar import closest
from master.domain.agreements.ledger.entries import EntryKind
from master.domain.agreements.ledger.orders import (
    AddSeats,
    Buy,
    ExtendTrial,
    SetAutoRenewal,
    SetPremier,
    StartTrial,
    UpgradeTier,
)
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ledger.state import Holding
from master.domain.agreements.ordering.order_draft import COUNT_MAX, OrderDraft, malformed, refuse
from master.domain.agreements.ordering.renewals import buy, period, take_key
from master.domain.agreements.ordering.seat_prices import SeatCharge, charge_months, charge_seats, charge_tier
from master.domain.agreements.rights.rights import use_policy
from master.domain.catalog.dates import Term
from master.domain.catalog.policies import Product, SoldBy, SubjectKind
from master.domain.catalog.subjects import Subject


def start_trial(draft: OrderDraft, order: StartTrial) -> None:
    """Decide a `StartTrial` (P1)."""
    product = draft.product(order.product, SubjectKind.LICENSE)
    subject = Subject.of(SubjectKind.LICENSE, draft.name(order.license, "license"))
    if product.trial is None:
        message = f"{product.title} cannot be tried"
        refuse(AgreementProblem.UNKNOWN_OFFER, message, remedy="buy it", rules=product.rules, field="product")
    if subject in draft.snapshot.state.holdings:
        message = f"{subject} is there already"
        remedy = "extend its trial, or buy it"
        refuse(AgreementProblem.ALREADY_THERE, message, remedy=remedy, rules=("P1",), subject=subject, field="license")
    counts = _counts(product, order.counts)
    details = {"product": product.key, "counts": dict(counts), "major": _major(product, order.major)}
    draft.write(EntryKind.TRIED, subject, details, reason=f"trial of {product.title}", rules=product.rules)
    draft.take_note()
    _trial_key(draft, subject, product.trial, order.key)


def extend_trial(draft: OrderDraft, order: ExtendTrial) -> None:
    """Decide an `ExtendTrial`: a trial can be extended by a second key, and by no third (P1)."""
    holding, product = draft.held(order.license, "license", SubjectKind.LICENSE)
    if product.trial is None or draft.offer(product.trial).policies[0] not in holding.covers:
        refuse(
            AgreementProblem.NOT_IN_FORCE,
            f"{holding.subject} has no trial",
            remedy="start a trial of another license",
            rules=("P1",),
            subject=holding.subject,
            field="license",
        )
    _trial_key(draft, holding.subject, product.trial, order.key)


def _trial_key(draft: OrderDraft, subject: Subject, offer_key: str, key: str) -> None:
    offer = draft.offer(offer_key)
    buy(draft, subject, offer, period(offer, 0))
    take_key(draft, subject, offer, key)


def buy_product(draft: OrderDraft, order: Buy) -> None:
    """Decide a `Buy`: a purchase replaces the trial in place and changes nothing else (P2)."""
    kinds = [offered.subject for key, offered in draft.snapshot.time.products.items() if key == order.product]
    product = draft.product(order.product, kinds[0] if kinds else SubjectKind.LICENSE)
    if product.sold_by is SoldBy.PIECE:
        message = f"{product.title} is not bought here"
        remedy = "register the device when it was delivered"
        refuse(AgreementProblem.WRONG_KIND, message, remedy=remedy, rules=product.rules, field="product")
    subject = Subject.of(product.subject, draft.name(order.id, "id"))
    holding = draft.snapshot.state.holding(subject)
    if holding.bought_on is not None:
        further = "upgrade to the new total" if product.sold_by is SoldBy.TIER else "add seats, or renew it"
        message = f"{subject} was bought on {holding.bought_on} already"
        remedy = f"{further}, or buy another one under a name of its own"
        refuse(AgreementProblem.ALREADY_THERE, message, remedy=remedy, rules=product.rules, subject=subject, field="id")
    counts = _counts(product, order.counts)
    major = _major(product, order.major)
    if holding.is_on_trial and (holding.product, holding.major) != (product.key, major):
        tried = draft.snapshot.time.products[holding.product].title
        refuse(
            AgreementProblem.OTHER_MAJOR,
            f"{subject} is a trial of {_versioned(tried, holding.major)}, not of {_versioned(product.title, major)};"
            " a purchase replaces the key of what was tried, and nothing else",
            remedy=f"buy {_versioned(tried, holding.major)}, or buy it under a name of its own and let the trial end",
            rules=("P2", "P3"),
            subject=subject,
            field="major" if holding.product == product.key else "product",
        )
    if (total := sum(counts.values())) < product.minimum:
        message = f"{total} are below the minimum order of {product.minimum}"
        remedy = f"order {product.minimum} or more"
        refuse(AgreementProblem.BELOW_MINIMUM, message, remedy=remedy, rules=("R3",), subject=subject, field="counts")
    if order.premier and not product.premier:
        _no_premier(product, subject)
    for policy, cover in holding.covers.items():
        if cover.end_from(draft.day) is not None:
            reason = "the bought license takes the place of the trial"
            draft.write(EntryKind.TERMS_VOIDED, subject, {}, policy=policy, reason=reason, rules=("P2",))
    details = {"product": product.key, "counts": dict(counts), "major": major}
    draft.write(EntryKind.BOUGHT, subject, details, reason=f"{product.title} bought", rules=product.rules)
    if order.premier:
        draft.write(EntryKind.PREMIER_SET, subject, {"on": True}, reason="bought with premier support", rules=("R5",))
    months = _include(draft, subject, product)
    if product.sold_by is SoldBy.TIER:
        charge_tier(draft, subject, product, counts, {}, why=f"{product.title}, with {months} months of maintenance")
    else:
        why = f"{months} months from {draft.day}"
        seats = SeatCharge(counts=counts, why=why, rules=product.rules)
        charge_months(draft, subject, seats, Fraction(months), supported=product if order.premier else None)
    if product.payment_first:
        draft.payment_first = (subject, ("P9",))


def _include(draft: OrderDraft, subject: Subject, product: Product) -> int:
    """Write the terms that come with a purchase; return the months of the longest."""
    policies = [draft.snapshot.time.policies[key] for key in product.policies]
    for policy in policies:
        if policy.included_months:
            draft.include(subject, policy, draft.day)
    return max((policy.included_months for policy in policies), default=0)


def upgrade_tier(draft: OrderDraft, order: UpgradeTier) -> None:
    """Decide an `UpgradeTier`: the counts become the new totals; the end of maintenance stays where it is (P4, P6)."""
    holding, product = _bought(draft, order.license, "license", SubjectKind.LICENSE, SubjectKind.CONTRACT)
    if product.sold_by is not SoldBy.TIER:
        message = f"{product.title} is not sold by tiers"
        remedy = "add what is wanted to it instead"
        refuse(AgreementProblem.WRONG_KIND, message, remedy=remedy, rules=product.rules, subject=holding.subject)
    before = holding.counts_on(draft.day)
    counts = {**before, **_counts(product, order.counts)}
    smaller = [key for key in before if counts[key] < before[key]]
    if smaller or counts == before:
        had = ", ".join(f"{count} {key}" for key, count in before.items())
        refuse(
            AgreementProblem.SMALLER_TIER,
            f"{holding.subject} has {had} already; an upgrade names the new total, and tiers do not add up",
            remedy="name totals that are not below these, and one above",
            rules=("P6",),
            subject=holding.subject,
            field="counts",
        )
    said = ", ".join(f"{count} {key}" for key, count in counts.items())
    draft.write(EntryKind.COUNTS_SET, holding.subject, {"counts": counts}, reason=f"upgraded to {said}", rules=("P6",))
    why = "the difference to the tier before; maintenance ends as before"
    charge_tier(draft, holding.subject, product, counts, before, why=why)
    if product.payment_first:
        draft.payment_first = (holding.subject, ("P9",))


def add_seats(draft: OrderDraft, order: AddSeats) -> None:
    """Decide an `AddSeats`: the added seats are charged for the months left and end with the others (R4)."""
    holding, product = _bought(draft, order.contract, "contract", SubjectKind.CONTRACT, SubjectKind.LICENSE)
    if product.sold_by is not SoldBy.SEAT:
        message = f"{product.title} is not sold by seats"
        remedy = "upgrade it to the new total instead"
        refuse(AgreementProblem.WRONG_KIND, message, remedy=remedy, rules=product.rules, subject=holding.subject)
    added = _counts(product, order.counts)
    policy = use_policy(draft.snapshot, holding, product)
    if policy is not None:
        cover = draft.snapshot.cover(holding.subject, policy.key)
        ends = cover.end_from(draft.day)
        if ends is None or cover.last is None:
            message = f"{holding.subject} ended on {cover.ends}; seats are added to a running one"
            remedy = "renew it first"
            refuse(AgreementProblem.NOT_IN_FORCE, message, remedy=remedy, rules=("R4",), subject=holding.subject)
        left = Term(draft.day, ends)
        seats = SeatCharge(counts=added, why=f"added for the time left, {left}", rules=("R4",))
        charge_seats(draft, holding, seats, left, anchor=cover.last.anchor)
    before = holding.counts_on(draft.day)
    counts = {key: before.get(key, 0) + added.get(key, 0) for key in {**before, **added}}
    said = ", ".join(f"{count} {key}" for key, count in added.items())
    draft.write(EntryKind.COUNTS_SET, holding.subject, {"counts": counts}, reason=f"{said} added", rules=("R4",))
    if product.payment_first:
        draft.payment_first = (holding.subject, product.rules)


def set_auto_renewal(draft: OrderDraft, order: SetAutoRenewal) -> None:
    """Decide a `SetAutoRenewal` (P4)."""
    holding, product = _bought(draft, order.license, "license", SubjectKind.LICENSE, SubjectKind.CONTRACT)
    offer = draft.offer(order.offer)
    if not offer.renews_itself or not set(offer.policies) <= set(product.policies):
        able = [key for key, offer in draft.snapshot.time.offers.items() if offer.renews_itself]
        refuse(
            AgreementProblem.NO_AUTO_RENEWAL,
            f"{offer.title} does not renew {product.title} automatically",
            remedy=f"choose {' or '.join(able)}" if able else "renew it by an order each time",
            rules=("P4",),
            subject=holding.subject,
            field="offer",
        )
    renews_by = offer.key if order.on else ""
    if renews_by == holding.renews_by:
        draft.notes.append(f"automatic renewal of {holding.subject} is {'on' if order.on else 'off'} already")
        return
    reason = f"automatic renewal {'on' if order.on else 'off'}"
    draft.write(EntryKind.AUTO_RENEWAL_SET, holding.subject, {"offer": renews_by}, reason=reason, rules=("P4",))


def set_premier(draft: OrderDraft, order: SetPremier) -> None:
    """Decide a `SetPremier`: premier support is for all seats or for none, from the renewal on (R5)."""
    holding, product = _bought(draft, order.contract, "contract", SubjectKind.CONTRACT, SubjectKind.LICENSE)
    if not product.premier:
        _no_premier(product, holding.subject)
    ends = (draft.snapshot.cover(holding.subject, key).ends for key in product.policies)
    renewal = max(draft.day, *(end for end in ends if end is not None))
    if order.from_day is not None and order.from_day != renewal:
        refuse(
            AgreementProblem.ONLY_AT_RENEWAL,
            f"premier support changes with the renewal of {holding.subject} on {renewal} only, not on {order.from_day}",
            remedy=f"give {renewal}, or no day",
            rules=("R5",),
            subject=holding.subject,
            field="from_day",
        )
    if holding.premier_on(renewal) is order.on:
        draft.notes.append(
            f"premier support of {holding.subject} is {'on' if order.on else 'off'} from {renewal} already"
        )
        return
    reason = f"premier support {'on' if order.on else 'off'} from the renewal on {renewal}"
    details = {"on": order.on}
    draft.write(EntryKind.PREMIER_SET, holding.subject, details, reason=reason, rules=("R5",), day=renewal)


def _bought(draft: OrderDraft, id: str, field: str, *kinds: SubjectKind) -> tuple[Holding, Product]:
    holding, product = draft.held(id, field, *kinds)
    if holding.bought_on is None:
        message = f"{holding.subject} is a trial"
        remedy = "buy it first"
        refuse(
            AgreementProblem.NOT_IN_FORCE, message, remedy=remedy, rules=("P2",), subject=holding.subject, field=field
        )
    return holding, product


def _counts(product: Product, counts: Mapping[str, int]) -> Mapping[str, int]:
    for key, count in counts.items():
        if key not in product.counts:
            message = f"{product.title} is not sold by {key!r}{closest(key, product.counts)}"
            remedy = f"give numbers of {' and '.join(product.counts)}"
            refuse(AgreementProblem.UNKNOWN_TYPE, message, remedy=remedy, rules=product.rules, field="counts")
        if not 0 <= count <= COUNT_MAX:
            malformed(
                "counts", f"{count} {key} is no number of them", remedy=f"give a whole number from 0 to {COUNT_MAX}"
            )
    if not any(counts.values()):
        message = "counts has nothing in it"
        malformed("counts", message, remedy=f"give numbers of {' and '.join(product.counts)}", rules=product.rules)
    return counts


def _major(product: Product, major: int) -> int:
    if major and not product.one_major:
        message = f"{product.title} is for no major version, and {major} was given"
        malformed("major", message, remedy="leave it out", rules=product.rules)
    if product.one_major and not 0 < major <= COUNT_MAX:
        message = f"{product.title} is for one major version, and none was given"
        malformed("major", message, remedy="give the major version, such as 3", rules=("P3",))
    return major if product.one_major else 0


def _versioned(title: str, major: int) -> str:
    return f"{title} {major}" if major else title


def _no_premier(product: Product, subject: Subject) -> None:
    message = f"{product.title} has no premier support"
    remedy = "leave it out"
    refuse(AgreementProblem.NO_PREMIER, message, remedy=remedy, rules=product.rules, subject=subject, field="premier")
