"""Connections to PostgreSQL: which server they go to, and when they are given up.

Decides which of several servers is the one to write to, and when a silent server is taken as gone. Transactions are
left to `database`.

- Of several servers the last good one is asked first, each for a few seconds at most, and only one that takes writes
  is accepted: so masters find the replica that was promoted.
- A statement that makes no progress for `timeout_seconds` costs the connection. It is dropped, not cancelled: a commit
  that waits for a synchronous replica would be visible once cancelled, and an answer could go out for what the replica
  never got. Computing time between two statements says nothing about the server, however long it is.
- Settings are made after connecting, and the server is examined: it must use UTF-8, hold the same database as before
  with what was committed last, and, behind a pooler, give a session of our own, or settings and prepared statements
  would not hold.
- When a connection breaks, the idle ones are dropped with it, and those that the server closed are not used: an outage
  is found out once, not once for each connection.
- New connections are made one after the other, and seldom after a failed attempt: who asks meanwhile is refused at
  once. A server that cannot answer may keep each attempt for a minute, and takes a limited number.
- Who waits in vain for a free connection is told just that: it does not mean that the server is away.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from licensemaster.daemon.halts import was_halted
from master.process.attempts import Attempts
from master.store.backends.database import Written
from master.store.backends.problems import SHARED_SESSION, AllInUseError, StorageError, StorageProblem, storage_error
from master.store.backends.urls import servers_of

if TYPE_CHECKING:
    Raw = asyncpg.Connection[Any]
_CONNECT_SECONDS = 3.0
"""How many seconds one server may take to accept a connection."""
_WAIT_MAX_SECONDS = 2.0
"""The most seconds between two attempts to reach a server that is away."""
_IDLE_MAX = 4
_MORE_MAX = 4
QUESTIONS_MAX = 2
"""How many connections `ask` may use at once; the others are kept for leases."""
_MISNAMED = (ValueError, OverflowError)
"""Errors of the driver for a URL, variables and files that tell it to do what it cannot."""
_FILES = ("PGPASSFILE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL")
"""Variables that name files; the driver does not say which is missing, and goes on without PGPASSFILE's."""
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, *_MISNAMED)

_STATEMENT_LATER_SECONDS = 1.0
"""How many seconds later than this program the server gives up a statement that waits for a lock."""
_TRANSACTION_TIMES = 1.5
"""How long a whole change may take, as a multiple of a statement's time: waiters for its locks give up first."""
_IDLE_CHANGE_TIMES = 0.5
"""How long a change may leave the server idle, as a multiple of a statement's time; then it loses its locks."""
_IDLE_READ_TIMES = 6
"""How long a read may leave the server idle, as a multiple of a statement's time: it holds no lock and may compute."""
_KNOWS_TRANSACTION_TIMEOUT = (17,)
_BEGIN_CHANGE = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on"
"""Begins a change in whatever session: it sees what was committed before its locks, and is durable when answered."""
COMMIT = "SET LOCAL statement_timeout = 0; COMMIT"
"""Commits without a time limit: broken off while it waits for a synchronous replica, it is visible without that."""


_NAME = {"application_name": "license-master"}
"""The only setting sent with the start of a session: poolers refuse all but a few."""
_SESSION = "license_master.session"
"""A setting made in each session, so that the next client that is handed the session finds it used."""
_ALWAYS = {"default_transaction_isolation": "read committed"}
SESSION_SETTINGS: Mapping[str, str] = {
    # The hot statements look up rows by key in tables that grow from nothing to a million rows; a plan made while a
    # table was empty would scan it for ever after.
    "enable_seqscan": "off",
    "jit": "off",
    # The locks of a master whose machine died are let go within seconds, not hours.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_TOLD_FIRST = (StorageProblem.STORAGE_REPLACED, StorageProblem.STORAGE_UNAVAILABLE)
"""What is told where several servers fail: people have to decide about one that was set back, a silent one may
still come back."""
_LIMITS = {
    (9,): ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
    (14,): ("idle_session_timeout",),
    (17,): ("transaction_timeout",),
}
"""Limits by the version that brought them; user or database may have any as a default, however short. They are removed
before anything is asked: each transaction sets what it needs, an upgrade none."""
WHICH = "SELECT id || '/' || tableoid FROM database_identity"
"""Selects which database answers; a table that was dropped and restored has another number, a replica the same."""
_HAS = (
    "SELECT EXISTS (SELECT FROM event WHERE project_id = $1 AND seq = $2 AND hash = $3)"
    " OR EXISTS (SELECT FROM project WHERE epoch_floor > $4), pg_is_in_recovery()"
)
"""Selects whether an event is there, or masters were told since that it is not; and whether a replica was asked."""
_PROCESS, _NUMBERS = token_hex(8), count()
_LOOK = f"SELECT pg_backend_pid(), current_setting('{_SESSION}', true), to_regclass('database_identity')::text"


class _Session(asyncpg.Connection):
    """A connection whose prepared statements are named as no other master's: where a pooler hands its session to one of
    those, they are missing there, and none is taken for another."""

    def _get_unique_id(self, prefix: str) -> str:
        return f"{prefix}_{_PROCESS}_{next(_NUMBERS)}"


class Connections:
    def __init__(self, url: URL, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._idle: set[Raw] = set()
        self.engine: AsyncEngine = create_async_engine(
            url,
            isolation_level="AUTOCOMMIT",
            pool_size=_IDLE_MAX,
            max_overflow=_MORE_MAX,
            pool_use_lifo=True,  # what was used last has its statements prepared, and its tables at hand
            async_creator=self._connect_in_turn,
        )
        self._free = asyncio.Semaphore(_IDLE_MAX + _MORE_MAX)
        self._connecting = asyncio.Lock()
        self._attempts = Attempts(wait_max_seconds=_WAIT_MAX_SECONDS)
        self._servers = servers_of(url)
        self._identity: str | None = None
        self._written: Written | None = None
        self._pooler_looked_at = False
        """Since a connection was last lost: a pooler may have been started again, in another mode."""
        self._watch_pool()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection to this database while the context lasts.
        Raises AllInUseError if no connection became free in time, StorageError or OSError if no server accepts the
        connection."""
        try:
            # Longer than they may be silent: where they are, it is told, and not that they are in use.
            async with asyncio.timeout(self._timeout_seconds + _CONNECT_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise AllInUseError from error
        try:
            async with self.engine.connect() as connection:
                yield connection
        finally:
            self._free.release()

    def watchdog(self, raw: Raw) -> ConnectionWatchdog:
        """Return the watchdog of a connection, to be kept while the connection is used."""
        return ConnectionWatchdog(raw, self._timeout_seconds)

    @property
    def begin_to_read(self) -> str:
        """The statements that begin a read of one state; the server ends a statement that nobody waits for any more."""
        return f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {self._server_limits(_IDLE_READ_TIMES)}"

    def _server_limits(self, idle_times: float) -> str:
        return (
            f"SET LOCAL statement_timeout = '{self._timeout_seconds + _STATEMENT_LATER_SECONDS:.1f}s';"
            f" SET LOCAL idle_in_transaction_session_timeout = '{self._timeout_seconds * idle_times:.2f}s'"
        )

    def begin_to_change(self, raw: Raw) -> str:
        """Return the statements that begin a change, with limits after which the server drops its locks.

        Where something between master and server keeps the connection open, the server never hears that the connection
        was given up: it waits for a lock, and then for the master to go on, even in the middle of a statement, where
        it does not count as idle.
        """
        begin = f"{_BEGIN_CHANGE}; {self._server_limits(_IDLE_CHANGE_TIMES)}"
        if raw.get_server_version() >= _KNOWS_TRANSACTION_TIMEOUT:
            begin += f"; SET LOCAL transaction_timeout = '{self._timeout_seconds * _TRANSACTION_TIMES:.1f}s'"
        return begin

    def distrust(self) -> None:
        """Drop the idle connections, after one connection broke."""
        for raw in list(self._idle):
            raw.terminate()
        self._idle.clear()
        self._pooler_looked_at = False

    async def _connect_in_turn(self) -> Raw:
        self._attempts.check()  # before waiting for others
        async with self._connecting:
            with self._attempts.attempt(StorageError):
                return await self.connect()

    async def connect(self, settings: Mapping[str, str] = SESSION_SETTINGS) -> Raw:
        """Return a connection to the server that takes writes.
        Raises StorageError if no server will do; a refusal only where all refuse."""
        failures: list[StorageError] = []
        for server in list(self._servers):
            try:
                return await self._connect(server, settings)
            except (StorageError, *_FAILURES) as error:
                failures.append(_told(error, server))
                self._servers.append(self._servers.pop(0))
        raise min(reversed(failures), key=lambda failure: [*_TOLD_FIRST, failure.problem].index(failure.problem))

    async def _connect(self, server: dict[str, Any], settings: Mapping[str, str]) -> Raw:
        connection: Raw = await asyncpg.connect(
            **server, server_settings=_NAME, timeout=_CONNECT_SECONDS, connection_class=_Session
        )
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                known = [names for since, names in _LIMITS.items() if connection.get_server_version() >= since]
                await _set(connection, dict.fromkeys(chain(*known), "0"))
                await self._look_at(connection, server)
                await _set(connection, {**_ALWAYS, **settings, _SESSION: "used"})
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _look_at(self, connection: Raw, server: dict[str, Any]) -> None:
        """Make sure that the server can keep a master's data.
        Raises StorageError if it cannot; the message says what helps."""
        encoding = connection.get_settings().server_encoding
        if encoding != "UTF8":
            remedy = "move it into one made with createdb --encoding=UTF8 --template=template0 NAME"
            raise StorageError(StorageProblem.STORAGE_REFUSED, f"its encoding is {encoding}, not UTF8; {remedy}")
        process, session, table = await _looked(connection)
        if session:
            raise _shared_session()
        if process != connection.get_server_pid() and not self._pooler_looked_at:
            await _look_at_pooler(server, connection)
            self._pooler_looked_at = True
        self.recognise(await connection.fetchval(WHICH) if table else None)
        if self._written is not None:
            await _look_for(connection, self._written)

    def remember(self, written: Written | None) -> None:
        """Look for an event that was committed in whatever this is connected to from now on, or for a later one."""
        if written is not None and (self._written is None or written.time_us >= self._written.time_us):
            self._written = written

    def recognise(self, identity: str | None) -> None:
        """Make sure that the database is the one that was opened, and that its tables were not created anew since.
        Raises StorageError if another database answers."""
        if self._identity is not None and identity != self._identity:
            raise StorageError(
                StorageProblem.STORAGE_REPLACED,
                f"another database answers ({identity or 'an empty one'}) than the one that was opened"
                f" ({self._identity}); to serve it, `license-master db restored` if it was restored from a backup,"
                " then start this master anew",
            )
        self._identity = identity

    def _watch_pool(self) -> None:
        @event.listens_for(self.engine.sync_engine, "checkin")
        def _on_checkin(connection: Any, _record: Any) -> None:
            if connection is not None:
                self._idle.add(connection.driver_connection)

        @event.listens_for(self.engine.sync_engine, "checkout")
        def _on_checkout(connection: Any, _record: Any, _proxy: Any) -> None:
            self._idle.discard(connection.driver_connection)
            if connection.driver_connection.is_closed():
                self._pooler_looked_at = False
                raise DisconnectionError  # and the pool makes another one

        @event.listens_for(self.engine.sync_engine, "close")
        def _on_close(connection: Any, _record: Any) -> None:
            self._idle.discard(connection.driver_connection)


class ConnectionWatchdog:
    """A timer that drops a connection on which a statement makes no progress for a while."""

    def __init__(self, raw: Raw, seconds: float) -> None:
        self._raw = raw
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._end: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        """Start the timer when a statement is sent."""
        self._start()

    def __exit__(self, *_: object) -> None:
        """Stop the timer when the statement was answered."""
        self.stop()

    def _start(self) -> None:
        self.stop()
        self._due = self._loop.time() + self._seconds
        self._end = self._loop.call_at(self._due, self._over)

    def stop(self) -> None:
        if self._end is not None:
            self._end.cancel()

    def _over(self) -> None:
        if was_halted(due=self._due, now=self._loop.time()):
            self._start()  # what the server may have answered is not read yet
        else:
            self._raw.terminate()


async def _set(connection: Raw, made: Mapping[str, str]) -> None:
    await connection.execute(";".join(f"SET {name} = '{value}'" for name, value in made.items()))


async def _look_at_pooler(server: dict[str, Any], first: Raw) -> None:
    """Make sure that each client has a session of its own: a second client must not be handed the first one's."""
    await _set(first, {_SESSION: "used"})
    second: Raw = await asyncpg.connect(**server, server_settings=_NAME, timeout=_CONNECT_SECONDS)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS / 2):
            if (await _looked(second))[1]:
                raise _shared_session()
    except TimeoutError as error:
        remedy = "raise default_pool_size: a master takes up to eight"
        raise StorageError(StorageProblem.STORAGE_UNAVAILABLE, f"the pooler has one session only; {remedy}") from error
    finally:
        second.terminate()


async def _look_for(connection: Raw, written: Written) -> None:
    """Make sure that a database was not set back to before an event was committed, unless masters were told so.
    Raises StorageError if it was, or if a replica has not got the event yet."""
    project_id, seq, time_us, event_hash = written
    # learning raises the floor of epochs to its own time in milliseconds (`domain/leases/learning.py`)
    row = await connection.fetchrow(_HAS, project_id, seq, event_hash, time_us // 1000)
    assert row is not None
    is_there, is_replica = row
    if is_there:
        return
    lacks = f"it lacks what was committed at {datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if is_replica:
        raise StorageError(StorageProblem.STORAGE_UNAVAILABLE, f"{lacks}: a replica that is behind answers")
    raise StorageError(
        StorageProblem.STORAGE_REPLACED,
        f"{lacks}: it was set back, or a replica was promoted that is behind; `license-master db restored` has masters"
        " learn what was lost, and this one goes on",
    )


async def _looked(connection: Raw) -> tuple[int, str | None, str | None]:
    """Return the process that serves a connection, the use of its session, and the name of its identity table."""
    row = await connection.fetchrow(_LOOK)
    assert row is not None
    return row[0], row[1], row[2]


def _is_of_its_files(error: BaseException, server: Mapping[str, Any]) -> bool:
    """Tell whether URL, variables or files tell the driver what it cannot do, which no waiting mends.

    A socket's file comes with its server, so a missing socket is waited for.
    """
    over_tcp = not server.get("host", "/").startswith("/")
    return (
        (isinstance(error, _MISNAMED) and not isinstance(error, OSError))
        or (isinstance(error, FileNotFoundError) and over_tcp)
        or (isinstance(error, ssl.SSLError) and error.library in ("X509", "PEM"))
    )


def _shared_session() -> StorageError:
    return StorageError(StorageProblem.STORAGE_REFUSED, SHARED_SESSION)


def _told(error: BaseException, server: Mapping[str, Any]) -> StorageError:
    if isinstance(error, socket.gaierror):
        host = server.get("host") or os.environ.get("PGHOST")
        return StorageError(StorageProblem.STORAGE_UNAVAILABLE, f"host {host!r}: {error.strerror}")
    if _is_of_its_files(error, server):
        said = str(error).partition("\n")[0]
        if isinstance(error, FileNotFoundError):
            said = ", ".join([said, *_absent_files(server)])
        remedy = "correct database_url, or the variables PG... of this process and the files that they name"
        return StorageError(StorageProblem.STORAGE_REFUSED, f"{said}; {remedy}")
    problem = storage_error(error)
    if not isinstance(problem, StorageError):
        return StorageError(StorageProblem.STORAGE_UNAVAILABLE, str(error))
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError) and (absent := _absent_files(server)):
        return StorageError(problem.problem, "; ".join([problem.detail, *absent]))
    return problem


def _absent_files(server: Mapping[str, Any]) -> list[str]:
    named = {"passfile": server.get("passfile"), **{name: os.environ.get(name) for name in _FILES}}
    files = [(name, file) for name, file in named.items() if file and not Path(file).exists()]
    return [f"{name} names {file}, which is not there" for name, file in files]
