"""Answers that never arrive, calls that are given up, and two masters that find the same thing to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from licensemaster.v1 import lease_pb2, project_pb2, status_pb2
from tests.support.databases.truth import all_events, held_by_pbx, mismatches, reason_of, used
from tests.support.masters import PROJECT, Clock, InProcess, two_masters
from tests.support.pbxs.pbx import granted, opened, seat, seats
from tests.support.projects.estates import project

PAUSES = 12


async def _give_up_on(call: grpc.aio.UnaryUnaryCall[Any, Any], *, pauses: int) -> None:
    """Cancel a call after some turns of the loop: before it is sent, under way, or when it is answered."""
    await asyncio.sleep(0)
    for _ in range(pauses):
        await asyncio.sleep(0.0005)
    call.cancel()
    await asyncio.gather(_result(call), return_exceptions=True)


async def _result(call: Awaitable[object]) -> object:
    return await call


async def test_a_retry_after_a_lost_answer_grants_once(any_master: InProcess, database_url: str) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 100}))
    berlin = await opened(any_master.wire, "berlin")
    for number in range(PAUSES):
        request = lease_pb2.AcquireSeatsRequest(
            pbx=berlin.name, epoch=berlin.epoch, seats=seats("port", 3, prefix=f"phone-{number}")
        )
        await _give_up_on(any_master.wire.leases.AcquireSeats(request), pauses=number)
        granted(await berlin.acquire(*request.seats))
        assert (await used(any_master.wire))["port"] == 3 * (number + 1)
    acquired = [
        holder
        for event in await all_events(any_master.wire, "seats.acquired")
        for holder in json.loads(event.details)["port"]
    ]
    assert len(acquired) == len(set(acquired)) == 3 * PAUSES
    assert await mismatches(database_url) == []


async def test_a_lost_answer_to_open_lease_opens_once(any_master: InProcess) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(any_master.wire, "berlin")
    for number in range(PAUSES):
        request = lease_pb2.OpenLeaseRequest(
            pbx=berlin.name, instance_id=berlin.instance_id, request_id=f"opening-{number}", software_version="12"
        )
        await _give_up_on(any_master.wire.leases.OpenLease(request), pauses=number)
        answers = [(await any_master.wire.leases.OpenLease(request)).lease.epoch for _ in range(2)]
        assert answers == [number + 2] * 2
    assert len(await all_events(any_master.wire, "lease.opened")) == PAUSES + 1


async def test_a_lost_answer_to_a_return_or_a_close_returns_once(any_master: InProcess, database_url: str) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 5}))
    berlin = await opened(any_master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 5)))
    back = lease_pb2.ReturnSeatsRequest(pbx=berlin.name, epoch=berlin.epoch, seats=[seat("port", "phone-0")])
    await any_master.wire.leases.ReturnSeats(back)
    assert [result.returned for result in (await any_master.wire.leases.ReturnSeats(back)).results] == [False]
    assert (await used(any_master.wire))["port"] == 4
    assert (await berlin.close()).seats_returned == 4
    assert (await berlin.close()).seats_returned == 0
    assert len(await all_events(any_master.wire, "lease.closed")) == 1
    assert await mismatches(database_url) == []


async def test_a_repeated_apply_is_answered_alike(any_master: InProcess) -> None:
    first = project_pb2.ApplyProjectRequest(project=project({"PBX-Port12": 5}), request_id="apply-1")
    second = project_pb2.ApplyProjectRequest(project=project({"PBX-Port12": 9}), request_id="apply-2")
    answer = await any_master.wire.projects.ApplyProject(first)
    await any_master.wire.projects.ApplyProject(second)
    assert await any_master.wire.projects.ApplyProject(first) == answer
    assert (await used(any_master.wire)) == {"port": 0}
    status = await any_master.wire.status.GetStatus(status_pb2.GetStatusRequest(project=f"projects/{PROJECT}"))
    assert status.revision == 2
    assert status.pools[0].capacity == 9


async def test_calls_given_up_leave_no_transaction_behind(any_master: InProcess, database_url: str) -> None:
    """A question that is given up half way must not leave a connection that can only read."""
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 400}))
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 200)))
    name = f"projects/{PROJECT}"
    questions: list[Callable[[], grpc.aio.UnaryUnaryCall[Any, Any]]] = [
        lambda: wire.status.ListSeats(status_pb2.ListSeatsRequest(project=name, page_size=1000)),
        lambda: wire.status.GetStatus(status_pb2.GetStatusRequest(project=name)),
        lambda: wire.status.ListEvents(status_pb2.ListEventsRequest(project=name)),
    ]
    for number in range(30):
        given_up = [_give_up_on(ask(), pauses=number % 6) for ask in questions for _ in range(3)]
        wanted = seat("port", f"other-{number}")
        giving_up = asyncio.gather(*given_up)
        results = await berlin.acquire(wanted)
        await giving_up
        assert [grant.already_held for grant in granted(results)] == [False]
    assert (await used(wire))["port"] == 230
    assert await mismatches(database_url) == []


async def test_two_masters_expire_the_same_lease_once(postgresql_database_url: str, clock: Clock) -> None:
    async with two_masters(postgresql_database_url, clock, expiry_holders_max=7) as (first, other):
        await first.wire.apply(project({"PBX-Port12": 100}, ttl_seconds=60, grace_seconds=60))
        berlin = await opened(first.wire, "berlin")
        granted(await berlin.acquire(*seats("port", 50)))
        clock.advance(60 + 60 + 5 + 1)
        returned = await asyncio.gather(
            *(master.running.expiry.run_once() for master in (first, other) for _ in range(2))
        )
        assert sum(returned) == 50
        assert (await used(other.wire))["port"] == 0
        assert await held_by_pbx(other.wire) == {}
        assert len(await all_events(other.wire, "lease.expired")) == 1
        taken = [json.loads(event.details)["seats"] for event in await all_events(first.wire, "seats.reclaimed")]
        assert sum(taken) == 50
        assert await mismatches(postgresql_database_url) == []
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await berlin.acquire(seat("port", "late"))
        assert reason_of(failed.value) == "LEASE_EXPIRED"
