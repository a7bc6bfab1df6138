"""A PostgreSQL server as a database: transactions over its `connections`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from master.process.attempts import Attempts
from master.store.backends.connections import COMMIT, QUESTIONS_MAX, WHICH, Connections, ConnectionWatchdog
from master.store.backends.database import LOCKING, Database, Row, Tx, Written, alike, json_text
from master.store.backends.problems import (
    AllInUseError,
    StorageError,
    StorageProblem,
    UnstorableError,
    is_of_value,
    storage_error,
)
from master.store.backends.sqlite_file import Use
from master.store.backends.stopping import Stop, until_ended

T = TypeVar("T")
_ARRAY = re.compile(r"IN \{(\?\d+):(\w+)\}")
_FAILURES = (
    StorageError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DBAPIError,
    AllInUseError,
    OSError,
)
_LOST = (
    asyncpg.InterfaceError,
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,  # it was the one to write to, and is no more
    asyncpg.InvalidSQLStatementNameError,  # a pooler handed it another session
    asyncpg.DuplicatePreparedStatementError,
)
_BROKEN = (*_LOST, asyncio.CancelledError)
_NEWEST_EVENT = (
    "SELECT event.project_id, event.seq, event.time_us, event.hash FROM audit_head"
    " JOIN event USING (project_id, seq) ORDER BY event.time_us DESC LIMIT 1"
)
_WAIT_MAX_SECONDS = 2.0
"""The most seconds between two attempts to commit while none succeeds."""


class _Access(Enum):
    """What a transaction may do."""

    READ = "read"
    CHANGE = "change"


class _PostgresTx(Tx):
    dialect = "postgresql"

    def __init__(self, connection: Connection, watchdog: ConnectionWatchdog, stop: Stop, access: _Access) -> None:
        super().__init__(stop)
        self._watchdog = watchdog
        self._access = access
        self._adapted: Any = connection.connection.dbapi_connection

    def await_(self, call: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
        """Wait for the driver from within plain code, over SQLAlchemy's documented bridge."""
        with self._watchdog:
            result: T = self._adapted.run_async(call)
        return result

    def rows(self, statement: str, *values: Any) -> list[Row]:
        self._stop.check()
        text = _for_postgres(LOCKING.sub("", statement) if self._access is _Access.READ else statement)
        return self.await_(lambda raw: raw.fetch(text, *values))

    def rows_for_pairs(self, statement: str, pairs: Sequence[tuple[int, str]]) -> list[Row]:
        return self.rows(statement, [first for first, _ in pairs], [second for _, second in pairs])

    def many(self, statement: str, rows: Sequence[Row]) -> None:
        if rows:
            text = _for_postgres(statement)
            self.await_(lambda raw: raw.executemany(text, rows))

    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        # What is alike goes out once, with the texts in which it differs as one: the driver encodes a hundredth.
        names = ", ".join(name for name, _ in columns)
        kinds = ["text" if at == differ_in else kind for at, (_, kind) in enumerate(columns)]
        arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(kinds, start=1))
        wanted = ", ".join(f"one::{kind}" if at == differ_in else name for at, (name, kind) in enumerate(columns))
        each = f"json_array_elements_text({columns[differ_in][0]}::json)"
        text = f"INSERT INTO {table} ({names}) SELECT {wanted} FROM unnest({arrays}) AS run({names}), {each} AS one"
        runs = [(*same[:differ_in], json_text(values), *same[differ_in:]) for same, values in alike(rows, differ_in)]
        self.await_(lambda raw: raw.execute(text, *(list(column) for column in zip(*runs, strict=True))))

    def delete(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        # Row by row, by the key: what a join with an array does depends on how many the planner thinks there are.
        conditions = " AND ".join(f"{name} = ?{at}" for at, (name, _) in enumerate(columns, start=1))
        self.many(f"DELETE FROM {table} WHERE {conditions}", rows)

    def lock(self, statement: str, *values: Any) -> None:
        if self._access is _Access.CHANGE:
            self.rows(statement, *values)


class _AskedTx(_PostgresTx):
    """A transaction whose work runs in a thread, so that computing delays nobody; statements run on the event loop."""

    def __init__(self, connection: AsyncConnection, watchdog: ConnectionWatchdog, stop: Stop) -> None:
        plain = connection.sync_connection
        assert plain is not None
        super().__init__(plain, watchdog, stop, _Access.READ)
        self._asynchronous = connection
        self._loop = asyncio.get_running_loop()

    def await_(self, call: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
        waited = self._asynchronous.run_sync(lambda _: super(_AskedTx, self).await_(call))
        return asyncio.run_coroutine_threadsafe(waited, self._loop).result()


class PostgresDatabase(Database):
    """A PostgreSQL database, which several masters may share."""

    is_shared = True

    def __init__(self, url: URL, *, timeout_seconds: float) -> None:
        self._connections = Connections(url, timeout_seconds=timeout_seconds)
        self._commits = Attempts(wait_max_seconds=_WAIT_MAX_SECONDS)
        """The pace of changes while commits fail, as a commit that waits for a lost replica keeps its connection."""
        self._changing: set[asyncio.Task[Any]] = set()
        self._asking = asyncio.Semaphore(QUESTIONS_MAX)

    async def transact(self, work: Callable[[Tx], T]) -> T:
        # Whoever gives up waiting does not break off a commit: the driver would cancel it (see `connections`).
        task = asyncio.create_task(self._run(work, _Access.CHANGE))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._run(work, _Access.READ)

    async def ask(self, work: Callable[[Tx], T]) -> T:
        stop = Stop()
        async with self._asking:  # not broken off within a statement: that costs the connection
            return await until_ended(asyncio.ensure_future(self._run(work, _Access.READ, stop)), stop)

    async def verify(self) -> None:
        ((identity,),), newest = await self.read(lambda tx: (tx.rows(WHICH), tx.rows(_NEWEST_EVENT)))
        try:
            self._connections.recognise(identity)
        except StorageError:
            self._connections.distrust()  # new ones are refused, so nothing more is done there
            raise
        for event in newest:  # what others committed, and this master may have read, must stay as well
            self._connections.remember(Written(*event))

    def occupy(self, use: Use) -> None:
        """Do nothing: the database is for several masters, and its own locks keep them apart."""

    async def close(self) -> None:
        await asyncio.gather(*self._changing, return_exceptions=True)
        await self._connections.engine.dispose()

    async def _run(self, work: Callable[[Tx], T], access: _Access, stop: Stop | None = None) -> T:
        try:
            async with self._connections.connection() as connection:
                with nullcontext() if access is _Access.READ else self._commits.attempt(*_LOST):
                    return await self._run_on(connection, work, access, stop)
        except PoolTimeoutError as error:
            raise StorageError(StorageProblem.STORAGE_BUSY) from error
        except _FAILURES as error:
            raise storage_error(error) from error

    async def _run_on(
        self, connection: AsyncConnection, work: Callable[[Tx], T], access: _Access, stop: Stop | None
    ) -> T:
        try:
            if stop is None:
                return await connection.run_sync(lambda plain: self._transaction(plain, work, access))
            return await self._asked(connection, work, stop)
        except _BROKEN as error:
            await connection.invalidate()
            if not isinstance(error, asyncio.CancelledError):
                self._connections.distrust()
            raise

    async def _asked(self, connection: AsyncConnection, work: Callable[[Tx], T], stop: Stop) -> T:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        watchdog = self._connections.watchdog(raw)
        try:
            with _failures_of(raw):
                tx = _AskedTx(connection, watchdog, stop)
                return await asyncio.to_thread(_transaction, tx, self._connections.begin_to_read, work)
        finally:
            watchdog.stop()

    def _transaction(self, plain: Connection, work: Callable[[Tx], T], access: _Access) -> T:
        raw = plain.connection.driver_connection
        assert raw is not None
        begin = self._connections.begin_to_read if access is _Access.READ else self._connections.begin_to_change(raw)
        watchdog = self._connections.watchdog(raw)
        try:
            with _failures_of(raw):
                tx = _PostgresTx(plain, watchdog, Stop(), access)
                result = _transaction(tx, begin, work)
                self._connections.remember(tx.written)
                return result
        finally:
            watchdog.stop()


@contextmanager
def _failures_of(raw: asyncpg.Connection[Any]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if raw.is_closed():  # given up between two statements, the driver fails as it happens to
            raise asyncpg.InterfaceError("the connection was given up") from error
        if is_of_value(error):  # the connection is as good as before
            raise UnstorableError(str(error)) from error
        raise


def _transaction(tx: _PostgresTx, begin: str, work: Callable[[Tx], T]) -> T:
    tx.await_(lambda raw: raw.execute(begin))
    try:
        result = work(tx)
    except BaseException:
        tx.await_(_rollback)
        raise
    tx.await_(lambda raw: raw.execute(COMMIT))
    return result


async def _rollback(raw: asyncpg.Connection[Any]) -> None:
    if not raw.is_closed():
        await raw.execute("ROLLBACK")


@cache
def _for_postgres(statement: str) -> str:
    pairs = "unnest(?1::int[], ?2::text[]) AS pairs(a, b)"
    return _ARRAY.sub(r"= ANY(\1::\2[])", statement.replace("{pairs}", pairs)).replace("?", "$")
