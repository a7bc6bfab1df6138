"""A disk that hangs answers nothing and fails nothing: health says so all the same, and again when it goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.slow.faults.databases.serving import NOT_SERVING, SERVING, becomes
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, in_process_master
from tests.support.pbxs.pbx import granted, opened, seat
from tests.support.projects.estates import project

SETTINGS = {"database_timeout_seconds": 0.1, "database_health_interval_seconds": 0.1}


async def test_health_follows_a_writer_that_hangs(sqlite_database_url: str, clock: Clock) -> None:
    async with in_process_master(sqlite_database_url, clock, **SETTINGS) as master, asyncio.timeout(HANG_SECONDS):
        await master.wire.apply(project({"PBX-Port12": 50}))
        berlin = await opened(master.wire, "berlin")
        stub: Any = health_pb2_grpc.HealthStub(master.wire.channel)
        health = stub.Watch(health_pb2.HealthCheckRequest())
        await becomes(health, SERVING)
        goes_on = threading.Event()
        hanging = asyncio.create_task(master.running.database.transact(lambda _: goes_on.wait(HANG_SECONDS)))
        call = asyncio.ensure_future(berlin.acquire(seat("port", "anna")))  # its commit waits, as everybody's does
        try:
            await becomes(health, NOT_SERVING)
            assert not call.done()
        finally:
            goes_on.set()
        await becomes(health, SERVING)
        granted(await call)
        await hanging
        health.cancel()
