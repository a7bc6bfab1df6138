"""First claim: what a PBX held when its lease ran out is kept for it for a while, and for nobody else."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from licensemaster.v1 import lease_pb2, seat_pb2
from tests.support.databases.truth import all_events, mismatches, used
from tests.support.masters import Clock, InProcess, two_masters
from tests.support.pbxs.pbx import BarePbx, divided, granted, opened, refused, seat, seats
from tests.support.projects.allocations import Policy, Rule, lay_down
from tests.support.projects.estates import project

TTL, GRACE, KEPT = 60, 600, 1800
KEEP = Policy(license_type="port", first_claim_seconds=KEPT)


@pytest.fixture
async def ten(master: InProcess) -> InProcess:
    """A pool of ten ports; what a PBX loses with its lease is kept for half an hour."""
    estate = project({"PBX-Port12": 10, "PBX-Operator12": 5}, ttl_seconds=TTL, grace_seconds=GRACE)
    await master.wire.apply(estate)
    await lay_down(master.wire, KEEP)
    return master


async def _lapsed(ten: InProcess, count: int = 6) -> BarePbx:
    """Berlin held some ports, and its lease has run out."""
    berlin = await opened(ten.wire, "berlin")
    granted(await berlin.acquire(*seats("port", count)))
    await _expire(ten)
    return berlin


async def _expire(ten: InProcess) -> None:
    ten.clock.advance(TTL + GRACE + 60)
    await ten.running.expiry.run_once()


async def test_what_was_held_is_acquired_again_without_a_free_license(ten: InProcess, either_database_url: str) -> None:
    berlin = await _lapsed(ten)
    hq = await opened(ten.wire, "hq")
    count, (refusal, *_) = divided(await hq.acquire(*seats("port", 10)))
    assert (count, refusal.reason) == (4, seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED)
    (event,) = await all_events(ten.wire, "lease.expired")
    assert json.loads(event.details)["first_claim"] == {"port": 6}
    await berlin.open()
    assert divided(await berlin.acquire(*seats("port", 8, "desk")))[0] == 6, "six, whoever uses them, and no more"
    assert (await used(ten.wire))["port"] == 10
    assert await mismatches(either_database_url) == []


async def test_it_ends_in_time(ten: InProcess, either_database_url: str) -> None:
    await _lapsed(ten)
    ten.clock.advance(KEPT + 60)
    hq = await opened(ten.wire, "hq")
    assert divided(await hq.acquire(*seats("port", 10)))[0] == 4, "nobody has looked yet"
    await ten.running.expiry.run_once()
    granted(await hq.acquire(*seats("port", 6, "more")))
    assert await mismatches(either_database_url) == []


async def test_nothing_is_kept_of_what_was_given_up_on_purpose(ten: InProcess) -> None:
    berlin = await _lapsed(ten)
    await berlin.open()
    granted(await berlin.acquire(*seats("port", 2)))
    await berlin.close()
    hq = await opened(ten.wire, "hq")
    granted(await hq.acquire(*seats("port", 10)))


async def test_an_operator_ends_it_at_once_and_nothing_is_at_risk(ten: InProcess) -> None:
    berlin = await _lapsed(ten)
    request = lease_pb2.EndLeaseRequest(pbx=berlin.name, reason="closed for good", request_id=str(uuid4()))
    ended = await ten.wire.leases.EndLease(request)
    assert (ended.seats_returned, ended.seats_at_risk, ended.HasField("risk_end_time")) == (0, 0, False)
    hq = await opened(ten.wire, "hq")
    granted(await hq.acquire(*seats("port", 10)))


async def test_only_types_with_the_policy_keep_anything(ten: InProcess) -> None:
    berlin = await opened(ten.wire, "berlin")
    operators = [seat("operator", f"op-{number}", app="12", kind=seat_pb2.HOLDER_KIND_LOGIN) for number in range(5)]
    granted(await berlin.acquire(*operators))
    await _expire(ten)
    hq = await opened(ten.wire, "hq")
    granted(await hq.acquire(*operators))


async def test_what_is_kept_counts_for_a_maximum_and_is_no_way_beyond_it(ten: InProcess) -> None:
    berlin = await _lapsed(ten)
    await lay_down(ten.wire, KEEP, Rule(name="less", site="site-berlin", maximum={"port": 3}))
    await berlin.open()
    count, (refusal, *_) = divided(await berlin.acquire(*seats("port", 8)))
    assert (count, refusal.reason) == (6, seat_pb2.REFUSAL_REASON_MAXIMUM_REACHED)


async def test_seats_are_taken_back_in_steps_and_kept_as_a_whole(postgresql_database_url: str, clock: Clock) -> None:
    """Nothing is kept twice, nor half, whichever master does which step."""
    async with two_masters(postgresql_database_url, clock, expiry_holders_max=2) as (first, second):
        await first.wire.apply(project({"PBX-Port12": 10}, ttl_seconds=TTL, grace_seconds=GRACE))
        await lay_down(first.wire, KEEP)
        berlin = await _lapsed(first)
        await second.running.expiry.run_once()
        hq = await opened(second.wire, "hq")
        assert divided(await hq.acquire(*seats("port", 10)))[0] == 4
        await berlin.open()
        granted(await berlin.acquire(*seats("port", 6)))
        assert refused(await berlin.acquire(seat("port", "more")))
    assert await mismatches(postgresql_database_url) == []
