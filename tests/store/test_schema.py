"""The chain and the tables are alike; a database of another version is refused with the command that helps."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from master.store import schema
from master.store.database import Database, StorageError, StorageProblem, Tx, open_database
from master.store.tables import metadata
from tests.support.masters import Clock, in_process_master, sqlite_url
from tests.support.postgres import PostgresServer


async def test_the_chain_makes_the_tables(database: Database) -> None:
    def differences(tx: Tx) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(tx.connection, opts=options), metadata))

    assert await database.read(differences) == []


async def test_upgrading_again_changes_nothing(database_url: str) -> None:
    assert await asyncio.to_thread(schema.upgrade, database_url) == (schema.newest(), schema.newest())


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that was never upgraded."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return await server.new_database()


async def test_an_empty_database(empty_url: str) -> None:
    with pytest.raises(StorageError, match="is empty, this version needs") as failed:
        await _serve(empty_url)
    assert failed.value.problem is StorageProblem.STORAGE_SCHEMA
    assert "run `license-master db upgrade`" in str(failed.value)
    await asyncio.to_thread(schema.upgrade, empty_url)
    await _serve(empty_url)


async def test_a_newer_database(database_url: str, database: Database) -> None:
    await database.transact(lambda tx: tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    for attempt in _attempts(database_url):
        with pytest.raises(StorageError, match="9999, which a newer license master made") as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_SCHEMA


async def test_a_database_without_its_tables(database_url: str, database: Database) -> None:
    """Somebody dropped one by hand: the master says so and does not serve on."""
    await database.transact(lambda tx: tx.connection.execute(text("DROP TABLE signing_key")))
    with pytest.raises(StorageError, match="license-master db upgrade"):
        await _serve(database_url)


async def test_a_missing_directory(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "not" / "there")
    for attempt in _attempts(url):
        with pytest.raises(StorageError, match="unable to open database file") as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_UNAVAILABLE


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "license-master.db").write_bytes(b"this is a letter to my aunt " * 1000)
    with pytest.raises(StorageError, match="not a database"):
        await _serve(sqlite_url(tmp_path))
    with pytest.raises(StorageError, match="not a database"):
        await asyncio.to_thread(schema.upgrade, sqlite_url(tmp_path))


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    url = f"postgresql://nobody@/nothing?host={tmp_path}"
    for attempt in _attempts(url):
        with pytest.raises(StorageError) as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_UNAVAILABLE


async def test_the_command_line_says_what_to_do(tmp_path: Path) -> None:
    for url, says in (
        (sqlite_url(tmp_path), "license-master db upgrade"),
        (sqlite_url(tmp_path / "not" / "there"), "unable to open database file"),
        ("mysql://x@y/z", "must start with sqlite:/// or postgresql://"),
    ):
        code, told = await _command(
            "serve", "--plaintext", f"--database-url={url}", "--listen=127.0.0.1:0", "--metrics-listen="
        )
        assert code not in (0, None)
        assert says in told
        assert "Traceback" not in told


async def test_upgrades_at_once_run_one_after_the_other(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    ended = await asyncio.gather(*(_command("db", "upgrade", f"--database-url={url}") for _ in range(3)))
    assert [code for code, _ in ended] == [0, 0, 0], ended
    database = open_database(url)
    try:
        await schema.check(database)
    finally:
        await database.close()


async def _command(*arguments: str) -> tuple[int | None, str]:
    """Exit code and what was said of a command run by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from master.cli.main import main; main()",
        *arguments,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "500", "TERM": "dumb"},
    )
    out, told = await process.communicate()
    return process.returncode, " ".join((out + told).decode().split())


async def _serve(url: str) -> None:
    async with in_process_master(url, Clock()):
        pass


def _attempts(url: str) -> tuple[Callable[[], Awaitable[object]], ...]:
    """To serve it, and to upgrade it."""
    return lambda: _serve(url), lambda: asyncio.to_thread(schema.upgrade, url)
