"""A dry run: the same work, done on a copy of one project in memory, which nobody else sees or waits for.

The copy is read on one consistent state, as every question is; neither the writer nor any lock is taken, on both kinds
of database. What the work writes is written for it to read again, and thrown away with the copy. Leaves out what no
work reads back: the audit but for its end, what requests were answered with, usage history, alarms, vendors' documents
and secrets.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Engine, Table, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from master.store import tables as t
from master.store.backends.database import Row, Transactions, Tx
from master.store.backends.problems import storage_error
from master.store.backends.sqlite import SqliteTx
from master.store.backends.stopping import Stop

T = TypeVar("T")
SeatsOf = Callable[[Tx, int], Sequence[int]]
"""By a project's id the ids of its PBXs whose seats the work may look at."""

LEFT_OUT: Final = frozenset(
    {
        t.request_answer,
        t.site_day,
        t.pool_day,
        t.rule_day,
        t.denial,
        t.alarm,
        t.webhook_delivery,
        t.signing_key,
        t.database_identity,
    }
)
_BLANK: Final[Mapping[Column[Any], Any]] = {
    t.license_file.c.document: b"",
    t.webhook.c.secret: "",
    t.event.c.request_id: None,
}
"""Columns that are not read, and what stands there in a copy."""
_PBXS_AT_ONCE = 100
"""Seats are read in pieces: calls that the same event loop serves get their turn in between."""


@dataclass(frozen=True, slots=True)
class ProjectCopy:
    """The rows of one project, by table; none where there is no such project."""

    rows: tuple[tuple[Table, list[Row]], ...] = ()


class Rehearsals:
    """Does work on copies, one at a time, so that all dry runs together hold one copy and one thread."""

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._turn = asyncio.Semaphore(1)

    async def run(self, project: str, work: Callable[[Tx], T], *, seats_of: SeatsOf | None = None) -> T:
        """What work returns, done on a copy of a project; of the seats of all its PBXs, unless it is said of which.

        Raises:
            StorageError: the copy could not be read, or the work not done.
        """
        await self._turn.acquire()
        try:
            copy = await self._database.read(lambda tx: copy_of(tx, project, seats_of or of_every_pbx))
            done = asyncio.get_running_loop().run_in_executor(None, rehearsed, copy, work)
        except BaseException:
            self._turn.release()
            raise
        done.add_done_callback(self._next)
        return await asyncio.shield(done)  # a thread goes on although its caller has gone: the next one waits for it

    def _next(self, done: asyncio.Future[Any]) -> None:
        self._turn.release()
        if not done.cancelled():
            done.exception()  # nobody may be there to hear of it


def copy_of(tx: Tx, project: str, seats_of: SeatsOf) -> ProjectCopy:
    """Read what work may look at of a project, one that was deleted included."""
    rows = tx.rows("SELECT id FROM project WHERE name = ?1", project)
    if not rows:
        return ProjectCopy()
    project_id = rows[0][0]
    return ProjectCopy(
        tuple(
            (table, _seats(tx, seats_of(tx, project_id)) if table is t.seat else _rows(tx, table, project_id))
            for table in t.metadata.sorted_tables
            if table not in LEFT_OUT
        )
    )


def rehearsed(copy: ProjectCopy, work: Callable[[Tx], T]) -> T:
    """Run work on a copy of a project in memory.

    Raises:
        StorageError: a statement failed.
    """
    try:
        with _ENGINE.connect() as connection:
            connection.connection.cursor().executescript(_empty_tables())
            tx = SqliteTx(connection, Stop())
            tx.rows("PRAGMA foreign_keys=ON")
            tx.rows("BEGIN")
            for table, rows in copy.rows:
                _put(tx, table, rows)
            return work(tx)
    except (OverflowError, UnicodeEncodeError, sqlite3.Error, DBAPIError) as error:
        raise storage_error(error) from error


def of_every_pbx(tx: Tx, project_id: int) -> list[int]:
    return [row[0] for row in tx.rows("SELECT id FROM pbx WHERE project_id = ?1 ORDER BY id", project_id)]


def of_no_pbx(tx: Tx, project_id: int) -> list[int]:
    """No PBX: the work looks at no seats."""
    return []


def of_pair(name: str) -> SeatsOf:
    """a PBX, and the one that it is the standby of."""

    def ids(tx: Tx, project_id: int) -> list[int]:
        rows = tx.rows(
            "SELECT id FROM pbx WHERE project_id = ?1 AND (name = ?2 OR name IN"
            " (SELECT standby_for FROM pbx WHERE project_id = ?1 AND name = ?2)) ORDER BY id",
            project_id,
            name,
        )
        return [row[0] for row in rows]

    return ids


def _memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


_ENGINE: Final[Engine] = create_engine("sqlite+pysqlite://", poolclass=NullPool, creator=_memory)
"""Each connection is to a database of its own, which ends with it."""


@cache
def _empty_tables() -> str:
    """The statements that make all tables: working them out for each copy took longer than most work on it."""
    with _ENGINE.connect() as connection:
        t.metadata.create_all(connection, checkfirst=False)
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return ";\n".join(made.scalars())


def _rows(tx: Tx, table: Table, project_id: int) -> list[Row]:
    return tx.rows(f"SELECT {_named(_read(table))} FROM {table.name} WHERE {_whose(table)}", project_id)


def _seats(tx: Tx, pbx_ids: Sequence[int]) -> list[Row]:
    statement = f"SELECT {_named(_read(t.seat))} FROM seat WHERE pbx_id IN {{?1:int}}"
    pieces = (pbx_ids[at : at + _PBXS_AT_ONCE] for at in range(0, len(pbx_ids), _PBXS_AT_ONCE))
    return [row for piece in pieces for row in tx.rows(statement, list(piece))]


def _whose(table: Table) -> str:
    of_pbxs = "IN (SELECT id FROM pbx WHERE project_id = ?1)"
    if table is t.project:
        return "id = ?1"
    if table is t.event:
        return "project_id = ?1 AND seq = (SELECT MAX(seq) FROM event WHERE project_id = ?1)"
    if "project_id" in table.c:
        return "project_id = ?1"
    return f"{'pbx_id' if 'pbx_id' in table.c else 'standby_id'} {of_pbxs}"


def _put(tx: Tx, table: Table, rows: list[Row]) -> None:
    columns = [*_read(table), *(column for column in table.c if column in _BLANK)]
    blanks = [_BLANK[column] for column in columns if column in _BLANK]
    marks = ", ".join(f"?{at}" for at in range(1, len(columns) + 1))
    tx.many(f"INSERT INTO {table.name} ({_named(columns)}) VALUES ({marks})", [(*row, *blanks) for row in rows])


def _read(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if column not in _BLANK]


def _named(columns: Sequence[Column[Any]]) -> str:
    return ", ".join(column.name for column in columns)
