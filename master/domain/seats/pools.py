"""What becomes of the licenses of a pool: parts that add up to what is installed, in every view.

The one place that says how many are free. Deciding asks `grantable` for each seat; status, metrics, alarms and the
reasoning of `explain` show `parts`, which come to the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from master.domain.allocation.policies import PoolRules
from master.domain.allocation.pool_division import PoolDivision
from master.domain.estate.estate import Estate
from master.domain.estate.installations import Installation
from master.domain.estate.lease_time import LeaseTime
from master.values import Value


def grantable(*, capacity: int, counted: int, leaving: int) -> int:
    """Seats that a PBX which may draw on a pool could be granted (A1, L5).

    `counted` is what is counted for anybody, be it held or promised; `leaving` are licenses whose release is under way.
    """
    return max(capacity - counted - leaving, 0)


class PoolCounts(Value, kw_only=True):
    """What is counted of a pool, each seat in one part, and what is to be kept free of it."""

    reserved_used: int = 0
    """Seats held that owners of reserves hold of these."""
    floating_used: int = 0
    """All other seats held."""
    held_idle: int = 0
    """Counted for PBXs ahead of need: the part of their blocks that they do not hold."""
    borrowed: int = 0
    """Counted for PBXs that borrowed them and do not hold them."""
    first_claims: int = 0
    """Kept for PBXs whose lease ran out."""
    promised: int = 0
    """Counted though nobody holds a seat: promised to a standby, or to a PBX that may not have heard (F5)."""
    kept_free: int = 0
    """What owners of reserves do not use of these, be there so many free or not; no part of what is counted."""

    @property
    def used(self) -> int:
        """Seats held."""
        return self.reserved_used + self.floating_used

    @property
    def counted(self) -> int:
        """Seats that are counted: held, or kept for somebody."""
        return self.used + self.held_idle + self.borrowed + self.first_claims + self.promised


class PoolParts(Value, kw_only=True):
    """The licenses of a pool, each in one part; what is counted above what is installed is no license."""

    counts: PoolCounts
    leaving: int
    """Being released, and not in use any more: nothing new is granted from them (L5)."""
    withheld: int
    """Nobody is granted any: the type is a feature that is off (F2, I5), is ruled out by another (I3), or the master
    learns after a restore."""
    reserved_idle: int
    """Free for owners of reserves alone."""
    free: int
    """What any PBX that may draw on the pool could be granted."""
    overdrawn: int
    """Counted above what is installed: these seats are among those counted."""

    @property
    def used(self) -> int:
        """Seats held."""
        return self.counts.used

    @property
    def counted(self) -> int:
        """Seats that are counted: held, or kept for somebody."""
        return self.counts.counted

    @property
    def capacity(self) -> int:
        """Licenses installed."""
        return self.counted + self.leaving + self.withheld + self.reserved_idle + self.free - self.overdrawn


def parts(
    estate: Estate, installation: Installation, license_type: str, counts: PoolCounts, time: LeaseTime
) -> PoolParts:
    """The parts of the pool of a type, by catalog key, on a device."""
    capacity = installation.capacity.get(license_type, 0)
    overdrawn = max(counts.counted - capacity, 0)
    left = grantable(capacity=capacity, counted=counts.counted, leaving=installation.leaving.get(license_type, 0))
    lends = _lends(estate, installation, license_type, time)
    reserved_idle = min(counts.kept_free, left) if lends else 0
    return PoolParts(
        counts=counts,
        leaving=capacity + overdrawn - counts.counted - left,
        withheld=0 if lends else left,
        reserved_idle=reserved_idle,
        free=left - reserved_idle if lends else 0,
        overdrawn=overdrawn,
    )


def reserves_of(
    rules: PoolRules, site_of: Mapping[int, str], *, held: Mapping[int, int], counted: Mapping[int, int]
) -> tuple[int, int]:
    """How many seats held are of reserves, and how many more are to be kept free for their owners.

    Seats are by PBX id; no fewer are counted than held.
    """
    reserved = PoolDivision(rules, site_of, {}).kept_free
    return reserved - PoolDivision(rules, site_of, held).kept_free, PoolDivision(rules, site_of, counted).kept_free


def used_by_site(estate: Estate, usage: Mapping[tuple[int, int], int]) -> dict[tuple[int, str], int]:
    """Seats by (pool id, site), from seats by (pool id, PBX id)."""
    seats: Counter[tuple[int, str]] = Counter()
    for (pool_id, pbx_id), count in usage.items():
        seats[pool_id, estate.pbxs[pbx_id].site] += count
    return dict(seats)


def _lends(estate: Estate, installation: Installation, license_type: str, time: LeaseTime) -> bool:
    lent_type = estate.catalog.types[license_type]
    ruled_out = any(installation.capacity.get(other) for other in lent_type.excludes)
    return not ruled_out and not estate.learns(time.ends_by) and estate.feature_is_on(installation, lent_type)
