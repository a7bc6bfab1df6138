"""Masters that lost their database do not storm it: new connections are counted through the outage."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import grpc

from master.store.backends.database import Database, StorageError, StorageProblem, Tx
from master.store.backends.opening import open_database
from tests.slow.faults.databases.serving import answered
from tests.support.databases.cluster import nodes, url_of
from tests.support.databases.truth import used
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, Wire, in_process_master, upgraded
from tests.support.network.lines import FAIR, Way, Weather, line_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, seat
from tests.support.projects.estates import project

OUTAGE_SECONDS, CONNECT_SECONDS = 12.0, 3.0
PBXS = ("berlin", "hq")
"""One at each master."""
BUSY = {
    "database_timeout_seconds": 5.0,
    "database_health_interval_seconds": 0.1,
    "expiry_interval_seconds": 0.2,
    "release_interval_seconds": 0.2,
    "watch_interval_seconds": 0.2,
    "usage_interval_seconds": 0.2,
    "webhook_interval_seconds": 0.2,
}


async def _ask(master: InProcess, pbx: BarePbx) -> None:
    """As many callers do, and take no for an answer."""
    while True:
        calls = [*(pbx.acquire(seat("port", f"phone-{n}")) for n in range(4)), *(used(master.wire) for _ in range(8))]
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert not isinstance(answer, BaseException) or isinstance(answer, grpc.aio.AioRpcError), answer
        await asyncio.sleep(0.05)


async def _anna_is_granted(pbx: BarePbx, _: Wire) -> None:
    granted(await pbx.acquire(seat("port", "anna")))


async def test_while_the_line_is_silent_few_new_connections_are_made(clock: Clock) -> None:
    async with AsyncExitStack() as stack:
        (server,) = await stack.enter_async_context(nodes(1))
        await server.make()
        url = await upgraded(url_of(server))
        line = await stack.enter_async_context(line_to(f"127.0.0.1:{server.port}", seed=1))
        past_it = url.replace(f":{server.port}", f":{line.address.rpartition(':')[2]}")
        async with in_process_master(url, clock) as master:
            await master.wire.apply(project({"PBX-Port12": 50}))
        masters = [await stack.enter_async_context(in_process_master(past_it, clock, **BUSY)) for _ in PBXS]
        pairs = [
            (master, await answered(partial(opened, name=name), master.wire))
            for master, name in zip(masters, PBXS, strict=True)
        ]
        asking = [asyncio.create_task(_ask(master, pbx)) for master, pbx in pairs]
        await asyncio.sleep(1)
        before = line.happened["connections"]
        line.weather = Weather(silent=Way.BOTH)
        await asyncio.sleep(OUTAGE_SECONDS)
        made = line.happened["connections"] - before
        line.weather = FAIR
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for master, pbx in pairs:
            await answered(partial(_anna_is_granted, pbx), master.wire)
        attempts_max = OUTAGE_SECONDS / CONNECT_SECONDS + 2  # one at a time, each of which waits its three seconds
        assert len(PBXS) <= made <= len(PBXS) * attempts_max, "each of them keeps a backend of the server"


async def test_when_all_connections_are_in_use_the_database_is_not_away(clock: Clock) -> None:
    def slow(tx: Tx) -> None:
        for _ in range(13):
            tx.rows("SELECT pg_sleep(1)")  # each is an answer in time, all of them are longer than anybody waits

    async with nodes(1) as (server,):
        await server.make()
        url = await upgraded(url_of(server))
        async with in_process_master(
            url, clock, database_timeout_seconds=8.0, database_health_interval_seconds=0.1
        ) as master:
            database = master.running.database
            reading = [asyncio.create_task(database.read(slow)) for _ in range(24)]
            results = await asyncio.gather(*reading, return_exceptions=True)
            problems = {result.problem for result in results if isinstance(result, StorageError)}
            assert problems == {StorageProblem.STORAGE_BUSY}
            assert sum(result is None for result in results) == 8
            assert master.running.database_health.there.is_set()
            await master.wire.apply(project({"PBX-Port12": 50}))


async def test_a_commit_that_hangs_is_tried_by_one_while_others_are_told_at_once(clock: Clock) -> None:
    """Its replica gone, the server keeps each hanging commit's backend: not one for each call."""
    async with nodes(2) as (primary, replica):
        await primary.make()
        url = await upgraded(url_of(primary))
        await replica.make_replica_of(primary, name="replica")
        await primary.wait_for_replica("replica")
        database = open_database(url, timeout_seconds=2.0)
        try:
            replica.kill()
            hanging = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            for _ in range(3):
                answer = await asyncio.gather(*(_commit(database) for _ in range(20)), return_exceptions=True)
                assert all(isinstance(each, StorageError) for each in answer)
            await asyncio.sleep(5)  # longer than a transaction may take
            actual = await primary.fetch(hanging)
            assert isinstance(actual, int)
            assert 1 <= actual <= 8 + 3 * 2, "what hangs is neither one for each call, nor broken off"
            await replica.start()
            async with asyncio.timeout(HANG_SECONDS):
                while True:
                    try:
                        await _commit(database)
                        break
                    except StorageError:
                        await asyncio.sleep(0.05)
        finally:
            await database.close()


async def _commit(database: Database) -> None:
    await database.transact(lambda tx: tx.rows("SELECT pg_logical_emit_message(true, 'a', 'b')"))
