"""What a local acquire takes, from a block and with a call; what a pool loses to idle blocks under skewed load."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from statistics import quantiles

from bench.figures import Figure, Plan, Report
from bench.serving import sqlite
from licensemaster.api_enums import HolderKind
from master.domain.allocation.block_sizes import seats_ahead
from master.launch import master_process
from slave_client import ClientConfig, Granted, SlaveClient, Source, State, Want
from tests.support.masters import PROJECT, wire_to
from tests.support.projects.allocations import Policy, lay_down
from tests.support.projects.estates import project

_SITES, _CAPACITY, _MOST = 50, 2_000, 40
_INTERVALS = 400


async def blocks(plan: Plan, report: Report) -> list[Figure]:
    """A real client with a real disk, and block sizes over many renewals of sites of which a few have most calls."""
    report("acquiring out of a block, and with a call")
    local, asked = await _acquiring(plan.rounds)
    figures = []
    for name, seconds in (("out of a block", local), ("with a call", asked)):
        cuts = quantiles(seconds, n=100, method="inclusive")
        target = "microseconds" if name == "out of a block" else ""
        figures += [
            Figure(f"acquire {name}, p50 of {len(seconds)}", cuts[49] * 1e6, "us", target=target),
            Figure(f"acquire {name}, p99 of {len(seconds)}", cuts[98] * 1e6, "us"),
        ]
    for busy in (0.5, 0.8, 0.95):
        idle, short = _idle_under_skew(busy)
        figures.append(Figure(f"idle in blocks, {busy:.0%} of the pool in use, of what is free", idle * 100, "%"))
        figures.append(Figure(f"refused while a block lay idle, {busy:.0%} in use, of acquires", short * 100, "%"))
    return figures


async def _acquiring(rounds: int) -> tuple[list[float], list[float]]:
    local, asked = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        async with sqlite() as url, master_process(url) as served, wire_to(served.address) as wire:
            await wire.apply(project({"PBX-Port12": 40_000}))
            await lay_down(wire, Policy(license_type="port", block_seats_max=1000))
            config = ClientConfig(
                addresses=(served.address,),
                pbx=f"projects/{PROJECT}/pbxs/berlin",
                software_version="12",
                state_dir=Path(folder),
            )
            async with SlaveClient(config) as client:
                await client.wait_for_state(State.CONNECTED)
                for at in range(rounds * 2000):
                    if at % 500 == 0:
                        await client._runtime.check_connection()
                    began = time.perf_counter()
                    outcome = await client.acquire(Want("port", HolderKind.USER, f"phone-{at}"))
                    seconds = time.perf_counter() - began
                    assert isinstance(outcome, Granted)
                    (local if outcome.source is Source.LOCAL else asked).append(seconds)
    return local, asked


def _idle_under_skew(busy: float) -> tuple[float, float]:
    """Of what is free, the part that lies idle in blocks; of acquires, the part refused while some lay idle."""
    chance = random.Random(15)
    weights = [1 / (1 + site) for site in range(_SITES)]
    used, block, acquired = [0] * _SITES, [0] * _SITES, [0] * _SITES
    idle_parts, refusals, asks = list[float](), 0, 0
    for at in range(_INTERVALS * _SITES):
        counted = sum(map(max, used, block))
        for site in chance.choices(range(_SITES), weights, k=3):
            wants = sum(used) < busy * _CAPACITY
            if wants:
                asks += 1
                if used[site] < block[site] or counted < _CAPACITY:
                    used[site], acquired[site] = used[site] + 1, acquired[site] + 1
                else:
                    refusals += sum(used) < _CAPACITY
            elif used[site]:
                used[site] -= 1
            counted = sum(map(max, used, block))
        site = at % _SITES
        idle = max(block[site] - used[site], 0)
        ahead = seats_ahead(
            acquired=acquired[site], idle=idle, left=_CAPACITY - counted, capacity=_CAPACITY, most=_MOST
        )
        block[site], acquired[site] = (used[site] + ahead if ahead else 0), 0
        free = _CAPACITY - sum(used)
        idle_parts.append(sum(max(of - by, 0) for of, by in zip(block, used, strict=True)) / free)
    later = idle_parts[len(idle_parts) // 2 :]
    return sum(later) / len(later), refusals / max(asks, 1)
