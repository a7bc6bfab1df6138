"""What master/store/backends/database.py guarantees, on both databases."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from master.store.backends.database import Database, StorageError, StorageProblem, Tx
from master.store.backends.opening import open_database
from master.store.backends.postgres import PostgresDatabase, _PostgresTx
from master.store.backends.problems import AllInUseError, storage_error
from master.store.backends.urls import parse_url, server_url
from master.store.upkeep import schema
from tests.store.rows import add, bump, names
from tests.support.asking import asked
from tests.support.databases.postgres import PostgresServer
from tests.support.limits import HANG_SECONDS
from tests.support.waiting import until


async def test_work_is_applied_as_a_whole(database: Database) -> None:
    await database.transact(lambda tx: add(tx, "a", "b"))
    assert await database.read(names) == ["a", "b"]


async def test_work_that_fails_is_not_applied_at_all(database: Database) -> None:
    def half(tx: Tx) -> None:
        add(tx, "a")
        assert names(tx) == ["a"]
        raise LookupError("changed my mind")

    with pytest.raises(LookupError):
        await database.transact(half)
    assert await database.read(names) == []
    await database.transact(lambda tx: add(tx, "b"))
    assert await database.read(names) == ["b"]


async def _terminated(raw: asyncpg.Connection[Any]) -> None:
    raw.terminate()


async def test_a_connection_that_is_given_up_between_two_statements(postgres: PostgresServer) -> None:
    database = PostgresDatabase(server_url(await postgres.new_database()), timeout_seconds=10)

    def interrupted(tx: Tx) -> None:
        tx.rows("SELECT 1")
        assert isinstance(tx, _PostgresTx)
        tx.await_(_terminated)
        tx.rows("SELECT 2")

    try:
        for verb in (database.transact, database.read):
            with pytest.raises(StorageError) as failed:
                await verb(interrupted)
            assert failed.value.problem is StorageProblem.STORAGE_UNAVAILABLE
        assert await database.read(lambda tx: tx.rows("SELECT 3")[0][0]) == 3
    finally:
        await database.close()


async def test_what_is_computed_between_two_statements_says_nothing_of_the_server(postgres: PostgresServer) -> None:
    """A question may compute for longer than a statement may take, above all on a busy machine."""
    database = PostgresDatabase(server_url(await postgres.new_database()), timeout_seconds=3)

    def slow(tx: Tx) -> int:
        seen: int = tx.rows("SELECT 1")[0][0]
        tx.rows("SELECT 2")
        time.sleep(3.5)
        return seen + int(tx.rows("SELECT 3")[0][0])

    try:
        assert await database.ask(slow) == 4
        assert await database.read(slow) == 4
    finally:
        await database.close()


async def test_a_statement_that_fails_takes_the_whole_work_with_it(database: Database) -> None:
    await database.transact(lambda tx: add(tx, "a"))

    def collide(tx: Tx) -> None:
        add(tx, "b")
        add(tx, "a")

    with pytest.raises(Exception) as failed:  # noqa: PT011  # each driver has its own
        await database.transact(collide)
    assert not isinstance(failed.value, StorageError), "a broken constraint is a defect, not an outage"
    assert not isinstance(failed.value, SQLAlchemyError)
    assert await database.read(names) == ["a"]


async def test_work_that_is_given_up_half_way_is_not_half_applied(database: Database) -> None:
    """Cancelled at any moment, it is there as a whole or not at all; and the database goes on."""
    for number in range(20):
        pair = (f"{number:02}-a", f"{number:02}-b")
        task = asyncio.create_task(database.transact(partial(_add_in_two_steps, first=pair[0], second=pair[1])))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await database.transact(lambda tx: add(tx, "end"))
    there = await database.read(names)
    assert {name[:3] + "b" for name in there if name.endswith("-a")} == {name for name in there if name.endswith("-b")}


def _add_in_two_steps(tx: Tx, *, first: str, second: str) -> None:
    add(tx, first)
    add(tx, second)


_WRITE_AND_DIE = """
import asyncio, os, signal, sys
from master.store.backends.opening import open_database
from tests.store.rows import add

async def main():
    database = open_database(sys.argv[1])
    for number in range(5):
        await database.transact(lambda tx: add(tx, str(number)))
        print(number, flush=True)
    asyncio.create_task(database.transact(lambda tx: (add(tx, "never"), os.kill(os.getpid(), signal.SIGKILL))))
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_what_was_committed_survives_the_loss_of_the_process(database_url: str, database: Database) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITE_AND_DIE, database_url, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    answer, _ = await process.communicate()
    assert process.returncode == -9
    assert answer.decode().split() == ["0", "1", "2", "3", "4"]
    assert await database.read(names) == ["0", "1", "2", "3", "4"]


async def test_a_commit_waits_for_the_disk(database: Database) -> None:
    """What a test cannot do is cut the power; it can see that the database was told to be ready for it."""
    if database.is_shared:
        assert await database.transact(lambda tx: [row[0] for row in tx.rows("SHOW synchronous_commit")]) == ["on"]
    else:
        assert await database.transact(lambda tx: tx.rows("PRAGMA synchronous")[0][0]) == 2
        assert await database.transact(lambda tx: tx.rows("PRAGMA journal_mode")[0][0]) == "wal"


async def test_a_change_is_right_whatever_its_session_was_set_to(postgresql_database_url: str) -> None:
    """As a pooler in transaction mode may hand it the session of anybody."""
    database = open_database(postgresql_database_url)
    await database.transact(lambda tx: tx.rows("SET SESSION synchronous_commit = off"))
    await database.transact(lambda tx: tx.rows("SET SESSION default_transaction_isolation = 'repeatable read'"))
    shown = "SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation')"
    assert [*(await database.transact(lambda tx: tx.rows(shown)))[0]] == ["on", "read committed"]
    await database.close()


async def test_transactions_on_one_row_run_one_after_the_other(database_url: str, database: Database) -> None:
    other = open_database(database_url)
    try:
        await database.transact(lambda tx: add(tx, "a"))
        seen = await asyncio.gather(
            *((database, other)[turn % 2].transact(lambda tx: bump(tx, "a")) for turn in range(30))
        )
        assert sorted(seen) == [float(turn) for turn in range(30)]
    finally:
        await other.close()


async def test_defaults_of_the_database_do_not_reach_masters(postgres: PostgresServer) -> None:
    """People set them for reports and web sites that share the server, for users and databases alike."""
    url = await postgres.new_database()
    name = server_url(url).database
    by_hand = await asyncpg.connect(url)
    for default in (
        "default_transaction_isolation = 'repeatable read'",
        "lock_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "idle_session_timeout = '1s'",
    ):
        await by_hand.execute(f'ALTER DATABASE "{name}" SET {default}')
    await by_hand.close()
    await asyncio.to_thread(schema.upgrade, url, schema.IfAbsent.CREATE)
    await test_transactions_on_one_row_run_one_after_the_other(url, database := open_database(url))
    limits = "SELECT setting FROM pg_settings WHERE name IN ('idle_session_timeout', 'lock_timeout')"
    assert [row[0] for row in await database.read(lambda tx: tx.rows(limits))] == ["0", "0"]
    await database.close()


async def test_a_statement_may_take_longer_than_the_database_lets_others(postgresql_database_url: str) -> None:
    """Nothing but the removal of the limit is under it; that alone may be too slow, on a busy machine."""
    by_hand = await asyncpg.connect(postgresql_database_url)
    name = server_url(postgresql_database_url).database
    await by_hand.execute(f'ALTER DATABASE "{name}" SET statement_timeout = 1')
    await by_hand.close()
    database = open_database(postgresql_database_url)

    async def takes_long() -> bool:
        with suppress(StorageError):
            return bool(await database.read(lambda tx: tx.rows("SELECT pg_sleep(0.1)")))
        return False

    await until(takes_long)
    await database.close()


async def test_a_read_sees_one_state(database: Database) -> None:
    """However long it takes, and whatever is committed meanwhile."""
    await database.transact(lambda tx: add(tx, "a"))
    loop = asyncio.get_running_loop()
    if not database.is_shared:  # its reader has a thread of its own, so it can wait in there

        def look_twice(tx: Tx) -> tuple[list[str], list[str]]:
            before = names(tx)
            asyncio.run_coroutine_threadsafe(database.transact(lambda tx: add(tx, "b")), loop).result()
            return before, names(tx)

        assert await database.read(look_twice) == (["a"], ["a"])
    assert await database.read(lambda tx: [names(tx), names(tx)]) in ([["a"]] * 2, [["a", "b"]] * 2)


async def test_a_missing_table_names_the_command_that_tells_more(database: Database) -> None:
    with pytest.raises(StorageError, match="license-master db check") as failed:
        await database.read(lambda tx: tx.rows("SELECT 1 FROM no_such_table"))
    assert failed.value.problem is StorageProblem.STORAGE_SCHEMA
    with pytest.raises(StorageError) as failed:
        await database.transact(lambda tx: tx.rows("SELECT no_such_column FROM signing_key"))
    assert failed.value.problem is StorageProblem.STORAGE_SCHEMA


async def test_statements_written_once_work_on_both(database: Database) -> None:
    await database.transact(lambda tx: add(tx, "a", "b", "c"))
    actual = await database.read(
        lambda tx: tx.rows("SELECT key_id FROM signing_key WHERE key_id IN {?1:text} ORDER BY key_id", ["a", "c", "x"])
    )
    assert [row[0] for row in actual] == ["a", "c"]
    pairs = await database.read(lambda tx: tx.rows_for_pairs("SELECT a, b FROM {pairs}", [(1, "x"), (2, "'; --")]))
    assert sorted(tuple(row) for row in pairs) == [(1, "x"), (2, "'; --")]
    columns = (("pool_id", "int"), ("pbx_id", "int"), ("seats", "int"), ("counted", "int"))
    usage = [(1, 2, 3, 3), (4, 2, 3, 7), (4, 5, 6, 6)]
    await database.transact(lambda tx: tx.insert("pool_usage", columns, usage, differ_in=0))
    actual = await database.read(
        lambda tx: tx.rows("SELECT pool_id, pbx_id, seats, counted FROM pool_usage ORDER BY 1, 2")
    )
    assert [tuple(row) for row in actual] == usage
    sites = (("project_id", "int"), ("name", "text"), ("display_name", "text"))
    odd = [(1, name, "x") for name in ("1", "null", '"', "'; --", "\\u0041", "😀", "مرحبا", "[1]")]
    await database.transact(lambda tx: _with_project(tx, lambda: tx.insert("site", sites, odd, differ_in=1)))
    actual = await database.read(lambda tx: tx.rows("SELECT name FROM site"))
    assert {row[0] for row in actual} == {row[1] for row in odd}
    await database.transact(lambda tx: tx.delete("site", sites, odd[1:], differ_in=1))
    assert [tuple(row) for row in await database.read(lambda tx: tx.rows("SELECT name FROM site"))] == [("1",)]


def _with_project(tx: Tx, work: Callable[[], None]) -> None:
    tx.many(
        "INSERT INTO project (id, name, display_name, catalog, revision, applied_at, epoch_floor)"
        " VALUES (?1, ?2, ?3, ?4, 1, 0.0, 0)",
        [(1, "acme", "Acme", "innovaphone")],
    )
    work()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "is no database URL"),
        ("", "is no database URL"),
        ("mysql://root@localhost/x", "must start with sqlite:/// or postgresql://"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
    ],
)
def test_urls_that_name_no_database(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_url(url)


def test_urls_as_other_programs_write_them() -> None:
    url = server_url("postgres://u:p@h/d?sslmode=require")
    assert (url.drivername, dict(url.query), url.password) == ("postgresql+asyncpg", {"ssl": "require"}, "p")


async def test_however_many_ask_nothing_else_waits_for_them(database: Database) -> None:
    await database.transact(lambda tx: add(tx, "a"))  # as every master has, before it serves anybody
    async with asked(database, times=30) as (_, asking):
        await database.transact(lambda tx: add(tx, "b"))
        assert await database.read(names) == ["a", "b"]
        await asyncio.gather(*(database.read(names) for _ in range(5)))
        assert not any(task.done() for task in asking)
    assert [task.exception() for task in asking] == [None] * 30
    assert await database.ask(names) == ["a", "b"]


async def test_what_is_asked_computes_beside_everything_else(database: Database) -> None:
    began, may_end = Event(), Event()

    def compute(tx: Tx) -> list[str]:
        actual = names(tx)
        began.set()
        assert may_end.wait(HANG_SECONDS)
        return [*actual, *(row[0] for row in tx.rows("SELECT key_id FROM signing_key"))]

    await database.transact(lambda tx: add(tx, "a"))
    asking = asyncio.create_task(database.ask(compute))
    await until(began.is_set)
    await database.transact(lambda tx: add(tx, "b"))
    may_end.set()
    assert await asking == ["a", "a"], "it sees one state"


async def test_what_is_asked_and_given_up_ends_at_its_next_statement(database: Database) -> None:
    for _ in range(3):
        async with asked(database, times=1) as (question, (asking,)):
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert question.given_up.is_set(), "its caller is let go when it has ended"
    assert await database.ask(lambda tx: tx.rows("SELECT 3")[0][0]) == 3


async def test_what_waits_for_its_turn_and_is_given_up_is_neverasked(database: Database) -> None:
    async with asked(database, times=5) as (_, asking):
        waiting = asyncio.create_task(database.ask(names))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not any(task.done() for task in asking)


async def test_what_is_asked_and_fails_gives_its_connection_back(database: Database) -> None:
    def fail(tx: Tx) -> None:
        assert names(tx) == []
        raise LookupError("changed my mind")

    for _ in range(10):
        with pytest.raises(LookupError):
            await database.ask(fail)
    assert await database.ask(names) == []


async def test_a_long_statement_ends_when_it_is_given_up(sqlite_database_url: str) -> None:
    database, began = open_database(sqlite_database_url), Event()

    def count_for_ever(tx: Tx) -> None:
        began.set()
        tx.rows("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")

    try:
        asking = asyncio.create_task(database.ask(count_for_ever))
        await until(began.is_set)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await database.ask(names) == []
    finally:
        await database.close()


def test_a_pool_with_nothing_free_is_busy_and_not_lost() -> None:
    actual = storage_error(AllInUseError())
    assert isinstance(actual, StorageError)
    assert actual.problem is StorageProblem.STORAGE_BUSY
    assert not actual.problem.ends_service


async def test_a_server_that_finds_its_files_damaged_says_so(postgresql_database_url: str) -> None:
    database = open_database(postgresql_database_url)
    try:
        with pytest.raises(StorageError, match="invalid page; `license-master db check`") as failed:
            await database.read(
                lambda tx: tx.rows("DO $$ BEGIN RAISE EXCEPTION 'invalid page' USING ERRCODE = 'XX001'; END $$")
            )
        assert failed.value.problem is StorageProblem.STORAGE_DAMAGED
    finally:
        await database.close()
