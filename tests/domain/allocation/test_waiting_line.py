"""Whose turn it is: what everybody who waits can rely on, whatever the rules and whoever else asks."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from licensemaster.api_enums import HolderKind
from master.domain.allocation.policies import NO_RULES, Allocation, AllocationRule, PoolRules, QueuePolicy
from master.domain.allocation.pool_division import PoolDivision
from master.domain.allocation.waiting_line import Waiter, hand_on, in_line

SITES = ("berlin", "oslo", "rome", "turin")
PBXS = dict(enumerate(SITES, 1))
POLICY = QueuePolicy(length_max=100, express_seats_max=2, patience_seconds=1000)
NOW = 5000.0


def waiter_of(pbx: int, holder: str, *, age: float = 0.0, call: int = 5, there: bool = True) -> Waiter:
    return Waiter(pbx, PBXS[pbx], ("port", HolderKind.USER, holder), NOW - age, call, there)


def division(rules: PoolRules | None = None, counted: dict[int, int] | None = None) -> PoolDivision:
    return PoolDivision(rules or NO_RULES, PBXS, counted or {})


def rules(*parts: AllocationRule) -> PoolRules:
    return Allocation(rules=parts).rules_at("port", NOW, SITES) or NO_RULES


def holders(waiters: list[Waiter]) -> list[str]:
    return [waiter.key[2] for waiter in waiters]


def test_each_step_of_the_order_goes_before_those_after_it() -> None:
    ruled = rules(
        AllocationRule(name="r", site="oslo", reserve={"port": 5}),
        AllocationRule(name="p", site="rome", priority={"port": 3}),
        AllocationRule(name="w", site="turin", weight={"port": 10}),
    )
    waiters = [
        waiter_of(1, "plain", age=500),
        waiter_of(4, "light", age=400),
        waiter_of(1, "express", age=300, call=1),
        waiter_of(3, "ranked", age=200),
        waiter_of(2, "reserved", age=100),
        waiter_of(1, "patient", age=1001),
    ]
    standing = division(ruled, {1: 3, 3: 9, 4: 10})
    assert holders(in_line(waiters, POLICY, standing, now=NOW)) == [
        "patient", "reserved", "ranked", "express", "light", "plain",
    ]  # fmt: skip


def test_seats_alternate_between_sites_as_they_are_handed_on() -> None:
    waiters = [waiter_of(pbx, f"{PBXS[pbx]}-{turn}", age=100 - turn) for pbx in (1, 2) for turn in range(3)]
    assert holders(in_line(waiters, POLICY, division(counted={1: 1}), now=NOW)) == [
        "oslo-0", "berlin-0", "oslo-1", "berlin-1", "oslo-2", "berlin-2",
    ]  # fmt: skip


def test_who_may_not_have_more_or_is_not_there_holds_up_nobody() -> None:
    full = rules(AllocationRule(name="m", site="berlin", maximum={"port": 2}))
    waiters = [
        waiter_of(1, "at-maximum", age=90),
        waiter_of(2, "gone", age=80, there=False),
        waiter_of(3, "next", age=10),
    ]
    handed_on = hand_on(waiters, POLICY, division(full, {1: 2}), free=2, now=NOW)
    assert (holders(list(handed_on.served)), handed_on.free) == (["next"], 1)
    assert len(in_line(waiters, POLICY, division(full, {1: 2}), now=NOW)) == 3, "they keep their places"


AMOUNTS = st.dictionaries(st.sampled_from(SITES), st.integers(1, 5), max_size=3)
RULES = st.builds(
    lambda reserves, maxima, priorities, weights: rules(
        *(AllocationRule(name=f"r{site}", site=site, reserve={"port": seats}) for site, seats in reserves.items()),
        *(AllocationRule(name=f"m{site}", site=site, maximum={"port": seats + 5}) for site, seats in maxima.items()),
        *(AllocationRule(name=f"p{site}", site=site, priority={"port": seats}) for site, seats in priorities.items()),
        *(AllocationRule(name=f"w{site}", site=site, weight={"port": seats}) for site, seats in weights.items()),
    ),
    AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS,
)  # fmt: skip
WAITERS = st.lists(
    st.tuples(st.sampled_from(sorted(PBXS)), st.integers(0, 2000), st.integers(1, 4), st.booleans()), max_size=25
).map(lambda many: [waiter_of(pbx, f"h{n}", age=age, call=call, there=there)
                    for n, (pbx, age, call, there) in enumerate(many)])  # fmt: skip
COUNTED = st.dictionaries(st.sampled_from(sorted(PBXS)), st.integers(0, 8))


@given(RULES, WAITERS, COUNTED)
def test_places_are_a_permutation(ruled: PoolRules, waiters: list[Waiter], counted: dict[int, int]) -> None:
    ordered = in_line(waiters, POLICY, division(ruled, counted), now=NOW)
    assert sorted(ordered) == sorted(waiters)
    assert ordered == in_line(list(reversed(waiters)), POLICY, division(ruled, counted), now=NOW)


@given(RULES, WAITERS, COUNTED, st.integers(0, 30))
def test_what_is_handed_on_is_free_and_allowed(
    ruled: PoolRules, waiters: list[Waiter], counted: dict[int, int], free: int
) -> None:
    standing = division(ruled, counted)
    handed_on = hand_on(waiters, POLICY, standing, free=free, now=NOW)
    assert len(handed_on.served) + handed_on.free == free
    assert all(waiter.is_there for waiter in handed_on.served)
    given_to = Counter(waiter.pbx_id for waiter in handed_on.served)
    for pbx, seats in given_to.items():
        assert seats <= standing.below_maximum(pbx, free)
    left = {waiter.site: handed_on.division.left_for(waiter.pbx_id, handed_on.free) for waiter in waiters}
    for waiter in set(waiters) - set(handed_on.served):
        assert not waiter.is_there or not left[waiter.site], "a seat stays free that somebody waits for and may have"
    taken = {site: handed_on.division.counted_at(site) - standing.counted_at(site) for site in SITES}
    for site, reserve in ruled.site_reserves.items():
        kept = max(reserve - standing.counted_at(site), 0)
        others = sum(seats for other, seats in taken.items() if other != site)
        all_kept = sum(max(r - standing.counted_at(s), 0) for s, r in ruled.site_reserves.items())
        assert all_kept > free or others <= free - max(kept - taken[site], 0), "a reserve went to others"


@given(RULES, WAITERS, COUNTED, st.integers(0, 30))
def test_nobody_is_overtaken_by_an_equal(
    ruled: PoolRules, waiters: list[Waiter], counted: dict[int, int], free: int
) -> None:
    served = set(hand_on(waiters, POLICY, division(ruled, counted), free=free, now=NOW).served)
    place = {waiter: at for at, waiter in enumerate(in_line(waiters, POLICY, division(ruled, counted), now=NOW))}
    for older in waiters:
        for younger in waiters:
            alike = older.site == younger.site and (older.call_seats <= 2) == (younger.call_seats <= 2)
            if alike and older.asked_at < younger.asked_at:
                assert place[older] < place[younger]
                assert not (younger in served and older.is_there) or older in served


@given(WAITERS.filter(bool), st.data())
def test_no_waiter_starves_while_seats_come_free(waiters: list[Waiter], data: st.DataObject) -> None:
    """Once its patience is over, a waiter has its seat after as many came free as there are older waiters, however many
    of a higher priority come meanwhile."""
    patient = Allocation(rules=(AllocationRule(name="p", site="oslo", priority={"port": 100}),))
    standing = division(patient.rules_at("port", NOW, SITES))
    line = [waiter._replace(is_there=True) for waiter in waiters]
    last = max(line, key=lambda waiter: (waiter.asked_at, waiter.pbx_id, waiter.key))
    now = NOW + POLICY.patience_seconds + 1
    for turn in range(len(line)):
        newcomers = data.draw(st.integers(0, 3))
        line += [Waiter(2, "oslo", ("port", HolderKind.USER, f"new{turn}-{n}"), now, 1, True) for n in range(newcomers)]
        handed_on = hand_on(line, POLICY, standing, free=1, now=now)
        line = [waiter for waiter in line if waiter not in handed_on.served]
        standing = handed_on.division
    assert last not in line
