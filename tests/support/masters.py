"""Real masters: in this process with a clock that tests move, or as processes of their own that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import grpc

from licensemaster.daemon.settings import load
from licensemaster.tls.channels import open_channel
from licensemaster.v1 import (
    agreement_pb2_grpc,
    allocation_pb2_grpc,
    audit_pb2_grpc,
    lease_pb2_grpc,
    license_pb2_grpc,
    loan_pb2_grpc,
    plan_pb2_grpc,
    project_pb2,
    project_pb2_grpc,
    report_pb2_grpc,
    standby_pb2_grpc,
    status_pb2_grpc,
    webhook_pb2_grpc,
)
from master.app import Running, running
from master.launch import MasterProcess, master_process
from master.settings import Settings
from master.store.upkeep import schema
from tests.support.limits import HANG_SECONDS

PROJECT = "acme"
_PING_MS = 60_000
UNHURRIED = (("grpc.keepalive_timeout_ms", _PING_MS), ("grpc.http2.ping_timeout_ms", _PING_MS))
"""Channel options: a process that is halted for a few seconds is no lost master."""
__all__ = [
    "UNHURRIED",
    "Clock",
    "InProcess",
    "MasterProcess",
    "Wire",
    "in_process_master",
    "master_process",
    "upgraded",
    "wire_to",
]


class Clock:
    """Time that only moves when told to; UNIX seconds."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self._stepped = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def set_forward(self, seconds: float) -> None:
        """As a database's clock is; PBXs go by clocks of their own and know nothing of it."""
        self.now += seconds
        self._stepped += seconds

    def step_is_over(self) -> None:
        """No lease is left that was signed before it was set forward."""
        self._stepped = 0.0

    def stepped_seconds(self) -> float:
        """How far it was set forward."""
        return self._stepped


@dataclass(frozen=True)
class Wire:
    """The services of a master, over a socket; most tests call one or two of them."""

    address: str
    channel: grpc.aio.Channel

    @cached_property
    def leases(self) -> lease_pb2_grpc.LeaseServiceAsyncStub:
        return lease_pb2_grpc.LeaseServiceStub(self.channel)

    @cached_property
    def licenses(self) -> license_pb2_grpc.LicenseServiceAsyncStub:
        return license_pb2_grpc.LicenseServiceStub(self.channel)

    @cached_property
    def projects(self) -> project_pb2_grpc.ProjectServiceAsyncStub:
        return project_pb2_grpc.ProjectServiceStub(self.channel)

    @cached_property
    def standby(self) -> standby_pb2_grpc.StandbyServiceAsyncStub:
        return standby_pb2_grpc.StandbyServiceStub(self.channel)

    @cached_property
    def status(self) -> status_pb2_grpc.StatusServiceAsyncStub:
        return status_pb2_grpc.StatusServiceStub(self.channel)

    @cached_property
    def audit(self) -> audit_pb2_grpc.AuditServiceAsyncStub:
        return audit_pb2_grpc.AuditServiceStub(self.channel)

    @cached_property
    def plans(self) -> plan_pb2_grpc.PlanServiceAsyncStub:
        return plan_pb2_grpc.PlanServiceStub(self.channel)

    @cached_property
    def reports(self) -> report_pb2_grpc.ReportServiceAsyncStub:
        return report_pb2_grpc.ReportServiceStub(self.channel)

    @cached_property
    def webhooks(self) -> webhook_pb2_grpc.WebhookServiceAsyncStub:
        return webhook_pb2_grpc.WebhookServiceStub(self.channel)

    @cached_property
    def agreements(self) -> agreement_pb2_grpc.AgreementServiceAsyncStub:
        return agreement_pb2_grpc.AgreementServiceStub(self.channel)

    @cached_property
    def allocations(self) -> allocation_pb2_grpc.AllocationServiceAsyncStub:
        return allocation_pb2_grpc.AllocationServiceStub(self.channel)

    @cached_property
    def loans(self) -> loan_pb2_grpc.LoanServiceAsyncStub:
        return loan_pb2_grpc.LoanServiceStub(self.channel)

    async def apply(self, project: project_pb2.Project, *, dry_run: bool = False) -> project_pb2.ApplyProjectResponse:
        request = project_pb2.ApplyProjectRequest(project=project, dry_run=dry_run, request_id=str(uuid4()))
        return await self.projects.ApplyProject(request)


@asynccontextmanager
async def wire_to(address: str) -> AsyncIterator[Wire]:
    async with open_channel(address, options=(*UNHURRIED, ("grpc.max_receive_message_length", -1))) as channel:
        yield Wire(address, channel)


@dataclass(slots=True)
class InProcess:
    """A master in this process."""

    wire: Wire
    running: Running
    clock: Clock


def watch_streams(running: Running) -> float | None:
    """How many streams a master serves."""
    return running.metrics.registry.get_sample_value("license_master_watch_streams")


@asynccontextmanager
async def in_process_master(database_url: str, clock: Clock, **settings: object) -> AsyncIterator[InProcess]:
    """A master over an upgraded database; expiry only looks when told to."""
    chosen = {
        "expiry_interval_seconds": 3600,
        "release_interval_seconds": 3600,
        "usage_interval_seconds": 3600,
        "webhook_interval_seconds": 3600,
        "agreement_interval_seconds": 3600,
        "database_timeout_seconds": HANG_SECONDS,  # a slow disk is no silent server
        "keepalive_timeout_seconds": HANG_SECONDS,  # nor is a busy machine a lost PBX
        "drain_seconds": 0.5,
        "listen": "127.0.0.1:0",
        "metrics_listen": "",
        "webhook_networks": ["127.0.0.0/8"],  # where receivers of tests listen
        "plaintext": "tls_certificate_file" not in settings,
        **settings,
    }
    loaded = load(Settings, None, database_url=database_url, **chosen)
    async with running(loaded, clock, clock.stepped_seconds) as master, wire_to(f"127.0.0.1:{master.port}") as wire:
        yield InProcess(wire, master, clock)


@asynccontextmanager
async def two_masters(
    database_url: str, clock: Clock, **settings: object
) -> AsyncIterator[tuple[InProcess, InProcess]]:
    """Two masters over one upgraded database, with the same settings."""
    async with (
        in_process_master(database_url, clock, **settings) as first,
        in_process_master(database_url, clock, **settings) as second,
    ):
        yield first, second


async def upgraded(database_url: str) -> str:
    """The same URL, its database brought to the newest schema."""
    await asyncio.to_thread(schema.upgrade, database_url, schema.IfAbsent.CREATE)
    return database_url


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'license-master.db'}"
