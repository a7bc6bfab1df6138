"""Prices, exact amounts, and their one rounding.

Amounts are calculated as exact fractions and rounded once: the total half up to the unit's quantum. Each line is the
difference of the rounded running sums, so the lines add up to the total, however it was divided. `price_file.py` reads
the prices; the deciding modules say which lines an order has.
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
    """The label of money, such as `EUR`; currencies are never converted."""
    quantum: Decimal
    """The amount of money whose multiples money is rounded to."""
    credit_quantum: Decimal
    """The number of credits whose multiples credits are rounded to."""
    credit: Decimal | None = None
    """The price of one credit, in money."""
    values: Mapping[str, Decimal] = field(default_factory=dict)
    """The value of one license by type, `port` or `port%500`, in the unit of the offer of a share (M4)."""
    shares: Mapping[str, Decimal] = field(default_factory=dict)
    """The share of the license value per year by offer, where it is not that of the catalog."""
    offers: Mapping[str, Mapping[int, Decimal]] = field(default_factory=dict)
    """The fixed price, by offer and months."""
    tiers: Mapping[str, Mapping[int, Decimal]] = field(default_factory=dict)
    """The price of a tier, by license type and total (P6). No other tiers are sold."""
    seat_months: Mapping[str, Decimal] = field(default_factory=dict)
    """The price of one seat for one month, by license type (R4)."""
    features: Mapping[str, Decimal] = field(default_factory=dict)
    """The price of a feature key, by license type (Q5)."""
    premier: Mapping[str, Decimal] = field(default_factory=dict)
    """Premier support in percent of the whole fee, by product (R5)."""

    def section(self, name: str) -> Mapping[Any, Decimal]:
        """Return the prices under a heading of the price file, such as `values` or `tiers.port`; empty for none."""
        table, _, key = name.partition(".")
        prices: Mapping[str, Any] = getattr(self, table)
        return prices.get(key, {}) if key else prices

    def label(self, unit: Unit) -> str:
        """Return the name of a unit on an invoice: "credits", or the currency of the price file."""
        return CREDITS if unit is Unit.CREDITS else self.currency

    def quantum_of(self, unit: Unit) -> Decimal:
        """Return the quantum of a unit; every amount in that unit is a multiple of its quantum."""
        return self.credit_quantum if unit is Unit.CREDITS else self.quantum


class ExactLine(Value, kw_only=True):
    """A line of a quote whose amount is still an exact fraction."""

    subject: Subject = PROJECT
    what: str
    quantity: int = 1
    each: Decimal | None
    """The unit price: per year for a share, per month for seats, else as a whole; None where there is no price list."""
    months: Fraction | None = None
    """The time that is paid for, where the price depends on it."""
    factor: Fraction = Fraction(1)
    """The factor on the price beside the quantity: months or years, a share, the surcharge of a gap."""
    paid_in: Unit
    why: str
    rules: tuple[str, ...] = ()

    @property
    def exact(self) -> Fraction:
        """The amount before rounding."""
        assert self.each is not None
        return self.quantity * Fraction(self.each) * self.factor


class QuoteLine(ExactLine, kw_only=True):
    """A line of a quote with its rounded amount: what one thing costs and why."""

    amount: Decimal
    """The rounded amount, a multiple of the unit's quantum."""
    unit: str
    """`credits`, or the currency of the price file."""


def rounded(amount: Fraction, quantum: Decimal) -> Decimal:
    """Return the nearest multiple of the quantum; half is rounded away from zero."""
    steps = abs(amount) / Fraction(quantum)
    whole = (2 * steps.numerator + steps.denominator) // (2 * steps.denominator)
    return quantum * (whole if amount >= 0 else -whole)


def rounded_lines(lines: Iterable[ExactLine], prices: PriceList) -> tuple[QuoteLine, ...]:
    """Return the lines with rounded amounts, which add up to the rounded total of their unit."""
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
