"""Reserves, maxima, and who may have what at all: decided with the seat, told in the refusal, changed by its remedy."""

from __future__ import annotations

import pytest

from licensemaster.v1 import seat_pb2
from tests.support.databases.truth import mismatches, used
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import divided, granted, opened, refused, seat, seats
from tests.support.projects.allocations import Group, Rule, lay_down
from tests.support.projects.estates import project

SITES = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway", "oslo": "slave 12 gateway"}


@pytest.fixture
async def ten(any_master: InProcess) -> InProcess:
    """A pool of ten ports, and three sites besides the master's."""
    await any_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    return any_master


async def test_what_is_reserved_nobody_else_gets(ten: InProcess, database_url: str) -> None:
    await lay_down(ten.wire, Rule(name="keep", site="site-berlin", reserve={"port": 4}))
    rome, berlin = await opened(ten.wire, "rome"), await opened(ten.wire, "berlin")
    count, (refusal, *_) = divided(await rome.acquire(*seats("port", 10)))
    assert count == 6
    assert refusal.reason == seat_pb2.REFUSAL_REASON_RESERVED_FOR_OTHERS
    assert (refusal.allocation_rule, refusal.capacity, refusal.in_use) == ("keep", 10, 6)
    assert "4 for site site-berlin by the allocation rule 'keep'" in refusal.message
    granted(await berlin.acquire(*seats("port", 4)))
    assert (await used(ten.wire))["port"] == 10
    assert refused(await berlin.acquire(seat("port", "more")))[0].reason == (seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED)
    await berlin.give_back(*seats("port", 1))
    assert refused(await rome.acquire(seat("port", "more"))), "what comes back to a reserve stays in it"
    assert await mismatches(database_url) == []


async def test_a_group_shares_a_reserve_and_a_maximum(ten: InProcess) -> None:
    await lay_down(
        ten.wire,
        Group(name="south", sites=["site-rome", "site-berlin"]),
        Rule(name="south", group="south", reserve={"port": 5}, maximum={"port": 6}),
        Rule(name="rome", site="site-rome", reserve={"port": 2}),
    )
    rome, berlin, oslo = [await opened(ten.wire, name) for name in ("rome", "berlin", "oslo")]
    assert divided(await oslo.acquire(*seats("port", 10)))[0] == 5
    count, (refusal, *_) = divided(await berlin.acquire(*seats("port", 10)))
    assert (count, refusal.allocation_rule) == (3, "rome"), "two of the group's five are Rome's"
    granted(await rome.acquire(*seats("port", 2)))
    await oslo.give_back(*seats("port", 5))
    assert divided(await rome.acquire(*seats("port", 9, "desk")))[0] == 1
    refusal = refused(await berlin.acquire(seat("port", "more")))[0]
    assert (refusal.reason, refusal.allocation_rule) == (seat_pb2.REFUSAL_REASON_MAXIMUM_REACHED, "south")
    assert "lets group south have 6" in refusal.message


async def test_a_sites_own_maximum_goes_before_that_of_every_site(ten: InProcess) -> None:
    await lay_down(
        ten.wire, Rule(name="all", maximum={"port": 2}), Rule(name="own", site="site-rome", maximum={"port": 3})
    )
    rome, berlin = await opened(ten.wire, "rome"), await opened(ten.wire, "berlin")
    assert divided(await rome.acquire(*seats("port", 5)))[0] == 3
    count, (refusal, *_) = divided(await berlin.acquire(*seats("port", 5)))
    assert count == 2
    assert (refusal.allocation_rule, refusal.remedy.action) == ("all", seat_pb2.REMEDY_ACTION_CHANGE_ALLOCATION)
    assert refusal.remedy.ways[0].steps[0].subject == "all"


async def test_a_reserve_holds_for_its_time(ten: InProcess) -> None:
    rule = Rule(name="fair", site="site-berlin", reserve={"port": 8})
    rule.start_time.FromSeconds(int(ten.clock.now) + 100)
    rule.end_time.FromSeconds(int(ten.clock.now) + 200)
    await lay_down(ten.wire, rule)
    rome = await opened(ten.wire, "rome")
    granted(await rome.acquire(*seats("port", 3)))
    ten.clock.advance(101)
    await rome.renew()
    assert refused(await rome.acquire(seat("port", "more")))[0].allocation_rule == "fair"
    ten.clock.advance(100)
    await rome.renew()
    granted(await rome.acquire(seat("port", "more")))


async def test_who_may_have_what(ten: InProcess) -> None:
    await lay_down(
        ten.wire,
        Group(name="north", sites=["site-oslo"]),
        Rule(name="north", group="north", allow=["port"]),
        Rule(name="berlin", site="site-berlin", allow=["port"]),
        Rule(name="trunks", site="site-berlin", deny=["port"], holder_kinds=[seat_pb2.HOLDER_KIND_TRUNK]),
    )
    rome, berlin, oslo = [await opened(ten.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await oslo.acquire(seat("port", "phone")))
    refusal = refused(await rome.acquire(seat("port", "phone")))[0]
    assert (refusal.reason, refusal.allocation_rule) == (seat_pb2.REFUSAL_REASON_ACCESS_DENIED, "north")
    trunk = seat("port", "line", kind=seat_pb2.HOLDER_KIND_TRUNK)
    count, (refusal,) = divided(await berlin.acquire(seat("port", "phone"), trunk))
    assert (count, refusal.allocation_rule) == (1, "trunks")


async def test_what_is_held_is_not_questioned_again(ten: InProcess) -> None:
    rome = await opened(ten.wire, "rome")
    granted(await rome.acquire(*seats("port", 5)))
    applied = await lay_down(ten.wire, Rule(name="less", site="site-rome", maximum={"port": 2}))
    assert [(outlook.site, outlook.has, outlook.left_before, outlook.left_after) for outlook in applied.outlooks] == [
        ("site-rome", 5, 5, 0)
    ]
    assert len(granted((await rome.sync(*seats("port", 5))).results)) == 5


async def test_who_is_denied_is_told_to_lose_all_that_it_could_get(ten: InProcess) -> None:
    deny = Rule(name="no", site="site-rome", deny=["port"])
    applied = await lay_down(ten.wire, deny)
    assert [(outlook.site, outlook.left_before, outlook.left_after) for outlook in applied.outlooks] == [
        ("site-rome", 10, 0)
    ]
    back = await lay_down(ten.wire)
    assert [(outlook.site, outlook.left_after) for outlook in back.outlooks] == [("site-rome", 10)]


async def test_remedies_are_what_grants_it(ten: InProcess) -> None:
    await lay_down(ten.wire, Rule(name="keep", site="site-berlin", reserve={"port": 4}))
    rome = await opened(ten.wire, "rome")
    granted(await rome.acquire(*seats("port", 6)))
    remedy = refused(await rome.acquire(seat("port", "more")))[0].remedy
    ways = {way.steps[0].action: way.steps[0] for way in remedy.ways}
    assert ways[seat_pb2.REMEDY_ACTION_ADD_LICENSES].quantity == 1
    assert ways[seat_pb2.REMEDY_ACTION_CHANGE_ALLOCATION].subject == "keep"
    await lay_down(ten.wire)
    granted(await rome.acquire(seat("port", "more")))


async def test_a_site_that_goes_leaves_its_rule_and_a_warning(ten: InProcess) -> None:
    await lay_down(ten.wire, Rule(name="keep", site="site-berlin", reserve={"port": 4}))
    applied = await ten.wire.apply(project({"PBX-Port12": 10}, pbxs={"rome": "slave 12 gateway"}))
    assert any("'keep' is about the site 'site-berlin', where no PBX stands" in warning for warning in applied.warnings)
    rome = await opened(ten.wire, "rome")
    assert divided(await rome.acquire(*seats("port", 10)))[0] == 6
