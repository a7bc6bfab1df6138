"""What is measured: masters on fresh databases, and a bare echo, in plain text or with certificates."""

from __future__ import annotations

import sys
import tempfile
from asyncio import create_subprocess_exec, subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from bench import load
from master.launch import MasterProcess, master_process
from tests.auth.pki import Pki
from tests.support.databases.postgres import Keeping, running_postgres
from tests.support.masters import upgraded


@dataclass(frozen=True, slots=True)
class Transport:
    """How callers reach a server, and what each of them shows."""

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    """A master's."""
    operator: grpc.ChannelCredentials | None = None
    pbxs: Sequence[grpc.ChannelCredentials] | None = None
    """One for each site, which therefore has a connection of its own; without, sites share some."""

    @property
    def suffix(self) -> str:
        """For the name of a figure; plain text goes without saying."""
        return f", {self.name}" if self.pbxs else ""


PLAIN_TEXT = Transport("plain text")
_AS_FAST_AS_THEY_CAN = {"caller_calls_per_second": 1_000_000, "caller_calls_max": 100_000}


@contextmanager
def with_certificates() -> Iterator[Transport]:
    """mTLS, a certificate for each PBX; nobody waits for the pace of one caller, as few callers are to be measured."""
    with tempfile.TemporaryDirectory(prefix="bench-pki-") as folder:
        pki = Pki(Path(folder))
        files = {name: file for name, file in pki.serve(pki.server_key()).items() if file.exists()}
        pbxs = [pki.certified_key(load.pbx_name(number)).credentials for number in range(load.SITES)]
        operator = pki.certified_key("operators/anna").credentials
        yield Transport("TLS", {**files, **_AS_FAST_AS_THEY_CAN}, operator, pbxs)


@asynccontextmanager
async def sqlite() -> AsyncIterator[str]:
    """An upgraded SQLite file."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield await upgraded(f"sqlite:///{Path(folder) / 'license-master.db'}")


@asynccontextmanager
async def postgres() -> AsyncIterator[str]:
    """An upgraded database of a server that keeps what it is given."""
    with running_postgres(Keeping.FOR_GOOD) as server:
        yield await upgraded(await server.new_database())


@asynccontextmanager
async def serving(
    url: str, *, ports: int, sites: int = load.SITES, transport: Transport = PLAIN_TEXT
) -> AsyncIterator[MasterProcess]:
    """A master with its estate."""
    async with master_process(url, environment=None, **transport.settings) as process:
        await load.apply(process.address, ports=ports, sites=sites, credentials=transport.operator)
        yield process


@asynccontextmanager
async def echo_server(transport: Transport = PLAIN_TEXT) -> AsyncIterator[tuple[str, int]]:
    """The bare echo as a process of its own; its address and process id."""
    files = [str(transport.settings[f"tls_{name}_file"]) for name in ("key", "certificate", "ca") if transport.pbxs]
    process = await create_subprocess_exec(
        sys.executable, "-m", "bench.echo", *files, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield f"127.0.0.1:{int(await process.stdout.readline())}", process.pid
    finally:
        process.kill()
        await process.wait()
