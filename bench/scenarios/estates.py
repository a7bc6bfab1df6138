"""What operators wait for, and what PBXs wait for meanwhile: a large estate applied, an upgrade planned."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

from bench import load
from bench.figures import Figure, Plan, Report
from bench.load import PHONES, PROJECT, SITES, Sites
from bench.serving import sqlite
from licensemaster.tls.channels import open_channel
from licensemaster.v1 import plan_pb2, plan_pb2_grpc
from master.launch import MasterProcess, master_process

_LARGE = 10_000


async def estates(plan: Plan, report: Report) -> list[Figure]:
    """(9) Ten thousand sites applied, and the first claim after it; (10) an upgrade planned, with 100,000 seats out."""
    applied, claimed, planned = [], [], []
    for _ in range(plan.rounds):
        async with sqlite() as url, master_process(url) as master, AsyncExitStack() as stack:
            sites = Sites(stack, master.address)
            await sites.connect(1)
            applied.append(await _took(master, load.apply(master.address, ports=_LARGE, sites=_LARGE)))
            claimed.append(await _took(master, _claim(sites)))
            report(f"applied in {applied[-1][0]:.2f} s, then claimed in {claimed[-1][0] * 1000:.0f} ms")
        async with sqlite() as url, master_process(url) as master:
            await load.apply(master.address, ports=SITES * PHONES)
            await load.storm(master.address, round_number=0)
            planned.append(await _took(master, _plan(master.address)))
            report(f"planned in {planned[-1][0]:.2f} s")
    figures = []
    for name, seconds_by_run, target in (
        ("10,000 sites applied", applied, "<= 3"),
        ("the first claim after it", claimed, "<= 0.1"),
        ("an upgrade planned, 100,000 seats out", planned, "<= 1.5"),
    ):
        figures.append(Figure(name, median(seconds for seconds, _ in seconds_by_run), "s", target=target))
        figures.append(Figure(f"{name}, CPU", median(cpu for _, cpu in seconds_by_run), "s"))
    return figures


async def _took(master: MasterProcess, work: Coroutine[Any, Any, object]) -> tuple[float, float]:
    """How many seconds it took, and the master's CPU time."""
    cpu, since = load.cpu_seconds(master.pid), time.perf_counter()
    await work
    return time.perf_counter() - since, load.cpu_seconds(master.pid) - cpu


async def _claim(sites: Sites) -> None:
    await sites.open(0)
    await sites.acquire(0, load.seats("first", 1))


async def _plan(address: str) -> None:
    upgrade = plan_pb2.PlannedChange(upgrade=plan_pb2.UpgradeSoftware(version="13"))
    request = plan_pb2.PlanChangesRequest(project=f"projects/{PROJECT}", changes=[upgrade])
    async with open_channel(address) as channel:
        await plan_pb2_grpc.PlanServiceStub(channel).PlanChanges(request)
