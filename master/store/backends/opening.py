"""The opening of the database that a URL names; only the library of that database is loaded."""

from __future__ import annotations

from master.store.backends.database import Database
from master.store.backends.urls import SqliteUrl, parse_url


def open_database(url: str, *, timeout_seconds: float = 10.0) -> Database:
    """Open the database at a URL.

    The URL is `sqlite:///path/to/file.db`, `postgresql://user@host/name` or, where several servers may be the one to
    write to, `postgresql://user@host1:5432,host2:5432/name`. A PostgreSQL server that is silent for `timeout_seconds`
    is taken as gone.
    Raises ValueError if the URL names neither kind of database.
    """
    parsed = parse_url(url)
    if isinstance(parsed, SqliteUrl):
        from master.store.backends.sqlite import SqliteDatabase

        return SqliteDatabase(parsed)
    from master.store.backends.postgres import PostgresDatabase

    return PostgresDatabase(parsed, timeout_seconds=timeout_seconds)
