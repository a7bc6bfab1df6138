"""Real masters: in this process with a clock that tests move, or as processes of their own that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
    "wire_over",
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


@dataclass(slots=True)
class Wire:
    """The services of a master, over a socket."""

    address: str
    channel: grpc.aio.Channel
    leases: lease_pb2_grpc.LeaseServiceAsyncStub
    licenses: license_pb2_grpc.LicenseServiceAsyncStub
    projects: project_pb2_grpc.ProjectServiceAsyncStub
    standby: standby_pb2_grpc.StandbyServiceAsyncStub
    status: status_pb2_grpc.StatusServiceAsyncStub
    audit: audit_pb2_grpc.AuditServiceAsyncStub
    plans: plan_pb2_grpc.PlanServiceAsyncStub
    reports: report_pb2_grpc.ReportServiceAsyncStub
    webhooks: webhook_pb2_grpc.WebhookServiceAsyncStub
    agreements: agreement_pb2_grpc.AgreementServiceAsyncStub
    allocations: allocation_pb2_grpc.AllocationServiceAsyncStub
    loans: loan_pb2_grpc.LoanServiceAsyncStub

    async def apply(self, project: project_pb2.Project, *, dry_run: bool = False) -> project_pb2.ApplyProjectResponse:
        request = project_pb2.ApplyProjectRequest(project=project, dry_run=dry_run, request_id=str(uuid4()))
        return await self.projects.ApplyProject(request)


@asynccontextmanager
async def wire_to(address: str) -> AsyncIterator[Wire]:
    async with open_channel(address, options=(*UNHURRIED, ("grpc.max_receive_message_length", -1))) as channel:
        yield wire_over(address, channel)


def wire_over(address: str, channel: grpc.aio.Channel) -> Wire:
    return Wire(
        address,
        channel,
        lease_pb2_grpc.LeaseServiceStub(channel),
        license_pb2_grpc.LicenseServiceStub(channel),
        project_pb2_grpc.ProjectServiceStub(channel),
        standby_pb2_grpc.StandbyServiceStub(channel),
        status_pb2_grpc.StatusServiceStub(channel),
        audit_pb2_grpc.AuditServiceStub(channel),
        plan_pb2_grpc.PlanServiceStub(channel),
        report_pb2_grpc.ReportServiceStub(channel),
        webhook_pb2_grpc.WebhookServiceStub(channel),
        agreement_pb2_grpc.AgreementServiceStub(channel),
        allocation_pb2_grpc.AllocationServiceStub(channel),
        loan_pb2_grpc.LoanServiceStub(channel),
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
