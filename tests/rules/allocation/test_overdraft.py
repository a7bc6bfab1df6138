"""Seats above what is installed: only where an operator allows it, within a budget, and told apart everywhere."""

from __future__ import annotations

import json

import pytest

from licensemaster.v1 import allocation_pb2, seat_pb2, status_pb2
from tests.support.databases.truth import all_events, mismatches
from tests.support.masters import PROJECT, InProcess, Wire
from tests.support.pbxs.pbx import divided, granted, opened, refused, seat, seats
from tests.support.projects.allocations import Policy, Rule, lay_down
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, imported

SITES = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway"}
HOUR = 3600.0


def overdraft(seats: int, budget: int, refill: int, license_type: str = "port") -> allocation_pb2.TypePolicy:
    """How many seats may be overdrawn, and the budget in seat hours, with what comes back in a day."""
    policy = allocation_pb2.OverdraftPolicy(seats=seats, budget_seat_hours=budget, refill_seat_hours_per_day=refill)
    return Policy(license_type=license_type, overdraft=policy)


async def ports(wire: Wire) -> status_pb2.Pool:
    """The pool of ports."""
    status = await wire.status.GetStatus(status_pb2.GetStatusRequest(project=f"projects/{PROJECT}"))
    return next(pool for pool in status.pools if pool.license_type == "port")


@pytest.fixture
async def ten(any_master: InProcess) -> InProcess:
    """A pool of ten ports, and two sites besides the master's."""
    await any_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    return any_master


async def test_nothing_is_overdrawn_without_a_policy(ten: InProcess) -> None:
    rome = await opened(ten.wire, "rome")
    count, (refusal, *_) = divided(await rome.acquire(*seats("port", 12)))
    assert (count, refusal.reason) == (10, seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED)
    assert not refusal.HasField("overdraft")
    assert not (await ports(ten.wire)).HasField("overdraft")


async def test_so_many_above_what_is_installed_and_told_apart(ten: InProcess, database_url: str) -> None:
    await lay_down(ten.wire, overdraft(3, 30, 10))
    rome, berlin = await opened(ten.wire, "rome"), await opened(ten.wire, "berlin")
    count, (refusal, *_) = divided(await rome.acquire(*seats("port", 20)))
    assert count == 13
    assert (refusal.reason, refusal.capacity, refusal.in_use) == (seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED, 10, 13)
    assert (refusal.overdraft.seats, refusal.overdraft.seats_max) == (3, 3)
    assert "and the 3 above them that the overdraft allows; its budget has 30.0 seat hours left" in refusal.message
    pool = await ports(ten.wire)
    assert (pool.capacity, pool.used, pool.free, pool.overdraft.seats) == (10, 13, 0, 3)
    assert pool.overdraft.spent_time.seconds == int(ten.clock.now + 10 * HOUR)
    assert await mismatches(database_url) == []
    assert refused(await berlin.acquire(seat("port", "desk"))), "the allowance is the pool's, not a site's"
    await rome.give_back(*seats("port", 3))
    assert (await ports(ten.wire)).overdraft.seats == 0
    kinds = [(await all_events(ten.wire, kind))[0].kind for kind in ("pool.overdrawn", "pool.overdraft_ended")]
    assert kinds == ["pool.overdrawn", "pool.overdraft_ended"]
    assert await mismatches(database_url) == []


@pytest.mark.rule("D1")
async def test_a_companion_that_is_short_tells_of_its_overdraft(ten: InProcess) -> None:
    await ten.wire.apply(
        project({"PBX-Port12": 10, "PBX-IPVA12": 2}, pbxs={"hq": "master 12 ipva", "rome": "slave 12 ipva"})
    )
    await lay_down(ten.wire, overdraft(1, 30, 10, "ipva"))
    rome = await opened(ten.wire, "rome")
    count, (refusal, *_) = divided(await rome.acquire(*seats("port", 5)))
    assert (count, refusal.reason) == (3, seat_pb2.REFUSAL_REASON_COMPANION_EXHAUSTED)
    assert (refusal.license_type, refusal.overdraft.seats, refusal.overdraft.seats_max) == ("ipva", 1, 1)
    assert "and the 1 above them that the overdraft allows" in refusal.message


async def test_the_budget_is_spent_and_filled_again_in_healthy_time_only(ten: InProcess) -> None:
    await lay_down(ten.wire, overdraft(5, 4, 24))
    rome = await opened(ten.wire, "rome")
    count, (refusal, *_) = divided(await rome.acquire(*seats("port", 20)))
    assert count == 14, "four seat hours last an hour for four"
    assert "4.0 seat hours left, too few for one more seat beside the 4 that are overdrawn" in refusal.message
    ten.clock.advance(HOUR / 2)
    await rome.renew()
    assert (await ports(ten.wire)).overdraft.budget_left_seat_hours == 2.0
    await rome.give_back(*seats("port", 4))
    count, (refusal, *_) = divided(await rome.acquire(*seats("port", 4)))
    assert (count, refusal.overdraft.budget_left_seat_hours) == (2, 2.0)
    assert (await ports(ten.wire)).overdraft.seats == 2
    await rome.give_back(*seats("port", 2))
    ten.clock.advance(HOUR)
    await rome.renew()
    pool = await ports(ten.wire)
    assert (pool.used, pool.overdraft.budget_left_seat_hours) == (10, 3.0), "all are in use, none is overdrawn"
    assert divided(await rome.acquire(*seats("port", 9, "more")))[0] == 3


async def test_when_there_may_be_some_again_is_told_and_true(ten: InProcess) -> None:
    await lay_down(ten.wire, overdraft(5, 1, 12))
    rome = await opened(ten.wire, "rome")
    granted(await rome.acquire(*seats("port", 11)))
    ten.clock.advance(HOUR)
    await rome.renew()
    await rome.give_back(*seats("port", 1))
    (refusal,) = refused(await rome.acquire(seat("port", "late")))
    assert refusal.overdraft.budget_left_seat_hours == 0.0
    assert refusal.overdraft.allowed_time == refusal.overdraft.full_time
    assert refusal.overdraft.full_time.seconds == int(ten.clock.now + 2 * HOUR)
    (wait,) = [way for way in refusal.remedy.ways if way.steps[0].action == seat_pb2.REMEDY_ACTION_WAIT]
    assert wait.steps[0].until_time == refusal.overdraft.allowed_time
    ten.clock.advance(2 * HOUR)
    await rome.renew()
    granted(await rome.acquire(seat("port", "late")))


async def test_what_is_kept_for_others_is_not_made_up_for(ten: InProcess) -> None:
    await lay_down(ten.wire, Rule(name="keep", site="site-berlin", reserve={"port": 4}), overdraft(3, 30, 10))
    rome, berlin = await opened(ten.wire, "rome"), await opened(ten.wire, "berlin")
    count, (refusal, *_) = divided(await rome.acquire(*seats("port", 9)))
    assert (count, refusal.reason) == (6, seat_pb2.REFUSAL_REASON_RESERVED_FOR_OTHERS)
    granted(await berlin.acquire(*seats("port", 4)))
    assert divided(await rome.acquire(*seats("port", 9, "more")))[0] == 3


async def test_more_licenses_end_an_overdraft(ten: InProcess, database_url: str) -> None:
    await lay_down(ten.wire, overdraft(3, 30, 10))
    rome = await opened(ten.wire, "rome")
    granted(await rome.acquire(*seats("port", 13)))
    ten.clock.advance(HOUR)
    await ten.wire.apply(project({"PBX-Port12": 12}, pbxs=SITES))
    pool = await ports(ten.wire)
    assert (pool.capacity, pool.overdraft.seats, pool.overdraft.budget_left_seat_hours) == (12, 1, 27.0)
    await ten.wire.apply(project({"PBX-Port12": 20}, pbxs=SITES))
    assert (await ports(ten.wire)).overdraft.seats == 0
    assert await _told(ten) == [(0, 3), (3, 1), (1, 0)]
    assert await mismatches(database_url) == []


async def _told(ten: InProcess) -> list[tuple[int, int]]:
    """What the audit tells of seats above what is installed, until and from each event on, the oldest first."""
    events = [event for event in await all_events(ten.wire) if event.kind in ("pool.overdrawn", "pool.overdraft_ended")]
    details = [json.loads(event.details) for event in sorted(events, key=lambda event: event.id)]
    return [(detail["overdrawn_before"], detail["overdrawn"]) for detail in details]


async def test_the_audit_tells_each_change_of_what_is_overdrawn(ten: InProcess) -> None:
    await lay_down(ten.wire, overdraft(3, 30, 10))
    rome = await opened(ten.wire, "rome")
    granted(await rome.acquire(*seats("port", 10)))
    assert await _told(ten) == []
    granted(await rome.acquire(*seats("port", 2, "desk")))
    granted(await rome.acquire(*seats("port", 1, "hall")))
    await rome.give_back(*seats("port", 2, "desk"))
    await rome.renew()
    assert await _told(ten) == [(0, 2), (2, 3), (3, 1)]


async def test_licenses_that_are_bound_end_an_overdraft_too(ten: InProcess) -> None:
    await lay_down(ten.wire, overdraft(3, 30, 10))
    rome = await opened(ten.wire, "rome")
    granted(await rome.acquire(*seats("port", 12)))
    await imported(ten.wire, Vendor(), {"more": ("PBX-Port12", 5)}, now=ten.clock.now)
    await bind(ten.wire, "hq-box", "more")
    assert await _told(ten) == [(0, 2), (2, 0)]
