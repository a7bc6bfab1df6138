"""How much of one pool is left for each site: reserves of others are kept free, and no site exceeds a maximum.

Pure arithmetic on the seats counted for each site, kept up to date seat by seat. The part of a reserve that is not in
use is kept free for its site or group. A site's reserve is part of its group's. Where more is reserved than is free,
because others had the seats before, the owners share what comes free in the order in which they ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import copy

from master.domain.allocation.policies import PoolRules


class PoolDivision:
    """The seats of one pool that are counted for each site, and what that leaves for whom."""

    def __init__(self, rules: PoolRules, site_of: Mapping[int, str], counted: Mapping[int, int]) -> None:
        """Begin with the seats counted, by PBX id; `site_of` gives the site of each PBX.

        `counted` must have all PBXs at `rules.reserving_sites`, and at `rules.companions_of` any site that is asked
        about.
        """
        self.rules = rules
        self._site_of = site_of
        self._sites: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()
        self._kept_within: Counter[str] = Counter()
        """Seats that the reserves of a group's sites keep free, by group."""
        for site, reserve in rules.site_reserves.items():
            if (group := rules.group_of.get(site)) is not None:
                self._kept_within[group] += reserve
        groups = set(self._kept_within) | set(rules.group_reserves)
        self.kept_free = sum(map(self._kept_for_group, groups))
        """Seats to keep free for owners of reserves, whether or not that many are free."""
        self.kept_free += sum(reserve for site, reserve in rules.site_reserves.items() if site not in rules.group_of)
        for pbx_id, seats in counted.items():
            self.count(pbx_id, seats)

    def copy(self) -> PoolDivision:
        """Return a copy to try changes on."""
        other = copy(self)
        other._sites, other._groups = self._sites.copy(), self._groups.copy()
        other._kept_within = self._kept_within.copy()
        return other

    def count(self, pbx_id: int, change: int) -> None:
        """Count more seats for a PBX, or fewer for a negative change."""
        site = self._site_of[pbx_id]
        kept, kept_for_site = self._kept_for(site), self._kept_for_site(site)
        self._sites[site] += change
        if (group := self.rules.group_of.get(site)) is not None:
            self._groups[group] += change
            self._kept_within[group] += self._kept_for_site(site) - kept_for_site
        self.kept_free += self._kept_for(site) - kept

    def counted_at(self, site: str) -> int:
        """Return the seats counted for a site."""
        return self._sites[site]

    def is_below_reserve(self, site: str) -> bool:
        """Tell whether a site, or its group, has fewer seats than are reserved for it."""
        return self._own_and_others(site)[0] > 0

    def kept_from(self, pbx_id: int) -> int:
        """Return the seats that are kept free for sites other than a PBX's."""
        return self._own_and_others(self._site_of[pbx_id])[1]

    def left_for(self, pbx_id: int, free: int) -> int:
        """Return how many more seats a PBX may get when `free` seats of the pool are free."""
        return min(self.beside_reserves(pbx_id, free), self.below_maximum(pbx_id, free))

    def beside_reserves(self, pbx_id: int, free: int) -> int:
        """Return how many of the free seats a PBX may get that are not kept for others than its site."""
        own, others = self._own_and_others(self._site_of[pbx_id])
        return max(free - others, min(own, free), 0)

    def below_maximum(self, pbx_id: int, free: int) -> int:
        """Return how many of the free seats a PBX's site may get before the site or its group reaches its maximum."""
        site, left = self._site_of[pbx_id], free
        if (most := self.rules.maximum_of(site)) is not None:
            left = min(left, most - self._sites[site])
        group = self.rules.group_of.get(site)
        if group is not None and group in self.rules.group_maxima:
            left = min(left, self.rules.group_maxima[group] - self._groups[group])
        return max(left, 0)

    def maximum_reached(self, site: str) -> tuple[str, int]:
        """Return whose maximum a site has reached, in words, and its number of seats: the site's before its group's."""
        most, group = self.rules.maximum_of(site), self.rules.group_of.get(site)
        if most is not None and self._sites[site] >= most:
            return (f"site {site}" if site in self.rules.site_maxima else "every site"), most
        assert group is not None, f"site {site} is below its maximum"
        return f"group {group}", self.rules.group_maxima[group]

    def largest_reserve_kept_from(self, site: str) -> tuple[str, int]:
        """Return whose reserve keeps most seats from a site, in words, and how many; one reserve must do so."""
        own_group = self.rules.group_of.get(site)
        kept = {
            f"group {group}": self._kept_for_group(group) - self._kept_within[group]
            for group in self.rules.group_reserves
            if group != own_group
        }
        for other in self.rules.site_reserves:
            if other != site:
                scope = f"site {other}" if ("reserve", f"site {other}") in self.rules.named else "every site"
                kept[scope] = kept.get(scope, 0) + self._kept_for_site(other)
        return max(kept.items(), key=lambda pair: (pair[1], pair[0]))

    def under(self, rules: PoolRules | None) -> PoolDivision | None:
        """Return a division of the same seats under other rules; None where there are no rules."""
        if rules is None:
            return None
        other = PoolDivision(rules, self._site_of, {})
        for pbx_id, site in self._site_of.items():
            if self._sites.get(site) and not other._sites[site]:
                other.count(pbx_id, self._sites[site])
        return other

    def _own_and_others(self, site: str) -> tuple[int, int]:
        """Return the seats kept free for a site, by its own reserve or its group's, and those kept for others."""
        own, group = self._kept_for_site(site), self.rules.group_of.get(site)
        others = self.kept_free - self._kept_for(site)
        if group is None:
            return own, others
        within = self._kept_within[group] - own
        return self._kept_for_group(group) - within, others + within

    def _kept_for(self, site: str) -> int:
        group = self.rules.group_of.get(site)
        return self._kept_for_site(site) if group is None else self._kept_for_group(group)

    def _kept_for_site(self, site: str) -> int:
        return max(self.rules.site_reserves.get(site, 0) - self._sites[site], 0)

    def _kept_for_group(self, group: str) -> int:
        return max(self.rules.group_reserves.get(group, 0) - self._groups[group], self._kept_within[group])
