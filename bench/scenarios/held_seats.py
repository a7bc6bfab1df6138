"""A thousand sites that keep what they hold, and a pool with a million seats out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from statistics import median

from bench import load
from bench.figures import Figure, Plan, Report
from bench.load import PHONES, SITES, Rate, Sites
from bench.scenarios.calls import single
from bench.serving import PLAIN_TEXT, Transport, echo_server, serving, sqlite, with_certificates
from master.launch import MasterProcess


async def renewing(plan: Plan, report: Report) -> list[Figure]:
    """(3) A thousand sites renewing at the server's pace, one connection and one stream each, 100,000 seats out; in
    plain text and with certificates."""
    with with_certificates() as certified:
        return [await _renewing(plan, report, PLAIN_TEXT), await _renewing(plan, report, certified)]


async def _renewing(plan: Plan, report: Report, transport: Transport) -> Figure:
    async with (
        sqlite() as url,
        serving(url, ports=SITES * PHONES, transport=transport) as process,
        AsyncExitStack() as stack,
    ):
        await load.storm(process.address, round_number=0, credentials=transport.pbxs)
        sites = Sites(stack, process.address, transport.pbxs)
        await sites.connect(SITES)
        await sites.open_all()
        for number in range(SITES):
            await sites.watch(number)
        report(f"{SITES} sites renew for {plan.renew_seconds:g} s{transport.suffix}")
        await asyncio.sleep(2)
        renew = partial(sites.renew, may_wait_seconds=1.0)  # as the slave client does that renews once a minute
        share = await _paced(process.pid, renew, plan.renew_seconds)
        echo, echo_pid = await stack.enter_async_context(echo_server(transport))
        bare = Sites(stack, echo, transport.pbxs)
        await bare.connect(SITES)
        echoed = await _paced(echo_pid, lambda number: bare.acquire(number, load.seats("x", 1)), plan.renew_seconds / 2)
    name = f"1,000 sites renewing every 60 s{transport.suffix}"
    return Figure(name, share, "% of a core", share / echoed, "gRPC echo at that pace", "ratio <= 1.5")


async def _paced(pid: int, call: Callable[[int], Coroutine[None, None, object]], seconds: float) -> float:
    """What share of a core a process takes while sites call in turn, each once in 60 s (a third of the default ttl)."""
    before, started = load.cpu_seconds(pid), time.perf_counter()
    number = 0
    async with asyncio.TaskGroup() as calls:  # which ends with the first that fails
        while time.perf_counter() - started < seconds:
            calls.create_task(call(number % SITES))
            number += 1
            await asyncio.sleep(60.0 / SITES)
    return (load.cpu_seconds(pid) - before) / (time.perf_counter() - started) * 100


async def many_seats(plan: Plan, report: Report) -> list[Figure]:
    """(4) The same acquire with few and with a million seats out; (5) serving again after a restart with them."""
    rates: dict[int, list[Rate]] = {}
    restarts: list[float] = []
    async with AsyncExitStack() as stack:
        sites_by_size: dict[int, Sites] = {}
        masters: dict[int, MasterProcess] = {}
        for out in (1000, plan.big):
            url = await stack.enter_async_context(sqlite())
            masters[out] = await stack.enter_async_context(serving(url, ports=2 * plan.big))
            sites_by_size[out] = Sites(stack, masters[out].address)
            await sites_by_size[out].connect()
            await sites_by_size[out].open_all()
            report(f"filling a pool with {out:,} seats")
            await sites_by_size[out].fill("fill", out // SITES)
            rates[out] = []
        for round_number in range(plan.rounds):
            for out, sites in sites_by_size.items():
                call = single(sites, f"m{round_number}")
                rates[out].append(await load.closed_loop(call, workers=16, calls=plan.calls))
                report(f"{out:,} seats out: {rates[out][-1].per_second:,.0f}/s")
        few, many = (median(1 / rate.per_second for rate in rates[out]) for out in (1000, plan.big))
        for _ in range(plan.rounds):
            await masters[plan.big].kill()
            started = time.perf_counter()
            await masters[plan.big].start()
            fresh = Sites(stack, masters[plan.big].address)
            fresh.epochs = sites_by_size[plan.big].epochs
            await fresh.connect(1)
            await fresh.acquire(0, load.seats("after", 1))
            restarts.append(time.perf_counter() - started)
            report(f"serving again after {restarts[-1]:.2f} s")
    return [
        Figure(
            f"acquire with {plan.big:,} seats out",
            many * 1e6,
            "us per call",
            many / few,
            "1,000 seats out",
            "ratio <= 1.15",
        ),
        Figure(f"restart with {plan.big:,} seats out until it grants", median(restarts), "s", target="<= 2"),
    ]
