"""PostgreSQL goes, freezes, or loses its replica, and comes back: masters say so, fail fast, and serve again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.rpc.failures import failure
from tests.slow.faults.databases.serving import NOT_SERVING, SERVING, answered, becomes
from tests.support.databases.cluster import nodes, url_of
from tests.support.databases.truth import all_events, mismatches, used
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, MasterProcess, Wire, in_process_master, upgraded, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, seat, seats
from tests.support.projects.estates import project

LOOKING = {"database_health_interval_seconds": 0.1}
SETTINGS = {**LOOKING, "database_timeout_seconds": 3.0}


@asynccontextmanager
async def _watched(master: InProcess, service: str = "") -> AsyncIterator[Any]:
    stub: Any = health_pb2_grpc.HealthStub(master.wire.channel)
    stream = stub.Watch(health_pb2.HealthCheckRequest(service=service))
    try:
        yield stream
    finally:
        stream.cancel()


def _said(logs: list[Any]) -> list[str]:
    """What was said of the database itself."""
    return [log["event"] for log in logs if "database" in log["event"]]


async def _applied(wire: Wire) -> None:
    await wire.apply(project({"PBX-Port12": 50}))


async def _pbx(master: InProcess) -> BarePbx:
    await answered(_applied, master.wire)
    return await answered(partial(opened, name="berlin"), master.wire)


async def _unavailable(master: InProcess, call: Any) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        failed = await failure(call)
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert failed.info == failed.reason
    assert failed.retry_after_ms > 0


async def test_health_follows_the_database(clock: Clock) -> None:
    async with nodes(1) as (server,):
        await server.make()
        url = await upgraded(url_of(server))
        with structlog.testing.capture_logs() as logs:
            async with in_process_master(url, clock, **LOOKING) as master:
                await master.wire.apply(project({"PBX-Port12": 50}))
                berlin = await opened(master.wire, "berlin")
                granted(await berlin.acquire(*seats("port", 5)))
                async with _watched(master) as whole, _watched(master, "licensemaster.v1.LeaseService") as first:
                    for stream in (whole, first):
                        await becomes(stream, SERVING)
                    server.kill()
                    for stream in (whole, first):
                        await becomes(stream, NOT_SERVING)
                    for _ in range(3):
                        await _unavailable(master, berlin.acquire(seat("port", "anna")))
                        await _unavailable(master, berlin.renew())
                    await server.start()
                    for stream in (whole, first):
                        await becomes(stream, SERVING)
                granted(await berlin.acquire(seat("port", "anna")))
                assert (await used(master.wire))["port"] == 6
        assert _said(logs) == [
            "the database does not answer; this master serves nobody until it does",
            "the database answers again",
        ]
        assert await mismatches(url) == []


async def test_a_master_that_is_started_meanwhile_waits() -> None:
    async with nodes(1) as (server,):
        await server.make()
        url = await upgraded(url_of(server))
        server.kill()
        process = MasterProcess(url)
        starting = asyncio.create_task(process.start())
        try:
            done, _ = await asyncio.wait((starting,), timeout=5)
            assert not done, "it neither serves nor gives up"
            await server.start()
            async with asyncio.timeout(HANG_SECONDS):
                await starting
            async with wire_to(process.address) as wire:
                await wire.apply(project({"PBX-Port12": 50}))
        finally:
            await process.kill()


async def test_a_server_that_says_nothing_is_taken_for_gone(clock: Clock) -> None:
    """It keeps its connections open: only waiting tells, and nobody waits for long."""
    async with nodes(1) as (server,):
        await server.make()
        url = await upgraded(url_of(server))
        async with in_process_master(url, clock, **SETTINGS) as master:
            berlin = await _pbx(master)
            await asyncio.gather(*(answered(used, master.wire) for _ in range(6)))  # fills the pool of connections
            async with _watched(master) as health:
                await becomes(health, SERVING)
                server.freeze()
                await asyncio.gather(
                    *(_unavailable(master, berlin.acquire(seat("port", f"phone-{n}"))) for n in range(20)),
                    *(_unavailable(master, used(master.wire)) for _ in range(10)),
                )
                await becomes(health, NOT_SERVING)
                server.thaw()
                await becomes(health, SERVING)
            granted(await answered(lambda _: berlin.acquire(*seats("port", 20)), master.wire))
            assert (await answered(used, master.wire))["port"] == 20
        assert await mismatches(url) == []


async def test_commits_wait_for_the_replica_and_are_never_answered_without_it(clock: Clock) -> None:
    """Its replica gone, a server still reads: only commits tell. Not even a retry is answered before it is back."""
    async with nodes(2) as (primary, replica):
        await primary.make()
        url = await upgraded(url_of(primary))
        await replica.make_replica_of(primary, name="replica")
        await primary.wait_for_replica("replica")
        async with in_process_master(url, clock, **SETTINGS) as master:
            berlin = await _pbx(master)
            async with _watched(master) as health:
                await becomes(health, SERVING)
                replica.kill()
                for _ in range(3):
                    await _unavailable(master, berlin.acquire(seat("port", "anna")))
                await becomes(health, NOT_SERVING)
                assert (await answered(used, master.wire))["port"] == 0, "questions are answered all the while"
                await replica.start()
                await becomes(health, SERVING)
            granted(await answered(lambda _: berlin.acquire(seat("port", "anna")), master.wire))
            assert (await answered(used, master.wire))["port"] == 1
            assert len(await answered(partial(all_events, kind="seats.acquired"), master.wire)) == 1
        assert await mismatches(url) == []


@pytest.mark.parametrize("given_up", [True, False])
async def test_a_commit_that_nobody_waits_for_is_not_broken_off(clock: Clock, given_up: bool) -> None:
    """Breaking off a commit that waits for the replica would let others see what the replica has not got."""
    async with nodes(2) as (primary, replica):
        await primary.make()
        url = await upgraded(url_of(primary))
        await replica.make_replica_of(primary, name="replica")
        await primary.wait_for_replica("replica")
        async with in_process_master(url, clock, **SETTINGS) as master:
            replica.kill()
            call = asyncio.ensure_future(_applied(master.wire))
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            async with asyncio.timeout(HANG_SECONDS):
                while not await primary.fetch(waiting):
                    if call.done():  # on a busy machine it may be given up before it gets there
                        call = asyncio.ensure_future(_applied(master.wire))
                    await asyncio.sleep(0.01)
            if given_up:
                call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert await primary.fetch("SELECT count(*) FROM project") == 0
            await replica.start()
            async with asyncio.timeout(HANG_SECONDS):
                while True:
                    if await primary.fetch("SELECT count(*) FROM project") == 1:
                        break
                    await asyncio.sleep(0.05)
