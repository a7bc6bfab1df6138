"""A SQLite file as a database: one writer thread, two reader threads, and the checks of the file (`sqlite_file`)."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from master.store.backends.database import LOCKING, Database, Row, Tx, alike, json_text
from master.store.backends.problems import StorageError, StorageProblem, storage_error
from master.store.backends.sqlite_file import DamagedError, InUseError, ReplacedError, SqliteFile, Use
from master.store.backends.stopping import GivenUpError, Stop, until_ended
from master.store.backends.urls import SqliteUrl

T = TypeVar("T")
_ARRAY = re.compile(r"IN \{(\?\d+):(\w+)\}")
_WRITE_AHEAD = "PRAGMA journal_mode=WAL"
"""Changes the file, so it is for a program that writes, not for one that looks who uses the file."""
_PRAGMAS = ("synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000", "cache_size=-8192", "wal_autocheckpoint=4000")
_PATH_BYTES_MAX = 500
"""SQLite takes 512, with what it adds to the names of the files beside the database."""
_LOOK_STEPS = 100_000
"""After how many steps of SQLite, a few milliseconds, a statement checks whether it was given up."""


def connected(file: Path) -> sqlite3.Connection:
    """Open a connection to an existing file, for one thread at a time; transactions are begun and ended by hand."""
    uri = f"{file.as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def named_file(url: SqliteUrl) -> Path:
    """Return the absolute path of the file that a SQLite URL names, whether it exists or not.
    Raises StorageError if the path is too long."""
    file = Path(url.path).absolute()
    if (length := len(os.fsencode(file))) > _PATH_BYTES_MAX:
        detail = f"the path in database_url has {length} bytes; SQLite opens none of over {_PATH_BYTES_MAX}"
        raise StorageError(StorageProblem.STORAGE_REFUSED, detail)
    return file


def existing_file(url: SqliteUrl) -> Path:
    """Return the file that a SQLite URL names; the file has to exist.
    Raises StorageError if there is no such file, or its path is too long."""
    file = named_file(url)
    if not file.exists():
        named = f"database_url is {url}, which is {file}"
        if not file.parent.is_dir():
            raise StorageError(StorageProblem.STORAGE_ABSENT, f"{named}, and there is no such folder; correct it")
        remedy = "correct it, or make an empty database there with `license-master db upgrade --create`"
        raise StorageError(StorageProblem.STORAGE_ABSENT, f"{named}, and there is no such file; {remedy}")
    return file


def made_file(url: SqliteUrl) -> Path:
    """Return the file that a SQLite URL names; create an empty one where there was none.

    Only its owner may read it, as it keeps keys and secrets; SQLite's own files beside it, -wal and -shm, get its
    mode.
    Raises StorageError if there is no such folder, or the path is too long.
    """
    file = named_file(url)
    if file.parent.is_dir():
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    return existing_file(url)


class SqliteTx(Tx):
    """A transaction over one connection, begun and ended by hand."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection, stop: Stop) -> None:
        super().__init__(stop)
        self._connection = connection

    def rows(self, statement: str, *values: Any) -> list[Row]:
        self._stop.check()
        if all(len(value) == 1 for value in values if isinstance(value, list)):
            single = [value[0] if isinstance(value, list) else value for value in values]
            return self._connection.execute(_for_single_values(statement), single).fetchall()
        plain = [json_text(value) if isinstance(value, list) else value for value in values]
        return self._connection.execute(_for_sqlite(statement), plain).fetchall()

    def rows_for_pairs(self, statement: str, pairs: Sequence[tuple[int, str]]) -> list[Row]:
        self._stop.check()
        by_first: defaultdict[int, list[str]] = defaultdict(list)
        for first, second in pairs:
            by_first[first].append(second)
        return self._connection.execute(_for_sqlite(statement), (json_text(by_first),)).fetchall()

    def many(self, statement: str, rows: Sequence[Row]) -> None:
        if rows:
            self._connection.executemany(_for_sqlite(statement), rows)

    def insert(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        # One step of SQLite inserts all rows that are alike: the interpreter lock is let go once, not once per row,
        # and the other threads work meanwhile.
        names = ", ".join(name for name, _ in columns)
        marks = ", ".join("value" if at == differ_in else f"?{at + 1}" for at in range(len(columns)))
        statement = f"INSERT INTO {table} ({names}) SELECT {marks} FROM json_each(?{differ_in + 1})"
        for same, values in alike(rows, differ_in):
            self._connection.execute(statement, (*same[:differ_in], json_text(values), *same[differ_in:]))

    def delete(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row], *, differ_in: int) -> None:
        conditions = [f"{name} = ?{at + 1}" for at, (name, _) in enumerate(columns)]
        conditions[differ_in] = f"{columns[differ_in][0]} IN (SELECT value FROM json_each(?{differ_in + 1}))"
        statement = f"DELETE FROM {table} WHERE {' AND '.join(conditions)}"
        for same, values in alike(rows, differ_in):
            self._connection.execute(statement, (*same[:differ_in], json_text(values), *same[differ_in:]))

    def lock(self, statement: str, *values: Any) -> None:
        """Do nothing: BEGIN IMMEDIATE has locked everything."""


class SqliteDatabase(Database):
    """A SQLite file with one writer thread, one reader thread, and one for `ask`."""

    is_shared = False

    def __init__(self, url: SqliteUrl) -> None:
        """Open the file. Raises StorageError if there is no such file, or it cannot be opened."""
        self.file = existing_file(url)
        self._opened = opened_file(self.file)
        self._writer = _SqliteThread(self, "BEGIN IMMEDIATE", "database-writer", prepare=_WRITE_AHEAD)
        self._reader = _SqliteThread(self, "BEGIN", "database-reader")
        self._asked = _SqliteThread(self, "BEGIN", "database-questions")
        self._asking = asyncio.Lock()

    @property
    def read_by_others(self) -> bool:
        """Whether users other than the owner of the file may read it."""
        return bool(self.file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))

    async def verify(self) -> None:
        """Do nothing: each transaction verifies the file."""

    def occupy(self, use: Use) -> None:
        lock_file(self._opened, use)

    async def transact(self, work: Callable[[Tx], T]) -> T:
        return await self._writer.run(work)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._reader.run(work)

    async def ask(self, work: Callable[[Tx], T]) -> T:
        stop = Stop()
        async with self._asking:
            return await until_ended(asyncio.ensure_future(self._asked.run(work, stop)), stop)

    async def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._asked.close()
        self._opened.close()


class _SqliteThread:
    """A thread with one connection, which is opened anew after a failure."""

    def __init__(self, database: SqliteDatabase, begin: str, name: str, *, prepare: str = "") -> None:
        self._path = database.file
        self._file = database._opened
        self._prepare = prepare
        self._begin = begin
        self._connection: sqlite3.Connection | None = None
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Tx], T], stop: Stop | None = None) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.put(partial(self._carry_out, loop, answer, work, stop))
        try:
            return await answer
        finally:
            del answer  # else it and the traceback of a failure keep each other

    def close(self) -> None:
        """End the thread after it has done all waiting work."""
        self._waiting.put(None)
        self._thread.join()
        self._disconnect()

    def _serve(self) -> None:
        # An executor takes twice as long for this: its futures are to be waited for by any thread.
        while (carry_out := self._waiting.get()) is not None:
            carry_out()
            del carry_out  # and what it was about

    def _carry_out(
        self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T], work: Callable[[Tx], T], stop: Stop | None
    ) -> None:
        if answer.cancelled():
            return
        try:
            result = self._transaction(work, stop)
        except BaseException as error:
            _hand_over(loop, answer, answer.set_exception, error)
        else:
            _hand_over(loop, answer, answer.set_result, result)
        finally:
            del answer

    def _transaction(self, work: Callable[[Tx], T], stop: Stop | None) -> T:
        try:
            self._file.check()
            tx = SqliteTx(self._connected(), stop or Stop())
            if stop is not None:
                tx._connection.set_progress_handler(lambda: stop.is_set, _LOOK_STEPS)
            result = self._committed(tx, work)
            self._file.check()  # nothing is answered for what went into a file that nobody finds again
            return result
        except ReplacedError as error:
            raise StorageError(StorageProblem.STORAGE_REPLACED, f"{error}; {_REPLACED}") from error
        except DamagedError as error:
            raise StorageError(StorageProblem.STORAGE_DAMAGED, str(error)) from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise storage_error(error) from error
        except sqlite3.Error as error:
            if stop is not None and stop.is_set:
                raise GivenUpError from error
            failure = storage_error(error)
            if isinstance(failure, StorageError) and failure.problem is StorageProblem.STORAGE_DAMAGED:
                self._file.found_damaged(failure.detail)
            self._disconnect()
            raise failure from error

    def _committed(self, tx: SqliteTx, work: Callable[[Tx], T]) -> T:
        since, changes = self._file.committed, tx._connection.total_changes
        tx.rows(self._begin)
        try:
            count = int(tx.rows("PRAGMA user_version")[0][0])
            self._file.begun(count, since=since)
            result = work(tx)
            new_count = self._file.commits(count) if tx._connection.total_changes != changes else None
            if new_count is not None:
                tx._connection.execute(f"PRAGMA user_version = {new_count}")  # not by `rows`, which keeps each text
            tx.rows("COMMIT")
            if new_count is not None:
                self._file.has_committed()
        except BaseException:
            if tx._connection.in_transaction:
                tx._connection.execute("ROLLBACK")
            raise
        return result

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connected(self._path)
            self._file.connected()
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(self._prepare)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            self._file.check()
        except (ReplacedError, DamagedError):
            _abandon(connection)
            return
        connection.close()
        self._file.disconnected()


_REPLACED = "this master serves nobody until it is back, or until it is started anew on what is there now"


def _abandon(connection: sqlite3.Connection) -> None:
    """Keep a connection open for ever: closed, SQLite would write into the new file, or delete what belongs to it."""
    import ctypes  # for this alone

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # not even at the end of the program


def opened_file(file: Path) -> SqliteFile:
    """Open a file that exists. Raises StorageError if it cannot be opened, or SQLite would spoil it."""
    try:
        return SqliteFile(file)
    except ReplacedError as error:
        raise StorageError(StorageProblem.STORAGE_REPLACED, str(error)) from error
    except DamagedError as error:
        raise StorageError(StorageProblem.STORAGE_DAMAGED, str(error)) from error
    except OSError as error:
        raise StorageError(StorageProblem.STORAGE_UNAVAILABLE, str(error)) from error


def lock_file(file: SqliteFile, use: Use) -> None:
    """Lock a file for a use. Raises StorageError if another program has locked it, or it cannot be locked."""
    try:
        file.lock(use)
    except InUseError as error:
        remedy = "stop the master that serves it, or the command that changes it, and try again"
        raise StorageError(StorageProblem.STORAGE_IN_USE, f"{error}; {remedy}") from error
    except OSError as error:
        remedy = "a disk of this machine is needed, where locks hold"
        raise StorageError(StorageProblem.STORAGE_UNAVAILABLE, f"{file.path}: {error}; {remedy}") from error


def _hand_over(
    loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], give: Callable[[Any], None], it: Any
) -> None:
    """Hand a result to whoever waits for it on the loop, from another thread."""

    def answered() -> None:
        if not answer.done():  # nobody waits any more
            give(it)

    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(answered)


@cache
def _for_single_values(statement: str) -> str:
    """Rewrite a statement whose arrays have one value each, as most have: no JSON array is needed."""
    return _for_sqlite(_ARRAY.sub(r"IN (\1)", statement))


@cache
def _for_sqlite(statement: str) -> str:
    pairs = "(SELECT CAST(f.key AS INTEGER) AS a, s.value AS b FROM json_each(?1) f CROSS JOIN json_each(f.value) s)"
    plain = LOCKING.sub("", statement).replace("{pairs}", pairs)
    return _ARRAY.sub(r"IN (SELECT value FROM json_each(\1))", plain)
