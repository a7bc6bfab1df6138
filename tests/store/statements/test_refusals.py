"""A database that says no is told from one that says nothing, and a pooler from a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Sequence
from pathlib import Path

import asyncpg
import grpc
import pytest

from licensemaster.daemon.settings import load
from master.app import serve
from master.settings import Settings
from master.store.backends.database import Database, StorageError, StorageProblem, Tx
from master.store.backends.opening import open_database
from master.store.upkeep import schema
from tests.support.databases.cluster import Node, nodes, url_of
from tests.support.databases.pgbouncer import pgbouncer
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, in_process_master, two_masters, upgraded
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project

REFUSED, SILENT = StorageProblem.STORAGE_REFUSED, StorageProblem.STORAGE_UNAVAILABLE


async def _end(url: str) -> StorageError:
    """What `serve` ends with."""
    settings = load(Settings, None, database_url=url, listen="127.0.0.1:0", metrics_listen="", plaintext=True)
    async with asyncio.timeout(HANG_SECONDS):
        with pytest.raises(StorageError) as failed:
            await serve(settings)
    return failed.value


def _url(server: Node, *, user: str = "postgres", database: str = "postgres") -> str:
    return f"postgresql://{user}@127.0.0.1:{server.port}/{database}"


async def test_a_server_that_says_no_ends_the_start_with_its_reason() -> None:
    async with nodes(1) as (server,):
        await server.make()
        await upgraded(url_of(server))
        await server.execute(
            "CREATE ROLE locked LOGIN PASSWORD 'right'",
            "CREATE ROLE barred LOGIN",
            "CREATE ROLE poor LOGIN",
            "CREATE ROLE reader LOGIN",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
            "CREATE ROLE crowd LOGIN CONNECTION LIMIT 0",
            "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        _admit(server, "host all locked 127.0.0.1/32 scram-sha-256", "host all barred 127.0.0.1/32 reject")
        await server.execute("SELECT pg_reload_conf()")
        for url, words, remedy in (
            (_url(server, user="locked:wrong"), "password authentication failed", "correct the user or the password"),
            (
                _url(server, user="locked") + "?passfile=/absent",
                "password",
                "passfile names /absent, which is not there",
            ),
            (_url(server, user="barred"), "pg_hba.conf rejects", "correct the user or the password"),
            (_url(server, user="nobody"), 'role "nobody" does not exist', "correct the user or the password"),
            (_url(server, database="nowhere"), 'database "nowhere" does not exist', "createdb --encoding=UTF8"),
            (_url(server, database="latin"), "its encoding is LATIN1, not UTF8", "createdb --encoding=UTF8"),
            (_url(server, user="poor"), "permission denied", "must own the tables"),
            (_url(server, user="reader"), "permission denied", "must own the tables"),
        ):
            error = await _end(url)
            assert error.problem is REFUSED, error
            assert words in str(error), error
            assert remedy in str(error), error
            assert "wrong" not in str(error)
        for url in (_url(server, database="latin"), _url(server, database="nowhere")):
            with pytest.raises(StorageError) as failed:
                await asyncio.to_thread(schema.upgrade, url, schema.IfAbsent.CREATE)
            assert failed.value.problem is REFUSED

        crowded = open_database(_url(server, user="crowd"))
        with pytest.raises(StorageError, match="too many connections") as failed:
            await crowded.read(lambda tx: None)
        assert failed.value.problem is SILENT, "it passes"
        await crowded.close()

        await server.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        remedy = "name the server that takes writes, or have this one do so: end its recovery, or set default_transact"
        assert remedy in str(await _end(url_of(server)))


def _admit(server: Node, *lines: str) -> None:
    """These lines come before all others of pg_hba.conf."""
    file: Path = server.folder / "pg_hba.conf"
    file.write_text("\n".join((*lines, file.read_text())))


async def test_another_database_is_not_gone_on_with() -> None:
    """The address now leads to another one: a failover, a restore, a balancer gone wrong."""
    async with nodes(1) as (server,):
        await server.make()
        url = await upgraded(url_of(server))
        database = open_database(url)
        try:
            await database.read(lambda tx: None)
            for change, other in (
                ("UPDATE database_identity SET id = 'another'", "another database answers (another/"),
                ("DROP TABLE database_identity", "another database answers (an empty one)"),
            ):
                await server.execute(change)
                await _cut(server)
                with pytest.raises(StorageError) as failed:
                    await _once_connected(database)
                assert failed.value.problem is StorageProblem.STORAGE_REPLACED
                assert other in str(failed.value)
        finally:
            await database.close()


async def test_tables_that_were_restored_under_a_master_are_not_gone_on_with(postgresql_database_url: str) -> None:
    """What `pg_restore --clean` does while its connections go on: the same names, other tables."""
    async with in_process_master(postgresql_database_url, Clock(), database_health_interval_seconds=0.05) as master:
        await master.wire.apply(project({"PBX-Port12": 5}))
        berlin = await opened(master.wire, "berlin")
        await _by_hand(
            postgresql_database_url,
            "CREATE TABLE copy AS SELECT * FROM database_identity",
            "DROP TABLE database_identity",
            "ALTER TABLE copy RENAME TO database_identity",
        )
        async with asyncio.timeout(HANG_SECONDS):
            while (failed := await _refusal(berlin.acquire(*seats("port", 1)))) != "STORAGE_REPLACED":
                assert failed in ("", "STORAGE_UNAVAILABLE", "STORAGE_SCHEMA")
                await asyncio.sleep(0.05)


async def _refusal(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(dict(error.trailing_metadata())["error-reason"])
    return ""


async def test_what_cannot_be_connected_to_as_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (empty := tmp_path / "empty.crt").touch()
    for name, value, url in (
        ("PGSSLROOTCERT", str(tmp_path / "absent.crt"), "postgresql://lm@127.0.0.1:1/lm?sslmode=verify-full"),
        ("PGSSLROOTCERT", str(empty), "postgresql://lm@127.0.0.1:1/lm?sslmode=verify-full"),
        ("PGSSLMINPROTOCOLVERSION", "new", "postgresql://lm@127.0.0.1:1/lm?sslmode=require"),
    ):
        monkeypatch.setenv(name, value)
        error = await _end(url)
        assert error.problem is REFUSED, "no waiting makes it right"
        assert "the variables PG... of this process and the files that they name" in str(error)
        assert ("absent" not in value) or f"PGSSLROOTCERT names {value}" in str(error)
        monkeypatch.delenv(name)
    monkeypatch.setenv("PGHOST", "db.invalid")
    for url in ("postgresql://lm@db.invalid/lm", "postgresql://lm@/lm"):
        unknown = open_database(url)
        with pytest.raises(StorageError, match=r"host 'db\.invalid': ") as failed:
            await unknown.read(lambda tx: None)
        assert failed.value.problem is SILENT, "names come back"
        await unknown.close()


async def _by_hand(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
    finally:
        await connection.close()


async def _cut(server: Node) -> None:
    await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name <> ''")


async def _once_connected(database: Database) -> None:
    """Ask until a new connection is made: that the old one is gone may be found out first."""
    while True:
        try:
            return await database.read(lambda tx: None)
        except StorageError as error:
            if error.problem is not SILENT:
                raise


async def test_a_pooler_in_session_mode(clock: Clock) -> None:
    async with nodes(1) as (server,):
        await server.make()
        async with pgbouncer(server, mode="session") as pooler:
            url = await upgraded(pooler.url)
            async with two_masters(url, clock) as (first, other):
                await first.wire.apply(project({"PBX-Port12": 50}))
                berlin, paris = await opened(first.wire, "berlin"), await opened(other.wire, "hq")
                for number in range(5):
                    granted(await berlin.acquire(*seats("port", 2, f"b{number}-")))
                    granted(await paris.acquire(*seats("port", 2, f"p{number}-")))
                shown = await first.running.database.read(lambda tx: tx.rows("SHOW enable_seqscan"))
                assert shown[0][0] == "off"
                pooler.kill()
                await pooler.start()
                await _until_it_serves(first.running.database)
                granted(await berlin.acquire(*seats("port", 2, "again-")))


async def _until_it_serves(database: Database, *passing: StorageProblem) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            try:
                return await database.transact(_count)
            except StorageError as error:
                if error.problem not in (SILENT, *passing):
                    raise
                await asyncio.sleep(0.05)


async def test_a_pooler_that_is_started_again_in_another_mode_is_refused_before_anything_is_served() -> None:
    async with nodes(1) as (server,):
        await server.make()
        async with pgbouncer(server, mode="session") as pooler:
            database = open_database(await upgraded(pooler.url))
            try:
                await database.read(lambda tx: None)
                pooler.kill()
                pooler.set_mode("transaction")
                await pooler.start()
                with pytest.raises(StorageError, match="hands one session to several clients") as failed:
                    await _once_connected(database)
                assert failed.value.problem is REFUSED
            finally:
                await database.close()


async def test_a_pooler_that_shared_sessions_for_a_while_is_served_by_again() -> None:
    """Its clients stay connected, and each is handed the sessions of others, which lack its prepared statements."""
    async with nodes(1) as (server,):
        await server.make()
        async with pgbouncer(server, mode="session") as pooler:
            url = await upgraded(pooler.url)
            databases = [open_database(url) for _ in range(2)]
            try:
                for database in databases:
                    await database.read(_count)
                pooler.set_mode("transaction")
                pooler.reload()
                failed, error = await _first_to_fail(databases)
                assert error.problem is REFUSED
                assert "hands one session to several clients" in str(error)
                assert "statement_cache_size" not in str(error), "the driver's own remedy is none here"
                pooler.set_mode("session")
                pooler.reload()
                await _until_it_serves(failed, REFUSED)
                for database in databases:
                    await _until_it_serves(database, REFUSED)
            finally:
                for database in databases:
                    await database.close()


def _count(tx: Tx) -> None:
    tx.rows("SELECT count(*) FROM project")


async def _first_to_fail(databases: Sequence[Database]) -> tuple[Database, StorageError]:
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            for database in databases:
                try:
                    await database.read(_count)
                except StorageError as error:
                    return database, error


async def test_no_two_masters_give_statements_the_same_names(postgresql_database_url: str) -> None:
    """Where a pooler hands one the session of the other, a name would be that of another statement."""
    script = f"""if True:
        import asyncio
        from master.store.backends.opening import open_database
        database = open_database({postgresql_database_url!r})
        for (name,) in asyncio.run(database.read(lambda tx: tx.rows("SELECT name FROM pg_prepared_statements"))):
            print(name)"""
    first, other = [set((await _printed_by(script)).split()) for _ in range(2)]
    assert first
    assert other
    assert not first & other


async def _printed_by(script: str) -> str:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_shares_sessions_is_refused(mode: str) -> None:
    async with nodes(1) as (server,):
        await server.make()
        async with pgbouncer(server, mode=mode) as pooler:
            for database in ("lm", "unknown"):
                with pytest.raises(StorageError) as failed:
                    await asyncio.to_thread(
                        schema.upgrade, pooler.url.replace("/lm", f"/{database}"), schema.IfAbsent.CREATE
                    )
                assert failed.value.problem is REFUSED
                assert ("pool_mode = session" in str(failed.value)) is (database == "lm")
            await upgraded(url_of(server))
            assert "pool_mode = session" in str(await _end(pooler.url))
            with pytest.raises(asyncpg.PostgresError):
                await asyncpg.connect(pooler.url.replace("/lm", "/unknown"))
