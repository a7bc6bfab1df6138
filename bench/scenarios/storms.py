"""The morning storm: a thousand sites open their leases and register a hundred phones each, all at once.

Each in one call, its seats coming with its lease; and in two, as PBXs that ask for seats once they have a lease.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from bench import load, peers
from bench.figures import Figure, Plan, Report
from bench.load import PHONES, SITES, Morning
from bench.serving import PLAIN_TEXT, Transport, echo_server, postgres, serving, sqlite, with_certificates

_DATABASES = (("SQLite", sqlite, 2.5), ("PostgreSQL", postgres, 1.8))
"""With how many times etcd's pace each is to have."""


async def storms(plan: Plan, report: Report) -> list[Figure]:
    """(2) The storm on both databases, in plain text and with certificates, and on etcd and Redis where installed."""
    storming = _Storming(report)
    with with_certificates() as certified:
        for _ in range(plan.rounds):
            for transport in (PLAIN_TEXT, certified):
                for morning in Morning:
                    await storming.masters(transport, morning)
            await storming.peers()
        return [
            figure
            for transport in (PLAIN_TEXT, certified)
            for morning in Morning
            for figure in storming.figures(transport, morning)
        ]


class _Storming:
    """Storms, one after the other, and what they took."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._cpu: defaultdict[str, list[float]] = defaultdict(list)

    async def masters(self, transport: Transport, morning: Morning) -> None:
        """A storm on an echo, and on a master with each database."""
        suffix = _suffix(transport, morning)
        async with echo_server(transport) as (address, pid):
            await self._measure(f"echo{suffix}", address, pid, transport, morning)
        for kind, database, _ in _DATABASES:
            async with (
                database() as url,
                serving(url, ports=SITES * PHONES, transport=transport) as process,
            ):
                await self._measure(f"{kind}{suffix}", process.address, process.pid, transport, morning)

    async def peers(self) -> None:
        """A storm on what else is installed."""
        for kind, storm, is_installed in (
            ("etcd", peers.etcd_storm, peers.has_etcd()),
            ("Redis", peers.redis_storm, peers.has_redis()),
        ):
            if is_installed:
                self._seconds[kind] += await storm(1)
                self._report(f"storm on {kind}: {self._seconds[kind][-1]:.2f} s")
            else:
                self._report(f"storm on {kind}: not installed")

    def figures(self, transport: Transport, morning: Morning) -> list[Figure]:
        """What masters took, and how that compares; peers are measured in plain text only."""
        figures = []
        for kind, _, pace in _DATABASES:
            name, echo = (f"{one}{_suffix(transport, morning)}" for one in (kind, "echo"))
            seconds = median(self._seconds[name])
            figures.append(Figure(f"morning storm, {name}", seconds, "s"))
            each, echoed = (median(self._cpu[of]) / (SITES * PHONES) for of in (name, echo))
            cpu, ratio = f"CPU of the server for a seat, {name}", each / echoed
            figures.append(Figure(cpu, each * 1e6, "us", ratio, "gRPC echo", "ratio <= 2.5"))
            for peer in ("etcd", "Redis") if transport is PLAIN_TEXT else ():
                if self._seconds[peer]:
                    theirs, target = median(self._seconds[peer]), f"ratio >= {pace}" if peer == "etcd" else ""
                    figures.append(
                        Figure(f"morning storm, {peer}", theirs, "s", theirs / seconds, f"{name} master", target)
                    )
        return figures

    async def _measure(self, name: str, address: str, pid: int, transport: Transport, morning: Morning) -> None:
        before = load.cpu_seconds(pid)
        seconds = await load.storm(address, round_number=0, credentials=transport.pbxs, morning=morning)
        self._seconds[name].append(seconds)
        self._cpu[name].append(load.cpu_seconds(pid) - before)
        self._report(f"storm on {name}: {self._seconds[name][-1]:.2f} s, {self._cpu[name][-1]:.2f} s of CPU")


def _suffix(transport: Transport, morning: Morning) -> str:
    return f"{transport.suffix}, {morning.value}"
