"""What an agent answers a PBX with: refreshes of held seats at a steady pace, and what 10,000 of them take."""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import cast

import aiohttp
import uvloop

from bench import load
from bench.figures import Figure, Plan, Report
from bench.serving import sqlite
from master.launch import master_process

_SEATS = 10_000
_PER_SECOND = 1_000
_CONNECTIONS = 16
"""As many as a PBX has workers."""


async def agent(plan: Plan, report: Report) -> list[Figure]:
    """(9) Refreshes of held seats over the agent's Unix socket, in turn with a server that only answers."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        async with sqlite() as url, master_process(url) as master:
            await load.apply(master.address, ports=_SEATS, sites=1)
            async with (
                _serving(folder / "socket", *_agent_command(folder, master.address)) as agent,
                _serving(folder / "bare", sys.executable, "-m", "bench.scenarios.agent", str(folder / "bare")) as bare,
            ):
                empty = load.resident_mib(agent.pid)
                synced = await _hold_all(folder / "socket")
                held = load.resident_mib(agent.pid)
                report(f"{_SEATS:,} seats after {synced:.2f} s: {held:.0f} MiB")
                rates: dict[str, list[_Paced]] = {"GET": [], "PUT": [], "bare": []}
                for _ in range(plan.rounds):
                    for kind, method, process, socket in (
                        ("bare", "GET", bare, folder / "bare"),
                        ("GET", "GET", agent, folder / "socket"),
                        ("PUT", "PUT", agent, folder / "socket"),
                    ):
                        paced = await _paced(socket, method, process.pid, plan.calls // 2)
                        rates[kind].append(paced)
                        report(f"{kind}: p99 {paced.p99_ms:.2f} ms, {paced.cpu_us:.0f} us of CPU each")
    return [*_figures(rates), *_sizes(empty, held, synced)]


@dataclass(frozen=True, slots=True)
class _Paced:
    """What requests at a steady pace took, whether or not earlier ones were answered."""

    p50_ms: float
    p99_ms: float
    cpu_us: float


def _figures(rates: dict[str, list[_Paced]]) -> list[Figure]:
    figures = []
    for method in ("GET", "PUT"):
        for part, unit, target in (("p50_ms", "ms", ""), ("p99_ms", "ms", "< 1"), ("cpu_us", "us", "")):
            ours, bare = (median(getattr(paced, part) for paced in rates[kind]) for kind in (method, "bare"))
            what = {"p50_ms": "p50", "p99_ms": "p99", "cpu_us": "CPU of the agent"}[part]
            name = f"{method} of a held seat, {_PER_SECOND:,}/s, {what}"
            figures.append(Figure(name, ours, unit, ours / bare, "a server that only answers", target))
    return figures


def _sizes(empty: float, held: float, synced: float) -> list[Figure]:
    return [
        Figure("agent's memory without a seat", empty, "MiB"),
        Figure(f"agent's memory with {_SEATS:,} seats", held, "MiB"),
        Figure(f"a wanted set of {_SEATS:,} seats", synced, "s"),
    ]


def _agent_command(folder: Path, master: str) -> Sequence[str]:
    settings = folder / "agent.toml"
    settings.write_text(
        f'masters = ["{master}"]\npbx = "{load.pbx_name(0)}"\nsoftware_version = "12"\n'
        f'state_dir = "{folder / "state"}"\nsocket = "{folder / "socket"}"\n'
    )
    return (str(Path(sys.executable).with_name("license-agent")), "serve", "--plaintext", "--settings", str(settings))


@asynccontextmanager
async def _serving(socket: Path, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that serves on a Unix socket."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(60):
            while not socket.exists():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.02)
        yield process
    finally:
        process.terminate()
        await process.wait()


async def _hold_all(socket: Path) -> float:
    """Acquire all seats as one wanted set; the seconds it took."""
    wanted = [{"license_type": "port", "holder_kind": "user", "holder": f"p{number}"} for number in range(_SEATS)]
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
        started = time.perf_counter()
        async with session.put("http://agent/v1/seats", json={"seats": wanted}) as answer:
            outcomes = (await answer.json())["outcomes"]
        seconds = time.perf_counter() - started
    assert all(outcome["granted"] for outcome in outcomes)
    return seconds


async def _paced(socket: Path, method: str, pid: int, calls: int) -> _Paced:
    """Ask at a steady pace, whether or not earlier requests are answered."""
    loop = asyncio.get_running_loop()
    lines = [await loop.create_unix_connection(_Line, str(socket)) for _ in range(_CONNECTIONS)]
    for _, line in lines:
        await line.ask(method, 0)
    asking: list[asyncio.Future[float]] = []
    with _collecting_no_garbage():
        before, started = load.cpu_seconds(pid), time.perf_counter()
        for number in range(calls):
            await asyncio.sleep(max(0, started + number / _PER_SECOND - time.perf_counter()))
            asking.append(lines[number % _CONNECTIONS][1].ask(method, number % _SEATS))
        times = sorted(await asyncio.gather(*asking))
    cpu = load.cpu_seconds(pid) - before
    for transport, _ in lines:
        transport.close()
    return _Paced(median(times) * 1e3, times[int(calls * 0.99)] * 1e3, cpu / calls * 1e6)


@contextmanager
def _collecting_no_garbage() -> Iterator[None]:
    """Keep the cyclic collector of this process, which has a whole master loaded, from halting the pace for 100 ms."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Line(asyncio.Protocol):
    """One connection: requests wait for each other, and each is told how long it took from when it was made."""

    def __init__(self) -> None:
        self._asked: deque[tuple[bytes, float, asyncio.Future[float]]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, method: str, seat: int) -> asyncio.Future[float]:
        """Ask for a seat as soon as the line is free."""
        request = f"{method} /v1/seats/port/user/p{seat} HTTP/1.1\r\nHost: agent\r\n\r\n".encode()
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._asked.append((request, time.perf_counter(), answered))
        if len(self._asked) == 1:
            self._transport.write(request)
        return answered

    def data_received(self, data: bytes) -> None:
        """An answer; each ends with the only line feed of its body."""
        if data[-1:] != b"\n":
            return
        assert data.startswith(b"HTTP/1.1 200 "), data
        _, since, answered = self._asked.popleft()
        answered.set_result(time.perf_counter() - since)
        if self._asked:
            self._transport.write(self._asked[0][0])


class _Bare(asyncio.Protocol):
    """Answers each piece that it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\n")


async def _serve_bare(socket: str) -> None:
    await (await asyncio.get_running_loop().create_unix_server(_Bare, socket)).serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve_bare(sys.argv[1]))
