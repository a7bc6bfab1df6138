"""The charges for seats and tiers: by the month, with premier support on the whole (R4, R5), or by the tier (P6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from fractions import Fraction

from master.domain.agreements.ledger.pricing import ExactLine
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ledger.state import Holding
from master.domain.agreements.ordering.order_draft import OrderDraft, refuse
from master.domain.catalog.dates import Term, months_in
from master.domain.catalog.policies import Product, Unit
from master.domain.catalog.subjects import Subject
from master.values import Value, replace


class SeatCharge(Value, kw_only=True):
    """Seats to be charged, and the reason."""

    counts: Mapping[str, int]
    """The number of seats, by license type."""
    why: str
    rules: tuple[str, ...]
    factor: Fraction = Fraction(1)
    """The factor on the price where a gap is paid (M6), else 1."""


def charge_seats(draft: OrderDraft, holding: Holding, seats: SeatCharge, term: Term, *, anchor: date) -> None:
    """Charge seats for a term; a month that is only begun is charged by its days (R4)."""
    product = draft.snapshot.product(holding)
    for part in _parts(holding, term):
        supported = product if holding.premier_on(part.begins) else None
        charge_months(draft, holding.subject, seats, months_in(part, anchor=anchor), supported=supported)


def charge_months(
    draft: OrderDraft, subject: Subject, seats: SeatCharge, months: Fraction, *, supported: Product | None
) -> None:
    """Charge seats for a number of months, and premier support for `supported`, the product that has it, on top."""
    for key, count in seats.counts.items():
        line = ExactLine(
            subject=subject,
            what=draft.snapshot.catalog.types[key].display_name,
            quantity=count,
            each=draft.price("seat_months", key),
            months=months,
            factor=months * seats.factor,
            paid_in=Unit.MONEY,
            why=seats.why,
            rules=seats.rules,
        )
        draft.charge(line)
        if supported is not None:
            share = draft.price("premier", supported.key)
            support = replace(
                line,
                what=f"Premier support for {line.what}",
                factor=line.factor * Fraction(share or 0) / 100,
                why=f"{share} % of the whole fee",
                rules=("R5",),
            )
            draft.charge(support)


def charge_tier(
    draft: OrderDraft,
    subject: Subject,
    product: Product,
    counts: Mapping[str, int],
    before: Mapping[str, int],
    why: str,
) -> None:
    """Charge the price of new totals less the price of the totals before: an upgrade names the new total (P6).

    Only tiers of a list are sold, the catalog's or the price file's. An order whose payment is confirmed was checked
    against a list when it was placed.
    """
    for key, count in counts.items():
        if count != before.get(key, 0):
            _check_is_sold(draft, subject, product, key, count)
    for key, count in counts.items():
        had = before.get(key, 0)
        if count == had:
            continue
        each = draft.price(f"tiers.{key}", count)
        less = draft.price(f"tiers.{key}", had) if had else None
        title = draft.snapshot.catalog.types[key].display_name
        if each is not None and less is not None:
            each -= less
        said = f"{title}: {count} in all" + (f" instead of {had}" if had else "")
        draft.charge(ExactLine(subject=subject, what=said, each=each, paid_in=Unit.MONEY, why=why, rules=("P6",)))


def _check_is_sold(draft: OrderDraft, subject: Subject, product: Product, key: str, count: int) -> None:
    tiers = product.tiers.get(key, ())
    if count in tiers or (draft.prices is not None and not tiers) or (draft.is_confirming and draft.prices is None):
        return  # a price file that has no price for it refuses it
    refuse(
        AgreementProblem.PRICE_MISSING,
        f"{count} {key} is on no list of tiers"
        + (
            f"; the catalog has {', '.join(map(str, tiers))}" if tiers else ": none was given, and the catalog has none"
        ),
        remedy="choose one of these" if tiers else "hand in the price file that lists what is sold (--prices)",
        rules=("P6",),
        subject=subject,
        field="counts",
    )


def _parts(holding: Holding, term: Term) -> Iterator[Term]:
    """Cut a term into parts where premier support changes (R5)."""
    cuts = sorted({since for since, _ in holding.premier if term.begins < since < term.ends})
    begins = term.begins
    for cut in (*cuts, term.ends):
        yield Term(begins, cut)
        begins = cut
