"""The parts of a pool's licenses, which add up to what is installed, in every view.

Only this module says how many are free. Deciding asks `grantable` for each seat; status, metrics, alarms and the
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
    """Return how many seats could be granted to a PBX that may draw on the pool (A1, L5).

    `counted` are seats counted for any PBX, held or promised; `leaving` are licenses whose release is under way.
    """
    return max(capacity - counted - leaving, 0)


class PoolCounts(Value, kw_only=True):
    """The seats counted of a pool, each in one part, and the seats to be kept free of it."""

    reserved_used: int = 0
    """Seats held that are taken from reserves by the owners of these."""
    floating_used: int = 0
    """All other seats held."""
    held_idle: int = 0
    """Seats counted for PBXs ahead of need: the part of their blocks that they do not hold."""
    borrowed: int = 0
    """Seats counted for PBXs that borrowed them and do not hold them."""
    first_claims: int = 0
    """Seats kept for PBXs whose lease ran out."""
    promised: int = 0
    """Seats counted though nobody holds them: promised to a standby, or to a PBX that may not have heard (F5)."""
    kept_free: int = 0
    """Seats that owners of reserves do not use of these, whether that many are free or not; these are not counted."""

    @property
    def used(self) -> int:
        """Seats held."""
        return self.reserved_used + self.floating_used

    @property
    def counted(self) -> int:
        """Seats that are counted: held, or kept for somebody."""
        return self.used + self.held_idle + self.borrowed + self.first_claims + self.promised


class PoolParts(Value, kw_only=True):
    """The licenses of a pool, each in one part; seats counted above what is installed are no licenses."""

    counts: PoolCounts
    leaving: int
    """Licenses that are being released and not in use any more: nothing new is granted from them (L5)."""
    withheld: int
    """Licenses that nobody is granted: the type is a feature that is off (F2, I5), is excluded by another (I3), or the
    master learns after a restore."""
    reserved_idle: int
    """Free licenses that only owners of reserves could be granted."""
    free: int
    """Licenses that any PBX that may draw on the pool could be granted."""
    overdrawn: int
    """Seats counted above what is installed; they are in `counted` as well."""

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
    """Return the parts of the pool of a type, by catalog key, on a device."""
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
    """Return how many seats held are of reserves, and how many more are to be kept free for the reserves' owners.

    Seats are by PBX id; no fewer are counted than held.
    """
    reserved = PoolDivision(rules, site_of, {}).kept_free
    return reserved - PoolDivision(rules, site_of, held).kept_free, PoolDivision(rules, site_of, counted).kept_free


def used_by_site(estate: Estate, usage: Mapping[tuple[int, int], int]) -> dict[tuple[int, str], int]:
    """Add up seats by (pool id, site), from seats by (pool id, PBX id)."""
    seats: Counter[tuple[int, str]] = Counter()
    for (pool_id, pbx_id), count in usage.items():
        seats[pool_id, estate.pbxs[pbx_id].site] += count
    return dict(seats)


def _lends(estate: Estate, installation: Installation, license_type: str, time: LeaseTime) -> bool:
    lent_type = estate.catalog.types[license_type]
    ruled_out = any(installation.capacity.get(other) for other in lent_type.excludes)
    return not ruled_out and not estate.learns(time.ends_by) and estate.feature_is_on(installation, lent_type)
