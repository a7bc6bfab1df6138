"""The usage report, made from the history and the estate. Plain arithmetic over rows handed in.

Licenses count as unused where nobody used them on any day that is known, wherever they are: bound to a device, or free
in the balance. Types that work by being installed (F2, I5) have no seats to go by and are never said to be unused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import Lease
from master.domain.monitoring.overview import Overview
from master.domain.monitoring.usage import BALANCE, PoolPeak, Trend, trend
from master.values import Value

LATELY_DAYS = 7
_SILENT = (LeaseState.OVERDUE, LeaseState.EXPIRED, LeaseState.NONE)


class PoolReport(Value, kw_only=True):
    """One pool, or the free licenses of one type."""

    device: str
    license_type: str
    display_name: str
    capacity: int
    used: int
    peak_lately: int
    peak: int
    unused: int
    trend: Trend | None
    """None where nothing can run out."""


class SilentPbx(Value):
    site: str
    pbx: str
    state: LeaseState
    heard_at: float | None
    """UNIX time in seconds; None where the PBX was never heard of."""
    seats: int


def pool_reports(
    estate: Overview, types: Mapping[str, LicenseType], days: Iterable[PoolPeak], *, today: int
) -> list[PoolReport]:
    """List the pools in the order of the overview, then the balance; `today` is a day from 1970 on."""
    by_pool: defaultdict[tuple[str, str], dict[int, PoolPeak]] = defaultdict(dict)
    for pool_day in days:
        by_pool[pool_day.device, pool_day.license_type][pool_day.day] = pool_day
    known = {day for peak_of in by_pool.values() for day in peak_of}
    places = [(pool.device, pool.license_type, pool.capacity, pool.parts.counted) for pool in estate.pools]
    places += [(BALANCE, license_type, free, 0) for license_type, free in sorted(estate.balance.items())]
    reports = []
    for device, license_type, capacity, used in places:
        peak_of = by_pool[device, license_type]
        peaks = {day: pool_peak.peak for day, pool_peak in peak_of.items()}
        lately = (peak for day, peak in peaks.items() if day > today - LATELY_DAYS)
        has_seats = types[license_type].matches is None
        fewest = min((pool_peak.unused for pool_peak in peak_of.values()), default=0) if known <= peak_of.keys() else 0
        reports.append(
            PoolReport(
                device=device,
                license_type=license_type,
                display_name=types[license_type].display_name,
                capacity=capacity,
                used=used,
                peak_lately=max(lately, default=0),
                peak=max(peaks.values(), default=0),
                unused=min(fewest, max(capacity - used, 0)) if has_seats else 0,
                trend=trend(peaks, used=used, capacity=capacity, today=today) if has_seats and device else None,
            )
        )
    return reports


def silent_pbxs(
    estate: Estate, leases: Mapping[int, Lease], seats: Mapping[int, int], time: LeaseTime
) -> list[SilentPbx]:
    """List the PBXs that are overdue or expired, the longest silent first, then those that were never heard of."""
    silent_pbxes = []
    for pbx in estate.pbxs.values():
        lease = leases.get(pbx.id)
        state = lease.state(time) if lease is not None else LeaseState.NONE
        if state in _SILENT:
            heard_at = lease.renewed_at if lease is not None else None
            silent_pbxes.append(SilentPbx(pbx.site, pbx.name, state, heard_at, seats.get(pbx.id, 0)))
    return sorted(silent_pbxes, key=lambda pbx: (pbx.heard_at is None, pbx.heard_at or 0.0, pbx.site, pbx.pbx))
