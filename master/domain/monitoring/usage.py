"""Usage by the day: what one reading of an estate adds to its history, and when a pool runs out at its trend.

Days are counted from 1970 in UTC. A day's peak is the most seats that a run saw, and for a pool the most that ever
was, where that happened on the day. Nothing here reads or writes; `service/monitoring/usage.py` looks,
`store/statements/usage.py` keeps.

The trend is the least-squares line through the highest daily peak of each seven days that end one after the other, so
that weekends bend nothing. It is worth a date only where
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
"""Stands for a device where licenses are free."""


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
    """Empty for the balance, whose licenses are all unused."""
    license_type: str
    day: int
    peak: int
    unused: int


class RuleDay(NamedTuple):
    """What the reserve of an allocation rule came to on a day."""

    project_id: int
    rule: str
    license_type: str
    day: int
    used: int
    """The most seats of it that its owners had."""
    unused: int
    """The fewest that they had not."""


def rule_days(estate: Overview, now: float) -> Iterator[RuleDay]:
    """What one reading of an estate says of its reserves."""
    for reserve in estate.reserves:
        yield RuleDay(estate.project_id, reserve.rule, reserve.license_type, day_of(now), reserve.used, reserve.unused)


def site_peaks(estate: Overview, now: float) -> Iterator[SitePeak]:
    """Return the seats in use now, for each site and license type."""
    for (site, license_type), seats in estate.site_seats.items():
        yield SitePeak(estate.project_id, site, license_type, day_of(now), seats, now)


def pool_peaks(estate: Overview, now: float) -> Iterator[PoolPeak]:
    """What one reading of an estate says of its pools and its balance."""
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
    """On a date."""
    USED_UP = 2
    """It has run out."""
    NOT_RISING = 3
    """At this trend, never."""
    FAR_OFF = 4
    """Later than a trend is good for."""
    NOT_ENOUGH_DATA = 5
    """Too few days are known."""


class Trend(Value):
    """Where a pool is heading."""

    outlook: Outlook
    seats_per_day: float = 0.0
    """How fast the daily peak rises; 0 where too little is known."""
    day: int | None = None
    """The first day on which the line is at the capacity; None unless it runs out."""


def trend(peaks: Mapping[int, int], *, used: int, capacity: int, today: int) -> Trend:
    """Where a pool with these daily peaks is heading; days that are not in `peaks` are not known."""
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
    """Seats per day, and where the line is on day 0; there are peaks of more than seven days."""
    days = range(min(peaks) + 6, max(peaks) + 1)
    weekly = [max(peaks.get(earlier, 0) for earlier in range(day - 6, day + 1)) for day in days]
    slope, intercept = linear_regression(list(days), weekly)
    return slope, intercept
