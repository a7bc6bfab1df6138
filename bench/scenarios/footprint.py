"""What a master takes before it does anything: time to start, memory, and a thousand lines that are only kept open."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench import load
from bench.figures import Figure, Plan, Report
from bench.load import SITES, Sites
from bench.serving import PLAIN_TEXT, Transport, echo_server, with_certificates
from licensemaster.tls.channels import open_channel
from master.launch import MasterProcess
from tests.support.masters import sqlite_url, upgraded

_HELD_BY_SITE = 10


async def footprint(plan: Plan, report: Report) -> list[Figure]:
    """(6) To start and to lie idle, in plain text and with certificates; (7) to hold a thousand lines; (8) killed with
    ten thousand seats out until their holder is answered."""
    async with echo_server() as (_, echo):
        bare = load.resident_mib(echo)
    with with_certificates() as certified:
        return [
            *await _footprint(plan, report, PLAIN_TEXT, bare),
            *await _footprint(plan, report, certified, bare),
        ]


async def _footprint(plan: Plan, report: Report, transport: Transport, bare: float) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        url = await upgraded(sqlite_url(folder))
        # As it is installed: with its code compiled, which the first start does here.
        environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        master = MasterProcess(url, environment=environment, **transport.settings)
        try:
            await _started(master, transport.operator)
            return [
                *await _starts(plan, report, master, transport, bare),
                *await _lines(plan, report, master, transport),
            ]
        finally:
            await master.kill()


async def _starts(plan: Plan, report: Report, master: MasterProcess, transport: Transport, bare: float) -> list[Figure]:
    kind, seconds, cpu, memory = transport.name, list[float](), list[float](), list[float]()
    for _ in range(plan.rounds):
        await master.kill()
        seconds.append(await _started(master, transport.operator))
        cpu.append(load.cpu_seconds(master.pid))
        memory.append(load.resident_mib(master.pid))
        report(f"{kind}: answers after {seconds[-1]:.2f} s, {cpu[-1]:.2f} s of CPU, {memory[-1]:.0f} MiB")
    return [
        Figure(f"serve until it answers, {kind}", median(seconds), "s", target="<= 0.7"),
        Figure(f"serve until it answers, {kind}, CPU", median(cpu), "s"),
        Figure(
            f"memory of a fresh process, {kind}", median(memory), "MiB", median(memory) / bare, "gRPC echo", "<= 80"
        ),
    ]


async def _lines(plan: Plan, report: Report, master: MasterProcess, transport: Transport) -> list[Figure]:
    kind = transport.name
    fresh = load.resident_mib(master.pid)
    await load.apply(master.address, ports=SITES * _HELD_BY_SITE, credentials=transport.operator)
    async with AsyncExitStack() as stack:
        sites = Sites(stack, master.address, transport.pbxs)
        await sites.connect(SITES)
        await sites.open_all()
        for number in range(SITES):
            await sites.watch(number)
        resident = load.resident_mib(master.pid)
        report(f"{kind}: {resident:.0f} MiB with {SITES:,} connections and streams")
        wanted = load.seats("held", _HELD_BY_SITE)
        await asyncio.gather(*(sites.acquire(number, wanted) for number in range(SITES)))
    back = []
    for _ in range(plan.rounds):
        await master.kill()
        since = time.perf_counter()
        await master.start()
        async with AsyncExitStack() as stack:
            holder = Sites(stack, master.address, transport.pbxs and transport.pbxs[:1])
            holder.epochs = sites.epochs
            await holder.connect(1)
            await holder.renew(0)
        back.append(time.perf_counter() - since)
        report(f"{kind}: a holder is answered {back[-1]:.2f} s after the master was killed")
    each = (resident - fresh) * 1024 / SITES
    return [
        Figure(f"memory with 1,000 connections and streams, {kind}", resident, "MiB", target="<= 130"),
        Figure(f"memory of one of these, {kind}", each, "KiB"),
        Figure(f"killed with 10,000 seats out until a holder is answered, {kind}", median(back), "s", target="<= 0.7"),
    ]


async def _started(master: MasterProcess, credentials: grpc.ChannelCredentials | None) -> float:
    """Start a master; the seconds until it answered."""
    since = time.perf_counter()
    await master.start()
    async with open_channel(master.address, credentials) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest())
    return time.perf_counter() - since
