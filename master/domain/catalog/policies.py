"""What a catalog says about time, as data: policies, offers, products. Decides nothing;
`domain/agreements/ordering/decide_order.py` does.

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
    """What a term gives while it runs. Only what gives the use itself stops anything when it ends (P5, Q7)."""

    UPGRADES = "upgrades"
    """The right to newer releases; what runs goes on afterwards (M6, P5, Q7)."""
    USE = "use"
    """The use itself; its seats stop at the end, after notice (P1, R3)."""
    REPAIR = "repair"
    """Warranty of the hardware."""


class Begins(Enum):
    """The day from which a policy counts."""

    FIRST_BINDING = "first_binding"
    """When the license was bound first (M3, L7)."""
    PURCHASE = "purchase"
    """When it was bought; where payment comes first, when it was confirmed (P4, P9)."""
    DELIVERY = "delivery"
    """When the device was delivered (N1, Q3)."""


class Late(Enum):
    """Where a renewal begins that comes after the end."""

    FROM_LAST_END = "from_last_end"
    """Where the last one ended, however late (P4)."""
    FROM_TODAY = "from_today"
    """On the day it is bought; skipped time need not be bought (Q4)."""
    PAY_GAP = "pay_gap"
    """On the day it is bought, and the time in between is bought too, at `gap_factor` times the price (M6)."""


class Counted(Enum):
    """What an offer's months are counted from."""

    LAST_END = "last_end"
    """They come on top of what there is."""
    DELIVERY = "delivery"
    """They are the total since the device was delivered (Q4)."""


class PriceBasis(Enum):
    """How an offer's price is computed."""

    FREE = "free"
    SHARE_PER_YEAR = "share_per_year"
    """A share of the value of the licenses, for each year (M4)."""
    PER_SEAT_AND_MONTH = "per_seat_and_month"
    """For each seat and each month, a begun month by its days (R4)."""
    FIXED = "fixed"
    """One price for each period of the offer."""


class Unit(Enum):
    """What an offer is paid in: credits or money."""

    CREDITS = "credits"
    """From the project's credit balance (M2)."""
    MONEY = "money"
    """Elsewhere: taking money is out of scope."""


class SoldBy(Enum):
    """How the counts of a product are sold and change."""

    TIER = "tier"
    """Each total has its price; an upgrade names the new total, nothing adds up (P6)."""
    SEAT = "seat"
    """Each seat is paid by the month; more can be added at any time and end and renew with the others (R4)."""
    PIECE = "piece"
    """It has no counts."""


class SeatUse(Enum):
    """What somebody does with an application whose seats are assigned (R1)."""

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
    """Months that come with the purchase or the delivery; 0 for none."""
    ahead_months_max: int
    """How far ahead of the day of purchase its end may lie; 0 for any (P4)."""
    purchases_max: int
    """How often in all it can be bought for one subject, what is included not counted; 0 for any (N2, P1)."""
    support_months: int
    """Releases older than this get no support: shown, not enforced; 0 for any age (M7)."""
    reminder_days: tuple[int, ...]
    """How many days before the end to remind, most first (M5)."""
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
    """What it is time of; several where it is a bundle (Q4)."""
    months: tuple[int, ...]
    """The periods that are sold; empty for any (M4)."""
    days: int
    """Instead of months, for trials (P1); else 0."""
    late: Late = Late.FROM_LAST_END
    gap_factor: Decimal
    """What the gap costs, as a multiple of the price, where it is bought (M6)."""
    counted: Counted = Counted.LAST_END
    from_day: int
    """It is sold from this many days after delivery on (Q4)."""
    until_day: int
    """It is sold before this many days after delivery have passed; 0 for ever (Q4, N3)."""
    until_month: int
    """The same in months (N3)."""
    price: PriceBasis
    share: Decimal
    """For a share: of the value, per year (M4: about 0.15)."""
    unit: Unit = Unit.MONEY
    payment_first: bool
    """Whether it comes into force only when the payment is confirmed (P9)."""
    renews_itself: bool
    """Whether it can be switched to renew automatically (P4)."""
    needs_key: bool
    """Whether a key comes with it, which can be used once (N1, Q1)."""
    conversion_months: int
    """The months that it charges for the conversion of a license's version; 0 where it does not (L6)."""
    rules: tuple[str, ...]

    def opens(self, delivered: date) -> date:
        """Return the first day on which the offer is sold for a device delivered on a day."""
        return add_days(delivered, self.from_day)

    def closes(self, delivered: date) -> date | None:
        """Return the first day on which the offer is sold no more for a device; None where it always is."""
        if self.until_month:
            return add_months(delivered, self.until_month)
        return add_days(delivered, self.until_day) if self.until_day else None

    def is_open(self, delivered: date, day: date) -> bool:
        """Whether the offer is sold on a day (Q4, N3)."""
        closes = self.closes(delivered)
        return self.opens(delivered) <= day and (closes is None or day < closes)


class Product(Value, kw_only=True):
    """What is sold whole (`[products.KEY]`)."""

    key: str
    title: str
    subject: SubjectKind
    policies: tuple[str, ...]
    """Each begins with the purchase or the delivery."""
    sold_by: SoldBy = SoldBy.PIECE
    counts: tuple[str, ...]
    """The license types whose numbers are bought (P6, R1)."""
    tiers: Mapping[str, tuple[int, ...]]
    """The totals that are sold, by license type; those of the price file where a type has none here (P6)."""
    each_has: Mapping[str, int]
    """License types that come with each, whatever was bought (P7: one instance)."""
    features: Mapping[str, ReleaseName | None]
    """Optional features by license type, each with the first release that has it (Q5)."""
    minimum: int
    """The fewest that can be ordered (R3)."""
    payment_first: bool
    """P9."""
    trial: str | None
    """The offer by which it can be tried (P1)."""
    one_major: bool
    """Whether it is for one major version only (P3)."""
    seat_for: frozenset[SeatUse]
    """Who needs a seat of it, which is assigned by name (R1, R2); empty where seats are not assigned."""
    premier: bool
    """Whether premier support can be had for the whole (R5)."""
    gate_release: ReleaseName | None
    """Nothing after it is installed without it, or without a term of `gate_policy` (Q1, Q2)."""
    gate_policy: str | None
    rules: tuple[str, ...]


class Policies(Value):
    """All that one catalog says about time."""

    policies: Mapping[str, Policy] = field(default_factory=dict)
    offers: Mapping[str, Offer] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    releases: Mapping[ReleaseName, date] = field(default_factory=dict)
    """Releases that the vendor has published, with their days."""

    def offers_of(self, policy: str) -> tuple[Offer, ...]:
        """The ways to buy time of a policy."""
        return tuple(offer for offer in self.offers.values() if policy in offer.policies)
