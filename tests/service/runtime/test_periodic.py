"""What a master does by itself begins at places of its own within the interval, not with the start."""

from __future__ import annotations

import asyncio

import asyncpg

from master.metrics import Metrics
from master.process.tasks import Tasks
from master.service.runtime.periodic import PeriodicCall, RareCall, places
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, in_process_master

_INTERVAL_SECONDS = 3600.0


async def test_the_first_run_comes_at_its_place_within_the_interval() -> None:
    tasks, names = Tasks(Metrics()), list[str]()
    ran = asyncio.Event()

    def task(name: str) -> PeriodicCall:
        async def run() -> None:
            names.append(name)
            ran.set()

        return PeriodicCall(name, run, interval_seconds=_INTERVAL_SECONDS)

    late, early = task("late"), task("early")
    late.start(tasks, place=0.5)
    early.start(tasks, place=1e-6)
    async with asyncio.timeout(HANG_SECONDS):
        await ran.wait()
    await early.stop()
    await late.stop()
    assert names == ["early"]


async def test_what_is_not_to_be_put_off_by_a_start_begins_with_it() -> None:
    tasks, ran = Tasks(Metrics()), asyncio.Event()

    async def run() -> None:
        ran.set()

    at_once = RareCall("hourly", run, interval_seconds=_INTERVAL_SECONDS)
    at_once.start(tasks, place=0.5)
    async with asyncio.timeout(HANG_SECONDS):
        await ran.wait()
    await at_once.stop()


def test_every_task_has_a_place_of_its_own_and_none_is_at_the_start() -> None:
    given = places(13)
    assert all(number / 14 <= place < (number + 1) / 14 for number, place in enumerate(given, start=1))
    assert given != places(13), "nor the same as at another master"


async def test_a_start_takes_one_of_the_databases_connections(postgresql_database_url: str) -> None:
    async with in_process_master(postgresql_database_url, Clock(), database_health_interval_seconds=3600):
        connection = await asyncpg.connect(postgresql_database_url)
        try:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert await connection.fetchval(query) == 1
        finally:
            await connection.close()
