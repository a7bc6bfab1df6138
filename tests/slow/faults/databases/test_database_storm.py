"""Masters that lost their database do not storm it: its backends are counted through the outage."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc
import psutil

from master.store.backends.database import Database, StorageError, StorageProblem, Tx
from master.store.backends.opening import open_database
from tests.support.databases.cluster import Node, nodes, url_of
from tests.support.databases.truth import used
from tests.support.hang import HANG_SECONDS
from tests.support.masters import Clock, InProcess, in_process_master, upgraded
from tests.support.network.lines import FAIR, Way, Weather, line_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, seat
from tests.support.projects.estates import project

MASTERS, OUTAGE_SECONDS, CONNECT_SECONDS = 2, 9.0, 3.0
BUSY = {
    "database_timeout_seconds": 2.0,
    "database_health_interval_seconds": 0.1,
    "expiry_interval_seconds": 0.05,
    "release_interval_seconds": 0.05,
    "watch_interval_seconds": 0.05,
    "usage_interval_seconds": 0.05,
    "webhook_interval_seconds": 0.05,
}


def _backends(server: Node) -> int:
    """What PostgreSQL has forked, whether it has let it in or not."""
    return len(psutil.Process(server.pid).children())


async def _ask(master: InProcess, pbx: BarePbx) -> None:
    """As many callers do, and take no for an answer."""
    while True:
        calls = [*(pbx.acquire(seat("port", f"phone-{n}")) for n in range(4)), *(used(master.wire) for _ in range(8))]
        for told in await asyncio.gather(*calls, return_exceptions=True):
            assert not isinstance(told, BaseException) or isinstance(told, grpc.aio.AioRpcError), told
        await asyncio.sleep(0.01)


async def test_while_the_line_is_silent_few_new_connections_are_made(clock: Clock) -> None:
    async with AsyncExitStack() as stack:
        (server,) = await stack.enter_async_context(nodes(1))
        await server.make()
        url = await upgraded(url_of(server))
        line = await stack.enter_async_context(line_to(f"127.0.0.1:{server.port}", seed=1))
        past_it = url.replace(f":{server.port}", f":{line.address.rpartition(':')[2]}")
        masters = [await stack.enter_async_context(in_process_master(past_it, clock, **BUSY)) for _ in range(MASTERS)]
        await masters[0].wire.apply(project({"PBX-Port12": 50}))
        pbxs = [await opened(one.wire, name) for one, name in zip(masters, ("berlin", "hq"), strict=True)]
        asking = [asyncio.create_task(_ask(*pair)) for pair in zip(masters, pbxs, strict=True)]
        await asyncio.sleep(1)
        before = most = _backends(server)
        line.weather = Weather(silent=Way.BOTH)
        loop = asyncio.get_running_loop()
        end = loop.time() + OUTAGE_SECONDS
        while loop.time() < end:
            most = max(most, _backends(server))
            await asyncio.sleep(0.02)
        line.weather = FAIR
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        async with asyncio.timeout(HANG_SECONDS):
            await asyncio.gather(*(_until_granted(pbx) for pbx in pbxs))
        attempts_max = OUTAGE_SECONDS / CONNECT_SECONDS + 2  # one at a time, each of which waits its three seconds
        assert most - before <= MASTERS * attempts_max, f"{before} backends before, {most} in the outage"


async def _until_granted(pbx: BarePbx) -> None:
    while True:
        try:
            granted(await pbx.acquire(seat("port", "anna")))
            return
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)


async def test_when_all_connections_are_in_use_the_database_is_not_away(clock: Clock) -> None:
    def slow(tx: Tx) -> None:
        for _ in range(9):
            tx.rows("SELECT pg_sleep(0.6)")  # each is an answer in time, all of them are longer than anybody waits

    async with nodes(1) as (server,):
        await server.make()
        url = await upgraded(url_of(server))
        async with in_process_master(
            url, clock, database_timeout_seconds=1.0, database_health_interval_seconds=0.1
        ) as master:
            database = master.running.database
            reading = [asyncio.create_task(database.read(slow)) for _ in range(24)]
            told = await asyncio.gather(*reading, return_exceptions=True)
            problems = {one.problem for one in told if isinstance(one, StorageError)}
            assert problems == {StorageProblem.STORAGE_BUSY}
            assert sum(one is None for one in told) == 8
            assert master.running.database_health.there.is_set()
            await master.wire.apply(project({"PBX-Port12": 50}))


async def test_a_commit_that_hangs_is_tried_by_one_while_others_are_told_at_once(clock: Clock) -> None:
    """Its replica gone, the server keeps each hanging commit's backend: not one for each call."""
    async with nodes(2) as (primary, replica):
        await primary.make()
        url = await upgraded(url_of(primary))
        await replica.make_replica_of(primary, name="replica")
        await primary.wait_for_replica("replica")
        database = open_database(url, timeout_seconds=0.5)
        try:
            replica.kill()
            hanging = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            for _ in range(3):
                told = await asyncio.gather(*(_commit(database) for _ in range(20)), return_exceptions=True)
                assert all(isinstance(one, StorageError) for one in told)
            await asyncio.sleep(3)  # longer than a transaction may take
            found = await primary.fetch(hanging)
            assert isinstance(found, int)
            assert 1 <= found <= 8 + 3 * 2, "what hangs is neither one for each call, nor broken off"
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
