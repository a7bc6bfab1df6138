"""What things cost, exactly, and the one rounding.

Amounts are reckoned as exact fractions and rounded once: the total half up to the unit's quantum; each line is the
difference of the rounded running sums, so the lines add up to the total whatever it was divided into. Where the
prices come from, `price_file.py` says; which lines an order has, the deciding modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from msgspec.structs import asdict

from master.domain.catalog.policies import Unit
from master.domain.catalog.subjects import PROJECT, Subject
from master.values import Value, field

CREDITS = "credits"


class PriceList(Value, kw_only=True):
    """The operator's own prices for one catalog."""

    catalog: str
    currency: str
    """The label of money, such as `EUR`; nothing is converted."""
    quantum: Decimal
    """What amounts of money are rounded to."""
    credit_quantum: Decimal
    """What amounts of credits are rounded to."""
    credit: Decimal | None = None
    """The price of one credit, in money."""
    values: Mapping[str, Decimal] = field(default_factory=dict)
    """The value of one license by type, `port` or `port%500`, in the unit of the offer of a share (M4)."""
    shares: Mapping[str, Decimal] = field(default_factory=dict)
    """By offer: the share of the value per year, where it is not that of the catalog."""
    offers: Mapping[str, Mapping[int, Decimal]] = field(default_factory=dict)
    """By offer and months: its fixed price."""
    tiers: Mapping[str, Mapping[int, Decimal]] = field(default_factory=dict)
    """By license type and total: the price of a tier (P6). No other tiers are sold."""
    seat_months: Mapping[str, Decimal] = field(default_factory=dict)
    """By license type: one seat for one month (R4)."""
    features: Mapping[str, Decimal] = field(default_factory=dict)
    """By license type: its feature key (Q5)."""
    premier: Mapping[str, Decimal] = field(default_factory=dict)
    """By product: premier support in percent of the whole (R5)."""

    def section(self, name: str) -> Mapping[Any, Decimal]:
        """The prices under a heading of the price file, such as `values` or `tiers.port`; empty where there is none."""
        table, _, key = name.partition(".")
        prices: Mapping[str, Any] = getattr(self, table)
        return prices.get(key, {}) if key else prices

    def label(self, unit: Unit) -> str:
        """Return what amounts of a unit are called on an invoice: "credits", or the currency of the price file."""
        return CREDITS if unit is Unit.CREDITS else self.currency

    def quantum_of(self, unit: Unit) -> Decimal:
        """Return the smallest amount of a unit, which every amount is a multiple of."""
        return self.credit_quantum if unit is Unit.CREDITS else self.quantum


class ExactLine(Value, kw_only=True):
    """A line of a quote whose amount is still an exact fraction."""

    subject: Subject = PROJECT
    what: str
    quantity: int = 1
    each: Decimal | None
    """The price of one: per year for a share, per month for seats, else as a whole; None where there is no price
    list.
    """
    months: Fraction | None = None
    """For how long, where the price depends on it."""
    factor: Fraction = Fraction(1)
    """What it is multiplied by beside the quantity: months or years, a share, the surcharge of a gap."""
    paid_in: Unit
    why: str
    rules: tuple[str, ...] = ()

    @property
    def exact(self) -> Fraction:
        """The amount, not rounded."""
        assert self.each is not None
        return self.quantity * Fraction(self.each) * self.factor


class QuoteLine(ExactLine, kw_only=True):
    """What one thing costs and why."""

    amount: Decimal
    """A multiple of the unit's quantum."""
    unit: str
    """`credits`, or the currency of the price file."""


def rounded(amount: Fraction, quantum: Decimal) -> Decimal:
    """The nearest multiple of the quantum; half up, away from zero."""
    steps = abs(amount) / Fraction(quantum)
    whole = (2 * steps.numerator + steps.denominator) // (2 * steps.denominator)
    return quantum * (whole if amount >= 0 else -whole)


def rounded_lines(lines: Iterable[ExactLine], prices: PriceList) -> tuple[QuoteLine, ...]:
    """The lines with amounts that add up to the rounded total of their unit."""
    exact: dict[Unit, Fraction] = {}
    given: dict[Unit, Decimal] = {}
    done: list[QuoteLine] = []
    for line in lines:
        quantum = prices.quantum_of(line.paid_in)
        exact[line.paid_in] = exact.get(line.paid_in, Fraction(0)) + line.exact
        total = rounded(exact[line.paid_in], quantum)
        amount = total - given.get(line.paid_in, 0 * quantum)
        given[line.paid_in] = total
        done.append(QuoteLine(**asdict(line), amount=amount, unit=prices.label(line.paid_in)))
    return tuple(done)


def totals(lines: Iterable[QuoteLine]) -> dict[str, Decimal]:
    """Return the amounts of all lines added up, by unit."""
    sums: dict[str, Decimal] = {}
    for line in lines:
        sums[line.unit] = sums.get(line.unit, 0 * line.amount) + line.amount
    return sums
