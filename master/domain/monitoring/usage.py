"""Usage by the day: what one reading of an estate adds to its history, and when a pool runs out at its trend.

Days are counted from 1970 in UTC. A day's peak is the most seats that a run saw, and for a pool the most that ever was,
where that happened on the day. Nothing here reads or writes; `service/monitoring/usage.py` looks,
`store/statements/usage.py` keeps.

The trend is the least-squares line through the highest daily peak of each seven days that end one after the other, so
that weekends change nothing. It is worth a date only where
 - the peaks of `TREND_DAYS_MIN` days are known, today left out because it is not over;
 - the line rises by at least one seat over these days;
 - it reaches the pool's capacity within `TREND_DAYS_AHEAD_MAX` days.
Everything else is an answer too, and says which of these is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import Enum
from statistics import linear_regression
from typing import NamedTuple

from master.domain.monitoring.overview import Overview
from master.values import Value

DAY_SECONDS = 86_400
TREND_DAYS_MIN = 14
TREND_DAYS_AHEAD_MAX = 730
BALANCE = ""
"""The device's name where licenses are free in the balance."""


def day_of(at: float) -> int:
    """Return the day, counted from 1970 in UTC, that a moment (UNIX seconds) is on."""
    return int(at // DAY_SECONDS)


class SitePeak(Value, order=True):
    """The most seats of a type that a site had on a day."""

    project_id: int
    site: str
    license_type: str
    day: int
    peak: int
    peak_at: float
    """UNIX time in seconds."""


class PoolPeak(Value, order=True):
    """The most seats that were debited from a pool on a day, and the fewest licenses that lay unused."""

    project_id: int
    device: str
    """The device; empty for the balance, whose licenses are all unused."""
    license_type: str
    day: int
    peak: int
    unused: int


class RuleDay(NamedTuple):
    """The reserve of an allocation rule on one day."""

    project_id: int
    rule: str
    license_type: str
    day: int
    used: int
    """The most seats of the reserve that its owners had."""
    unused: int
    """The fewest seats of the reserve that its owners did not have."""


def rule_days(estate: Overview, now: float) -> Iterator[RuleDay]:
    """Yield how much of each rule's reserve is used in one reading of an estate; `now` is UNIX seconds."""
    for reserve in estate.reserves:
        yield RuleDay(estate.project_id, reserve.rule, reserve.license_type, day_of(now), reserve.used, reserve.unused)


def site_peaks(estate: Overview, now: float) -> Iterator[SitePeak]:
    """Yield the seats in use now, for each site and license type; `now` is UNIX seconds."""
    for (site, license_type), seats in estate.site_seats.items():
        yield SitePeak(estate.project_id, site, license_type, day_of(now), seats, now)


def pool_peaks(estate: Overview, now: float) -> Iterator[PoolPeak]:
    """Yield the peak and the unused licenses of each pool and of the balance in one reading; `now` is UNIX seconds."""
    today = day_of(now)
    for pool in estate.pools:
        is_todays = pool.peak_at is not None and day_of(pool.peak_at) == today
        peak = max(pool.parts.counted, pool.peak) if is_todays else pool.parts.counted
        unused = max(pool.capacity - peak, 0)
        yield PoolPeak(estate.project_id, pool.device, pool.license_type, today, peak, unused)
    for license_type, free in estate.balance.items():
        yield PoolPeak(estate.project_id, BALANCE, license_type, today, 0, free)


class Outlook(Enum):
    """What the trend of a pool says."""

    RUNS_OUT = 1
    """The pool runs out on a date."""
    USED_UP = 2
    """The pool has run out."""
    NOT_RISING = 3
    """At this trend, the pool never runs out."""
    FAR_OFF = 4
    """The pool runs out later than a trend can tell."""
    NOT_ENOUGH_DATA = 5
    """Too few days are known."""


class Trend(Value):
    """When a pool runs out, by its daily peaks."""

    outlook: Outlook
    seats_per_day: float = 0.0
    """How fast the daily peak rises; 0 where too little is known."""
    day: int | None = None
    """The first day on which the line is at the capacity; None unless the pool runs out."""


def trend(peaks: Mapping[int, int], *, used: int, capacity: int, today: int) -> Trend:
    """Judge when a pool with these daily peaks (seats, by day) runs out; days not in `peaks` are not known."""
    past = {day: peak for day, peak in peaks.items() if day < today}
    line = _line(past) if len(past) >= TREND_DAYS_MIN else None
    slope = line[0] if line is not None else 0.0
    if used >= capacity:
        return Trend(Outlook.USED_UP, slope)
    if line is None:
        return Trend(Outlook.NOT_ENOUGH_DATA)
    if slope * (max(past) - min(past) + 1) < 1:
        return Trend(Outlook.NOT_RISING, slope)
    reached = math.ceil((capacity - line[1]) / slope)
    if reached - today > TREND_DAYS_AHEAD_MAX:
        return Trend(Outlook.FAR_OFF, slope)
    return Trend(Outlook.RUNS_OUT, slope, max(reached, today))


def _line(peaks: Mapping[int, int]) -> tuple[float, float]:
    """Return the line's seats per day, and its value on day 0; the peaks must reach over more than seven days."""
    days = range(min(peaks) + 6, max(peaks) + 1)
    weekly = [max(peaks.get(earlier, 0) for earlier in range(day - 6, day + 1)) for day in days]
    slope, intercept = linear_regression(list(days), weekly)
    return slope, intercept
