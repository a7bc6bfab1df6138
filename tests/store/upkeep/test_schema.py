"""The chain makes the same tables everywhere; a database of another version is refused with the command that helps."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Set
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from typer.testing import CliRunner

from master.cli.main import app
from master.cli.output.failure import CommandFailed
from master.shipped import shipped
from master.store.backends.database import Database, StorageError, StorageProblem
from master.store.backends.opening import open_database
from master.store.backends.problems import storage_error
from master.store.backends.sqlite import made_file
from master.store.backends.urls import SqliteUrl, parse_url
from master.store.tables.names import TABLES
from master.store.upkeep import schema
from tests.cli.command import run
from tests.store import later
from tests.support.databases.postgres import PostgresServer
from tests.support.databases.tables import tables
from tests.support.masters import Clock, in_process_master, sqlite_url


async def test_the_chain_makes_the_same_tables_everywhere(database_url: str) -> None:
    """As in memory, where dry runs are tried."""
    differences: list[object] = []

    def compare(connection: Connection) -> None:
        options = {"compare_type": _differ, "compare_server_default": True}
        differences.extend(compare_metadata(MigrationContext.configure(connection, opts=options), tables()))

    await asyncio.to_thread(schema._with_connection, parse_url(database_url), compare)
    assert differences == []


def _differ(*compared: Any) -> bool:
    """Whether a column has another type than in memory; each database has its own words for them, and a double is a
    float in SQLite."""
    *_, made, in_memory = compared
    return not isinstance(made.as_generic(), type(in_memory.as_generic()))


def test_a_master_misses_each_table_that_is_not_there() -> None:
    assert tables().tables.keys() == TABLES.keys()


def test_the_chain_is_what_alembic_finds() -> None:
    chain = ScriptDirectory(str(shipped("migrations"))).walk_revisions()
    assert schema._revisions() == [each.revision for each in reversed(list(chain))]


async def test_upgrading_again_changes_nothing(database_url: str) -> None:
    assert await asyncio.to_thread(schema.upgrade, database_url) == (schema.newest(), schema.newest())


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that was never upgraded."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return await server.new_database()


async def test_an_empty_database_is_begun_on_purpose_only(empty_url: str, tmp_path: Path) -> None:
    named = urlsplit(empty_url)
    names = named.path.removeprefix("/")
    for attempt in _attempts(empty_url):
        with pytest.raises(StorageError, match="`license-master db upgrade --create`") as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_ABSENT
        assert names in str(failed.value)
        assert _files(tmp_path) == {}
    assert await asyncio.to_thread(partial(schema.upgrade, empty_url, schema.IfAbsent.CREATE)) == (
        None,
        schema.newest(),
    )
    await _serve(empty_url)
    again = await asyncio.to_thread(partial(schema.upgrade, empty_url, schema.IfAbsent.CREATE))
    assert again == (schema.newest(), schema.newest())


@pytest.mark.parametrize("command", ["db upgrade", "db check", "db restored", "db backup copy"])
def test_a_mistyped_path_is_named_and_leaves_nothing_behind(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url, says in (
        (f"sqlite:///{tmp_path}/lm.bd", "there is no such file"),
        (f"sqlite:///{tmp_path}/not/lm.db", "there is no such folder"),
        ("sqlite:///lm.bd", f"which is {tmp_path}/lm.bd, and there is no such file"),
    ):
        done = CliRunner().invoke(app, [*command.split(), f"--database-url={url}"])
        assert isinstance(done.exception, CommandFailed)
        assert says in str(done.exception)
        assert f"database_url is {url}" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_too_long_for_sqlite_is_refused_before_a_file_is_made(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 200] * 3)
    folder.mkdir(parents=True)
    done = CliRunner().invoke(app, ["db", "upgrade", "--create", f"--database-url=sqlite:///{folder}/lm.db"])
    assert "SQLite opens none of over 500" in str(done.exception)
    assert list(folder.iterdir()) == []


async def test_a_newer_database(database_url: str, tmp_path: Path) -> None:
    """Nothing can be done but to install what made it, and every command says just that."""
    with later.version(later.chain(tmp_path / "chain", later.NOTES), name="7.3") as newest:
        await asyncio.to_thread(schema.upgrade, database_url)
    for attempt in _attempts(database_url):
        with pytest.raises(StorageError, match=rf"{newest}, which 7\.3 made; .*: install 7\.3 or newer") as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_SCHEMA
        assert "db upgrade" not in str(failed.value)


async def test_a_database_without_its_tables(database_url: str, database: Database) -> None:
    """Somebody dropped one by hand: the master says so and does not serve on."""
    await database.transact(lambda tx: tx.rows("DROP TABLE signing_key"))
    with pytest.raises(StorageError, match="it lacks the tables signing_key; restore a backup"):
        await _serve(database_url)


async def test_a_database_whose_tables_are_not_those_of_its_revision(database_url: str, database: Database) -> None:
    """An early build made it, say: the upgrade ends with that, and changes nothing."""
    await database.transact(lambda tx: tx.rows("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(StorageError, match=r"already exists; .*restore a backup, or begin a new database") as failed:
        await asyncio.to_thread(schema.upgrade, database_url)
    assert failed.value.problem is StorageProblem.STORAGE_SCHEMA
    assert await database.read(lambda tx: tx.rows("SELECT version_num FROM alembic_version")[0][0]) == "0001"


async def test_an_empty_file_is_no_database_yet(tmp_path: Path) -> None:
    (tmp_path / "license-master.db").touch()
    for attempt in _attempts(sqlite_url(tmp_path)):
        with pytest.raises(StorageError, match="is empty") as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_ABSENT
    assert _files(tmp_path) == {"license-master.db": b""}


@pytest.mark.parametrize("theirs", ["aunt", "alembic_version"])
async def test_a_database_of_somebody_else_is_left_alone(theirs: str, empty_url: str, tmp_path: Path) -> None:
    """One with other tables, and one with a chain of Alembic's of its own, whose revisions are called like ours."""
    await asyncio.to_thread(
        _given, empty_url, f"CREATE TABLE {theirs} (version_num text)", f"INSERT INTO {theirs} VALUES ('0001')"
    )
    before = _files(tmp_path)
    for attempt in _attempts(empty_url, schema.IfAbsent.CREATE):
        with pytest.raises(StorageError, match="holds other tables") as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_FOREIGN
        assert theirs in str(failed.value)
    assert await asyncio.to_thread(_given, empty_url) == {theirs}
    assert _files(tmp_path) == before


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    letter = b"this is a letter to my aunt " * 1000
    (tmp_path / "license-master.db").write_bytes(letter)
    url = sqlite_url(tmp_path)
    for attempt in _attempts(url, schema.IfAbsent.CREATE):
        with pytest.raises(StorageError, match="not a database; correct database_url") as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_DAMAGED, "it does answer"
    assert _files(tmp_path) == {"license-master.db": letter}


def test_a_disk_that_is_mounted_read_only(tmp_path: Path) -> None:
    (tmp_path / "license-master.db").touch()
    with closing(sqlite3.connect(f"file:{tmp_path / 'license-master.db'}?mode=ro", uri=True)) as there:
        with pytest.raises(sqlite3.OperationalError) as failed:
            there.execute("CREATE TABLE more (id)")
        error = storage_error(failed.value)
    assert isinstance(error, StorageError)
    assert error.problem is StorageProblem.STORAGE_REFUSED
    assert "not mounted read-only" in str(error)


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    url = f"postgresql://nobody@/nothing?host={tmp_path}"
    for attempt in _attempts(url):
        with pytest.raises(StorageError) as failed:
            await attempt()
        assert failed.value.problem is StorageProblem.STORAGE_UNAVAILABLE


async def test_the_command_line_says_what_to_do(tmp_path: Path) -> None:
    for url, says in (
        (sqlite_url(tmp_path), "license-master db upgrade --create"),
        ("mysql://x@y/z", "must start with sqlite:/// or postgresql://"),
    ):
        code, answer = await _command(
            "serve", "--plaintext", f"--database-url={url}", "--listen=127.0.0.1:0", "--metrics-listen="
        )
        assert code != 0
        assert says in answer
        assert "Traceback" not in answer


async def test_upgrades_at_once_run_one_after_the_other(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    ended = await asyncio.gather(*(_command("db", "upgrade", "--create", f"--database-url={url}") for _ in range(3)))
    assert [code for code, _ in ended] == [0, 0, 0], ended
    database = open_database(url)
    try:
        await schema.check(database)
    finally:
        await database.close()


async def _command(*arguments: str) -> tuple[int, str]:
    """Exit code and what was said of a command run by itself."""
    done = await run(*arguments, COLUMNS="500", TERM="dumb")
    return done.code, " ".join((done.out + done.err).split())


async def _serve(url: str) -> None:
    async with in_process_master(url, Clock()):
        pass


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _given(url: str, *statements: str) -> Set[str]:
    """Carries out statements by hand; the tables that there are then."""
    collected: list[Set[str]] = []

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)
        collected.append(schema.looking_over(connection).tables())

    parsed = parse_url(url)
    if isinstance(parsed, SqliteUrl):
        made_file(parsed)
    schema._with_connection(parsed, work)
    return collected[0]


def _attempts(
    url: str, if_absent: schema.IfAbsent = schema.IfAbsent.REFUSE
) -> tuple[Callable[[], Awaitable[object]], ...]:
    """To serve it, and to upgrade it."""
    return lambda: _serve(url), lambda: asyncio.to_thread(partial(schema.upgrade, url, if_absent))
