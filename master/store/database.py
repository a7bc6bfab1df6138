"""One database, SQLite or PostgreSQL, behind two verbs: `transact` changes it, `read` looks.

What `transact` promises, on both, each with a test in tests/store/test_database.py:

- The work MUST be applied whole or not at all.
- When `transact` returns, the work MUST survive the loss of the process.
- Two transactions that lock the same row MUST run one after the other.
- A failure MUST be raised as a `StorageError` that says whether trying again can help.

Work is a plain function over a `Tx`, written once. SQLite runs it on the one writer thread; PostgreSQL runs it over an
asynchronous connection, in the greenlet bridge that SQLAlchemy provides for that.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import sqlite3
import stat
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from master.attempts import Attempts
from master.store.connections import COMMIT, WHICH, Connections, Patience
from master.store.problems import AllInUseError, StorageError, StorageProblem, storage_error
from master.store.sqlite_file import InUseError, ReplacedError, SqliteFile, Use
from master.store.urls import parse_url

__all__ = ["Database", "SqliteDatabase", "StorageError", "StorageProblem", "Tx", "open_database"]
T = TypeVar("T")
_ARRAY = re.compile(r"IN \{(\?\d+):(\w+)\}")
_LOCKING = re.compile(r" FOR UPDATE OF \w+$")
Row = Sequence[Any]
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
)
_BROKEN = (*_LOST, asyncio.CancelledError)
_BEGIN_TO_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WAIT_MAX_SECONDS = 2.0
"""The longest that passes between two attempts to commit where none comes through."""


_WRITE_AHEAD = "PRAGMA journal_mode=WAL"
"""Changes the file: for who writes to it, not for who looks whose it is."""


class Tx(ABC):
    """One transaction.

    Statements are written once for both databases: `?1` is a parameter, `IN {?1:int}` looks in an array of that
    PostgreSQL type, `{pairs}` is a table with the columns a (int) and b (text), and a closing `FOR UPDATE OF table`
    locks the rows that are read, where the database does not lock as a whole.
    """

    connection: Connection
    """For statements that are built, off the hot path."""

    @abstractmethod
    def rows(self, statement: str, *values: Any) -> list[Row]:
        """Run a statement and fetch what it returns."""

    @abstractmethod
    def rows_for_pairs(self, statement: str, pairs: Sequence[tuple[int, str]]) -> list[Row]:
        """Run a statement over `{pairs}` and fetch what it returns."""

    @abstractmethod
    def many(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a statement for each row."""

    @abstractmethod
    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        """Insert many rows that mostly differ in one column only; columns are (name, PostgreSQL type)."""

    @abstractmethod
    def lock(self, statement: str, *values: Any) -> None:
        """Run a statement that only takes locks; nothing to do where the database has none, or nothing is changed."""


class Database(ABC):
    """A database to keep things in."""

    is_shared: bool
    """Whether several masters may serve it."""

    @abstractmethod
    async def transact(self, work: Callable[[Tx], T]) -> T:
        """Run work in one transaction and commit it.

        Raises:
            StorageError: it could not be done.
        """

    @abstractmethod
    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run work that changes nothing, on one consistent state.

        Raises:
            StorageError: it could not be done.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of all connections."""

    @abstractmethod
    async def verify(self) -> None:
        """Make sure that it is still the one that was opened, as far as `transact` and `read` do not see to it.

        Raises:
            StorageError: it is not, or does not answer.
        """

    @abstractmethod
    def occupy(self, use: Use) -> None:
        """Keep others out until it is closed, where it is for one master only.

        Raises:
            StorageError: somebody has it.
        """


def open_database(url: str, *, timeout_seconds: float = 10.0) -> Database:
    """The database at a URL: `sqlite:///path/to/file.db`, `postgresql://user@host/name` or, where several servers may
    be the one to write to, `postgresql://user@host1:5432,host2:5432/name`.

    A PostgreSQL server that says nothing for `timeout_seconds` is taken for gone.

    Raises:
        ValueError: the URL names neither.
    """
    parsed = parse_url(url)
    return (
        SqliteDatabase(parsed)
        if parsed.get_backend_name() == "sqlite"
        else PostgresDatabase(parsed, timeout_seconds=timeout_seconds)
    )


def sqlite_engine(url: URL) -> Engine:
    """An engine over a file that is there. A connection raises StorageError where there is none."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{existing_file(url).as_uri()}?mode=rw", uri=True, check_same_thread=False)

    return create_engine("sqlite+pysqlite://", poolclass=NullPool, creator=connect)


def existing_file(url: URL) -> Path:
    """The file that a SQLite URL names.

    Raises:
        StorageError: there is none.
    """
    file = Path(str(url.database)).absolute()
    if not file.exists():
        named = f"database_url is {url.set(drivername='sqlite').render_as_string()}, which is {file}"
        if not file.parent.is_dir():
            raise StorageError(StorageProblem.STORAGE_ABSENT, f"{named}, and there is no such folder; correct it")
        remedy = "correct it, or make an empty database there with `license-master db upgrade --create`"
        raise StorageError(StorageProblem.STORAGE_ABSENT, f"{named}, and there is no such file; {remedy}")
    return file


def made_file(url: URL) -> Path:
    """The file that a SQLite URL names, empty where there was none. Its owner alone may read it: keys and secrets are
    kept there; SQLite's own files beside it, -wal and -shm, have its mode.

    Raises:
        StorageError: there is no such folder.
    """
    file = Path(str(url.database)).absolute()
    if file.parent.is_dir():
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    return existing_file(url)


class _SqliteTx(Tx):
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        self._raw = raw

    def rows(self, statement: str, *values: Any) -> list[Row]:
        plain = [json.dumps(value) if isinstance(value, list) else value for value in values]
        return self._raw.execute(_for_sqlite(statement), plain).fetchall()

    def rows_for_pairs(self, statement: str, pairs: Sequence[tuple[int, str]]) -> list[Row]:
        return self._raw.execute(_for_sqlite(statement), (json.dumps(pairs),)).fetchall()

    def many(self, statement: str, rows: Sequence[Row]) -> None:
        self._raw.executemany(_for_sqlite(statement), rows)

    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        # One step of SQLite inserts all rows that are alike: the interpreter lock is let go once, not once per row,
        # and the other threads work meanwhile.
        alike: dict[Any, list[Any]] = {}
        for row in rows:
            alike.setdefault((row[:differ_in], row[differ_in + 1 :]), []).append(row[differ_in])
        names = ", ".join(name for name, _ in columns)
        marks = ", ".join("value" if at == differ_in else f"?{at + 1}" for at in range(len(columns)))
        statement = f"INSERT INTO {table} ({names}) SELECT {marks} FROM json_each(?{differ_in + 1})"
        for (before, after), values in alike.items():
            self._raw.execute(statement, (*before, json.dumps(values), *after))

    def lock(self, statement: str, *values: Any) -> None:
        """BEGIN IMMEDIATE has locked everything."""


class SqliteDatabase(Database):
    """A file; one writer thread, one reader thread."""

    is_shared = False

    def __init__(self, url: URL) -> None:
        """Raises StorageError: there is no such file, or it cannot be opened."""
        self.file = existing_file(url)
        self._opened = opened_file(self.file)
        self._engine = sqlite_engine(url)
        _tune_sqlite(self._engine)
        self._writer = _SqliteThread(self, "BEGIN IMMEDIATE", "database-writer", prepare=_WRITE_AHEAD)
        self._reader = _SqliteThread(self, "BEGIN", "database-reader")

    @property
    def read_by_others(self) -> bool:
        """Whether others than the owner of the file may read it."""
        return bool(self.file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))

    async def verify(self) -> None:
        """Each transaction does."""

    def occupy(self, use: Use) -> None:
        lock_file(self._opened, use)

    async def transact(self, work: Callable[[Tx], T]) -> T:
        return await self._writer.run(work)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._reader.run(work)

    async def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._engine.dispose()
        self._opened.close()


class _SqliteThread:
    """One thread with one connection that is opened anew after a failure."""

    def __init__(self, database: SqliteDatabase, begin: str, name: str, *, prepare: str = "") -> None:
        self._engine = database._engine
        self._file = database._opened
        self._prepare = prepare
        self._begin = begin
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connection: Connection | None = None

    async def run(self, work: Callable[[Tx], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._transaction, work)

    def close(self) -> None:
        self._executor.submit(self._disconnect).result()
        self._executor.shutdown()

    def _transaction(self, work: Callable[[Tx], T]) -> T:
        try:
            self._file.check()
            result = self._committed(_SqliteTx(self._connected()), work)
            self._file.check()  # nothing is answered for what went into a file that nobody finds again
            return result
        except ReplacedError as error:
            raise StorageError(StorageProblem.STORAGE_REPLACED, f"{error}; {_REPLACED}") from error
        except (sqlite3.Error, DBAPIError) as error:
            self._disconnect()
            raise storage_error(error) from error

    def _committed(self, tx: _SqliteTx, work: Callable[[Tx], T]) -> T:
        since, changes = self._file.committed, tx._raw.total_changes
        tx.rows(self._begin)
        try:
            count = int(tx.rows("PRAGMA user_version")[0][0])
            self._file.begun(count, since=since)
            result = work(tx)
            new_count = self._file.commits(count) if tx._raw.total_changes != changes else None
            if new_count is not None:
                tx.rows(f"PRAGMA user_version = {new_count}")
            tx.rows("COMMIT")
            if new_count is not None:
                self._file.has_committed()
        except BaseException:
            if tx._raw.in_transaction:
                tx.rows("ROLLBACK")
            raise
        return result

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._file.connected()
            self._connection.exec_driver_sql(self._prepare)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            self._file.check()
        except ReplacedError:
            _abandon(connection)
            return
        connection.close()
        self._file.disconnected()


_REPLACED = "this master serves nobody until it is back, or until it is started anew on what is there now"


def _abandon(connection: Connection) -> None:
    """Never close it: SQLite would write what it has into the file that is there now, or delete what belongs to it."""
    raw = connection.connection.driver_connection
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(raw))  # not even at the end of the program


def opened_file(file: Path) -> SqliteFile:
    """Raises StorageError: it cannot be opened."""
    try:
        return SqliteFile(file)
    except OSError as error:
        raise StorageError(StorageProblem.STORAGE_UNAVAILABLE, str(error)) from error


def lock_file(file: SqliteFile, use: Use) -> None:
    """Raises StorageError: another program has it, or it cannot be locked."""
    try:
        file.lock(use)
    except ReplacedError as error:
        raise StorageError(StorageProblem.STORAGE_REPLACED, str(error)) from error
    except InUseError as error:
        remedy = "stop the master that serves it, or the command that changes it, and try again"
        raise StorageError(StorageProblem.STORAGE_IN_USE, f"{error}; {remedy}") from error
    except OSError as error:
        remedy = "a disk of this machine is needed, where locks hold"
        raise StorageError(StorageProblem.STORAGE_UNAVAILABLE, f"{file.path}: {error}; {remedy}") from error


class _PostgresTx(Tx):
    def __init__(self, connection: Connection, patience: Patience, *, read_only: bool) -> None:
        self.connection = connection
        self._patience = patience
        self._read_only = read_only
        self._adapted: Any = connection.connection.dbapi_connection

    def await_(self, call: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
        """Wait for the driver from within plain code, over SQLAlchemy's documented bridge."""
        result: T = self._adapted.run_async(call)
        self._patience.progress()
        return result

    def rows(self, statement: str, *values: Any) -> list[Row]:
        text = _for_postgres(statement)
        return self.await_(lambda raw: raw.fetch(text, *values))

    def rows_for_pairs(self, statement: str, pairs: Sequence[tuple[int, str]]) -> list[Row]:
        return self.rows(statement, [first for first, _ in pairs], [second for _, second in pairs])

    def many(self, statement: str, rows: Sequence[Row]) -> None:
        text = _for_postgres(statement)
        self.await_(lambda raw: raw.executemany(text, rows))

    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        names = ", ".join(name for name, _ in columns)
        arrays = ", ".join(f"${at}::{kind}[]" for at, (_, kind) in enumerate(columns, start=1))
        text = f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"
        self.await_(lambda raw: raw.execute(text, *(list(column) for column in zip(*rows, strict=True))))

    def lock(self, statement: str, *values: Any) -> None:
        if not self._read_only:
            self.rows(statement, *values)


class PostgresDatabase(Database):
    """A server that several masters share."""

    is_shared = True

    def __init__(self, url: URL, *, timeout_seconds: float) -> None:
        self._connections = Connections(url, timeout_seconds=timeout_seconds)
        self._commits = Attempts(wait_max_seconds=_WAIT_MAX_SECONDS)
        """A commit that waits for a replica that is gone keeps its connection's place at the server."""
        self._changing: set[asyncio.Task[Any]] = set()

    async def transact(self, work: Callable[[Tx], T]) -> T:
        # Whoever gives up waiting does not break off a commit: the driver would cancel it (see `connections`).
        task = asyncio.create_task(self._run(work, read_only=False))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._run(work, read_only=True)

    async def verify(self) -> None:
        identity = await self.read(lambda tx: str(tx.rows(WHICH)[0][0]))
        try:
            self._connections.recognise(identity)
        except StorageError:
            self._connections.distrust()  # new ones are refused, so nothing more is done there
            raise

    def occupy(self, use: Use) -> None:
        """It is for several, and its own locks keep them apart."""

    async def close(self) -> None:
        await asyncio.gather(*self._changing, return_exceptions=True)
        await self._connections.engine.dispose()

    async def _run(self, work: Callable[[Tx], T], *, read_only: bool) -> T:
        try:
            async with self._connections.connection() as connection:
                with nullcontext() if read_only else self._commits.attempt(*_LOST):
                    return await self._run_on(connection, work, read_only)
        except _FAILURES as error:
            raise storage_error(error) from error

    async def _run_on(self, connection: AsyncConnection, work: Callable[[Tx], T], read_only: bool) -> T:
        try:
            return await connection.run_sync(lambda plain: self._transaction(plain, work, read_only))
        except _BROKEN as error:
            await connection.invalidate()
            if not isinstance(error, asyncio.CancelledError):
                self._connections.distrust()
            raise

    def _transaction(self, plain: Connection, work: Callable[[Tx], T], read_only: bool) -> T:
        raw = plain.connection.driver_connection
        assert raw is not None
        begin = _BEGIN_TO_READ if read_only else self._connections.begin_to_change(raw)
        patience = self._connections.patience(raw)
        try:
            return _transaction(_PostgresTx(plain, patience, read_only=read_only), begin, work)
        except Exception as error:
            if raw.is_closed():  # given up between two statements, the driver fails as it happens to
                raise asyncpg.InterfaceError("the connection was given up") from error
            raise
        finally:
            patience.stop()


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
def _for_sqlite(statement: str) -> str:
    pairs = "(SELECT json_extract(value, '$[0]') AS a, json_extract(value, '$[1]') AS b FROM json_each(?1))"
    plain = _LOCKING.sub("", statement).replace("{pairs}", pairs)
    return _ARRAY.sub(r"IN (SELECT value FROM json_each(\1))", plain)


@cache
def _for_postgres(statement: str) -> str:
    pairs = "unnest(?1::int[], ?2::text[]) AS pairs(a, b)"
    return _ARRAY.sub(r"= ANY(\1::\2[])", statement.replace("{pairs}", pairs)).replace("?", "$")


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun and ended by hand
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=5000",
            "cache_size=-8192",
            "wal_autocheckpoint=4000",
        ):
            connection.execute(f"PRAGMA {pragma}")
