"""Calendar days, terms and months; the only place that counts them.

Days are those of the project's time zone; the caller passes the day, no clock is read. A term is [begins, ends):
`ends` is the first day on which the term no longer holds. Months are counted from an anchor day: 31 January + 1 is the
last of February, + 2 is 31 March; 29 February + 12 is 28 February, + 48 is 29 February. What a term costs,
`domain/agreements/ledger/pricing.py` says.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from master.values import Value


class Term(Value, order=True):
    """The days from `begins` on and before `ends`."""

    begins: date
    ends: date
    """The first day that no longer belongs to the term."""

    def __post_init__(self) -> None:
        if self.ends < self.begins:
            raise ValueError(f"a term cannot end on {self.ends}, before it begins on {self.begins}")

    def __str__(self) -> str:
        return f"{self.begins} to {self.ends}"

    def holds_on(self, day: date) -> bool:
        return self.begins <= day < self.ends


def add_months(anchor: date, months: int) -> date:
    """Return the day `months` after the anchor; the last day of that month where the month has no such day.
    Raises OverflowError if the day is beyond the calendar (years 1 to 9999)."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    if not date.min.year <= year <= date.max.year:
        raise OverflowError(f"{months} months from {anchor} is beyond the calendar")
    day = anchor.day if anchor.day <= 28 else min(anchor.day, monthrange(year, month + 1)[1])
    return date(year, month + 1, day)


def add_days(day: date, days: int) -> date:
    """Return the day `days` days later. Raises OverflowError if the day is beyond the calendar."""
    return day + timedelta(days=days)


def months_since(anchor: date, day: date) -> Fraction:
    """Return how many months lie between the anchor and a day, exactly; a begun month counts by its days."""
    whole = (day.year - anchor.year) * 12 + day.month - anchor.month
    if add_months(anchor, whole) > day:
        whole -= 1
    begun = add_months(anchor, whole)
    return whole + Fraction((day - begun).days, (add_months(anchor, whole + 1) - begun).days)


def months_in(term: Term, *, anchor: date) -> Fraction:
    """Return the length of a term in months counted from the anchor; the lengths of its parts add up to it exactly."""
    return months_since(anchor, term.ends) - months_since(anchor, term.begins)


def day_of(instant: float, zone: ZoneInfo) -> date:
    """Return the day on which an instant (UNIX seconds, 1970 to 9999) falls in a time zone.

    In the east the last hours of the year 9999 are beyond the calendar already; they count as its last day.
    """
    try:
        return datetime.fromtimestamp(instant, zone).date()
    except (OverflowError, ValueError):
        return date.max


def next_day(day: date) -> date:
    """Return the day after; the last of the calendar, which stands for "without end", stays."""
    return day if day == date.max else day + timedelta(days=1)


def first_instant_of(day: date, zone: ZoneInfo) -> float:
    """Return the instant (UNIX seconds) at which a day begins in a time zone; days may have 23 or 25 hours.

    Where the clocks skip midnight it is the first moment after; where they skip a whole day, that of the next day.
    """
    return datetime.combine(day, time(), zone).timestamp()


def first_instant_after(day: date, zone: ZoneInfo) -> float:
    """Return the first instant of the next day in a time zone, UNIX seconds."""
    return first_instant_of(next_day(day), zone)
