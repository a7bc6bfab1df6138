"""Real masters: in this process with a clock that tests move, or as processes of their own that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import grpc

from licensemaster.v1 import lease_pb2_grpc, project_pb2, project_pb2_grpc, status_pb2_grpc
from master.app import Running, running
from master.settings import load_settings
from master.store import schema

PROJECT = "acme"


class Clock:
    """Time that only moves when told to; UNIX seconds."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(slots=True)
class Wire:
    """The services of a master, over a socket."""

    address: str
    channel: grpc.aio.Channel
    leases: lease_pb2_grpc.LeaseServiceAsyncStub
    projects: project_pb2_grpc.ProjectServiceAsyncStub
    status: status_pb2_grpc.StatusServiceAsyncStub

    async def apply(self, project: project_pb2.Project, *, dry_run: bool = False) -> project_pb2.ApplyProjectResponse:
        request = project_pb2.ApplyProjectRequest(project=project, dry_run=dry_run, request_id=str(uuid4()))
        return await self.projects.ApplyProject(request)


@asynccontextmanager
async def wire_to(address: str) -> AsyncIterator[Wire]:
    """Stubs for an address."""
    options = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield Wire(
            address,
            channel,
            lease_pb2_grpc.LeaseServiceStub(channel),
            project_pb2_grpc.ProjectServiceStub(channel),
            status_pb2_grpc.StatusServiceStub(channel),
        )


@dataclass(slots=True)
class InProcess:
    """A master in this process."""

    wire: Wire
    running: Running
    clock: Clock


@asynccontextmanager
async def in_process_master(database_url: str, clock: Clock, **settings: object) -> AsyncIterator[InProcess]:
    """A master over an upgraded database; expiry only looks when told to."""
    chosen = {"expiry_interval_seconds": 3600, "drain_seconds": 0.5, "metrics_listen": "", **settings}
    loaded = load_settings(database_url=database_url, listen="127.0.0.1:0", **chosen)
    async with running(loaded, clock) as master, wire_to(f"127.0.0.1:{master.port}") as wire:
        yield InProcess(wire, master, clock)


class MasterProcess:
    """A master as a process of its own."""

    def __init__(self, database_url: str, **settings: object) -> None:
        self._settings = {
            "database_url": database_url,
            "listen": "127.0.0.1:0",
            "metrics_listen": "127.0.0.1:0",
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._drained: asyncio.Task[bytes] | None = None
        self.address = ""
        self.metrics_port = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it serves; the first start decides the port."""
        variables = {f"LICENSE_MASTER_{key.upper()}": str(value) for key, value in self._settings.items()}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from master.cli.main import main; main()",
            "serve",
            env={**os.environ, **variables},
            stderr=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stderr is not None
        log = b""
        while line := await self._process.stderr.readline():
            log += line
            if b'"event": "serving"' in line:
                told = json.loads(line)
                self.address = f"127.0.0.1:{told['port']}"
                self.metrics_port = told["metrics_port"]
                self._settings["listen"] = self.address
                self._drained = asyncio.create_task(self._process.stderr.read())
                return
        raise AssertionError(f"the master did not start: {log.decode()}")

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        code = await self._process.wait()
        if self._drained is not None:
            await self._drained
        self._process = None
        return code


@asynccontextmanager
async def master_process(database_url: str, **settings: object) -> AsyncIterator[MasterProcess]:
    """A process that is gone when the context ends."""
    process = MasterProcess(database_url, **settings)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def upgraded(database_url: str) -> str:
    """The same URL, its database brought to the newest schema."""
    await asyncio.to_thread(schema.upgrade, database_url)
    return database_url


def sqlite_url(folder: Path) -> str:
    """A file in a folder."""
    return f"sqlite:///{folder / 'license-master.db'}"
