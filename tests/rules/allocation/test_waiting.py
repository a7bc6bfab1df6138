"""Waiting for seats: places that nobody overtakes, seats that are handed on, and who waits no longer."""

from __future__ import annotations

import asyncio

import pytest

from licensemaster.v1 import allocation_pb2, lease_pb2, seat_pb2
from master.service.leases.learning import begin_learning
from tests.support.databases.truth import mismatches, used
from tests.support.masters import PROJECT, Clock, InProcess, two_masters
from tests.support.pbxs.pbx import BarePbx, divided, granted, opened, refused, seat, seats
from tests.support.projects.allocations import Group, Policy, Rule, lay_down
from tests.support.projects.estates import project

SITES = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway", "oslo": "slave 12 gateway"}
WAITING = seat_pb2.REFUSAL_REASON_WAITING
EXHAUSTED = seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED


def queue(length_max: int = 100, **more: int) -> allocation_pb2.TypePolicy:
    return Policy(license_type="port", queue=allocation_pb2.QueuePolicy(length_max=length_max, **more))


@pytest.fixture
async def three(any_master: InProcess) -> InProcess:
    """A pool of three ports, which may be waited for; three sites besides the master's."""
    await any_master.wire.apply(project({"PBX-Port12": 3}, pbxs=SITES))
    await lay_down(any_master.wire, queue())
    return any_master


async def hand_on(master: InProcess) -> None:
    """Have everything handed on that can be; what the master does by itself meanwhile is done as well then."""
    await master.running.leases.waiting.run_once()


async def told(pbx: BarePbx) -> dict[str, list[str]]:
    """The notices about seats that were waited for."""
    notices = (await pbx.renew()).notices
    return {
        lease_pb2.NoticeKind.Name(notice.kind).removeprefix("NOTICE_KIND_SEATS_"): [
            f"{waits.holder}@{place}" if notice.places else waits.holder
            for waits, place in zip(notice.seats, notice.places or [0] * len(notice.seats), strict=True)
        ]
        for notice in notices
    }


async def test_who_waits_has_a_place_and_gets_its_seat(three: InProcess, database_url: str) -> None:
    rome, berlin = await opened(three.wire, "rome"), await opened(three.wire, "berlin")
    granted(await rome.acquire(*seats("port", 3)))
    (refusal,) = refused(await berlin.acquire(seat("port", "first"), wait=True))
    assert (refusal.reason, refusal.place, refusal.waiting) == (WAITING, 1, 1)
    assert refusal.remedy.action == seat_pb2.REMEDY_ACTION_WAIT
    assert "at place 1 of 1" in refusal.message
    three.clock.advance(1)
    (refusal,) = refused(await berlin.acquire(seat("port", "second"), wait=True))
    assert (refusal.place, refusal.waiting) == (2, 2)
    assert refused(await berlin.acquire(seat("port", "first"), wait=True))[0].place == 1, "asking again keeps the place"
    assert await told(berlin) == {"AWAITED": ["first@1", "second@2"]}
    await rome.give_back(*seats("port", 1))
    await hand_on(three)
    assert await told(berlin) == {"HANDED_ON": ["first"], "AWAITED": ["second@1"]}
    (grant,) = granted(await berlin.acquire(seat("port", "first")))
    assert grant.already_held
    assert await told(berlin) == {"AWAITED": ["second@1"]}, "what was taken up is not told again"
    assert (await used(three.wire))["port"] == 3
    assert await mismatches(database_url) == []


async def test_newcomers_do_not_overtake(three: InProcess) -> None:
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(*seats("port", 3)))
    refused(await berlin.acquire(seat("port", "waits"), wait=True))
    await rome.give_back(*seats("port", 2))
    count, (refusal,) = divided(await oslo.acquire(seat("port", "one"), seat("port", "two")))
    assert (count, refusal.reason) == (1, EXHAUSTED)
    await hand_on(three)
    assert [*await told(berlin)] == ["HANDED_ON"]


async def test_nobody_waits_without_a_queue_or_for_another_reason(three: InProcess) -> None:
    rome, berlin = await opened(three.wire, "rome"), await opened(three.wire, "berlin", "13")
    granted(await rome.acquire(*seats("port", 3)))
    assert refused(await berlin.acquire(seat("port", "new"), wait=True))[0].reason == (
        seat_pb2.REFUSAL_REASON_VERSION_LIMIT
    )
    assert refused(await rome.acquire(seat("port", "not"), wait=False))[0].reason == EXHAUSTED
    refused(await rome.acquire(seat("port", "waits"), wait=True))
    await lay_down(three.wire)
    assert refused(await rome.acquire(seat("port", "no-more"), wait=True))[0].reason == EXHAUSTED
    await hand_on(three)
    await lay_down(three.wire, queue())
    assert await told(rome) == {}, "who waited when the queue was taken away waits no longer"


async def test_a_queue_says_why_it_takes_nobody_more(three: InProcess) -> None:
    """A PBX leaves as many places to others as it has itself; whoever comes later always finds one."""
    await lay_down(three.wire, queue(length_max=7))
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(*seats("port", 3)))
    results = refused(await rome.acquire(*seats("port", 5, "more"), wait=True))
    assert [refusal.reason for refusal in results] == [WAITING] * 4 + [EXHAUSTED]
    left = "rome waits for 4 seats already, and the 3 places left in the queue are kept for others"
    assert (results[-1].message.partition("; ")[2], results[-1].waiting) == (left, 4)
    waiting = [refused(await pbx.acquire(*seats("port", 5), wait=True)) for pbx in (berlin, oslo)]
    assert [[refusal.reason for refusal in of_pbx].count(WAITING) for of_pbx in waiting] == [2, 1]
    assert waiting[-1][-1].message.endswith("7 seats are waited for already, and the queue is full")
    assert refused(await rome.acquire(seat("port", "more-3"), wait=True))[0].reason == WAITING, "a place that it has"
    await oslo.give_back(seat("port", "phone-0"))
    assert refused(await rome.acquire(seat("port", "others"), wait=True))[0].reason == EXHAUSTED


async def test_who_waits_no_longer(three: InProcess) -> None:
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(*seats("port", 3)))
    refused(await berlin.acquire(*seats("port", 3), wait=True))
    await berlin.give_back(*seats("port", 1))
    await hand_on(three)
    assert (await told(berlin))["AWAITED"] == ["phone-1@1", "phone-2@2"], "a seat that is returned"
    (refusal,) = refused((await berlin.sync(seat("port", "phone-1"))).results)
    assert (refusal.reason, refusal.place, refusal.waiting) == (WAITING, 1, 1), "a seat that is missing from a sync"
    refused(await oslo.acquire(seat("port", "after"), wait=True))
    await berlin.close()
    assert refused(await oslo.acquire(seat("port", "after"), wait=True))[0].place == 1, "a lease that is closed"
    await oslo.open()
    assert refused(await oslo.acquire(seat("port", "after"), wait=True))[0].place == 1, "a new lease keeps the place"
    three.clock.advance(100_000)
    await three.running.expiry.run_once()
    await oslo.open()
    assert await told(oslo) == {}, "a lease that ran out"


async def test_who_is_not_connected_keeps_its_place_and_holds_up_nobody(three: InProcess) -> None:
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(*seats("port", 3)))
    refused(await berlin.acquire(seat("port", "silent"), wait=True))
    three.clock.advance(400)  # past the lease's time to live, within its grace
    await rome.renew()
    await oslo.renew()
    refused(await oslo.acquire(seat("port", "there"), wait=True))
    await rome.give_back(seat("port", "phone-0"))
    await hand_on(three)
    assert [*await told(oslo)] == ["HANDED_ON"]
    await berlin.renew()
    await rome.give_back(seat("port", "phone-1"))
    await hand_on(three)
    assert [*await told(berlin)] == ["HANDED_ON"]


async def test_a_reserve_is_its_owners_whoever_waits(three: InProcess) -> None:
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(*seats("port", 3)))
    refused(await berlin.acquire(seat("port", "waits"), wait=True))
    await lay_down(three.wire, queue(), Rule(name="keep", site="site-oslo", reserve={"port": 1}))
    await rome.give_back(seat("port", "phone-0"))
    await hand_on(three)
    assert await told(berlin) == {"AWAITED": ["waits@1"]}
    granted(await oslo.acquire(seat("port", "own")))


async def test_a_waiter_that_may_not_have_it_any_more_waits_no_longer(three: InProcess) -> None:
    rome, berlin = await opened(three.wire, "rome"), await opened(three.wire, "berlin")
    granted(await rome.acquire(*seats("port", 3)))
    refused(await berlin.acquire(seat("port", "waits"), wait=True))
    await lay_down(three.wire, queue(), Rule(name="no", site="site-berlin", deny=["port"]))
    await rome.give_back(*seats("port", 1))
    await hand_on(three)
    assert await told(berlin) == {}
    granted(await rome.acquire(seat("port", "again")))


async def test_places_follow_the_rules(three: InProcess) -> None:
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(*seats("port", 3)))
    refused(await berlin.acquire(seat("port", "usual"), wait=True))
    three.clock.advance(1)
    await lay_down(three.wire, queue(), Rule(name="first", site="site-oslo", priority={"port": 5}))
    assert refused(await oslo.acquire(seat("port", "urgent"), wait=True))[0].place == 1
    await hand_on(three)
    assert await told(berlin) == {"AWAITED": ["usual@2"]}


async def test_a_restored_master_hands_nothing_on_until_it_is_proven(three: InProcess) -> None:
    rome, berlin = await opened(three.wire, "rome"), await opened(three.wire, "berlin")
    granted(await rome.acquire(*seats("port", 3)))
    refused(await berlin.acquire(seat("port", "waits"), wait=True))
    running = three.running
    await begin_learning(
        running.database, running.estates, "acme", "restored", caller="test", time=running.lease_time()
    )
    await hand_on(three)
    await berlin.open()
    assert (await used(three.wire)).get("port", 0) == 0, "nothing is free as long as nobody knows what is out"
    three.clock.advance(100_000)
    await three.running.learnings.end_what_is_over()
    await berlin.open()
    await hand_on(three)
    assert [*await told(berlin)] == ["HANDED_ON"], "it has kept its place"


async def test_of_two_masters_one_hands_a_seat_on(postgresql_database_url: str, clock: Clock) -> None:
    async with two_masters(postgresql_database_url, clock) as (first, second):
        await first.wire.apply(project({"PBX-Port12": 3}, pbxs=SITES))
        await lay_down(first.wire, queue())
        rome, berlin, oslo = (
            await opened(first.wire, "rome"), await opened(second.wire, "berlin"), await opened(first.wire, "oslo")
        )  # fmt: skip
        granted(await rome.acquire(*seats("port", 3)))
        refused(await berlin.acquire(seat("port", "one"), wait=True))
        refused(await oslo.acquire(seat("port", "two"), wait=True))
        await rome.give_back(*seats("port", 1))
        await asyncio.gather(hand_on(first), hand_on(second))
        assert [*await told(berlin)] == ["HANDED_ON"]
        assert await told(oslo) == {"AWAITED": ["two@1"]}
        assert await mismatches(postgresql_database_url) == []


async def test_the_remedy_of_a_newcomer_counts_those_before_it(three: InProcess) -> None:
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(*seats("port", 3)))
    refused(await berlin.acquire(seat("port", "waits"), wait=True))
    remedy = refused(await oslo.acquire(seat("port", "new")))[0].remedy
    steps = {way.steps[0].action: way.steps[0].quantity for way in remedy.ways}
    assert steps == {seat_pb2.REMEDY_ACTION_ADD_LICENSES: 2, seat_pb2.REMEDY_ACTION_FREE_SEATS: 2}
    await rome.give_back(*seats("port", 2))
    granted(await oslo.acquire(seat("port", "new")))


async def test_an_opening_can_wait_as_well(three: InProcess) -> None:
    rome = await opened(three.wire, "rome")
    granted(await rome.acquire(*seats("port", 3)))
    request = lease_pb2.OpenLeaseRequest(
        pbx=f"projects/{PROJECT}/pbxs/berlin", instance_id="one", request_id="one", software_version="12",
        seats=[seat("port", "waits")], wait=True,
    )  # fmt: skip
    first, again = [await three.wire.leases.OpenLease(request) for _ in range(2)]
    assert [refusal.place for refusal in refused([*first.results, *again.results])] == [1, 1]


async def test_of_a_long_queue_only_what_matters_is_read(three: InProcess, database_url: str) -> None:
    """Longer than what is read whole (`waiting_queue.SHORT`): the order is the same, and nobody is held up."""
    most = Rule(name="most", site="site-berlin", maximum={"port": 1})
    await lay_down(three.wire, queue(length_max=602), most)
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(*seats("port", 2)))
    granted(await berlin.acquire(seat("port", "only")))
    refused(await berlin.acquire(*seats("port", 300, "many"), wait=True))
    three.clock.advance(1)
    (refusal,) = refused(await oslo.acquire(seat("port", "late"), wait=True))
    assert (refusal.place, refusal.waiting) == (301, 301), "at the end until the order is told"
    await hand_on(three)
    assert await told(oslo) == {"AWAITED": ["late@1"]}, "a site with fewer seats goes first"
    (refusal,) = refused(await oslo.acquire(seat("port", "late"), wait=True))
    assert (refusal.place, refusal.waiting) == (1, 301), "asking again keeps the place that was told"
    await lay_down(three.wire, queue(length_max=302), most)
    refused(await rome.acquire(seat("port", "full"), wait=True))
    assert refused(await rome.acquire(seat("port", "over"), wait=True))[0].message.endswith("the queue is full")
    await rome.give_back(seat("port", "full"), *seats("port", 1))
    assert refused(await rome.acquire(seat("port", "new")))[0].reason == EXHAUSTED, "nobody overtakes"
    await hand_on(three)
    assert [*await told(oslo)] == ["HANDED_ON"]
    await rome.give_back(*seats("port", 2))
    assert granted(await rome.acquire(seat("port", "new"))), "those who may not have more hold up nobody"
    assert (await used(three.wire))["port"] == 3
    assert await mismatches(database_url) == []


async def test_a_long_queue_that_may_have_nothing_holds_up_nobody(three: InProcess, database_url: str) -> None:
    """Of a reserve of others, and beyond a maximum until a colleague of the group makes room."""
    keep = Rule(name="keep", site="site-oslo", reserve={"port": 2})
    await lay_down(three.wire, queue(length_max=602), keep)
    rome, berlin, oslo = [await opened(three.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(seat("port", "only")))
    refused(await berlin.acquire(*seats("port", 300, "many"), wait=True))
    assert len(granted(await oslo.acquire(*seats("port", 2)))) == 2, "its own, whoever waits"
    await oslo.give_back(*seats("port", 2))
    await hand_on(three)
    assert [*await told(berlin)] == ["AWAITED"]
    south = Group(name="south", sites=["site-berlin", "site-rome"])
    await lay_down(three.wire, queue(length_max=602), south, Rule(name="most", group="south", maximum={"port": 1}))
    await hand_on(three)
    assert granted(await oslo.acquire(seat("port", "free"))), "nobody who waits may have it"
    await rome.close()
    await hand_on(three)
    assert (await told(berlin))["HANDED_ON"] == ["many-0"]
    assert granted(await oslo.acquire(seat("port", "last")))
    assert (await used(three.wire))["port"] == 3
    assert await mismatches(database_url) == []
