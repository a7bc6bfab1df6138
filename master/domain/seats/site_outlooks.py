"""What each site has of a shared pool, could get, and would have if the pool were dealt anew, before and after a
change.

Pure arithmetic on seats counted: what changes may be the rules (an allocation) or the seats (a loan).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from master.domain.allocation.fair_shares import fair_shares
from master.domain.allocation.policies import NO_RULES, Allocation
from master.domain.allocation.pool_division import PoolDivision
from master.domain.catalog.versions import Version
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.pools import grantable
from master.domain.seats.refusals.reasons import Refusal
from master.values import Value

OUTLOOKS_MAX = 1000


class SiteOutlook(Value):
    """The seats that a site has and could get of a type, before and after a change."""

    site: str
    license_type: str
    has: int
    has_after: int
    left_before: int
    """Seats more that the site could get if it asked before the change."""
    left_after: int
    gets_before: int
    """Seats that the site would have if the pool were dealt anew."""
    gets_after: int


class _Standing(NamedTuple):
    has: int
    left: int
    gets: int


class SharedPool:
    """A shared pool at one moment, divided by an allocation."""

    def __init__(
        self,
        eligibilities: EligibilityCache,
        pool_id: int,
        allocation: Allocation,
        *,
        counted: Mapping[int, int],
        software: Mapping[int, Version],
        now: float,
    ) -> None:
        """Divide a pool by an allocation.

        `counted` are seats counted, by PBX id, `software` what PBXs are known to run; `now` is UNIX seconds.
        """
        estate = eligibilities.estate
        installation = estate.installations[estate.master.device.id]
        self.license_type = estate.shared_pools[pool_id]
        self._pool_id, self._allocation = pool_id, allocation
        self._eligibilities, self._estate = eligibilities, estate
        self._counted, self._software, self._now = counted, software, now
        self._capacity = installation.capacity.get(self.license_type, 0)
        self.free = grantable(
            capacity=self._capacity,
            counted=sum(counted.values()),
            leaving=installation.leaving.get(self.license_type, 0),
        )
        rules = allocation.rules_at(self.license_type, now, estate.pbxs_at)
        self._division = PoolDivision(rules or NO_RULES, estate.site_of, counted)

    @property
    def kept_free(self) -> int:
        """Seats to be kept free for owners of reserves, whether that many are free or not."""
        return self._division.kept_free

    def standings(self, waits: Mapping[tuple[str, int], int]) -> dict[str, _Standing]:
        """Return what each site with PBXs has, could get, and would have if the pool were dealt anew; `waits` are seats
        waited for, by (license type, PBX id)."""
        rules = self._division.rules
        has: Counter[str] = Counter(dict.fromkeys(rules.site_reserves, 0))
        wanted: Counter[str] = Counter()
        for pbx_id, site in self._estate.site_of.items():
            has[site] += self._counted.get(pbx_id, 0)
            wanted[site] += waits.get((self.license_type, pbx_id), 0)
        shares = fair_shares(rules, capacity=self._capacity, has=has, waits=wanted)
        standings = {}
        for site, pbx_ids in self._estate.pbxs_at.items():
            left = self._division.left_for(pbx_ids[0], self.free) if any(map(self._draws, pbx_ids)) else 0
            standings[site] = _Standing(has[site], left, shares[site].gets)
        return standings

    def _draws(self, pbx_id: int) -> bool:
        """Tell whether a PBX would be granted a seat of the pool for some holder if one were free: neither its own
        licenses (A3), nor its software (A5, B5), nor a rule of the allocation forbid it."""
        pbx, key = self._estate.pbxs[pbx_id], self.license_type
        for kind in self._estate.catalog.types[key].holders:
            eligibility = self._eligibilities.of(pbx, self._software.get(pbx_id, pbx.software), key, kind)
            if isinstance(eligibility, Refusal) or eligibility.refused is not None or not eligibility.needs_license:
                continue
            if self._allocation.access(key, pbx.site, kind, self._now) is not None:
                continue
            if any(source.pool_id == self._pool_id for source in eligibility.sources):
                return True
        return False


def site_outlooks(
    changes: Iterable[tuple[SharedPool, SharedPool]], waits: Mapping[tuple[str, int], int]
) -> tuple[SiteOutlook, ...]:
    """List the sites for which pools change, those that lose most first; `OUTLOOKS_MAX` sites at most.

    `changes` have each pool before and after; `waits` are seats waited for, by (license type, PBX id).
    """
    outlooks = []
    for before, after in changes:
        becomes = after.standings(waits)
        for site, was in before.standings(waits).items():
            if was != becomes[site]:
                numbers = chain.from_iterable(zip(was, becomes[site], strict=True))
                outlooks.append(SiteOutlook(site, after.license_type, *numbers))
    outlooks.sort(key=lambda outlook: (outlook.left_after - outlook.left_before, outlook.site))
    return tuple(outlooks[:OUTLOOKS_MAX])
