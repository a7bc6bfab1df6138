"""Plans: B6 and B7 before an upgrade, A5 as a whole, and what forbids a move (C2, D4, E5, I3, L4, L5)."""

from __future__ import annotations

import pytest

from licensemaster.v1 import license_pb2, plan_pb2
from tests.rules.asking import licenses, status, used, without
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.estates import project
from tests.support.projects.plans import (
    NOT_POSSIBLE,
    OK,
    WARNED,
    central,
    plan,
    pool,
    rebind,
    refusals,
    release,
    site,
    upgrade,
)

MIX = {"PBX-Port10": 100, "PBX-Port12": 100}
Problem = license_pb2.MoveProblem
Advice = plan_pb2.AdviceAction


def problems(plan: plan_pb2.PlanChangesResponse) -> list[str]:
    """What stands in the way; each says how to go on."""
    assert all(
        obstacle.refusal.message and obstacle.refusal.remedy and obstacle.refusal.rules for obstacle in plan.obstacles
    )
    return [Problem.Name(obstacle.refusal.problem)[13:] for obstacle in plan.obstacles]


def advised(plan: plan_pb2.PlanChangesResponse) -> list[tuple[str, str, int, int]]:
    """(action, license type, quantity now, quantity at the peak)."""
    return [
        (Advice.Name(advice.action)[14:], advice.license_type, advice.quantity, advice.quantity_at_peak)
        for advice in plan.advice
    ]


# --- B6, B7: the document's 100 V10 and 100 V12 ports -----------------------------------------------------------------


@pytest.mark.rule("B7")
async def test_before_an_upgrade_the_blocking_licenses_are_named(master: InProcess) -> None:
    await master.wire.apply(project(MIX))
    berlin = await opened(master.wire, "berlin", "10")
    granted(await berlin.acquire(*seats("port", 180)))
    peak_time = int(master.clock.now)
    master.clock.advance(5)
    await berlin.give_back(*seats("port", 180)[150:])

    response = await plan(master.wire, upgrade("12r1"))
    assert response.verdict == NOT_POSSIBLE
    assert response.reasons[0] == (
        "hq-box would run V12, but is licensed up to V10 by 100 x PBX-Port10 (license-1): hq, berlin would get nothing"
        " new (rules B3, B5)"
    )
    assert response.reasons[1] == "150 seats at site-berlin would be refused, were everyone to ask anew"
    (limit,) = response.version_limits
    assert (limit.before, limit.after, limit.software) == (10, 10, 12)
    assert licenses(limit.blocking) == [("PBX-Port10", 100, "hq-box")]
    assert [name.rpartition("/")[2] for name in limit.pbxs_above] == ["hq", "berlin"]

    ports = pool(response, "port")
    assert (ports.capacity_before, ports.capacity_after, ports.capacity_unblocked) == (200, 200, 100)
    assert (ports.used, ports.peak, ports.peak_time.seconds) == (150, 180, peak_time)
    assert (ports.missing, ports.missing_at_peak) == (50, 80)
    assert refusals(response) == {("berlin", "port", "VERSION_LIMIT"): 150}
    (group,) = response.refused
    assert (group.held, group.leaving, group.site) == (150, 0, "site-berlin")  # B10: held seats stay
    assert len(group.holders) == 20
    assert advised(response) == [("RELEASE", "", 0, 0), ("RETURN", "port", 50, 0), ("ADD", "port", 50, 80)]
    assert response.advice[2].version == 12

    await berlin.renew()
    assert len(granted(await berlin.acquire(*seats("port", 150)))) == 150  # nothing has changed


@pytest.mark.rule("B6", "B7")
async def test_without_the_blocking_licenses_what_is_left_is_what_counts(master: InProcess) -> None:
    estate = project(MIX)
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin", "10")
    granted(await berlin.acquire(*seats("port", 80)))

    response = await plan(master.wire, release("license-1"), upgrade("12"))
    assert (response.verdict, list(response.reasons), list(response.warnings)) == (OK, [], [])
    assert not response.refused
    assert not response.advice
    (limit,) = response.version_limits
    assert (limit.before, limit.after, list(limit.blocking)) == (10, 12, [])
    assert (pool(response, "port").capacity_before, pool(response, "port").capacity_after) == (200, 100)

    await master.wire.apply(without(estate, "PBX-Port10"))  # what was planned, done
    await berlin.open("12")
    granted((await berlin.sync(*seats("port", 100))).results)


@pytest.mark.rule("B6", "B7", "L5")
async def test_an_upgrade_that_leaves_too_few_names_who_would_lose(master: InProcess) -> None:
    await master.wire.apply(project(MIX))
    berlin = await opened(master.wire, "berlin", "10")
    granted(await berlin.acquire(*seats("port", 90)))
    master.clock.advance(1)
    hq = await opened(master.wire, "hq", "10")
    granted(await hq.acquire(*seats("port", 30, "desk")))

    response = await plan(master.wire, release("license-1"), upgrade("12"))
    assert response.verdict == NOT_POSSIBLE
    assert refusals(response) == {("hq", "port", "POOL_EXHAUSTED"): 20}  # the newest seats
    (group,) = response.refused
    assert (group.held, group.leaving, group.already) == (20, 20, 0)
    (in_use,) = response.obstacles
    assert (in_use.refusal.problem, in_use.refusal.quantity) == (Problem.MOVE_PROBLEM_IN_USE, 20)
    assert [(top.pbx, top.seats) for top in in_use.refusal.top_holders] == [(berlin.name, 90), (hq.name, 30)]
    assert "most are held by berlin (90), hq (30)" in in_use.refusal.message
    assert advised(response) == [("RETURN", "port", 20, 0), ("ADD", "port", 20, 20)]


@pytest.mark.rule("B7")
async def test_an_upgrade_within_the_limit_and_one_of_a_single_site(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10}))
    assert (await plan(master.wire, upgrade("12r2"))).verdict == OK
    response = await plan(master.wire, upgrade("13", "site-berlin"))
    assert response.verdict == NOT_POSSIBLE
    assert [name.rpartition("/")[2] for name in response.version_limits[0].pbxs_above] == ["berlin"]


@pytest.mark.rule("B7")
@pytest.mark.parametrize("connected", [False, True])
async def test_an_upgrade_to_what_the_file_says_already(master: InProcess, connected: bool) -> None:
    """The answer is the rule's, whatever the file says and whoever runs it: V12 may not run on V10 licenses."""
    says_so = {"hq": "master 12r1 gateway", "berlin": "slave 12r1 gateway"}
    await master.wire.apply(project({"PBX-Port10": 5, "PBX-Port12": 5}, pbxs=says_so))
    if connected:
        await opened(master.wire, "berlin", "12r1")
    response = await plan(master.wire, upgrade("12r1"))
    assert response.verdict == NOT_POSSIBLE
    assert licenses(response.version_limits[0].blocking) == [("PBX-Port10", 5, "hq-box")]
    assert "rules B3, B5" in response.reasons[0]
    assert pool(response, "port").capacity_unblocked == 5


@pytest.mark.rule("B7", "A5")
async def test_a_plan_knows_what_software_draws_on_the_pool(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}))
    assert (await plan(master.wire, upgrade("8"))).verdict == OK
    for changes in (upgrade("7"), site("rome", software="7", port=1)):
        response = await plan(master.wire, changes)
        assert response.verdict == NOT_POSSIBLE
        assert any("too old to draw on the pool (rules A5, L4)" in reason for reason in response.reasons)


@pytest.mark.rule("B7", "B8")
async def test_operator_licenses_do_not_stand_in_the_way(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port13": 10, "PBX-Operator9": 2}))
    assert (await plan(master.wire, upgrade("13"))).verdict == OK


@pytest.mark.rule("B7", "B9")
async def test_a_locally_licensed_pbx_is_limited_by_its_own(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port13": 10, "PBX-Port12": (5, "berlin-box")}))
    response = await plan(master.wire, upgrade("13"))
    assert response.verdict == NOT_POSSIBLE
    assert [(limit.device, licenses(limit.blocking)) for limit in response.version_limits] == [
        ("hq-box", []),
        ("berlin-box", [("PBX-Port12", 5, "berlin-box")]),
    ]
    assert (await plan(master.wire, upgrade("13", "site-hq"))).verdict == OK


# --- A5 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A5")
async def test_going_central_brings_the_licenses_into_the_pool(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10, "PBX-Port13": (5, "berlin-box")}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 5)))
    refused(await berlin.acquire(seat("port", "one-more")))  # A3: local, though the pool is empty

    response = await plan(master.wire, central("berlin"))
    assert response.verdict == WARNED
    assert not response.refused
    assert [name.rpartition("/")[2] for name in response.becoming_central] == ["berlin"]
    assert problems(response) == ["IN_USE"]  # they are drained or revoked on the way, and granted anew
    ports = pool(response, "port")
    assert (ports.capacity_before, ports.capacity_after, ports.used, ports.wanted) == (10, 15, 0, 5)
    assert (ports.wanted_at_peak, pool(response, "port", "berlin-box").wanted_at_peak) == (5, 0)
    assert await used(master.wire, "port", "berlin-box") == (5, 5)

    await berlin.sync()
    assert (await plan(master.wire, central("berlin"))).verdict == OK


@pytest.mark.rule("A5")
async def test_going_central_needs_software_v8(master: InProcess) -> None:
    await master.wire.apply(
        project({"PBX-Port12": 10, "PBX-Port9": (5, "berlin-box")}, pbxs={"berlin": "slave 7 gateway"})
    )
    response = await plan(master.wire, central("berlin"))
    assert (response.verdict, problems(response)) == (NOT_POSSIBLE, ["FIRMWARE_TOO_OLD"])
    assert response.obstacles[0].refusal.rules == ["A5", "L4"]
    assert not response.becoming_central
    both = await plan(master.wire, upgrade("8", "site-berlin"), central("berlin"))
    assert list(both.becoming_central) != []
    assert both.verdict == NOT_POSSIBLE  # its V9 licenses would hold the master's V12 down
    assert "hq-box would run V12, but is licensed up to V9" in both.reasons[0]


@pytest.mark.rule("A5")
async def test_a_central_pbx_cannot_go_central(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10}))
    response = await plan(master.wire, central("berlin"))
    assert (response.verdict, problems(response)) == (NOT_POSSIBLE, ["ALREADY_CENTRAL"])


@pytest.mark.rule("A5", "A6", "C2", "D4", "D5")
async def test_hardware_and_ipva_licenses_stay_behind_and_keep_nothing_local(master: InProcess) -> None:
    local = {"PBX-Port12": 5, "PBX-IPVA12": 5, "Relay BRIs": 2}
    await master.wire.apply(
        project(
            {"PBX-Port13": 10, **{printed: (quantity, "berlin-box") for printed, quantity in local.items()}},
            pbxs={"berlin": "slave 12 ipva"},
        )
    )
    response = await plan(master.wire, central("berlin"))
    assert response.verdict == OK
    assert sorted(licenses(response.staying)) == [("PBX-IPVA12", 5, "berlin-box"), ("Relay BRIs", 2, "berlin-box")]
    assert [name.rpartition("/")[2] for name in response.becoming_central] == ["berlin"]
    assert (pool(response, "port").capacity_after, pool(response, "ipva", "berlin-box").capacity_after) == (15, 5)


# --- What forbids a move ----------------------------------------------------------------------------------------------


@pytest.mark.rule("C2", "D4", "L4")
@pytest.mark.parametrize(("printed", "rule"), [("Relay channels", "C2"), ("PBX-IPVA12", "D4")])
async def test_what_is_bound_for_good(master: InProcess, printed: str, rule: str) -> None:
    machines = {"hq": "master 12 ipva", "berlin": "slave 12 ipva"}
    await master.wire.apply(project({"PBX-Port12": 5, printed: 4}, pbxs=machines))
    for change in (release("license-2"), rebind("license-2", to="berlin-box")):
        response = await plan(master.wire, change)
        assert (response.verdict, problems(response)) == (NOT_POSSIBLE, ["NOT_RELEASABLE"])
        assert rule in response.obstacles[0].refusal.rules
        assert all(pool.capacity_before == pool.capacity_after for pool in response.pools)
    assert (await plan(master.wire, release("license-1"))).verdict == OK


@pytest.mark.rule("L4")
async def test_what_a_pbx_says_it_runs_counts_before_the_project(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port9": (5, "berlin-box")}, pbxs={"berlin": "slave 8 gateway"}))
    assert (await plan(master.wire, release("license-1"))).verdict == OK
    await opened(master.wire, "berlin", "7")
    assert problems(await plan(master.wire, release("license-1"))) == ["FIRMWARE_TOO_OLD"]


@pytest.mark.rule("L5")
async def test_releasing_what_is_in_use(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 6, "PBX-Port13": 4}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 6)))
    assert (await plan(master.wire, release("license-2"))).verdict == OK  # six are left for six
    response = await plan(master.wire, release("license-1"))
    assert (response.verdict, problems(response)) == (NOT_POSSIBLE, ["IN_USE"])
    assert response.obstacles[0].refusal.quantity == 2
    assert refusals(response) == {("berlin", "port", "POOL_EXHAUSTED"): 2}
    assert response.refused[0].leaving == 2
    both = await plan(master.wire, release("license-1", "license-2"))
    assert both.obstacles[0].refusal.quantity == 6
    assert refusals(both) == {("berlin", "port", "NONE_INSTALLED"): 6}


@pytest.mark.rule("E5")
async def test_a_price_tier_waits_for_those_below_it(master: InProcess) -> None:
    tiers: dict[str, int | tuple[int, str]] = {"PBX-Port12": 499, "PBX-Port 12%500": (100, ""), "PBX-Port13": (1, "")}
    await master.wire.apply(project(tiers))
    response = await plan(master.wire, rebind("license-2", to="hq-box"))
    assert (response.verdict, problems(response)) == (NOT_POSSIBLE, ["TIER_TOO_EARLY"])
    assert response.obstacles[0].refusal.quantity == 1
    enough = await plan(master.wire, rebind("license-2", "license-3", to="hq-box"))  # in binding order
    assert (enough.verdict, pool(enough, "port").capacity_after) == (OK, 600)


@pytest.mark.rule("E4")
async def test_a_tier_left_alone_is_warned_of(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 500, "PBX-Port 12%500": 100}))
    response = await plan(master.wire, release("license-1"))
    assert response.verdict == WARNED
    assert "501. license on, and 500 of those below it would be missing" in response.warnings[0]


@pytest.mark.rule("I3")
async def test_voicemail_models_do_not_meet(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Voicemail12": 1, "PBX-VoicemailUser12": (5, "")}))
    response = await plan(master.wire, rebind("license-2", to="hq-box"))
    assert (response.verdict, problems(response)) == (NOT_POSSIBLE, ["MODEL_EXCLUDED"])
    assert licenses(response.obstacles[0].refusal.licenses) == [("PBX-Voicemail12", 1, "hq-box")]
    other = await plan(master.wire, release("license-1"), rebind("license-2", to="hq-box"))
    assert (other.verdict, problems(other)) == (WARNED, [])
    assert list(other.warnings) == ["PBX-Voicemail would be off on hq-box: none would be installed (rules I1, I5)"]


@pytest.mark.rule("F6", "I5")
async def test_features_that_go_off_are_warned_of(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10, "PBX-Standby12": 10, "PBX-Port13": (5, "")}))
    response = await plan(master.wire, rebind("license-3", to="hq-box"))
    assert response.verdict == WARNED
    assert list(response.warnings) == ["PBX-Standby would be off on hq-box: 10 installed for 15 PBX-Port (rule F2)"]
    assert [(feature.license_type, feature.on_after, feature.needed) for feature in response.features] == [
        ("standby", False, 15)
    ]
    assert advised(response) == [("ADD", "standby", 5, 5)]
    assert (await plan(master.wire, release("license-1"))).verdict == OK


@pytest.mark.rule("A3")
async def test_a_license_bound_to_a_slave_closes_the_pool_to_it(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10, "PBX-Port13": (2, "")}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 3)))
    response = await plan(master.wire, rebind("license-2", to="berlin-box"))
    assert response.verdict == NOT_POSSIBLE
    assert [name.rpartition("/")[2] for name in response.becoming_local] == ["berlin"]
    assert refusals(response) == {("berlin", "port", "LOCAL_LICENSES_ONLY"): 1}
    assert response.refused[0].leaving == 0  # B10: what it holds from the pool stays
    assert advised(response) == [("ADD", "port", 1, 1)]


# --- A site added -----------------------------------------------------------------------------------------------------


@pytest.mark.rule("A1", "D1")
async def test_a_new_site_is_asked_for_on_top(master: InProcess) -> None:
    await master.wire.apply(
        project(
            {"PBX-Port12": 20, "PBX UC12": 5, "PBX-IPVA12": 4},
            pbxs={"hq": "master 12 ipva", "berlin": "slave 12 gateway"},
        )
    )
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 8)))
    await berlin.give_back(*seats("port", 3))

    fits = await plan(master.wire, site("paris", platform="gateway", port=12, uc=5, mypbx=5))
    assert (fits.verdict, pool(fits, "port").wanted, pool(fits, "uc").wanted) == (OK, 17, 5)
    at_peak = await plan(master.wire, site("paris", platform="gateway", port=15))
    assert (at_peak.verdict, pool(at_peak, "port").missing, pool(at_peak, "port").missing_at_peak) == (WARNED, 0, 3)
    response = await plan(master.wire, site("paris", platform="gateway", port=18, uc=7))
    assert response.verdict == NOT_POSSIBLE
    assert refusals(response) == {("paris", "port", "POOL_EXHAUSTED"): 3, ("paris", "uc", "POOL_EXHAUSTED"): 2}
    assert advised(response) == [("ADD", "uc", 2, 2), ("ADD", "port", 3, 6)]
    virtual = await plan(master.wire, site("paris", platform="ipva", port=6))
    assert refusals(virtual) == {("paris", "port", "COMPANION_EXHAUSTED"): 2}
    assert advised(virtual) == [("ADD", "ipva", 2, 2)]
    assert len((await status(master.wire)).lease_counts) == 2  # hq without a lease, berlin active, no paris


@pytest.mark.rule("B5")
async def test_a_new_site_with_newer_software(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 20}))
    response = await plan(master.wire, site("paris", software="13", port=2))
    assert response.verdict == NOT_POSSIBLE
    assert refusals(response) == {("paris", "port", "VERSION_LIMIT"): 2}


# --- What is refused today already ------------------------------------------------------------------------------------


@pytest.mark.rule("B10")
async def test_a_plan_is_not_blamed_for_what_is_refused_today(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 20, "PBX-Fax12": 5}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 3)))
    await master.wire.apply(project({"PBX-Port12": 20, "PBX-Fax12": 5, "PBX-Port11": 1}))  # the limit drops: seats stay
    response = await plan(master.wire, release("license-2"))
    assert response.verdict == WARNED
    assert [(refused_seats.seats, refused_seats.already) for refused_seats in response.refused] == [(3, 3)]
    assert any("3 seats would be refused today already" in warning for warning in response.warnings)
    assert (await plan(master.wire, release("license-3"))).verdict == OK
    assert (await plan(master.wire, upgrade("12r1"))).verdict == NOT_POSSIBLE  # asked about that very software
