"""A copy of a project in memory, on which work can be tried.

The copy leaves out what no work reads back: the audit except its last event, the answers to requests, usage history,
alarms, vendors' documents and secrets.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any, Final, TypeVar

from master.shipped import shipped
from master.store.backends.database import Row, Transactions, Tx
from master.store.backends.problems import storage_error
from master.store.backends.sqlite import SqliteTx
from master.store.backends.stopping import Stop
from master.store.tables.chain import run_chain
from master.store.tables.columns import insert_into
from master.store.tables.names import TABLES
from master.values import Value

T = TypeVar("T")
SeatsOf = Callable[[Tx, int], Sequence[int]]
"""A function from a project's id to the ids of its PBXs whose seats the work may read."""
LEFT_OUT: Final = frozenset({
    "request_answer", "site_day", "pool_day", "rule_day", "denial", "alarm", "webhook_delivery", "signing_key",
    "database_identity",
})  # fmt: skip
_BLANK: Final[Mapping[tuple[str, str], Any]] = {
    ("license_file", "document"): b"",
    ("webhook", "secret"): "",
    ("event", "request_id"): None,
}
"""Columns, by their table, that are not read, and their values in a copy."""
_PBXS_AT_ONCE = 100
"""How many PBXs' seats one statement reads: calls that the same event loop serves get their turn in between."""


class ProjectCopy(Value):
    """The rows of one project, by table; no rows where there is no such project."""

    tables: str = ""
    """The statements that create all tables."""
    rows: tuple[tuple[str, list[Row]], ...] = ()


def copy_of(tx: Tx, tables: str, project: str, seats_of: SeatsOf) -> ProjectCopy:
    """Read the rows of a project that work may read, also of a deleted one; `tables` comes from `tables_of`."""
    rows = tx.rows("SELECT id FROM project WHERE name = ?1", project)
    if not rows:
        return ProjectCopy(tables)
    project_id = rows[0][0]
    return ProjectCopy(
        tables,
        tuple(
            (
                table,
                _seats(tx, columns, seats_of(tx, project_id))
                if table == "seat"
                else _rows(tx, table, columns, project_id),
            )
            for table, columns in _columns_read(tables).items()
        ),
    )


def rehearsed(copy: ProjectCopy, work: Callable[[Tx], T]) -> T:
    """Run work on a copy of a project in memory. Raises StorageError if a statement failed."""
    try:
        with closing(_made(copy.tables)) as connection:
            tx = SqliteTx(connection, Stop())
            tx.rows("PRAGMA foreign_keys=ON")
            tx.rows("BEGIN")
            tx.rows("PRAGMA defer_foreign_keys=ON")  # the rows come in any order
            for table, rows in copy.rows:
                _put(tx, table, _columns_read(copy.tables)[table], rows)
            tx.rows("PRAGMA defer_foreign_keys=OFF")
            return work(tx)
    except (OverflowError, UnicodeEncodeError, sqlite3.Error) as error:
        raise storage_error(error) from error


async def tables_of(database: Transactions) -> str:
    """Return the statements that create all tables in SQLite.

    A SQLite file has kept them; beside a server, the migrations make them in an empty database.
    """

    def look(tx: Tx) -> str:
        return _kept_of(tx.rows) if tx.dialect == "sqlite" else ""

    tables = await database.read(look) or await asyncio.to_thread(_of_the_chain)
    await asyncio.to_thread(_columns_read, tables)  # here, and not where calls wait for it
    return tables


@cache
def _of_the_chain() -> str:
    from sqlalchemy import create_engine

    with create_engine("sqlite+pysqlite://").begin() as connection:
        run_chain(connection, shipped("migrations"))
        return _kept_of(lambda statement: connection.exec_driver_sql(statement).all())


def _kept_of(rows: Callable[[str], Sequence[Row]]) -> str:
    """Return the statements that SQLite has kept for the project's own tables; a file may have other tables, too."""
    made = rows(
        "SELECT tbl_name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL ORDER BY rowid"
    )
    return ";\n".join(sql for table, sql in made if table in TABLES)


def _made(tables: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(tables)
    return connection


@cache
def _columns_read(tables: str) -> Mapping[str, Sequence[str]]:
    """Return the columns that are read of each table that is copied."""
    with closing(_made(tables)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    return {
        name: [row[1] for row in columns[name] if (name, row[1]) not in _BLANK]
        for name in names
        if name not in LEFT_OUT
    }


def _rows(tx: Tx, table: str, columns: Sequence[str], project_id: int) -> list[Row]:
    return tx.rows(f"SELECT {', '.join(columns)} FROM {table} WHERE {_whose(table, columns)}", project_id)


def _seats(tx: Tx, columns: Sequence[str], pbx_ids: Sequence[int]) -> list[Row]:
    statement = f"SELECT {', '.join(columns)} FROM seat WHERE pbx_id IN {{?1:int}}"
    pieces = (pbx_ids[at : at + _PBXS_AT_ONCE] for at in range(0, len(pbx_ids), _PBXS_AT_ONCE))
    return [row for piece in pieces for row in tx.rows(statement, list(piece))]


def _whose(table: str, columns: Sequence[str]) -> str:
    of_pbxs = "IN (SELECT id FROM pbx WHERE project_id = ?1)"
    if table == "project":
        return "id = ?1"
    if table == "event":
        return "project_id = ?1 AND seq = (SELECT MAX(seq) FROM event WHERE project_id = ?1)"
    if "project_id" in columns:
        return "project_id = ?1"
    return f"{'pbx_id' if 'pbx_id' in columns else 'standby_id'} {of_pbxs}"


def _put(tx: Tx, table: str, columns: Sequence[str], rows: list[Row]) -> None:
    blanks = {column: blank for (of_table, column), blank in _BLANK.items() if of_table == table}
    tx.many(insert_into(table, (*columns, *blanks)), [(*row, *blanks.values()) for row in rows])
