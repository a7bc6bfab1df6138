"""A PostgreSQL server that was set back lacks what masters committed: they find out before they do anything there."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import grpc
import pytest

from licensemaster.daemon.settings import load
from master.app import mark_restored
from master.settings import Settings
from master.store.backends.database import Database, StorageError
from tests.rpc.failures import Seen, seen
from tests.support.databases.cluster import Node, nodes, url_of
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, in_process_master, two_masters, upgraded
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project
from tests.support.waiting import until

LACKS = "it lacks what was committed at "
BOTH = project({"PBX-Port12": 9}, pbxs={"berlin": "slave 12 gateway", "rome": "slave 12 gateway"})


@asynccontextmanager
async def _set_back(server: Node) -> AsyncIterator[None]:
    """After the block its folder is what it was before, as from a snapshot of its disk."""
    kept = server.folder.with_name("kept")
    server.kill()
    await asyncio.to_thread(lambda: subprocess.run(["cp", "-a", server.folder, kept], check=True))
    await server.start()
    yield
    server.kill()
    await asyncio.to_thread(shutil.rmtree, server.folder)
    kept.rename(server.folder)
    await server.start()


async def _refusal(pbx: BarePbx, holder: str, *passing: str) -> Seen | None:
    """What a seat is refused with by its master, but for what passes; None where it is granted."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            try:
                granted(await pbx.acquire(*seats("port", 1, holder)))
            except grpc.aio.AioRpcError as error:
                if (failed := seen(error)).reason not in passing:
                    return failed
                await asyncio.sleep(0.02)
            else:
                return None


async def _looked(master: InProcess) -> bool:
    """Whether it could look at its database, as it does every two seconds."""
    with suppress(StorageError):
        await master.running.database.verify()
        return True
    return False


async def _error(database: Database) -> str:
    """What is said to whoever asks it."""
    with pytest.raises(StorageError) as failed:
        await database.read(lambda tx: None)
    return str(failed.value)


async def test_masters_serve_nobody_where_what_they_committed_is_gone_until_they_are_told(clock: Clock) -> None:
    async with nodes(1) as (server,):
        await server.make()
        url = await upgraded(url_of(server))
        async with two_masters(url, clock) as masters:
            await masters[0].wire.apply(BOTH)
            names = ("berlin", "rome")
            pbxs = [await opened(master.wire, name) for master, name in zip(masters, names, strict=True)]
            async with _set_back(server):
                assert await _refusal(pbxs[0], "lost", "STORAGE_UNAVAILABLE") is None
                await until(partial(_looked, masters[1]))
            for pbx in pbxs:
                failed = await _refusal(pbx, "more", "STORAGE_UNAVAILABLE")
                assert failed is not None
                assert failed.reason == "STORAGE_REPLACED"
            clock.advance(1)
            told = await mark_restored(
                load(Settings, None, database_url=url, plaintext=True), caller="test", clock=clock
            )
            assert [*told] == ["acme"]
            for pbx in pbxs:
                failed = await _refusal(pbx, "more", "STORAGE_UNAVAILABLE", "STORAGE_REPLACED")
                assert failed is not None
                assert failed.reason == "LEASE_UNPROVEN", "it learns, and nobody started it anew"


async def test_a_server_that_has_everything_is_gone_on_with(clock: Clock) -> None:
    async with nodes(1) as (server,):
        await server.make()
        url = await upgraded(url_of(server))
        async with in_process_master(url, clock) as master:
            await master.wire.apply(BOTH)
            berlin = await opened(master.wire, "berlin")
            server.kill()
            await server.start()
            assert await _refusal(berlin, "more", "STORAGE_UNAVAILABLE") is None


async def test_a_replica_that_is_behind_is_waited_for(clock: Clock) -> None:
    async with nodes(2) as (primary, replica):
        await primary.make()
        url = await upgraded(url_of(primary, replica)) + "?target_session_attrs=any"
        await replica.make_replica_of(primary, name="replica")
        await primary.wait_for_replica("replica")
        async with in_process_master(url, clock) as master:
            await master.wire.apply(BOTH)
            berlin = await opened(master.wire, "berlin")
            await replica.execute("SELECT pg_wal_replay_pause()")
            granted(await berlin.acquire(*seats("port", 1)))
            primary.kill()
            async with asyncio.timeout(HANG_SECONDS):
                while LACKS not in (error := await _error(master.running.database)):
                    assert "does not answer" in error
                    await asyncio.sleep(0.02)
            assert "a replica that is behind answers" in error
            await replica.execute("SELECT pg_wal_replay_resume()")
            await replica.promote()
            assert await _refusal(berlin, "more", "STORAGE_UNAVAILABLE") is None


async def test_a_replica_that_was_promoted_without_it_is_told_of_while_the_other_server_is_silent(clock: Clock) -> None:
    async with nodes(2) as (primary, replica):
        await primary.make()
        url = await upgraded(url_of(primary, replica))
        await replica.make_replica_of(primary, name="replica")
        replica.kill()
        async with in_process_master(url, clock) as master:
            await master.wire.apply(BOTH)
            berlin = await opened(master.wire, "berlin")
            primary.kill()
            await replica.start()
            await replica.promote()
            failed = await _refusal(berlin, "more", "STORAGE_UNAVAILABLE")
            assert failed is not None
            assert failed.reason == "STORAGE_REPLACED"
