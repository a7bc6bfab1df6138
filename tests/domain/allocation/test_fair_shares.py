"""What each site would get of a pool that is short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.domain.allocation.fair_shares import FairShare, fair_shares
from master.domain.allocation.policies import Allocation, AllocationRule, PoolRules, SiteGroup

SITES = ("berlin", "oslo", "rome", "turin")
SOUTH = SiteGroup(name="south", sites=("rome", "turin"))


def rules(*parts: AllocationRule) -> PoolRules | None:
    return Allocation((SOUTH,), parts).rules_at("port", 0.0, SITES)


def gets(ruled: PoolRules | None, capacity: int, **wants: int) -> dict[str, int]:
    return {site: share.gets for site, share in fair_shares(ruled, capacity=capacity, has={}, waits=wants).items()}


def test_without_rules_all_get_alike() -> None:
    assert gets(None, 10, berlin=20, oslo=20, rome=2) == {"berlin": 4, "oslo": 4, "rome": 2}
    assert gets(None, 9, berlin=20, oslo=20) == {"berlin": 5, "oslo": 4}, "ties go by name"
    assert fair_shares(None, capacity=9, has={"oslo": 3}, waits={"oslo": 1}) == {"oslo": FairShare(3, 4, 4)}


def test_reserves_before_priority_before_weight() -> None:
    ruled = rules(
        AllocationRule(name="r", site="berlin", reserve={"port": 2}),
        AllocationRule(name="p", site="oslo", priority={"port": 1}),
        AllocationRule(name="w", site="rome", weight={"port": 3}),
    )
    assert gets(ruled, 10, berlin=9, oslo=4, rome=9, turin=9) == {"berlin": 2, "oslo": 4, "rome": 3, "turin": 1}


def test_maxima_of_sites_and_groups_are_kept() -> None:
    ruled = rules(
        AllocationRule(name="g", group="south", maximum={"port": 5}),
        AllocationRule(name="m", site="oslo", maximum={"port": 1}),
    )
    assert gets(ruled, 100, berlin=9, oslo=9, rome=9, turin=9) == {"berlin": 9, "oslo": 1, "rome": 3, "turin": 2}


def test_a_maximum_of_every_site_is_kept_where_a_site_has_none_of_its_own() -> None:
    every, own = (
        AllocationRule(name="e", maximum={"port": 3}),
        AllocationRule(name="m", site="oslo", maximum={"port": 5}),
    )
    assert gets(rules(every), 100, berlin=9, oslo=2) == {"berlin": 3, "oslo": 2}
    assert gets(rules(every, own), 100, berlin=9, oslo=9) == {"berlin": 3, "oslo": 5}


AMOUNTS = st.dictionaries(st.sampled_from(SITES), st.integers(1, 6), max_size=3)
RULES = st.builds(
    lambda reserves, maxima, priorities, weights, group: rules(
        *(AllocationRule(name=f"r{site}", site=site, reserve={"port": seats}) for site, seats in reserves.items()),
        *(AllocationRule(name=f"m{site}", site=site, maximum={"port": seats + 5}) for site, seats in maxima.items()),
        *(AllocationRule(name=f"p{site}", site=site, priority={"port": seats}) for site, seats in priorities.items()),
        *(AllocationRule(name=f"w{site}", site=site, weight={"port": seats}) for site, seats in weights.items()),
        AllocationRule(name="south", group="south", reserve={"port": group}, maximum={"port": group + 3}),
    ),
    AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.integers(1, 8),
)  # fmt: skip
WANTS = st.dictionaries(st.sampled_from(SITES), st.integers(0, 20), min_size=1)


@given(RULES, WANTS, st.integers(0, 60))
def test_more_seats_take_from_nobody_and_none_is_left_that_somebody_may_have(
    ruled: PoolRules, wants: dict[str, int], capacity: int
) -> None:
    fewer, more = gets(ruled, capacity, **wants), gets(ruled, capacity + 1, **wants)
    assert sum(fewer.values()) <= capacity
    assert all(fewer[site] <= more[site] <= wants[site] for site in wants)
    south = ruled.group_maxima["south"]
    assert sum(fewer.get(site, 0) for site in SOUTH.sites) <= south
    if sum(fewer.values()) < capacity:
        assert fewer == more
        for site, wanted in wants.items():
            group_is_full = site in SOUTH.sites and sum(fewer.get(member, 0) for member in SOUTH.sites) == south
            assert group_is_full or fewer[site] == min(wanted, ruled.site_maxima.get(site, wanted))
    reserved = sum(min(reserve, wants.get(site, 0)) for site, reserve in ruled.site_reserves.items())
    if reserved <= capacity and sum(ruled.site_reserves.get(site, 0) for site in SOUTH.sites) <= south:
        assert all(fewer[site] >= min(ruled.site_reserves.get(site, 0), wants[site]) for site in wants)


@given(st.dictionaries(st.sampled_from(SITES), st.integers(0, 20), min_size=1), st.integers(0, 60))
def test_equal_sites_differ_by_one_at_most(wants: dict[str, int], capacity: int) -> None:
    dealt = gets(None, capacity, **wants)
    short = [dealt[site] for site in wants if dealt[site] < wants[site]]
    assert not short or max(dealt.values()) - min(short) <= 1


@given(RULES, WANTS, st.integers(0, 60))
def test_what_is_found_at_once_is_what_single_seats_come_to(
    ruled: PoolRules, wants: dict[str, int], capacity: int
) -> None:
    """A pool that is larger by one seat gives what it gave before, and that seat where the order says."""
    before = gets(ruled, 0, **wants)
    for seats in range(1, capacity + 1):
        after = gets(ruled, seats, **wants)
        more = [site for site in wants if after[site] != before[site]]
        assert len(more) <= 1
        assert sum(after.values()) - sum(before.values()) == len(more)
        before = after


def test_a_million_seats_are_dealt_in_whole_seats() -> None:
    ruled = rules(
        AllocationRule(name="w", site="rome", weight={"port": 3}),
        AllocationRule(name="g", group="south", maximum={"port": 500_001}),
    )
    wants = dict.fromkeys(SITES, 1_000_000)
    assert gets(ruled, 1_000_000, **wants) == {"berlin": 250_000, "oslo": 249_999, "rome": 375_001, "turin": 125_000}
