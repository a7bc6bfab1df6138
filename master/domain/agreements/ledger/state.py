"""The state of a ledger: for each subject its terms, counts, keys and seats, as `fold.py` makes them of the entries.

Terms keep their dates, counts the day from which they hold. The licenses of the estate are not in the ledger; they
are in `snapshot.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from master.domain.agreements.ledger.entries import Entry
from master.domain.catalog.dates import Term, months_in
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject
from master.values import Value, field, replace


class PaidTerm(Value, kw_only=True):
    """A term that is paid for, with the day that its months are counted from."""

    term: Term
    anchor: date
    """The day that the term's months are counted from, with the months of earlier terms where it continues them."""
    anchor_months: int
    """How many months after the anchor the term ends; 0 for a term counted in days, whose anchor is its end."""
    how: str
    """`included`, `bought`, `gap` (paid afterwards, M6) or `vendor` (came with the vendor's file)."""
    offer: str = ""
    entry: int = 0
    """The number of the ledger entry; 0 where the term is not in the ledger."""

    @property
    def months(self) -> Fraction:
        """The length of the term, in months."""
        return months_in(self.term, anchor=self.anchor)


class Cover(Value, kw_only=True):
    """All terms of one policy for one subject, in the order in which they were added."""

    policy: str
    terms: tuple[PaidTerm, ...] = ()

    @property
    def ends(self) -> date | None:
        """The first day on which no term holds any more; None where there never was a term."""
        return max((term.term.ends for term in self.terms), default=None)

    @property
    def begins(self) -> date | None:
        """The first day of the first term; None where there never was a term."""
        return min((term.term.begins for term in self.terms), default=None)

    def holds_on(self, day: date) -> bool:
        """Tell whether some term holds on a day."""
        return any(term.term.holds_on(day) for term in self.terms)

    @property
    def last(self) -> PaidTerm | None:
        return max(self.terms, key=lambda cover: (cover.term.ends, cover.entry), default=None)

    @property
    def purchases(self) -> int:
        """How many terms were bought; included terms and gaps that were paid along are not counted."""
        return sum(term.how == "bought" for term in self.terms)

    def end_from(self, day: date) -> date | None:
        """Return the end of the cover that holds on `day`, adjoining terms included; None where no term holds."""
        if not self.holds_on(day):
            return None
        end = day
        while (later := max((term.term.ends for term in self.terms if term.term.holds_on(end)), default=end)) > end:
            end = later
        return end

    def cut(self, day: date) -> Cover:
        """Return the cover without the time from `day` on (L6, P2)."""
        kept = (term for term in self.terms if term.term.begins < day)
        return replace(self, terms=tuple(_cut(paid_term, day) for paid_term in kept))


class Key(Value):
    """A key that was in force from a day on, until the next one replaced it (P2, P9)."""

    key: str
    day: date


class AssignedSeat(Value):
    """A seat that is assigned to a user (R2)."""

    user: str
    uses: tuple[str, ...]


class Holding(Value, kw_only=True):
    """What the ledger has of one subject."""

    subject: Subject
    product: str = ""
    """The key of the product; empty for a license of the estate, which is known by its license type."""
    covers: Mapping[str, Cover] = field(default_factory=dict)
    """The terms, by policy."""
    counts: tuple[tuple[date, Mapping[str, int]], ...] = ()
    """The totals by license type, each with the day from which they hold; the last whose day has come counts."""
    bought_on: date | None = None
    """The day of the purchase; None for a trial, or where nothing was bought in the ledger."""
    major: int = 0
    """The major version that the holding is for; 0 for any (P3)."""
    keys: tuple[Key, ...] = ()
    """The keys in the order of their days; the last is in force."""
    shipped_on: date | None = None
    """The day of shipping; None for what is no device, or where it is the same day as `delivered_on`."""
    renews_from: date | None = None
    """The day on which automatic renewal was last switched on or off (P4)."""
    renewal_cancelled_on: date | None = None
    """The day on which a renewal that awaited its payment was cancelled since."""
    renews_by: str = ""
    """The offer by which the subject renews itself; empty where automatic renewal is off (P4)."""
    delivered_on: date | None = None
    serial: str = ""
    installed: ReleaseName | None = None
    builds: frozenset[ReleaseName] = frozenset()
    """Builds that the vendor allows as exceptions (Q7)."""
    features: tuple[str, ...] = ()
    seats: tuple[AssignedSeat, ...] = ()
    premier: tuple[tuple[date, bool], ...] = ()
    """Whether premier support is on, each with the day from which that holds (R5)."""
    version: int | None = None
    """The version that an upgrade or a conversion gave a license; None where there was neither."""
    converted_on: date | None = None
    """The day of the last conversion: nothing of the agreement before it is left (L6)."""

    def cover(self, policy: str) -> Cover:
        """Return the terms of a policy for the subject; a cover without terms where there are none."""
        return self.covers.get(policy, Cover(policy=policy))

    def counts_on(self, day: date) -> Mapping[str, int]:
        """Return the totals by license type that hold on a day, whether or not they may be used then."""
        return next((counts for since, counts in reversed(self.counts) if since <= day), {})

    def premier_on(self, day: date) -> bool:
        """Tell whether the subject has premier support on a day."""
        return next((on for since, on in reversed(self.premier) if since <= day), False)

    @property
    def is_on_trial(self) -> bool:
        """Whether the subject is tried and not bought (P1, P2)."""
        return self.bought_on is None and bool(self.product) and self.delivered_on is None

    @property
    def began_on(self) -> date | None:
        """The day from which a device's warranty and its other included terms count (Q3)."""
        return self.shipped_on or self.delivered_on

    @property
    def key(self) -> str:
        """The key in force; empty where there is none."""
        return self.keys[-1].key if self.keys else ""


class AwaitedOrder(Value, kw_only=True):
    """An order that awaits its payment (P9)."""

    number: int
    subject: Subject
    order: Mapping[str, Any]
    """The order as plain data."""
    day: date
    reason: str

    @property
    def kind(self) -> str:
        """The kind of order, as the name of its class. One order of a kind can await payment per subject."""
        return str(self.order["kind"])


class State(Value, kw_only=True):
    """The state that the entries of one project's ledger fold into."""

    holdings: Mapping[Subject, Holding] = field(default_factory=dict)
    balance: Decimal = Decimal(0)
    """The balance in credits: the sum of what was added and spent (M2)."""
    awaited: Mapping[int, AwaitedOrder] = field(default_factory=dict)
    releases: Mapping[ReleaseName, date] = field(default_factory=dict)
    keys_used: frozenset[str] = frozenset()
    """Used keys, in the form in which keys are compared (Q4)."""
    serials: Mapping[str, Subject] = field(default_factory=dict)
    """Registered devices by serial number, in the form by which devices are told apart (N1)."""
    last_number: int = 0
    history: tuple[Entry, ...] = ()
    """All entries; a reversal folds them anew without the reversed ones."""
    reversed: frozenset[int] = frozenset()
    """The numbers of the entries that are reversed and count no more."""

    def holding(self, subject: Subject) -> Holding:
        """Return what the ledger has of a subject; an empty holding where it has nothing."""
        return self.holdings.get(subject, Holding(subject=subject))


def _cut(paid: PaidTerm, day: date) -> PaidTerm:
    if paid.term.ends <= day:
        return paid
    return replace(paid, term=Term(paid.term.begins, day), anchor=day, anchor_months=0)
