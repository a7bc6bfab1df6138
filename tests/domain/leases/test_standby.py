"""Claims as arithmetic, and what an estate has against its pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensemaster.api_enums import HolderKind, StandbyProblemKind
from master.domain.catalog.versions import Version
from master.domain.catalog.words import PbxRole
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases import claims as rules
from master.domain.leases.claims import Claim, ClaimKind, Claims
from master.domain.leases.standby import estate_problems
from master.domain.leases.standby_overlap import two_claims
from master.domain.seats.seat_working_set import PoolScore, SeatWorkingSet, Share
from master.domain.seats.seats import Seat
from master.values import replace
from tests.domain.estate.test_estate import BERLIN, HQ, estate, licensed

PRIMARY, SPARE = 1, 2


def promised(
    claims: Claims = (), kind: ClaimKind = ClaimKind.OFFERED, *, seats: int, ends: float, serial: int
) -> Claims:
    return rules.raised(claims, kind, SPARE, seats={7: seats}, ends_at=ends, serial=serial)


def test_of_several_promises_the_highest_counts_until_the_latest_end() -> None:
    claims = promised(promised(seats=9, ends=100, serial=1), seats=4, ends=90, serial=2)
    assert claims == (Claim(kind=ClaimKind.OFFERED, holder_id=SPARE, pool_id=7, seats=9, ends_at=100, serial=2),)
    fenced = rules.raised(claims, ClaimKind.FENCED, PRIMARY, seats={7: 6, 8: 2, 9: 0}, ends_at=50, serial=3)
    assert rules.floors(fenced) == {7: 9, 8: 2}
    assert rules.floors(rules.in_force(fenced, LeaseTime.at(55, clock_allowance_seconds=5))) == {7: 9, 8: 2}
    assert rules.floors(rules.in_force(fenced, LeaseTime.at(56, clock_allowance_seconds=5))) == {7: 9}


def test_a_smaller_promise_counts_once_it_is_acknowledged() -> None:
    claims = rules.acknowledged(promised(seats=9, ends=100, serial=1), SPARE)
    claims = promised(claims, seats=4, ends=110, serial=2)
    assert rules.floors(claims) == {7: 9}
    claims = rules.acknowledged(claims, SPARE)
    assert rules.floors(claims) == {7: 4}
    assert rules.floors(rules.acknowledged(promised(claims, seats=0, ends=120, serial=3), SPARE)) == {}
    assert rules.discarded(claims, SPARE) == ()
    assert rules.discarded(claims, PRIMARY) == claims


def test_only_words_that_are_new_enough_release_what_was_fenced() -> None:
    claims = promised(kind=ClaimKind.FENCED, seats=3, ends=100, serial=5)
    assert rules.released(claims, SPARE, epoch=4) == claims
    assert rules.released(claims, PRIMARY, epoch=9) == claims
    assert rules.released(claims, SPARE, epoch=5) == ()
    assert rules.discarded(claims, SPARE) == claims, "a lease is no standby lease"


@given(
    floor=st.integers(0, 6),
    moves=st.lists(st.sampled_from(("add", "remove", "higher", "lower")), max_size=30),
)
def test_the_higher_of_seats_and_claims_is_counted(floor: int, moves: list[str]) -> None:
    working_set = SeatWorkingSet()
    working_set.pools = {7: PoolScore(10, floor)}
    working_set.share_out(PRIMARY, {7: Share(0, floor, floor)})
    held: list[Seat] = []
    for number, move in enumerate(moves):
        if move == "add" and (working_set.pools[7].free or working_set.is_counted(PRIMARY, 7)):
            held.append(Seat(PRIMARY, "port", HolderKind.USER, str(number), "", "", 7, "", 0.0))
            working_set.add(held[-1])
        elif move == "remove" and held:
            working_set.remove(held.pop())
        elif move == "higher":
            floor = max(floor, len(held))
            working_set.set_floors(PRIMARY, {7: floor})
        elif move == "lower":
            floor = max(floor - 1, 0)
            working_set.set_floors(PRIMARY, {7: floor} if floor else {})
        assert working_set.pools[7].used == max(len(held), floor) <= 10
    changes = working_set.pool_changes().get((7, PRIMARY), (0, 0))
    share = (working_set.seats[PRIMARY].shares or {})[7]
    assert changes == (len(held), share.counted - share.counted_before)


def test_what_two_claims_come_to() -> None:
    actual = two_claims({"port": 6, "uc": 0}, {"port": 5, "uc": 2}, {"port": 6, "uc": 2})
    assert {key: each.beyond for key, each in actual.items()} == {"port": 5, "uc": 0}
    assert two_claims({"port": 0}, {}, {"port": 3}) == {}


@pytest.mark.rule("F3", "F6")
def test_licenses_of_a_tier_whose_lower_ones_were_released_are_told() -> None:
    known = estate(
        licensed("PBX-Port12", 600, HQ), licensed("PBX-Standby12", 400, HQ), licensed("PBX-Standby 12%500", 200, HQ)
    )
    spare = replace(known.pbxs[BERLIN.id], role=PbxRole.STANDBY, standby_for="hq")
    paired = replace(known, pbxs={**known.pbxs, BERLIN.id: spare})
    ((standby, primary, problem),) = estate_problems(paired, {})
    assert (standby, primary.name) == (spare, "hq")
    assert (problem.kind, problem.missing) == (StandbyProblemKind.TIER_NOT_REACHED, 100)
    assert not problem.kind.blocking
    above = estate_problems(paired, {BERLIN.id: Version(13)})
    assert [each.kind for *_, each in above] == [StandbyProblemKind.VERSION_LIMIT, StandbyProblemKind.TIER_NOT_REACHED]
