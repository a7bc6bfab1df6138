"""What a catalog says about time, as data: policies, offers, products. Nothing is decided here;
`domain/agreements/ordering/decide_order.py` decides.

A **policy** says what a term gives while it runs and how it begins (a service agreement, maintenance, a trial, yearly
seats, a warranty). An **offer** is a way to buy time of one or more policies: for how long, when, at what basis of
price. A **product** is what is sold whole and has policies of its own: a license with tiers, a server, a contract for
seats. License types name the policies that cover them. `policy_file.py` reads all of them from the catalog's TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import Enum

from master.domain.catalog.dates import add_days, add_months
from master.domain.catalog.releases import ReleaseName
from master.values import Value, field


class SubjectKind(Enum):
    """What an agreement can be about."""

    LICENSE = "license"
    DEVICE = "device"
    CONTRACT = "contract"


class Grants(Enum):
    """What a term gives while it runs. Only the end of a term that gives the use stops anything (P5, Q7)."""

    UPGRADES = "upgrades"
    """The right to newer releases; what runs goes on after the end (M6, P5, Q7)."""
    USE = "use"
    """The use of seats, which stops at the end, after notice (P1, R3)."""
    REPAIR = "repair"
    """Warranty of the hardware."""


class Begins(Enum):
    """The day from which a policy counts."""

    FIRST_BINDING = "first_binding"
    """The day of the license's first binding (M3, L7)."""
    PURCHASE = "purchase"
    """The day of the purchase; where payment comes first, of the payment's confirmation (P4, P9)."""
    DELIVERY = "delivery"
    """The day on which the device was delivered (N1, Q3)."""


class Late(Enum):
    """Where a renewal begins that is bought after the end of the last term."""

    FROM_LAST_END = "from_last_end"
    """At the end of the last term, however late the renewal is (P4)."""
    FROM_TODAY = "from_today"
    """On the day of the renewal; skipped time need not be bought (Q4)."""
    PAY_GAP = "pay_gap"
    """On the day of the renewal; the time in between is bought too, at `gap_factor` times the price (M6)."""


class Counted(Enum):
    """The day that an offer's months are counted from."""

    LAST_END = "last_end"
    """The end of the last term: the months come on top of it."""
    DELIVERY = "delivery"
    """The device's delivery: the months are the total since then (Q4)."""


class PriceBasis(Enum):
    """How an offer's price is calculated."""

    FREE = "free"
    SHARE_PER_YEAR = "share_per_year"
    """A share of the value of the licenses for each year (M4)."""
    PER_SEAT_AND_MONTH = "per_seat_and_month"
    """A price for each seat and month, a begun month by its days (R4)."""
    FIXED = "fixed"
    """A price for each period of the offer."""


class Unit(Enum):
    """The unit that an offer is paid in."""

    CREDITS = "credits"
    """Credits, from the project's credit balance (M2)."""
    MONEY = "money"
    """Money, paid elsewhere: taking money is out of scope."""


class SoldBy(Enum):
    """How the counts of a product are sold and change."""

    TIER = "tier"
    """Each total has its price; an upgrade names the new total, and totals do not add up (P6)."""
    SEAT = "seat"
    """Each seat is paid by the month; seats can be added at any time and end and renew with the others (R4)."""
    PIECE = "piece"
    """The product has no counts."""


class SeatUse(Enum):
    """What a user does with an application whose seats are assigned (R1)."""

    TEAM_MEMBER = "team_member"
    CONFIGURES = "configures"
    VIEWS = "views"


class Policy(Value, kw_only=True):
    """What a term of one kind means (`[policies.KEY]`)."""

    key: str
    title: str
    grants: Grants
    begins: Begins
    included_months: int
    """Months that are included in the purchase or the delivery; 0 for none."""
    ahead_months_max: int
    """How many months after the day of purchase a term may end at most; 0 for any (P4)."""
    purchases_max: int
    """How often the policy can be bought in all for one subject, included terms not counted; 0 for any (N2, P1)."""
    support_months: int
    """How many months after its release a version has support: shown, not enforced; 0 for any age (M7)."""
    reminder_days: tuple[int, ...]
    """How many days before the end reminders are due, most first (M5)."""
    rules: tuple[str, ...]

    @property
    def stops_at_end(self) -> bool:
        """Whether seats can no longer be used once the last term of the policy has ended."""
        return self.grants is Grants.USE


class Offer(Value, kw_only=True):
    """A way to buy time (`[offers.KEY]`)."""

    key: str
    title: str
    policies: tuple[str, ...]
    """The policies that the offer sells time of; several for a bundle (Q4)."""
    months: tuple[int, ...]
    """The periods that are sold, in months; empty for any (M4)."""
    days: int
    """The period in days, instead of months, for trials (P1); else 0."""
    late: Late = Late.FROM_LAST_END
    gap_factor: Decimal
    """The price of the gap as a multiple of the usual price, where the gap is bought (M6)."""
    counted: Counted = Counted.LAST_END
    from_day: int
    """The days after delivery from which on the offer is sold (Q4)."""
    until_day: int
    """The days after delivery after which the offer is no longer sold; 0 for ever (Q4, N3)."""
    until_month: int
    """The months after delivery after which the offer is no longer sold; 0 for ever (N3)."""
    price: PriceBasis
    share: Decimal
    """The share of the license value per year, where the price is a share (M4: about 0.15)."""
    unit: Unit = Unit.MONEY
    payment_first: bool
    """Whether an order comes into force only when the payment is confirmed (P9)."""
    renews_itself: bool
    """Whether the offer can be set to renew automatically (P4)."""
    needs_key: bool
    """Whether the offer comes with a key, which can be used once (N1, Q1)."""
    conversion_months: int
    """The months charged for the conversion of a license's version; 0 for an offer that pays for no conversion (L6)."""
    rules: tuple[str, ...]

    def opens(self, delivered: date) -> date:
        """Return the first day on which the offer is sold for a device delivered on a day."""
        return add_days(delivered, self.from_day)

    def closes(self, delivered: date) -> date | None:
        """Return the first day on which the offer is no longer sold for a device; None where sale never ends."""
        if self.until_month:
            return add_months(delivered, self.until_month)
        return add_days(delivered, self.until_day) if self.until_day else None

    def is_open(self, delivered: date, day: date) -> bool:
        """Tell whether the offer is sold on a day for a device by its day of delivery (Q4, N3)."""
        closes = self.closes(delivered)
        return self.opens(delivered) <= day and (closes is None or day < closes)


class Product(Value, kw_only=True):
    """What is sold whole (`[products.KEY]`)."""

    key: str
    title: str
    subject: SubjectKind
    policies: tuple[str, ...]
    """The policies of the product; each begins with the purchase or the delivery."""
    sold_by: SoldBy = SoldBy.PIECE
    counts: tuple[str, ...]
    """The license types whose numbers are bought (P6, R1)."""
    tiers: Mapping[str, tuple[int, ...]]
    """The totals that are sold, by license type; the price file's where a type has none here (P6)."""
    each_has: Mapping[str, int]
    """How many of other license types come with each product, whatever was bought (P7: one instance)."""
    features: Mapping[str, ReleaseName | None]
    """Optional features by license type, each with the first release that has it (Q5)."""
    minimum: int
    """The smallest quantity that can be ordered (R3)."""
    payment_first: bool
    """Whether an order comes into force only when the payment is confirmed (P9)."""
    trial: str | None
    """The offer by which the product can be tried (P1); None where it cannot."""
    one_major: bool
    """Whether a license is for one major version only (P3)."""
    seat_for: frozenset[SeatUse]
    """The uses that need a seat, which is assigned by name (R1, R2); empty where seats are not assigned."""
    premier: bool
    """Whether premier support can be bought for all seats (R5)."""
    gate_release: ReleaseName | None
    """The gate: a later release is not installed before this one, nor without a term of `gate_policy` (Q1, Q2)."""
    gate_policy: str | None
    rules: tuple[str, ...]


class Policies(Value):
    """All that one catalog says about time."""

    policies: Mapping[str, Policy] = field(default_factory=dict)
    offers: Mapping[str, Offer] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    releases: Mapping[ReleaseName, date] = field(default_factory=dict)
    """The releases that the vendor has published, with the day of each."""

    def offers_of(self, policy: str) -> tuple[Offer, ...]:
        """Return the offers that sell time of a policy."""
        return tuple(offer for offer in self.offers.values() if policy in offer.policies)
