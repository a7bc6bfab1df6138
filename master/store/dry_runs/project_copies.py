"""A project copied into memory, for work to be tried on it.

Leaves out what no work reads back: the audit but for its end, what requests were answered with, usage history, alarms,
vendors' documents and secrets.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Table, create_engine

from master.store.backends.database import Row, Tx
from master.store.backends.problems import storage_error
from master.store.backends.sqlite import SqliteTx
from master.store.backends.stopping import Stop
from master.store.dry_runs.rehearsals import SeatsOf
from master.store.tables.tables import metadata

T = TypeVar("T")
LEFT_OUT: Final = frozenset({
    "request_answer", "site_day", "pool_day", "rule_day", "denial", "alarm", "webhook_delivery", "signing_key",
    "database_identity",
})  # fmt: skip
_BLANK: Final[Mapping[str, Any]] = {"license_file.document": b"", "webhook.secret": "", "event.request_id": None}
"""Columns that are not read, and what stands there in a copy."""
_PBXS_AT_ONCE = 100
"""Seats are read in pieces: calls that the same event loop serves get their turn in between."""


@dataclass(frozen=True, slots=True)
class ProjectCopy:
    """The rows of one project, by table; none where there is no such project."""

    rows: tuple[tuple[Table, list[Row]], ...] = ()


def copy_of(tx: Tx, project: str, seats_of: SeatsOf) -> ProjectCopy:
    """Read what work may look at of a project, one that was deleted included."""
    rows = tx.rows("SELECT id FROM project WHERE name = ?1", project)
    if not rows:
        return ProjectCopy()
    project_id = rows[0][0]
    return ProjectCopy(
        tuple(
            (table, _seats(tx, seats_of(tx, project_id)) if table.name == "seat" else _rows(tx, table, project_id))
            for table in metadata.sorted_tables
            if table.name not in LEFT_OUT
        )
    )


def rehearsed(copy: ProjectCopy, work: Callable[[Tx], T]) -> T:
    """Run work on a copy of a project in memory.

    Raises:
        StorageError: a statement failed.
    """
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.executescript(_empty_tables())
            tx = SqliteTx(connection, Stop())
            tx.rows("PRAGMA foreign_keys=ON")
            tx.rows("BEGIN")
            for table, rows in copy.rows:
                _put(tx, table, rows)
            return work(tx)
    except (OverflowError, UnicodeEncodeError, sqlite3.Error) as error:
        raise storage_error(error) from error


@cache
def _empty_tables() -> str:
    """The statements that make all tables: working them out for each copy took longer than most work on it."""
    with create_engine("sqlite+pysqlite://").connect() as connection:
        metadata.create_all(connection, checkfirst=False)
        made = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return ";\n".join(made.scalars())


def _rows(tx: Tx, table: Table, project_id: int) -> list[Row]:
    return tx.rows(f"SELECT {_named(_read(table))} FROM {table.name} WHERE {_whose(table)}", project_id)


def _seats(tx: Tx, pbx_ids: Sequence[int]) -> list[Row]:
    statement = f"SELECT {_named(_read(metadata.tables['seat']))} FROM seat WHERE pbx_id IN {{?1:int}}"
    pieces = (pbx_ids[at : at + _PBXS_AT_ONCE] for at in range(0, len(pbx_ids), _PBXS_AT_ONCE))
    return [row for piece in pieces for row in tx.rows(statement, list(piece))]


def _whose(table: Table) -> str:
    of_pbxs = "IN (SELECT id FROM pbx WHERE project_id = ?1)"
    if table.name == "project":
        return "id = ?1"
    if table.name == "event":
        return "project_id = ?1 AND seq = (SELECT MAX(seq) FROM event WHERE project_id = ?1)"
    if "project_id" in table.c:
        return "project_id = ?1"
    return f"{'pbx_id' if 'pbx_id' in table.c else 'standby_id'} {of_pbxs}"


def _put(tx: Tx, table: Table, rows: list[Row]) -> None:
    blank = [column for column in table.c if str(column) in _BLANK]
    columns, blanks = [*_read(table), *blank], [_BLANK[str(column)] for column in blank]
    marks = ", ".join(f"?{at}" for at in range(1, len(columns) + 1))
    tx.many(f"INSERT INTO {table.name} ({_named(columns)}) VALUES ({marks})", [(*row, *blanks) for row in rows])


def _read(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if str(column) not in _BLANK]


def _named(columns: Sequence[Column[Any]]) -> str:
    return ", ".join(column.name for column in columns)
