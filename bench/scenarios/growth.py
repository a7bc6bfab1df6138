"""How cost grows: with the seats of a call, with sites, with seats out, with masters on one PostgreSQL.

Each figure is what a call or a seat costs the masters in CPU time, which a busy machine changes little.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from bench import load
from bench.figures import Figure, Plan, Report
from bench.load import PHONES, Sites
from bench.serving import postgres, serving, sqlite
from licensemaster.v1 import seat_pb2
from master.launch import MasterProcess, master_process

_WORKERS = 16
_SEATS_OF_A_CALL = (1, 10, 100, 1_000)
_SITES = (10, 100, 1_000, 10_000)
_MASTERS = (1, 2, 3, 4)
_PORTS = 10_000_000


async def growth(plan: Plan, report: Report) -> list[Figure]:
    """(9) What grows, one curve each; drawn into the file of `--picture`."""
    return [
        *await _by_seats_of_a_call(plan, report),
        *await _by_sites(plan, report),
        *await _by_seats_out(plan, report),
        *await _by_masters(plan, report),
    ]


async def _by_seats_of_a_call(plan: Plan, report: Report) -> list[Figure]:
    figures = []
    async with _estate(sites=load.SITES) as (process, sites):
        for seats in _SEATS_OF_A_CALL:
            calls = max(plan.calls // seats, _WORKERS * 8)
            micros = await _micros(calls, [process], [sites], f"call-{seats}", seats=seats)
            figures.append(_figure("CPU of a seat, by seats of a call", seats, micros / seats, "us a seat", report))
    return figures


async def _by_sites(plan: Plan, report: Report) -> list[Figure]:
    figures = []
    for count in _SITES:
        async with _estate(sites=count) as (process, sites):
            micros = await _micros(plan.calls, [process], [sites], "sites")
            figures.append(_figure("CPU of a call for one seat, by sites", count, micros, "us a call", report))
    return figures


async def _by_seats_out(plan: Plan, report: Report) -> list[Figure]:
    figures = []
    async with _estate(sites=load.SITES) as (process, sites):
        out = 0
        for wanted in (load.SITES, plan.big, 5 * plan.big):
            report(f"{wanted - out:,} seats more are acquired")
            await sites.fill(f"fill-{wanted}", (wanted - out) // load.SITES)
            out = wanted
            micros = await _micros(plan.calls, [process], [sites], f"out-{wanted}")
            figures.append(_figure("CPU of a call for one seat, by seats out", out, micros, "us a call", report))
    return figures


async def _by_masters(plan: Plan, report: Report) -> list[Figure]:
    """Batches of 100 for all sites of one project, spread over the masters; the database's own time is not in it."""
    figures = []
    for count in _MASTERS:
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(postgres())
            processes = [await stack.enter_async_context(serving(url, ports=_PORTS))]
            while len(processes) < count:
                processes.append(await stack.enter_async_context(master_process(url)))
            sites = [Sites(stack, process.address) for process in processes]
            for at_master in sites:
                await at_master.connect(_WORKERS // count)
            await sites[0].open_all()
            for at_master in sites[1:]:
                at_master.epochs = sites[0].epochs
            micros = await _micros(plan.calls // 10, processes, sites, "masters", seats=PHONES)
            curve = "CPU of a seat in calls of 100, by masters on one PostgreSQL"
            figures.append(_figure(curve, count, micros / PHONES, "us a seat", report))
    return figures


@asynccontextmanager
async def _estate(*, sites: int) -> AsyncIterator[tuple[MasterProcess, Sites]]:
    """So many sites with open leases at a master on SQLite."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(sqlite())
        process = await stack.enter_async_context(serving(url, ports=_PORTS, sites=sites))
        connected = Sites(stack, process.address, count=sites)
        await connected.connect()
        await connected.open_all()
        yield process, connected


async def _micros(
    calls: int, processes: list[MasterProcess], sites: list[Sites], prefix: str, *, seats: int = 1
) -> float:
    """CPU time of all masters for a call, in microseconds, while 16 ask at once for so many seats each."""
    wanted = [load.seats(f"{prefix}-{number}", seats) for number in range(calls)]
    before = sum(load.cpu_seconds(process.pid) for process in processes)
    await load.closed_loop(_acquire(sites, wanted), workers=_WORKERS, calls=calls)
    return (sum(load.cpu_seconds(process.pid) for process in processes) - before) / calls * 1e6


def _acquire(sites: list[Sites], wanted: list[list[seat_pb2.Seat]]) -> Callable[[int, int], Awaitable[object]]:
    async def call(worker: int, number: int) -> object:
        at_master = sites[worker % len(sites)]
        return await at_master.acquire(number % len(at_master.epochs), wanted[number])

    return call


def _figure(curve: str, at: int, value: float, unit: str, report: Report) -> Figure:
    report(f"{curve}, {at:,}: {value:.1f} {unit}")
    return Figure(f"{curve}: {at:,}", value, unit, curve=curve, at=at)
