"""How a pool is divided: against a count from scratch, and the promises that reserves make."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.allocation.policies import Allocation, AllocationRule, PoolRules, SiteGroup
from master.domain.allocation.pool_division import PoolDivision

SITES = ("berlin", "oslo", "rome", "turin")
PBXS = {number: SITES[number % len(SITES)] for number in range(8)}
"""The site of each PBX: two at each."""


def rules_of(*rules: AllocationRule, groups: tuple[SiteGroup, ...] = ()) -> PoolRules:
    resolved = Allocation(groups, rules).rules_at("port", 0.0, SITES)
    assert resolved is not None
    return resolved


@dataclass
class _Plan:
    """A pool with rules that fit into it."""

    capacity: int
    rules: PoolRules
    held: Counter[int] = field(default_factory=Counter)

    def counted(self, sites: tuple[str, ...]) -> int:
        return sum(seats for pbx, seats in self.held.items() if PBXS[pbx] in sites)

    @property
    def free(self) -> int:
        return self.capacity - self.held.total()

    def unmet(self, group: str, but: str = "") -> int:
        """What is to be kept free for a group, its sites' reserves included, but for one site."""
        members = self.rules.members[group]
        sites = sum(self.unmet_of(site) for site in members)
        own = max(self.rules.group_reserves.get(group, 0) - self.counted(members), sites)
        return own if not but else sites - self.unmet_of(but)

    def unmet_of(self, site: str) -> int:
        return max(self.rules.site_reserves.get(site, 0) - self.counted((site,)), 0)

    def left_for(self, pbx: int) -> int:
        """From scratch: what is free, less what others' reserves keep, up to the maxima."""
        site = PBXS[pbx]
        group = self.rules.group_of.get(site, "")
        others = sum(self.unmet(name) for name in self.rules.members if name != group)
        others += sum(self.unmet_of(name) for name in SITES if name not in self.rules.group_of and name != site)
        others += self.unmet(group, but=site) if group else 0
        own = self.unmet(group) - self.unmet(group, but=site) if group else self.unmet_of(site)
        left = max(self.free - others, min(own, self.free))
        most = self.rules.maximum_of(site)
        left = left if most is None else min(left, most - self.counted((site,)))
        if group and group in self.rules.group_maxima:
            left = min(left, self.rules.group_maxima[group] - self.counted(self.rules.members[group]))
        return max(left, 0)


@st.composite
def plans(draw: st.DrawFn) -> _Plan:
    groups = (SiteGroup(name="south", sites=("rome", "turin")),) if draw(st.booleans()) else ()
    rules, reserved = [], 0
    for site in SITES:
        reserve, maximum = draw(st.integers(0, 5)), draw(st.none() | st.integers(0, 12))
        reserve = reserve if maximum is None else min(reserve, maximum)
        reserved += reserve
        rules.append(
            AllocationRule(
                name=site,
                site=site,
                weight={"port": 1},
                reserve={"port": reserve} if reserve else {},
                maximum={} if maximum is None else {"port": maximum},
            )
        )
    if groups:
        reserve = draw(st.integers(0, 8))
        reserved += reserve
        rules.append(AllocationRule(name="south", group="south", reserve={"port": reserve}, maximum={"port": 20}))
    if draw(st.booleans()):
        rules.append(AllocationRule(name="all", maximum={"port": 9}))
    return _Plan(reserved + draw(st.integers(0, 10)), rules_of(*rules, groups=groups))


@given(plan=plans(), moves=st.lists(st.tuples(st.sampled_from(sorted(PBXS)), st.integers(-3, 3)), max_size=40))
def test_it_comes_to_the_same_as_a_count_from_scratch(plan: _Plan, moves: list[tuple[int, int]]) -> None:
    division = PoolDivision(plan.rules, PBXS, {})
    for pbx, change in moves:
        change = max(change, -plan.held[pbx]) if change < 0 else min(change, division.left_for(pbx, plan.free))
        plan.held[pbx] += change
        division.count(pbx, change)
        for other in PBXS:
            assert division.left_for(other, plan.free) == plan.left_for(other)
        assert plan.free >= division.kept_free, "nobody was granted what was kept for another"
        assert division.copy().left_for(pbx, plan.free) == division.left_for(pbx, plan.free)
    anew = PoolDivision(plan.rules, PBXS, plan.held)
    assert [anew.left_for(pbx, plan.free) for pbx in PBXS] == [division.left_for(pbx, plan.free) for pbx in PBXS]


@given(plan=plans(), held=st.lists(st.integers(0, 12), min_size=8, max_size=8), free=st.integers(0, 10))
def test_a_free_seat_is_never_refused_to_whom_it_is_reserved_for(plan: _Plan, held: list[int], free: int) -> None:
    """Also where more is in use than the rules would have let: they came later."""
    counted = dict(enumerate(held))
    division = PoolDivision(plan.rules, PBXS, counted)
    for pbx, site in PBXS.items():
        reserve = plan.rules.site_reserves.get(site, 0)
        if free and division.counted_at(site) < reserve and division.below_maximum(pbx, free):
            assert division.left_for(pbx, free) > 0


def test_a_reserve_for_every_site() -> None:
    division = PoolDivision(rules_of(AllocationRule(name="two", reserve={"port": 2})), PBXS, {0: 1, 1: 5})
    assert division.kept_free == 5  # one for Berlin, two each for Rome and Turin; Oslo has its two
    assert division.left_for(0, 10) == 6
    assert division.left_for(1, 10) == 5
    assert division.largest_reserve_kept_from("oslo") == ("every site", 5)


@pytest.mark.parametrize(("free", "left"), [(0, 0), (1, 1), (3, 3), (9, 9)])
def test_owners_share_what_comes_free_where_more_is_reserved(free: int, left: int) -> None:
    rules = rules_of(
        AllocationRule(name="a", site="berlin", reserve={"port": 9}),
        AllocationRule(name="b", site="oslo", reserve={"port": 9}),
    )
    division = PoolDivision(rules, PBXS, {2: 20})
    assert division.left_for(0, free) == division.left_for(1, free) == left
    assert division.left_for(2, free) == 0


def test_under_other_rules_the_same_seats_count() -> None:
    strict = rules_of(AllocationRule(name="a", site="berlin", reserve={"port": 9}, maximum={"port": 9}))
    division = PoolDivision(strict, PBXS, {0: 3, 4: 2, 1: 4})
    looser = division.under(rules_of(AllocationRule(name="a", site="berlin", reserve={"port": 6})))
    assert looser is not None
    assert (looser.counted_at("berlin"), looser.kept_free) == (5, 1)
    assert division.under(None) is None
