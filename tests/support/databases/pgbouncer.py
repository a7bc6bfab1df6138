"""A real PgBouncer before a real PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from master.launch import reserved_port
from tests.support.databases.cluster import Node, command_as_user, make_place
from tests.support.limits import HANG_SECONDS


class PgBouncer:
    """Between clients and a server, in one of its modes; its port stays the same when it is started again."""

    def __init__(self, folder: Path, server: Node, *, mode: str) -> None:
        self._file = folder / "pgbouncer.ini"
        self._port = reserved_port()
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/lm"
        self.set_mode(mode)

    def set_mode(self, mode: str) -> None:
        """Write it down; one that runs reads it when it is told to, or started again."""
        self._file.write_text(
            f"""[databases]
lm = host=127.0.0.1 port={self._server.port} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self._port}
auth_type = any
pool_mode = {mode}
unix_socket_dir =
"""
        )

    async def start(self) -> None:
        """Start it and wait until it lets clients in."""
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if program is None:
            pytest.skip("pgbouncer is needed")
        command = command_as_user(program, str(self._file))
        self._process = await asyncio.to_thread(subprocess.Popen[bytes], command, stderr=subprocess.DEVNULL)
        async with asyncio.timeout(HANG_SECONDS):
            while True:
                try:
                    await (await asyncpg.connect(self.url)).close()
                    return
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(0.05)

    def reload(self) -> None:
        """Has it read its settings again; clients stay connected."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@asynccontextmanager
async def pgbouncer(server: Node, *, mode: str) -> AsyncIterator[PgBouncer]:
    """One that is gone when the context ends."""
    with tempfile.TemporaryDirectory(prefix="lm-pgbouncer-") as name:
        folder = Path(name)
        make_place(folder)
        pg_bouncer = PgBouncer(folder, server, mode=mode)
        await pg_bouncer.start()
        try:
            yield pg_bouncer
        finally:
            pg_bouncer.kill()
