"""Brings a database to the schema of this version, and tells whether it is there; the chain is in `migrations/`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from master.store.database import Database, StorageError, StorageProblem, Tx, sqlite_engine
from master.store.urls import parse_url

_PACKAGE = Path(__file__).resolve().parent.parent
_INSTALLED = _PACKAGE / "migrations"
_IN_CHECKOUT = _PACKAGE.parent / "migrations"
_UPGRADE_LOCK = 0x1CE45E
"""One number that all masters of a PostgreSQL database agree on."""


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring a database to the newest revision; the revisions before and after.

    Raises:
        ValueError: the URL names no supported database.
        StorageError: the database cannot be reached or is newer than this version.
    """
    parsed = parse_url(url)
    before: str | None = None

    def run(connection: Connection) -> None:
        nonlocal before
        if connection.dialect.name == "postgresql":  # masters that are started together may all upgrade
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _UPGRADE_LOCK})
        before = _revision(connection)
        _known(before)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    try:
        _with_connection(parsed, run)
    except (DBAPIError, OSError) as error:
        raise StorageError(StorageProblem.STORAGE_UNAVAILABLE, str(error)) from error
    return before, newest()


def newest() -> str:
    """The revision that this version needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


async def check(database: Database) -> None:
    """Make sure that a database has the schema of this version.

    Raises:
        StorageError: it has none or another; the message names the command that helps.
    """

    def look(tx: Tx) -> str | None:
        return _revision(tx.connection)

    found, needed = await database.read(look), newest()
    if found != needed:
        _known(found)
        is_at = f"is at revision {found}" if found else "is empty"
        raise StorageError(StorageProblem.STORAGE_SCHEMA, f"it {is_at}, this version needs {needed}")


def _known(revision: str | None) -> None:
    script = ScriptDirectory.from_config(_config())
    known = {one.revision for one in script.walk_revisions()}
    if revision is not None and revision not in known:
        raise StorageError(
            StorageProblem.STORAGE_SCHEMA,
            f"it is at revision {revision}, which a newer license master made; install that version again",
        )


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_INSTALLED if _INSTALLED.exists() else _IN_CHECKOUT))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade_whole_or_not_at_all(engine: Engine) -> None:
    """SQLite can change tables in a transaction, but its driver only begins one before it changes rows."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _with_connection(url: URL, work: Callable[[Connection], None]) -> None:
    if url.get_backend_name() == "sqlite":
        engine = sqlite_engine(url)
        _upgrade_whole_or_not_at_all(engine)
        with engine.begin() as connection:
            work(connection)
        engine.dispose()
        return

    async def on_server() -> None:
        server = create_async_engine(url, poolclass=NullPool)
        async with server.begin() as connection:
            await connection.run_sync(work)
        await server.dispose()

    asyncio.run(on_server())
