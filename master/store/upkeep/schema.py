"""The schema of this version: whether a database has it, and the upgrade to it; the chain is in `migrations/`.

Only an upgrade loads Alembic and SQLAlchemy: a master that starts only checks, and would take twice as long with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from enum import Enum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

from master.shipped import shipped
from master.store.backends.database import Database, Row, StorageError, StorageProblem, Tx
from master.store.backends.problems import storage_error
from master.store.backends.sqlite import connected, existing_file, lock_file, made_file, opened_file
from master.store.backends.sqlite_file import SqliteFile, Use
from master.store.backends.urls import SqliteUrl, parse_url
from master.store.tables.chain import run_chain
from master.store.tables.names import TABLES
from master.values import Value

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

_UPGRADE_LOCK = 0x1CE45E
"""A number that all masters of a PostgreSQL database lock for an upgrade."""
_LOCK_SECONDS = 3.0
"""How long an upgrade waits for a table that others use: whoever wants the table meanwhile waits behind it."""
_IDLE_SECONDS = 30.0
"""How long an upgrade may leave the server idle: one whose machine died would lock out all masters for hours."""
_CONNECT_SECONDS = 10.0
_VERSION = installed_version("license-master")
_REVISIONS, _IDENTITY = "alembic_version", "database_identity"
_OURS = {_REVISIONS, _IDENTITY, "project", "pbx", "lease", "seat", "event"}
"""Tables that every revision has, with `database_identity.schema_version`: they tell a license master's database."""
_TABLES_SHOWN = 5


class IfAbsent(Enum):
    """What to do where there is no database yet."""

    REFUSE = "refuse"
    """Refuse, so that a mistyped name never begins an empty estate."""
    CREATE = "create"


def upgrade(url: str, if_absent: IfAbsent = IfAbsent.REFUSE) -> tuple[str | None, str]:
    """Upgrade a database to the newest revision; return the revisions before and after.
    Raises ValueError if the URL names no supported database, StorageError if the database cannot be reached, is another
    program's or newer than this version, or there is none. Nothing was changed."""
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    parsed = parse_url(url)
    before: str | None = None

    def run(connection: Connection) -> None:
        nonlocal before
        if connection.dialect.name == "postgresql":  # masters that are started together may all upgrade
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _UPGRADE_LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS:.1f}s'"))
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS:.1f}s'"))
        look = looking_over(connection)
        before = _revision(look)
        if before == newest():
            return
        if before is None and if_absent is IfAbsent.REFUSE:
            raise _absent(look)
        if file is not None:  # nobody serves it while its tables change; on a server other masters go on
            lock_file(file, Use.CHANGE)
        run_chain(connection, shipped("migrations"))
        connection.execute(text("UPDATE database_identity SET schema_version = :version"), {"version": _VERSION})

    try:
        with _opened(parsed, if_absent) as file:
            _with_connection(parsed, run)
    except (DBAPIError, OSError) as error:
        raise storage_error(error) from error
    return before, newest()


def newest() -> str:
    """Return the schema revision that this version needs."""
    return _revisions()[-1]


def _revisions() -> list[str]:
    """Return all revisions of the chain, the newest last: they are numbered, and their files are named after them."""
    return sorted(file.name.partition("_")[0] for file in (shipped("migrations") / "versions").glob("[0-9]*_*.py"))


async def check(database: Database) -> None:
    """Make sure that a database has the schema of this version.
    Raises StorageError if it has no schema or another one, or is another program's; the message names what helps."""

    def check_tables(tx: Tx) -> None:
        look = Look(tx.dialect, tx.rows)
        revision, needed = _revision(look), newest()
        if revision is None:
            raise _absent(look)
        if revision != needed:
            remedy = "run `license-master db upgrade`"
            raise StorageError(
                StorageProblem.STORAGE_SCHEMA, f"it is at revision {revision}, this version needs {needed}; {remedy}"
            )
        if missing := sorted(TABLES.keys() - look.tables()):
            raise StorageError(
                StorageProblem.STORAGE_SCHEMA, f"it lacks the tables {', '.join(missing)}; restore a backup"
            )

    await database.read(check_tables)


class Look(Value):
    """A way to read a database's tables, for anything that has a connection."""

    dialect: str
    rows: Callable[[str], Sequence[Row]]

    def tables(self) -> Set[str]:
        """Return the names of all tables, without those that an extension brought."""
        if self.dialect == "sqlite":
            query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        else:
            query = (
                "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
                " AND relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT EXISTS (SELECT FROM pg_depend"
                " WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')"
            )
        return {row[0] for row in self.rows(query)}

    def named(self) -> str:
        """Return a text that names the database of the connection, without a password."""
        if self.dialect == "sqlite":
            return f"the file {self.rows('PRAGMA database_list')[0][2]}"
        return f"the PostgreSQL database {self.rows('SELECT current_database()')[0][0]}"


def looking_over(connection: Connection) -> Look:
    """Return a look over a connection of SQLAlchemy."""
    return Look(connection.dialect.name, lambda statement: connection.exec_driver_sql(statement).all())


def _revision(look: Look) -> str | None:
    """Return the schema revision of a database; None where it is empty.
    Raises StorageError if the tables are another program's, or of a newer version."""
    tables = look.tables()
    if not tables:
        return None
    stamped = look.rows("SELECT version_num FROM alembic_version") if _REVISIONS in tables else ()
    if not stamped and tables <= {_REVISIONS}:  # somebody began, and was rolled back
        return None
    if not stamped or not tables >= _OURS:
        shown = ", ".join(sorted(tables)[:_TABLES_SHOWN]) + (", ..." if len(tables) > _TABLES_SHOWN else "")
        remedy = "correct database_url, or give the license master a database of its own"
        raise StorageError(StorageProblem.STORAGE_FOREIGN, f"{look.named()} holds other tables ({shown}); {remedy}")
    revision = str(stamped[0][0])
    if revision not in _revisions():
        named = look.rows("SELECT schema_version FROM database_identity")
        made_by = named[0][0] if named else None
        whose, remedy = (f", which {made_by} made", f"{made_by} or newer") if made_by else ("", "a newer one")
        raise StorageError(
            StorageProblem.STORAGE_SCHEMA,
            f"it is at revision {revision}{whose}; this is version {_VERSION}: install {remedy}",
        )
    return revision


def _absent(look: Look) -> StorageError:
    remedy = "correct database_url, or make an empty database in it with `license-master db upgrade --create`"
    return StorageError(StorageProblem.STORAGE_ABSENT, f"{look.named()} is empty; {remedy}")


def _sqlite_engine(file: Path) -> Engine:
    """Return an engine over a file that changes its tables whole or not at all.

    SQLite can do that in a transaction, but its driver only begins one before it changes rows.
    """
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite+pysqlite://", poolclass=NullPool, creator=lambda: connected(file))

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def _opened(url: SqliteUrl | URL, if_absent: IfAbsent) -> Iterator[SqliteFile | None]:
    """Open a SQLite file for longer than any connection to it; give None for a server."""
    if not isinstance(url, SqliteUrl):
        yield None
        return
    with closing(opened_file(made_file(url) if if_absent is IfAbsent.CREATE else existing_file(url))) as file:
        yield file


def _with_connection(url: SqliteUrl | URL, work: Callable[[Connection], None]) -> None:
    if isinstance(url, SqliteUrl):
        engine = _sqlite_engine(existing_file(url))
        with engine.begin() as connection:
            work(connection)
        engine.dispose()
        return

    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    from master.store.backends.connections import Connections

    async def on_server() -> None:
        connections = Connections(url, timeout_seconds=_CONNECT_SECONDS)
        server = create_async_engine(url, poolclass=NullPool, async_creator=lambda: connections.connect({}))
        async with server.begin() as connection:
            await connection.run_sync(work)
        await server.dispose()

    asyncio.run(on_server())
