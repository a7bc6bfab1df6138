"""What happens while somebody waits: rules change, clocks are set, standbys take over, who waits falls silent."""

from __future__ import annotations

import pytest

from licensemaster.v1 import lease_pb2
from tests.rules.allocation.test_waiting import EXHAUSTED, WAITING, hand_on, queue, told
from tests.support.databases.truth import mismatches, used
from tests.support.masters import PROJECT, Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import BarePbx, divided, granted, opened, refused, seat, seats
from tests.support.pbxs.standbys import BareStandby, standing_by
from tests.support.projects.allocations import Policy, Rule, lay_down
from tests.support.projects.estates import project

TTL, GRACE = 60, 600
LEASES = {"ttl_seconds": TTL, "grace_seconds": GRACE}
SITES = {
    "berlin": "slave 12 gateway",
    "spare": "standby:berlin 12 gateway",
    "rome": "slave 12 gateway",
    "oslo": "slave 12 gateway",
}


@pytest.fixture
async def three(master: InProcess) -> InProcess:
    """A pool of three ports that Rome holds, and a queue; Berlin has a standby."""
    await master.wire.apply(project({"PBX-Port12": 3, "PBX-Standby12": 3}, pbxs=SITES, **LEASES))
    await lay_down(master.wire, queue())
    return master


@pytest.fixture
async def rome(three: InProcess) -> BarePbx:
    """It has all that there is."""
    pbx = await opened(three.wire, "rome")
    granted(await pbx.acquire(*seats("port", 3)))
    return pbx


# --- Rules that change ------------------------------------------------------------------------------------------------


async def test_who_waits_stays_when_the_queue_becomes_shorter(three: InProcess, rome: BarePbx) -> None:
    berlin, oslo = await opened(three.wire, "berlin"), await opened(three.wire, "oslo")
    refused(await berlin.acquire(*seats("port", 3, "desk"), wait=True))
    await lay_down(three.wire, queue(length_max=1))
    assert refused(await oslo.acquire(seat("port", "new"), wait=True))[0].reason == EXHAUSTED
    assert refused(await berlin.acquire(seat("port", "desk-2"), wait=True))[0].place == 3, "asking again keeps a place"
    await rome.give_back(*seats("port", 2))
    await hand_on(three)
    assert await told(berlin) == {"HANDED_ON": ["desk-0", "desk-1"], "AWAITED": ["desk-2@1"]}


async def test_what_was_handed_on_is_told_though_the_queue_is_gone(three: InProcess, rome: BarePbx) -> None:
    berlin = await opened(three.wire, "berlin")
    refused(await berlin.acquire(*seats("port", 2, "desk"), wait=True))
    await rome.give_back(seat("port", "phone-0"))
    await hand_on(three)
    await lay_down(three.wire)
    await hand_on(three)
    assert await told(berlin) == {"HANDED_ON": ["desk-0"]}, "else it holds a seat that it knows nothing of"
    await berlin.give_back(seat("port", "desk-0"))
    await lay_down(three.wire, queue())
    assert await told(berlin) == {}, "what was returned meanwhile is not told again"


async def test_rules_that_come_into_force_are_those_of_the_next_turn(three: InProcess, rome: BarePbx) -> None:
    berlin, oslo = await opened(three.wire, "berlin"), await opened(three.wire, "oslo")
    refused(await berlin.acquire(seat("port", "first"), wait=True))
    three.clock.advance(1)
    refused(await oslo.acquire(seat("port", "second"), wait=True))
    await lay_down(three.wire, queue(), Rule(name="none", site="site-berlin", maximum={"port": 0}))
    await rome.give_back(seat("port", "phone-0"))
    await hand_on(three)
    assert await told(berlin) == {"AWAITED": ["first@1"]}, "it may not have more, keeps its place and holds up nobody"
    assert await told(oslo) == {"HANDED_ON": ["second"]}
    await lay_down(three.wire, queue())
    await rome.give_back(seat("port", "phone-1"))
    await hand_on(three)
    assert await told(berlin) == {"HANDED_ON": ["first"]}


# --- Clocks that are set ----------------------------------------------------------------------------------------------


async def test_a_clock_set_forward_ends_no_waiting(three: InProcess, rome: BarePbx, either_database_url: str) -> None:
    """PBXs count their leases by clocks of their own; nobody is granted anything before it is heard of again."""
    berlin, oslo = await opened(three.wire, "berlin"), await opened(three.wire, "oslo")
    refused(await berlin.acquire(seat("port", "first"), wait=True))
    three.clock.advance(1)
    refused(await oslo.acquire(seat("port", "second"), wait=True))
    three.clock.set_forward(7200)
    await three.running.expiry.run_once()
    await rome.give_back(seat("port", "phone-0"))
    await hand_on(three)
    assert await told(berlin) == {"AWAITED": ["first@1"]}, "it was silent for two hours, as the master saw it"
    await hand_on(three)
    assert await told(berlin) == {"HANDED_ON": ["first"]}
    assert await told(oslo) == {"AWAITED": ["second@1"]}
    assert (await used(three.wire))["port"] == 3
    assert await mismatches(either_database_url) == []


# --- Standbys ---------------------------------------------------------------------------------------------------------


async def _carried(three: InProcess, berlin: BarePbx, rome: BarePbx) -> tuple[BareStandby, BarePbx]:
    """Berlin has been silent, and its standby has taken over."""
    spare = await standing_by(three.wire)
    await spare.renew()
    three.clock.advance(TTL + 1)
    for pbx in (rome, spare):
        await pbx.renew()
    return spare, await spare.take_over()


@pytest.mark.rule("F5")
async def test_a_standby_gets_what_its_primary_waited_for(
    three: InProcess, rome: BarePbx, either_database_url: str
) -> None:
    await rome.give_back(seat("port", "phone-0"))
    berlin = await opened(three.wire, "berlin")
    granted(await berlin.acquire(seat("port", "has")))
    refused(await berlin.acquire(*seats("port", 2, "desk"), wait=True))
    _, carried = await _carried(three, berlin, rome)
    assert await told(carried) == {"AWAITED": ["desk-0@1", "desk-1@2"]}
    await rome.give_back(seat("port", "phone-1"))
    await hand_on(three)
    assert await told(carried) == {"HANDED_ON": ["desk-0"], "AWAITED": ["desk-1@1"]}
    await berlin.open()
    assert await told(berlin) == {"HANDED_ON": ["desk-0"], "AWAITED": ["desk-1@1"]}, "back, at its place"
    assert [grant.already_held for grant in granted(await berlin.acquire(seat("port", "desk-0")))] == [True]
    assert (await used(three.wire))["port"] == 3
    assert await mismatches(either_database_url) == []


@pytest.mark.rule("F5")
async def test_a_block_stays_counted_after_a_takeover_until_its_signed_end(
    master: InProcess, either_database_url: str
) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 100, "PBX-Standby12": 100}, pbxs=SITES, **LEASES))
    await lay_down(wire, Policy(license_type="port", block_seats_max=12))
    berlin, rome = await opened(wire, "berlin"), await opened(wire, "rome")
    granted(await berlin.acquire(*seats("port", 5)))
    use = lease_pb2.BlockUse(license_type="port", used=5, acquired=5)
    answer = await wire.leases.RenewLease(
        lease_pb2.RenewLeaseRequest(pbx=berlin.name, epoch=berlin.epoch, blocks=[use])
    )
    terms = lease_pb2.LeaseTerms.FromString(answer.lease.signed.payload)
    assert [block.seats for block in terms.blocks] == [15]
    spare, carried = await _carried(master, berlin, rome)
    response = await wire.leases.RenewLease(
        lease_pb2.RenewLeaseRequest(pbx=carried.name, epoch=carried.epoch, blocks=[use])
    )
    assert not lease_pb2.LeaseTerms.FromString(response.lease.signed.payload).blocks, "a standby has none"
    assert divided(await rome.acquire(*seats("port", 100)))[0] == 85, "Berlin, cut off, may go by its block still"
    while master.clock.now <= terms.end_time.ToSeconds() + TTL:
        master.clock.advance(TTL)
        for pbx in (rome, spare, carried):
            await pbx.renew()
    await master.running.expiry.run_once()
    assert divided(await rome.acquire(*seats("port", 15, "more")))[0] == 10, "the standby carries the five"
    assert await mismatches(either_database_url) == []


# --- Who falls silent -------------------------------------------------------------------------------------------------


async def test_who_vanishes_keeps_its_place_until_its_lease_ends(three: InProcess, rome: BarePbx) -> None:
    berlin, oslo = await opened(three.wire, "berlin"), await opened(three.wire, "oslo")
    refused(await berlin.acquire(seat("port", "first"), wait=True))
    three.clock.advance(1)
    refused(await oslo.acquire(seat("port", "second"), wait=True))
    for _ in range(GRACE // TTL):
        three.clock.advance(TTL)
        await rome.renew()
        await three.running.expiry.run_once()
        assert await told(oslo) == {"AWAITED": ["second@2"]}
    three.clock.advance(2 * TTL)
    await rome.renew()
    await three.running.expiry.run_once()
    await hand_on(three)
    assert await told(oslo) == {"AWAITED": ["second@1"]}
    await berlin.open()
    assert await told(berlin) == {}, "with its lease its waiting has ended"
    assert refused(await berlin.acquire(seat("port", "first"), wait=True))[0].place == 2


# --- Masters that restart ---------------------------------------------------------------------------------------------


async def test_seats_are_handed_on_by_a_master_that_has_just_started(database_url: str, clock: Clock) -> None:
    async with in_process_master(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 3}, pbxs={"berlin": "slave 12 gateway"}))
        await lay_down(master.wire, queue())
        hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin")
        granted(await hq.acquire(*seats("port", 3)))
        refused(await berlin.acquire(*seats("port", 2, "desk"), wait=True))
    async with in_process_master(database_url, clock) as master:
        hq.wire = berlin.wire = master.wire
        assert await told(berlin) == {"AWAITED": ["desk-0@1", "desk-1@2"]}
        await hq.give_back(seat("port", "phone-0"))
        stream = master.wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=berlin.name, epoch=berlin.epoch))
        async for news in stream:
            if any(notice.kind == lease_pb2.NOTICE_KIND_SEATS_HANDED_ON for notice in news.notices):
                break
        assert (await told(berlin))["HANDED_ON"] == ["desk-0"]
        assert await mismatches(database_url) == []


async def test_an_opening_that_is_sent_again_after_a_restart_is_answered_alike(database_url: str, clock: Clock) -> None:
    request = lease_pb2.OpenLeaseRequest(
        pbx=f"projects/{PROJECT}/pbxs/berlin", instance_id="one", request_id="one", software_version="12",
        seats=[seat("port", "waits")], wait=True,
    )  # fmt: skip
    places: list[tuple[int, int, int]] = []
    for _ in range(2):
        async with in_process_master(database_url, clock) as master:
            if not places:
                await master.wire.apply(project({"PBX-Port12": 1}, pbxs={"berlin": "slave 12 gateway"}))
                await lay_down(master.wire, queue())
                granted(await (await opened(master.wire, "hq")).acquire(seat("port", "desk")))
            (refusal,) = refused((await master.wire.leases.OpenLease(request)).results)
            places.append((refusal.reason, refusal.place, refusal.waiting))
    assert places == [(WAITING, 1, 1)] * 2
