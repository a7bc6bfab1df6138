"""The algebra of changes, and what follows from them, on estates alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from licensemaster.api_enums import HolderKind
from master.domain.allocation.policies import Allocation, AllocationRule
from master.domain.allocation.shrink import Standings
from master.domain.catalog.versions import Version
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.license_release import InUse
from master.domain.estate.license_release import Release as ReleaseUnderWay
from master.domain.monitoring.overview import PoolUse
from master.domain.planning.advice import Verdict
from master.domain.planning.changes import AddSite, GoCentral, PlannedChange, Rebind, Release, Upgrade, planned
from master.domain.planning.plan import Plan, Situation, plan
from master.domain.planning.replay import ask_anew, questions
from master.domain.seats.seats import Seat
from master.values import replace
from tests.domain.estate.test_estate import BERLIN, CLOUD, DEVICES, HQ, estate, licensed


def ported(*quantities: int) -> Estate:
    return estate(*(licensed("PBX-Port12", quantity, HQ) for quantity in quantities))


def held(known: Estate, pbx_id: int, holders: range) -> list[Seat]:
    pool_id = known.pool_ids[HQ.id, "port"]
    return [Seat(pbx_id, "port", HolderKind.USER, f"user-{number}", "", "", pool_id, "", 0.0) for number in holders]


def situation(known: Estate, seats: list[Seat]) -> Situation:
    pool_id = known.pool_ids[HQ.id, "port"]
    return Situation(known, {}, seats, {pool_id: PoolUse(len(seats), len(seats), None)}, set(), now=0.0)


def test_changes_are_made_one_after_the_other() -> None:
    known = estate(base := licensed("PBX-Port12", 5, HQ), local := licensed("PBX-Port13", 3, BERLIN))
    berlin = known.pbxs[BERLIN.id]
    then = planned(known, [Rebind((local.id,), "hq-box"), Upgrade(Version(13)), Release((base.id,))])
    assert not then.obstacles
    assert {license.id: license.device for license in then.estate.licenses} == {base.id: None, local.id: HQ}
    assert not then.estate.is_local(berlin)
    assert set(then.software.values()) == {Version(13)}
    assert known.is_local(berlin)  # the estate asked about is as it was


def test_a_pool_that_comes_into_being_has_an_id() -> None:
    known = estate(fax := licensed("PBX-Fax12", 5, None), licensed("PBX-Port12", 5, HQ))
    then = planned(known, [Rebind((fax.id,), "berlin-box")])
    assert then.estate.pool_ids[BERLIN.id, "fax"] not in known.pool_ids.values()
    assert then.estate.pool_ids[HQ.id, "port"] == known.pool_ids[HQ.id, "port"]


def test_a_rule_for_every_site_is_one_for_a_new_site_too() -> None:
    rule = AllocationRule(name="all", reserve={"port": 2})
    known = replace(ported(20), allocation=Allocation(rules=(rule,)))
    pool_id = known.pool_ids[HQ.id, "port"]
    before = known.rules_of_pool(pool_id, 0.0)
    after = planned(known, [AddSite("rome", {})]).estate.rules_of_pool(pool_id, 0.0)
    assert before is not None
    assert after is not None
    assert after.site_reserves == {**before.site_reserves, "rome": 2}


def test_what_cannot_be_moved_stays_and_the_rest_goes() -> None:
    known = estate(fixed := licensed("PBX-IPVA12", 5, CLOUD), ports := licensed("PBX-Port12", 5, CLOUD))
    then = planned(known, [Release((fixed.id, ports.id))])
    assert [obstacle.problem.name for obstacle in then.obstacles] == ["NOT_RELEASABLE"]
    assert {license.id: license.device for license in then.estate.licenses} == {fixed.id: CLOUD, ports.id: None}


def test_a_license_on_its_way_or_cooling_off_has_to_wait() -> None:
    way = ReleaseUnderWay(
        in_use=InUse.DRAIN, to_device="", requested_by="ann", requested_at=0.0, reason="", nonce=b"", certified=False,
        device_dead=False, approved_by="",
    )  # fmt: skip
    leaving = replace(licensed("PBX-Port12", 4, HQ), release=way)
    cooling = replace(licensed("PBX-Port13", 2, None), held_until=100.0)
    known = estate(leaving, cooling, licensed("PBX-Port12", 6, HQ))
    then = planned(known, [Rebind((leaving.id,), "vm"), Rebind((cooling.id,), "hq-box")], now=99.0)
    assert [obstacle.problem.name for obstacle in then.obstacles] == ["RELEASE_UNDER_WAY", "COOLING_OFF"]
    assert not planned(known, [Release((leaving.id,)), Rebind((cooling.id,), "hq-box")], now=100.0).obstacles
    answer = plan(situation(known, held(known, HQ.id, range(8))), [Upgrade(Version(12))])
    (pool,) = answer.pools  # nothing new is granted from what leaves (L5)
    assert (pool.capacity_after, pool.wanted, [refused_seats.seats for refused_seats in answer.refused]) == (6, 8, [2])


def test_a_pbx_that_joins_a_pool_with_newer_software_puts_itself_above_its_limit() -> None:
    """Neither a new site nor a PBX that goes central was above it before."""
    local = licensed("PBX-Port13", 5, BERLIN)
    known = estate(licensed("PBX-Port12", 5, HQ), local)
    joining = replace(situation(known, []), software={BERLIN.id: Version(13)})
    for change in (GoCentral("berlin"), AddSite("rome", {}, software=Version(13))):
        answer = plan(joining, [change])
        assert answer.verdict is Verdict.NOT_POSSIBLE
        assert [limit.is_caused for limit in answer.limits if limit.device == HQ.name] == [True]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.data())
def test_releasing_never_refuses_fewer(quantities: list[int], data: st.DataObject) -> None:
    """Taking more away can only refuse more; as many are refused as licenses are short."""
    licenses = [
        License(f"ports-{at}", licensed("PBX-Port12", 1, HQ).type, 12, None, n, HQ) for at, n in enumerate(quantities)
    ]
    known = estate(*licenses)
    used = data.draw(st.integers(0, sum(quantities)))
    seats = held(known, BERLIN.id, range(used))
    before = 0
    for count in range(1, len(licenses) + 1):
        answer: Plan = plan(situation(known, seats), [Release(tuple(license.id for license in licenses[:count]))])
        refused = sum(refused_seats.seats for refused_seats in answer.refused)
        assert refused == max(used - sum(quantities[count:]), 0) >= before
        assert (answer.verdict is Verdict.NOT_POSSIBLE) is (refused > 0)
        before = refused


@given(st.lists(st.sampled_from(["release", "upgrade", "central", "rebind"]), min_size=1, max_size=4))
def test_nothing_that_is_asked_about_is_changed(kinds: list[str]) -> None:
    known = estate(licensed("PBX-Port12", 10, HQ), local := licensed("PBX-Port11", 5, BERLIN))
    changes: dict[str, PlannedChange] = {
        "release": Release((local.id,)),
        "upgrade": Upgrade(Version(13)),
        "central": GoCentral("berlin"),
        "rebind": Rebind((local.id,), DEVICES[2].name),
    }
    seats = held(known, HQ.id, range(4))
    before = (known.licenses, dict(known.pbxs), dict(known.pool_ids), list(seats))
    first = plan(situation(known, seats), [changes[kind] for kind in kinds])
    assert plan(situation(known, seats), [changes[kind] for kind in kinds]) == first
    assert (known.licenses, dict(known.pbxs), dict(known.pool_ids), seats) == before
    standings = Standings(known.allocation, known.site_of, reachable=(), now=0.0)
    assert not ask_anew(known, questions(known.catalog, seats, standings, lent={}), software={}).refused
