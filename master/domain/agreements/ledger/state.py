"""What the ledger comes to: for each subject its terms, counts, keys and seats, as `fold.py` makes them of its entries.

Terms keep their dates, counts the day from which they hold. What is not in the ledger, the licenses of the estate, is
in `snapshot.py`.
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
    """Time that is paid for, with what its months are counted from."""

    term: Term
    anchor: date
    """The day that its months are counted from, together with those before it where it continues them."""
    anchor_months: int
    """How many months after the anchor it ends; 0 where it was counted in days: the anchor is then its end."""
    how: str
    """`included`, `bought`, `gap` (paid afterwards, M6) or `vendor` (came with the vendor's file)."""
    offer: str = ""
    entry: int = 0
    """The number of its entry; 0 where it is not in the ledger."""

    @property
    def months(self) -> Fraction:
        """How many months it lasts."""
        return months_in(self.term, anchor=self.anchor)


class Cover(Value, kw_only=True):
    """All terms of one policy for one subject, in the order in which they were added."""

    policy: str
    terms: tuple[PaidTerm, ...] = ()

    @property
    def ends(self) -> date | None:
        """The first day that no term holds any more; None where there never was one."""
        return max((term.term.ends for term in self.terms), default=None)

    @property
    def begins(self) -> date | None:
        """The first day of its first term."""
        return min((term.term.begins for term in self.terms), default=None)

    def holds_on(self, day: date) -> bool:
        """Whether some term holds on the day."""
        return any(term.term.holds_on(day) for term in self.terms)

    @property
    def last(self) -> PaidTerm | None:
        return max(self.terms, key=lambda cover: (cover.term.ends, cover.entry), default=None)

    @property
    def purchases(self) -> int:
        """How often it was bought; what was included, and gaps that were paid along, not counted."""
        return sum(term.how == "bought" for term in self.terms)

    def end_from(self, day: date) -> date | None:
        """The day on which what holds on `day` ends, terms that follow without a gap included; None: nothing holds."""
        if not self.holds_on(day):
            return None
        end = day
        while (later := max((term.term.ends for term in self.terms if term.term.holds_on(end)), default=end)) > end:
            end = later
        return end

    def cut(self, day: date) -> Cover:
        """The cover with everything from `day` on taken away (L6, P2)."""
        kept = (term for term in self.terms if term.term.begins < day)
        return replace(self, terms=tuple(_cut(paid_term, day) for paid_term in kept))


class Key(Value):
    """A key that was in force from a day on, until the next one replaced it (P2, P9)."""

    key: str
    day: date


class AssignedSeat(Value):
    """A seat with its user (R2)."""

    user: str
    uses: tuple[str, ...]


class Holding(Value, kw_only=True):
    """What the ledger knows of one subject."""

    subject: Subject
    product: str = ""
    """Empty for a license of the estate, which is known by its license type."""
    covers: Mapping[str, Cover] = field(default_factory=dict)
    """By policy."""
    counts: tuple[tuple[date, Mapping[str, int]], ...] = ()
    """The totals by license type from a day on; the last one whose day has come holds."""
    bought_on: date | None = None
    """None while it is a trial, or never was bought in the ledger."""
    major: int = 0
    """The major version that it is for; 0 for any (P3)."""
    keys: tuple[Key, ...] = ()
    """The last one is in force."""
    shipped_on: date | None = None
    """None where it is no device, or the same day as `delivered_on`."""
    renews_from: date | None = None
    """When automatic renewal was switched on or off last (P4)."""
    renewal_cancelled_on: date | None = None
    """When a renewal that awaited its payment was given up since."""
    renews_by: str = ""
    """The offer by which it renews automatically; empty for not (P4)."""
    delivered_on: date | None = None
    serial: str = ""
    installed: ReleaseName | None = None
    builds: frozenset[ReleaseName] = frozenset()
    """Exceptions of the vendor (Q7)."""
    features: tuple[str, ...] = ()
    seats: tuple[AssignedSeat, ...] = ()
    premier: tuple[tuple[date, bool], ...] = ()
    """Whether with premier support, from a day on (R5)."""
    version: int | None = None
    """The version that an upgrade or a conversion gave a license; None where none did."""
    converted_on: date | None = None
    """When it was converted last: nothing of the agreement before is left (L6)."""

    def cover(self, policy: str) -> Cover:
        """The terms of a policy for this subject; without terms where it has none."""
        return self.covers.get(policy, Cover(policy=policy))

    def counts_on(self, day: date) -> Mapping[str, int]:
        """The totals that hold on a day, whether or not they are in force then."""
        return next((counts for since, counts in reversed(self.counts) if since <= day), {})

    def premier_on(self, day: date) -> bool:
        """Whether the subject has premier support on a day."""
        return next((on for since, on in reversed(self.premier) if since <= day), False)

    @property
    def is_on_trial(self) -> bool:
        """Whether the subject is tried and not bought (P1, P2)."""
        return self.bought_on is None and bool(self.product) and self.delivered_on is None

    @property
    def began_on(self) -> date | None:
        """The day from which the warranty of a device, and what else came along, counts (Q3)."""
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
    """As plain data."""
    day: date
    reason: str

    @property
    def kind(self) -> str:
        """Which kind of order it is: the name of its class. One of a kind can wait for a subject at a time."""
        return str(self.order["kind"])


class State(Value, kw_only=True):
    """The entries of one project's ledger, folded into what holds."""

    holdings: Mapping[Subject, Holding] = field(default_factory=dict)
    balance: Decimal = Decimal(0)
    """Credits: the sum of what was added and spent (M2)."""
    awaited: Mapping[int, AwaitedOrder] = field(default_factory=dict)
    releases: Mapping[ReleaseName, date] = field(default_factory=dict)
    keys_used: frozenset[str] = frozenset()
    """In the form in which keys are compared (Q4)."""
    serials: Mapping[str, Subject] = field(default_factory=dict)
    """Registered devices by their serial number, in the form in which these are compared: that is who they are (N1)."""
    last_number: int = 0
    history: tuple[Entry, ...] = ()
    """All entries: a reversal folds anew without what it reverses."""
    reversed: frozenset[int] = frozenset()
    """The numbers of entries that count no more."""

    def holding(self, subject: Subject) -> Holding:
        """What is known of a subject; nothing but its name where the ledger has nothing."""
        return self.holdings.get(subject, Holding(subject=subject))


def _cut(paid: PaidTerm, day: date) -> PaidTerm:
    if paid.term.ends <= day:
        return paid
    return replace(paid, term=Term(paid.term.begins, day), anchor=day, anchor_months=0)
