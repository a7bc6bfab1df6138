"""How long sites wait for their next answer when the master that serves them dies or hangs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import AsyncExitStack
from enum import Enum
from statistics import quantiles

from bench.figures import Figure, Plan, Report
from master.launch import MasterProcess, master_process
from tests.support.databases.postgres import Keeping, running_postgres
from tests.support.masters import upgraded, wire_to
from tests.support.network.balancer import balancer_before
from tests.support.pbxs.sites import estate, working_sites


class _Reached(Enum):
    """How sites reach the masters."""

    BY_ADDRESSES = "by addresses"
    THROUGH_BALANCER = "through a balancer"


async def takeover(plan: Plan, report: Report) -> list[Figure]:
    """Masters killed and frozen under load, reached by a list of addresses and through a balancer."""
    figures = []
    with running_postgres(Keeping.FOR_GOOD) as server:
        for how, number, reached in (
            ("killed, list of addresses", signal.SIGKILL, _Reached.BY_ADDRESSES),
            ("killed, behind a balancer", signal.SIGKILL, _Reached.THROUGH_BALANCER),
            ("frozen, list of addresses", signal.SIGSTOP, _Reached.BY_ADDRESSES),
        ):
            url = await upgraded(await server.new_database())
            rounds = 4 * plan.rounds if number is signal.SIGKILL else plan.rounds
            report(f"{how}: {rounds} rounds")
            seconds = await _measured(url, number, rounds, reached)
            cuts = quantiles(seconds, n=100, method="inclusive")
            for name, value in (("p50", cuts[49]), ("p99", cuts[98]), ("longest", max(seconds))):
                target = "< 60, one renewal" if name == "longest" else ""
                figures.append(Figure(f"takeover, master {how}, {name} of {len(seconds)}", value, "s", target=target))
    return figures


async def _measured(url: str, number: signal.Signals, rounds: int, reached: _Reached) -> list[float]:
    chance = random.Random(4)
    seconds: list[float] = []
    async with AsyncExitStack() as stack:
        masters = [await stack.enter_async_context(master_process(url)) for _ in range(2)]
        async with wire_to(masters[0].address) as wire:
            await wire.apply(estate())
        addresses = [master.address for master in masters]
        if reached is _Reached.THROUGH_BALANCER:
            addresses = [(await stack.enter_async_context(balancer_before(*addresses))).address]
        sites = await stack.enter_async_context(working_sites(addresses))
        for at in range(rounds):
            victim = masters[at % 2]
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            moment = time.perf_counter()
            os.kill(victim.pid, number)
            seconds += await asyncio.gather(*(site.served_after(moment) for site in sites))
            await _revive(victim, number)
        assert not any(site.lost for site in sites), "a site lost a seat"
    return seconds


async def _revive(victim: MasterProcess, number: signal.Signals) -> None:
    if number is signal.SIGSTOP:
        os.kill(victim.pid, signal.SIGCONT)
        return
    await victim.kill()  # it is dead; this only forgets it
    await victim.start()
