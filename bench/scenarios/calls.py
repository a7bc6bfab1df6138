"""Calls for seats against an echo of the same messages: one at a time and many, for one seat and for a hundred."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from statistics import median

from bench import load
from bench.figures import Figure, Plan, Report
from bench.load import PHONES, Rate, Sites
from bench.scenarios.yardsticks import plain_commit_seconds
from bench.serving import PLAIN_TEXT, Transport, echo_server, postgres, serving, sqlite, with_certificates

_Database = Callable[[], AbstractAsyncContextManager[str]]


async def singles(plan: Plan, report: Report) -> list[Figure]:
    """(1) Single-seat acquires, in plain text and with certificates."""
    with with_certificates() as certified:
        return [*await _singles(plan, report, PLAIN_TEXT), *await _singles(plan, report, certified)]


async def _singles(plan: Plan, report: Report, transport: Transport) -> list[Figure]:
    figures = []
    async with AsyncExitStack() as stack:
        ours, bare = await _ours_and_echo(stack, sqlite, transport, ports=2_000_000, channels=1)
        for workers in (1, 16, 128, 1000):
            calls = max(plan.calls // (8 if workers == 1 else 1), workers)
            rates: dict[str, list[Rate]] = {"ours": [], "echo": []}
            for round_number in range(plan.rounds):
                for name, sites in (("echo", bare), ("ours", ours)):
                    call = single(sites, f"{workers}-{round_number}")
                    rates[name].append(await load.closed_loop(call, workers=workers, calls=calls))
                    report(f"{workers} at once{transport.suffix}, {name}: {rates[name][-1].per_second:,.0f}/s")
            figures += _single_figures(f"single acquire, {workers} at once{transport.suffix}", workers, rates)
    return figures


async def _ours_and_echo(
    stack: AsyncExitStack, database: _Database, transport: Transport, *, ports: int, channels: int
) -> tuple[Sites, Sites]:
    """A thousand sites with open leases at a master, and the same calls at a bare echo."""
    url = await stack.enter_async_context(database())
    process = await stack.enter_async_context(serving(url, ports=ports, transport=transport))
    ours = Sites(stack, process.address, transport.pbxs)
    echo, _ = await stack.enter_async_context(echo_server(transport))
    bare = Sites(stack, echo, transport.pbxs)
    await ours.connect(channels)
    await bare.connect(channels)
    await ours.open_all()
    return ours, bare


def single(sites: Sites, prefix: str) -> Callable[[int, int], Awaitable[object]]:
    """Acquires one seat that nobody holds, for the site of the worker."""

    async def call(worker: int, number: int) -> object:
        return await sites.acquire(worker, load.seats(f"{prefix}-{number}", 1))

    return call


def _single_figures(name: str, workers: int, rates: dict[str, list[Rate]]) -> list[Figure]:
    ours, echo = rates["ours"], rates["echo"]
    rate, bare = (median(one.per_second for one in of) for of in (ours, echo))
    p50, bare_p50 = (median(one.p50_ms for one in of) for of in (ours, echo))
    figures = [Figure(name, rate, "1/s", rate / bare, "gRPC echo", "ratio >= 0.8" if workers == 128 else "")]
    if workers == 1:
        least = bare_p50 + plain_commit_seconds() * 1000
        figures.append(Figure(f"{name}, p50", p50, "ms", p50 / least, "gRPC echo + a commit", "ratio <= 1.3"))
    else:
        figures.append(Figure(f"{name}, p50", p50, "ms"))
    figures.append(Figure(f"{name}, p99", median(one.p99_ms for one in ours), "ms"))
    return figures


async def lone_calls(plan: Plan, report: Report) -> list[Figure]:
    """(1) What one who asks alone waits for: a first seat with its lease, and a refusal with its reasons, against a
    further seat."""
    with with_certificates() as certified:
        return [*await _lone_calls(plan, report, PLAIN_TEXT), *await _lone_calls(plan, report, certified)]


async def _lone_calls(plan: Plan, report: Report, transport: Transport) -> list[Figure]:
    calls = min(plan.calls // 8, load.SITES // (2 * plan.rounds))
    p50: dict[str, list[float]] = {"acquire": [], "first": [], "refused": []}
    async with AsyncExitStack() as stack:
        wide, empty = [await _connected(stack, transport, ports=ports) for ports in (1_000_000, 0)]
        await empty.open_all()
        for round_number in range(plan.rounds):
            for name, call in (
                ("first", _first(wide, calls * round_number)),
                ("acquire", single(wide, f"lone-{round_number}")),
                ("refused", single(empty, f"lone-{round_number}")),
            ):
                p50[name].append((await load.closed_loop(call, workers=1, calls=calls)).p50_ms)
                report(f"{name} alone{transport.suffix}: {p50[name][-1]:.2f} ms")
    acquire = median(p50["acquire"])
    return [
        Figure(
            f"{what}{transport.suffix}, p50", median(p50[name]), "ms", median(p50[name]) / acquire, "an acquire", target
        )
        for name, what, target in (
            ("first", "a first seat with its lease, 1 at once", "ratio <= 1.3"),
            ("refused", "a refusal explained, 1 at once", "ratio <= 1.1"),
        )
    ]


async def _connected(stack: AsyncExitStack, transport: Transport, *, ports: int) -> Sites:
    url = await stack.enter_async_context(sqlite())
    process = await stack.enter_async_context(serving(url, ports=ports, transport=transport))
    sites = Sites(stack, process.address, transport.pbxs)
    await sites.connect(1)
    return sites


def _first(sites: Sites, before: int) -> Callable[[int, int], Awaitable[object]]:
    """Opens the leases of sites that have none, after so many that have one, each with one seat."""

    async def call(worker: int, number: int) -> object:
        return await sites.open(before + number, load.seats("first", 1))

    return call


async def batches(plan: Plan, report: Report) -> list[Figure]:
    """(1) Batches of 100 at 16 at once, on both databases, in plain text and with certificates."""
    figures = []
    with with_certificates() as certified:
        for transport in (PLAIN_TEXT, certified):
            for kind, database, target in (("SQLite", sqlite, ">= 0.45"), ("PostgreSQL", postgres, ">= 0.35")):
                name = f"batches of 100, 16 at once, {kind}{transport.suffix}"
                rates: dict[str, list[float]] = {"ours": [], "echo": []}
                async with AsyncExitStack() as stack:
                    ours, bare = await _ours_and_echo(
                        stack, database, transport, ports=5_000_000, channels=load.CHANNELS
                    )
                    for round_number in range(plan.rounds):
                        for of, sites in (("echo", bare), ("ours", ours)):
                            rates[of].append(await _batch_rate(sites, round_number, plan.calls // 10))
                            report(f"{name}, {of}: {rates[of][-1]:,.0f} seats/s")
                rate, echoed = median(rates["ours"]), median(rates["echo"])
                figures.append(Figure(name, rate, "seats/s", rate / echoed, "gRPC echo", f"ratio {target}"))
    return figures


async def _batch_rate(sites: Sites, round_number: int, calls: int) -> float:
    wanted = [load.seats(f"b{round_number}-{number}", PHONES) for number in range(calls)]

    async def call(worker: int, number: int) -> object:
        return await sites.acquire(worker, wanted[number])

    return (await load.closed_loop(call, workers=16, calls=calls)).per_second * PHONES
