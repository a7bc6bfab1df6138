"""What becomes of the licenses of a pool: parts that add up to what is installed, in every view.

The one place that says how many are free. Deciding asks `grantable` for each seat; status, metrics, alarms and the
reasoning of `explain` show `parts`, which come to the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from master.domain.estate.estate import Estate, Installation
from master.domain.estate.lease_time import LeaseTime


def grantable(*, capacity: int, counted: int, leaving: int) -> int:
    """Seats that a PBX which may draw on a pool could be granted (A1, L5).

    `counted` is what is counted for anybody, be it held or promised; `leaving` are licenses whose release is under way.
    """
    return max(capacity - counted - leaving, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolParts:
    """The licenses of a pool, each in one part."""

    used: int
    """Seats held."""
    promised: int
    """Counted though nobody holds a seat: promised to a standby, or to a PBX that may not have heard (F5)."""
    leaving: int
    """Being released, and not in use any more: nothing new is granted from them (L5)."""
    withheld: int
    """Nobody is granted any: the type is a feature that is off (F2, I5), is ruled out by another (I3), or the master
    learns after a restore."""
    free: int
    """What a PBX that may draw on the pool could be granted."""

    overdrawn: int = 0
    """Counted above what is installed: these seats are among those used and promised, and no licenses."""

    @property
    def counted(self) -> int:
        """Seats that are counted: held or promised."""
        return self.used + self.promised

    @property
    def capacity(self) -> int:
        """Licenses installed."""
        return self.used + self.promised + self.leaving + self.withheld + self.free - self.overdrawn


def parts(
    estate: Estate, installation: Installation, license_type: str, *, held: int, counted: int, time: LeaseTime
) -> PoolParts:
    """The parts of the pool of a type on a device.

    Args:
        estate: the project.
        installation: the device's licenses.
        license_type: by catalog key.
        held: seats debited.
        counted: seats debited or claimed; not fewer.
        time: when.
    """
    capacity = installation.capacity.get(license_type, 0)
    overdrawn = max(counted - capacity, 0)
    left = grantable(capacity=capacity, counted=counted, leaving=installation.leaving.get(license_type, 0))
    lends = _lends(estate, installation, license_type, time)
    return PoolParts(
        used=held,
        promised=counted - held,
        leaving=capacity + overdrawn - counted - left,
        withheld=0 if lends else left,
        free=left if lends else 0,
        overdrawn=overdrawn,
    )


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
