"""A disk that hangs answers nothing and fails nothing: health says so all the same, and again when it goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.hang import HANG_SECONDS
from tests.support.masters import Clock, in_process_master
from tests.support.pbxs.pbx import granted, opened, seat
from tests.support.projects.estates import project

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SETTINGS = {"database_timeout_seconds": 0.1, "database_health_interval_seconds": 0.1}


async def test_health_follows_a_writer_that_hangs(sqlite_database_url: str, clock: Clock) -> None:
    async with in_process_master(sqlite_database_url, clock, **SETTINGS) as master, asyncio.timeout(HANG_SECONDS):
        await master.wire.apply(project({"PBX-Port12": 50}))
        berlin = await opened(master.wire, "berlin")
        stub: Any = health_pb2_grpc.HealthStub(master.wire.channel)
        health = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await health.read()).status == SERVING
        goes_on = threading.Event()
        hanging = asyncio.create_task(master.running.database.transact(lambda _: goes_on.wait(60)))
        call = asyncio.ensure_future(berlin.acquire(seat("port", "anna")))  # its commit waits, as everybody's does
        try:
            assert (await health.read()).status == NOT_SERVING
            assert not call.done()
        finally:
            goes_on.set()
        assert (await health.read()).status == SERVING
        granted(await call)
        await hanging
        health.cancel()
