"""A master under load beside bad neighbours: what honest callers see of it, and what it costs the master."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.load import cpu_seconds, resident_mib
from licensemaster.v1 import project_pb2
from master.launch import MasterProcess, master_process
from tests.auth.pki import Pki, shown_to
from tests.slow.neighbours.attacks import ATTACKS
from tests.slow.neighbours.estate import ELSEWHERE, Wallet, allocation, large_project, project
from tests.slow.neighbours.honest import Sample
from tests.slow.neighbours.others import Other, other, set_share

ATTACKERS_NICENESS = 5
"""More than that of the master and of honest callers: attackers have machines of their own; here they share these
cores, and get what the others leave."""
_LOOK_SECONDS = 0.02
_FORGIVEN_SECONDS = 14.0
"""After so long a caller may call as if it had not called before: each attack begins with all that may be saved up."""
_BEGIN_SECONDS = 1.0
"""What is measured begins when an attack has begun in earnest."""


@dataclass(frozen=True, slots=True)
class Window:
    """One attack, or none, while the load went on."""

    role: str
    name: str
    begin: float
    end: float
    memory_mib: float
    """The most that the master held."""
    cores: float
    """How much of the machine's cores the master used."""
    outcomes: dict[str, int]
    """What the attacker was answered."""

    @property
    def calls(self) -> int:
        return sum(self.outcomes.values())

    @property
    def answered(self) -> int:
        """Those that reached the master: gRPC ends others by itself."""
        return self.calls - self.outcomes.get("UNAVAILABLE", 0)


@dataclass(frozen=True, slots=True)
class Figure:
    """What honest callers saw meanwhile."""

    window: Window
    renewals: int
    p50: float
    p99: float
    worst: float
    lost: dict[str, int]
    """What honest callers were told instead of being served, by what they asked and what they were told."""
    newcomers_worst: float


@asynccontextmanager
async def beset_master(url: str, wallet: Wallet, pki: Pki, *, niceness: int = 0) -> AsyncIterator[MasterProcess]:
    """A master with the estate, over TLS, with so much of the cores."""
    settings = {**pki.serve(pki.server_key()), "webhook_networks": "127.0.0.0/8"}
    async with master_process(url, **settings) as process:
        set_share(process.pid, niceness)
        async with shown_to(process.address, wallet.credentials("anna")) as wire:
            for each in (project(), large_project(ELSEWHERE, 10)):
                request = project_pb2.ApplyProjectRequest(project=each, request_id=str(uuid4()))
                await wire.projects.ApplyProject(request)
            await wire.allocations.ApplyAllocation(allocation())
        yield process


class Beset:
    """A master while others call."""

    def __init__(self, process: MasterProcess, wallet: Wallet, niceness: int) -> None:
        self._niceness = niceness + ATTACKERS_NICENESS
        self._process = process
        self._wallet = wallet
        self.windows: list[Window] = []

    async def by(self, role: str, number: int, seconds: float, *, calls_max: int = 10_000) -> None:
        """One attack, with so many calls of each kind at a time at most."""
        attack = ATTACKS[role][number]
        place = (self._process.address, str(self._process.metrics_port), str(self._wallet.folder))
        async with other(
            "tests.slow.neighbours.attacks",
            role,
            str(number),
            str(calls_max),
            *place,
            niceness=self._niceness,
            begins_with=self._niceness - ATTACKERS_NICENESS,
        ) as attacker:
            await asyncio.sleep(_BEGIN_SECONDS)
            await self._watched(role, attack.name, seconds, attacker)

    async def by_nobody(self, seconds: float) -> None:
        """For comparison."""
        await self._watched("nobody", "the load alone", seconds, None)

    async def _watched(self, role: str, name: str, seconds: float, attacker: Other | None) -> None:
        pid, most = self._process.pid, 0.0
        begin, cpu = time.monotonic(), cpu_seconds(pid)
        while (now := time.monotonic()) < begin + seconds:
            most = max(most, resident_mib(pid))
            await asyncio.sleep(_LOOK_SECONDS)
        cores = (cpu_seconds(pid) - cpu) / (now - begin)
        outcomes: dict[str, int] = {}
        if attacker is not None:
            await attacker.end()
            outcomes = attacker.told
        self.windows.append(Window(role, name, begin, now, most, cores, outcomes))


async def costs(
    process: MasterProcess, wallet: Wallet, attacks: Sequence[tuple[str, int]], *, seconds: float, niceness: int = 0
) -> list[str]:
    """What one call of each attack costs a master that has nothing else to do: milliseconds of CPU, and memory."""
    beset_master = Beset(process, wallet, niceness)
    for role, number in attacks:
        await beset_master.by(role, number, seconds, calls_max=1)
    return [
        f"| {window.role} | {window.name} |"
        f" {window.cores * (window.end - window.begin) / max(window.calls, 1) * 1000:.1f} |"
        f" {window.memory_mib:.0f} | {window.calls} | {window.outcomes} |"
        for window in beset_master.windows
    ]


async def beset(
    process: MasterProcess, wallet: Wallet, attacks: Sequence[tuple[str, int]], *, seconds: float, niceness: int = 0
) -> tuple[list[Figure], dict[str, Any]]:
    """Attack after attack while the load goes on; figures of each, and of the load."""
    place = (process.address, str(wallet.folder))
    beset_master = Beset(process, wallet, niceness)
    before = ""
    async with (
        other("tests.slow.neighbours.honest", "renewing", *place, niceness=niceness, begins_with=niceness) as renewing,
        other("tests.slow.neighbours.honest", "storming", *place, niceness=niceness, begins_with=niceness) as storming,
    ):
        await asyncio.sleep(1)
        await beset_master.by_nobody(seconds)
        for role, number in attacks:
            if role == before:
                await asyncio.sleep(_FORGIVEN_SECONDS)
            await beset_master.by(role, number, seconds)
            before = role
        await asyncio.gather(renewing.end(), storming.end())
    samples = renewing.told["samples"] + storming.told["samples"]
    load = {
        "late": renewing.told["late"],
        "rounds": storming.told["rounds"],
        "lost": _lost(samples),
    }
    return [_figure(window, samples) for window in beset_master.windows], load


def peak_mib(pid: int) -> float:
    """The most memory that a process ever held."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _figure(window: Window, samples: Sequence[Sample]) -> Figure:
    during = [sample for sample in samples if window.begin <= sample[1] <= window.end]
    renewals = sorted(seconds for what, _, seconds, _ in during if what == "renewal")
    return Figure(
        window,
        len(renewals),
        _share(renewals, 0.5),
        _share(renewals, 0.99),
        _share(renewals, 1.0),
        _lost(during),
        max((seconds for what, _, seconds, _ in during if what == "newcomer"), default=0.0),
    )


def _lost(samples: Sequence[Sample]) -> dict[str, int]:
    return dict(Counter(f"{what}: {problem}" for what, _, _, problem in samples if problem))


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def line(figure: Figure) -> str:
    window = figure.window
    answered = ", ".join(f"{count:,} {what}" for what, count in Counter(window.outcomes).most_common(4))
    return (
        f"| {window.role} | {window.name} | {figure.renewals} | {figure.p50 * 1000:.0f} | {figure.p99 * 1000:.0f} |"
        f" {figure.worst * 1000:.0f} | {sum(figure.lost.values()) or 0} | {figure.newcomers_worst:.2f} |"
        f" {window.memory_mib:.0f} | {window.cores:.2f} | {answered} |"
    )


def machine() -> str:
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
