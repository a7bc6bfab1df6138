"""How many seats of a pool each site would get if all were dealt anew by the operator's rules, beside what it has.

Pure arithmetic, for display: no seat is taken away because of it. Seats are dealt one by one: first what is reserved,
then to sites of the highest priority that want any, each seat to the site that has fewest for its weight. So a larger
pool never gives anybody less, and equal sites differ by one seat at most. Ties go by name, so the same facts always
give the same shares. The result of many single seats is calculated at once, so that the cost depends on the number of
sites and not on the size of the pool.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heapreplace

from master.domain.allocation.policies import NO_RULES, PRIORITY_USUAL, WEIGHT_USUAL, PoolRules
from master.values import Value


class FairShare(Value):
    """The seats of a pool that a site has, wants, and would get."""

    has: int
    """Seats counted for the site."""
    wants: int
    """Seats counted for the site, and those that it waits for."""
    gets: int


def fair_shares(
    rules: PoolRules | None, *, capacity: int, has: Mapping[str, int], waits: Mapping[str, int]
) -> dict[str, FairShare]:
    """Return what each site that has or wants seats gets of a pool, by site name.

    Without rules the pool is not divided. `has` and `waits` are seats by site.
    """
    wants = {site: has.get(site, 0) + waits.get(site, 0) for site in sorted(has.keys() | waits.keys())}
    rules = rules or NO_RULES
    deal = _Deal(rules, wants, capacity)
    if deal.to_all():
        return {site: FairShare(has.get(site, 0), wanted, deal.dealt[site]) for site, wanted in wants.items()}
    deal.to(wants, tops=rules.site_reserves)
    grouped = [site for site in wants if rules.group_of.get(site) in rules.group_reserves]
    deal.to(grouped, group_tops=rules.group_reserves)
    classes: defaultdict[int, list[str]] = defaultdict(list)
    for site in wants:
        classes[rules.priorities.get(site, PRIORITY_USUAL)].append(site)
    for priority in sorted(classes, reverse=True):
        deal.to(classes[priority])
    return {site: FairShare(has.get(site, 0), wanted, deal.dealt[site]) for site, wanted in wants.items()}


class _Deal:
    """Seats that are dealt to sites, one class of sites after another."""

    def __init__(self, rules: PoolRules, wants: Mapping[str, int], capacity: int) -> None:
        self._rules = rules
        self._left = capacity
        self.dealt: Counter[str] = Counter()
        self._of_group: Counter[str] = Counter()
        self._tops = dict(wants)
        if rules.site_maxima or rules.every_maximum is not None:
            maxima = ((site, rules.maximum_of(site)) for site in wants)
            self._tops |= {site: most for site, most in maxima if most is not None and most < wants[site]}

    def to_all(self) -> bool:
        """Deal to every site all that it may have, if there are seats enough; return whether there were."""
        fits = self._fits(self._tops, self._rules.group_maxima)
        for site, top in self._tops.items() if fits else ():
            self._give(site, top)
        return fits

    def to(
        self,
        sites: Iterable[str],
        *,
        tops: Mapping[str, int] | None = None,
        group_tops: Mapping[str, int] | None = None,
    ) -> None:
        """Deal to some sites what they want, up to the given tops where there are any, while seats are left."""
        most = {
            site: min(self._tops[site], tops.get(site, 0)) if tops is not None else self._tops[site] for site in sites
        }
        group_most = group_tops if group_tops is not None else self._rules.group_maxima
        if self._fits(most, group_most):
            for site, top in most.items():
                self._give(site, max(top - self.dealt[site], 0))
            return
        self._to_a_level(most, group_most)
        heap = [(self._level(site), site) for site in most if self.dealt[site] < most[site]]
        heapify(heap)
        while heap and self._left:
            _, site = heap[0]
            group = self._group(site)
            if self.dealt[site] >= most[site] or self._of_group[group] >= group_most.get(
                group, self._of_group[group] + 1
            ):
                heappop(heap)
                continue
            self._give(site, 1)
            heapreplace(heap, (self._level(site), site))

    def _to_a_level(self, most: Mapping[str, int], group_most: Mapping[str, int]) -> None:
        """Deal at once the seats that single dealing would give until all sites reach a level.

        The level is the highest for which there are seats enough and, for the sites of a group, at most the highest at
        which the group is within its maximum. After it, no site gets more than one seat before the next level.
        """
        weight_of = {site: self._weight(site) for site, top in most.items() if self.dealt[site] < top}
        if not weight_of:
            return
        finest = max(weight_of.values())
        by_group: defaultdict[str, list[tuple[str, int, int, int]]] = defaultdict(list)
        for site, weight in weight_of.items():
            by_group[self._group(site)].append((site, self.dealt[site], most[site], weight))
        highest = max((most[site] - 1) * finest // weight + 1 for site, weight in weight_of.items())
        room = {group: max(group_most[group] - self._of_group[group], 0) for group in by_group if group in group_most}

        def given(group: str, level: int) -> int:
            return sum(_below(level, finest, *standing) for _, *standing in by_group[group])

        stops = {
            group: bisect_right(range(highest + 1), seats, key=lambda level, group=group: given(group, level)) - 1  # type: ignore[misc]
            for group, seats in room.items()
        }

        def given_in_all(level: int) -> int:
            return sum(given(group, level) if level <= stops.get(group, highest) else room[group] for group in by_group)

        reached = bisect_right(range(highest + 1), self._left, key=given_in_all) - 1
        for group, standings in by_group.items():
            level = min(reached, stops.get(group, highest))
            for site, *standing in standings:
                self._give(site, _below(level, finest, *standing))

    def _fits(self, most: Mapping[str, int], group_most: Mapping[str, int]) -> bool:
        """Tell whether the seats left suffice for all that the sites may have."""
        more = {site: max(top - self.dealt[site], 0) for site, top in most.items()}
        of_group: Counter[str] = Counter()
        for site, seats in more.items() if group_most else ():
            of_group[self._group(site)] += seats
        return sum(more.values()) <= self._left and all(
            not seats or self._of_group[group] + seats <= group_most.get(group, self._left + self._of_group[group])
            for group, seats in of_group.items()
        )

    def _give(self, site: str, seats: int) -> None:
        self.dealt[site] += seats
        self._of_group[self._group(site)] += seats
        self._left -= seats

    def _level(self, site: str) -> float:
        return self.dealt[site] / self._weight(site)

    def _weight(self, site: str) -> int:
        return self._rules.weights.get(site, WEIGHT_USUAL)

    def _group(self, site: str) -> str:
        return self._rules.group_of.get(site, "")


def _below(level: int, finest: int, dealt: int, most: int, weight: int) -> int:
    """Return how many seats bring a site up to a level of seats per weight, in parts of the `finest` weight."""
    return max(min(-(-level * weight // finest), most) - dealt, 0)
