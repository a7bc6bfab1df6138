"""What is measured, one function each; every figure is the median of its rounds, peers measured in turn with ours."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench import load, peers
from bench.load import PHONES, SITES, Rate, Sites
from master.launch import MasterProcess, master_process
from tests.support.databases.postgres import Keeping, running_postgres
from tests.support.masters import upgraded


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, and what it is held against."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    target: str = ""

    def as_json(self) -> dict[str, object]:
        """For build/bench.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    rounds: int
    calls: int
    renew_seconds: float
    big: int
    """Seats out in the large scenarios."""


Report = Callable[[str], None]
Scenario = Callable[[Plan, Report], Coroutine[None, None, list[Figure]]]


@asynccontextmanager
async def sqlite() -> AsyncIterator[str]:
    """An upgraded SQLite file."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield await upgraded(f"sqlite:///{Path(folder) / 'license-master.db'}")


@asynccontextmanager
async def _postgres() -> AsyncIterator[str]:
    with running_postgres(Keeping.FOR_GOOD) as server:
        yield await upgraded(await server.new_database())


@asynccontextmanager
async def _master(url: str, *, ports: int) -> AsyncIterator[MasterProcess]:
    async with master_process(url) as process:
        await load.apply(process.address, ports=ports)
        yield process


async def singles(plan: Plan, report: Report) -> list[Figure]:
    """(1) Single-seat acquires against an echo of the same messages."""
    figures = []
    async with AsyncExitStack() as stack:
        ours, bare = await _ours_and_echo(stack, sqlite, ports=2_000_000, channels=1)
        for workers in (1, 16, 128, 1000):
            calls = max(plan.calls // (8 if workers == 1 else 1), workers)
            rates: dict[str, list[Rate]] = {"ours": [], "echo": []}
            for round_number in range(plan.rounds):
                for name, sites in (("echo", bare), ("ours", ours)):
                    call = _single(sites, f"{workers}-{round_number}")
                    rates[name].append(await load.closed_loop(call, workers=workers, calls=calls))
                    report(f"{workers} at once, {name}: {rates[name][-1].per_second:,.0f}/s")
            figures += _single_figures(workers, rates["ours"], rates["echo"])
    return figures


async def _ours_and_echo(
    stack: AsyncExitStack, database: Callable[[], AbstractAsyncContextManager[str]], *, ports: int, channels: int
) -> tuple[Sites, Sites]:
    """A thousand sites with open leases at a master, and the same calls at a bare echo."""
    url = await stack.enter_async_context(database())
    process = await stack.enter_async_context(_master(url, ports=ports))
    ours = Sites(stack, process.address)
    echo, _ = await stack.enter_async_context(peers.echo_server())
    bare = Sites(stack, echo)
    await ours.connect(channels)
    await bare.connect(channels)
    await ours.open_all()
    return ours, bare


def _single(sites: Sites, prefix: str) -> Callable[[int, int], Awaitable[object]]:
    async def call(worker: int, number: int) -> object:
        return await sites.acquire(worker % SITES, load.seats(f"{prefix}-{number}", 1))

    return call


def _single_figures(workers: int, ours: list[Rate], echo: list[Rate]) -> list[Figure]:
    rate, bare = median(our.per_second for our in ours), median(figure.per_second for figure in echo)
    target = "ratio >= 0.6" if workers == 128 else ""
    figures = [Figure(f"single acquire, {workers} at once", rate, "1/s", rate / bare, "gRPC echo", target)]
    target = "<= 0.7" if workers == 1 else ""
    figures.append(
        Figure(f"single acquire, {workers} at once, p50", median(our.p50_ms for our in ours), "ms", target=target)
    )
    figures.append(Figure(f"single acquire, {workers} at once, p99", median(our.p99_ms for our in ours), "ms"))
    return figures


async def batches(plan: Plan, report: Report) -> list[Figure]:
    """(1) Batches of 100 at 16 at once, on both databases."""
    figures = []
    for kind, database, target in (("SQLite", sqlite, ">= 100,000"), ("PostgreSQL", _postgres, "")):
        async with AsyncExitStack() as stack:
            ours, bare = await _ours_and_echo(stack, database, ports=5_000_000, channels=load.CHANNELS)
            rates: dict[str, list[float]] = {"ours": [], "echo": []}
            for round_number in range(plan.rounds):
                for name, sites in (("echo", bare), ("ours", ours)):
                    rates[name].append(await _batch_rate(sites, round_number, plan.calls // 10))
                    report(f"batches on {kind}, {name}: {rates[name][-1]:,.0f} seats/s")
        rate = median(rates["ours"])
        figures.append(
            Figure(
                f"batches of 100, 16 at once, {kind}",
                rate,
                "seats/s",
                rate / median(rates["echo"]),
                "gRPC echo",
                target,
            )
        )
    return figures


async def _batch_rate(sites: Sites, round_number: int, calls: int) -> float:
    wanted = [load.seats(f"b{round_number}-{number}", PHONES) for number in range(calls)]

    async def call(worker: int, number: int) -> object:
        return await sites.acquire(worker, wanted[number])

    return (await load.closed_loop(call, workers=16, calls=calls)).per_second * PHONES


async def storms(plan: Plan, report: Report) -> list[Figure]:
    """(2) The morning storm on both databases, and on etcd and Redis where they are installed."""
    seconds: dict[str, list[float]] = {"SQLite": [], "PostgreSQL": [], "echo": [], "etcd": [], "Redis": []}
    cpu: dict[str, list[float]] = {"SQLite": [], "PostgreSQL": [], "echo": []}

    async def measure(kind: str, address: str, pid: int) -> None:
        before = load.cpu_seconds(pid)
        seconds[kind].append(await load.storm(address, round_number=0))
        cpu[kind].append(load.cpu_seconds(pid) - before)
        report(f"storm on {kind}: {seconds[kind][-1]:.2f} s, {cpu[kind][-1]:.2f} s of CPU")

    for _ in range(plan.rounds):
        async with peers.echo_server() as (address, pid):
            await measure("echo", address, pid)
        for kind, database in (("SQLite", sqlite), ("PostgreSQL", _postgres)):
            async with database() as url, _master(url, ports=SITES * PHONES) as process:
                await measure(kind, process.address, process.pid)
        for kind, storm, installed in (
            ("etcd", peers.etcd_storm, peers.has_etcd()),
            ("Redis", peers.redis_storm, peers.has_redis()),
        ):
            if installed:
                seconds[kind] += await storm(1)
                report(f"storm on {kind}: {seconds[kind][-1]:.2f} s")
            else:
                report(f"storm on {kind}: not installed")
    figures = []
    for kind, target in (("SQLite", "<= 1.0"), ("PostgreSQL", "<= 1.3")):
        figures.append(Figure(f"morning storm, {kind}", median(seconds[kind]), "s", target=target))
        each, echoed = (median(cpu[of]) / (SITES * PHONES) for of in (kind, "echo"))
        figures.append(
            Figure(
                f"CPU of the server for a seat, {kind}", each * 1e6, "us", each / echoed, "gRPC echo", "ratio <= 2.5"
            )
        )
        for peer in ("etcd", "Redis"):
            if seconds[peer]:
                times = median(seconds[peer]) / median(seconds[kind])
                wanted = "ratio >= 1.6" if (kind, peer) == ("SQLite", "etcd") else ""
                figures.append(
                    Figure(
                        f"morning storm, {peer} (against {kind})",
                        median(seconds[peer]),
                        "s",
                        times,
                        f"{kind} master",
                        wanted,
                    )
                )
    return figures


async def renewing(plan: Plan, report: Report) -> list[Figure]:
    """(3) A thousand sites renewing at the server's pace, one connection and one stream each, 100,000 seats out."""
    async with sqlite() as url, _master(url, ports=SITES * PHONES) as process, AsyncExitStack() as stack:
        await load.storm(process.address, round_number=0)
        sites = Sites(stack, process.address)
        await sites.connect(SITES)
        await sites.open_all()
        for number in range(SITES):
            await sites.watch(number)
        report(f"{SITES} sites renew for {plan.renew_seconds:g} s")
        await asyncio.sleep(2)
        share = await _paced(process.pid, sites.renew, plan.renew_seconds)
        echo, echo_pid = await stack.enter_async_context(peers.echo_server())
        bare = Sites(stack, echo)
        await bare.connect(100)
        echoed = await _paced(echo_pid, lambda number: bare.acquire(number, load.seats("x", 1)), plan.renew_seconds / 2)
    return [
        Figure(
            "1,000 sites renewing every 60 s", share, "% of a core", share / echoed, "gRPC echo at that pace", "<= 1.5"
        ),
    ]


async def _paced(pid: int, call: Callable[[int], Coroutine[None, None, object]], seconds: float) -> float:
    """What share of a core a process takes while sites call in turn, each once in 60 s (a third of the default ttl)."""
    before, started = load.cpu_seconds(pid), time.perf_counter()
    calls: set[asyncio.Task[object]] = set()
    number = 0
    while time.perf_counter() - started < seconds:
        task = asyncio.create_task(call(number % SITES))
        calls.add(task)
        task.add_done_callback(calls.discard)
        number += 1
        await asyncio.sleep(60.0 / SITES)
    await asyncio.gather(*calls)
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
            masters[out] = await stack.enter_async_context(_master(url, ports=2 * plan.big))
            sites_by_size[out] = Sites(stack, masters[out].address)
            await sites_by_size[out].connect()
            await sites_by_size[out].open_all()
            per_site = out // SITES
            report(f"filling a pool with {out:,} seats")
            for first in range(0, SITES, 16):
                await asyncio.gather(
                    *(
                        sites_by_size[out].acquire(number, load.seats("fill", per_site))
                        for number in range(first, min(first + 16, SITES))
                    )
                )
            rates[out] = []
        for round_number in range(plan.rounds):
            for out, sites in sites_by_size.items():
                call = _single(sites, f"m{round_number}")
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


async def yardsticks(plan: Plan, report: Report) -> list[Figure]:
    """What this machine does without us: figures of different machines are only comparable beside these."""
    report("plain SQLite commits and a plain loop")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        commit = median([await asyncio.to_thread(_plain_commit_seconds, Path(folder), at) for at in range(plan.rounds)])
    loop = median(_plain_loop_seconds() for _ in range(plan.rounds))
    return [
        Figure("yardstick: one row committed by plain sqlite3, WAL, synchronous FULL", commit * 1e6, "us"),
        Figure("yardstick: ten million additions in Python", loop, "s"),
    ]


def _plain_commit_seconds(folder: Path, number: int) -> float:
    commits = 2000
    connection = sqlite3.connect(folder / f"{number}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT)")
    started = time.perf_counter()
    for _ in range(commits):
        connection.execute("INSERT INTO row (text) VALUES ('x')")
    seconds = time.perf_counter() - started
    connection.close()
    return seconds / commits


def _plain_loop_seconds() -> float:
    started = time.perf_counter()
    total = 0
    for number in range(10_000_000):
        total += number
    return time.perf_counter() - started


SCENARIOS: dict[str, Scenario] = {
    "yardsticks": yardsticks,
    "storms": storms,
    "singles": singles,
    "batches": batches,
    "renewing": renewing,
    "many_seats": many_seats,
}
