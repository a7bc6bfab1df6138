"""How long a standby takes to have the seats of a primary that dies or hangs, while the master is up.

As `python -m bench.scenarios.standby ADDRESS` it is the primary: a PBX in a process of its own, which can be killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from statistics import median

from bench.figures import Figure, Plan, Report
from master.domain.leases.presence import RECONNECT_SECONDS
from master.launch import master_process
from slave_client import ClientConfig, Granted, HolderKind, SlaveClient, State, Want
from tests.support.databases.postgres import Keeping, running_postgres
from tests.support.masters import PROJECT, upgraded, wire_to
from tests.support.pbxs.standbys import LICENSES, PAIR
from tests.support.projects.estates import project

SEATS = 10
ROUNDS = 20
_WANTS = tuple(Want("port", HolderKind.USER, f"phone-{number}") for number in range(SEATS))
_BERLIN = f"projects/{PROJECT}/pbxs/berlin"


def _config(address: str, pbx: str) -> ClientConfig:
    return ClientConfig(addresses=(address,), pbx=f"projects/{PROJECT}/pbxs/{pbx}", software_version="12")


async def standby(plan: Plan, report: Report) -> list[Figure]:
    """Primaries killed and frozen, each with its standby waiting."""
    figures = []
    with running_postgres(Keeping.FOR_GOOD) as server:
        url = await upgraded(await server.new_database())
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(master_process(url))
            async with wire_to(process.address) as wire:
                await wire.apply(project(LICENSES, pbxs=PAIR))
            spare = await stack.enter_async_context(SlaveClient(_config(process.address, "spare")))
            await spare.wait_for_state(State.CONNECTED, timeout_seconds=60)
            await asyncio.sleep(RECONNECT_SECONDS)  # else it measures a master that knows nothing yet
            for how, number, rounds in (("killed", signal.SIGKILL, ROUNDS), ("frozen", signal.SIGSTOP, plan.rounds)):
                report(f"primary {how}: {rounds} rounds")
                seconds = [await _measured(process.address, spare, number) for _ in range(rounds)]
                for name, value in (("p50", median(seconds)), ("longest", max(seconds))):
                    target = "< 10" if name == "longest" else ""
                    figures.append(Figure(f"standby, primary {how}, {name} of {rounds}", value, "s", target=target))
    return figures


async def _measured(address: str, spare: SlaveClient, number: signal.Signals) -> float:
    """From the signal until the standby is granted every seat that the primary had."""
    async with _primary(address) as pid:
        begun = time.perf_counter()
        os.kill(pid, number)
        carried = await spare.take_over(_BERLIN, reason="bench")
        synced = await carried.sync(_WANTS)
        seconds = time.perf_counter() - begun
        assert all(isinstance(outcome, Granted) and outcome.already_held for outcome in synced.outcomes), (
            "a seat was lost"
        )
    return seconds


@asynccontextmanager
async def _primary(address: str) -> AsyncIterator[int]:
    """A PBX that holds its seats, in a process of its own; whoever carried them is fenced by it."""
    command = (sys.executable, "-m", "bench.scenarios.standby", address)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _be_the_primary(address: str) -> None:
    async with SlaveClient(_config(address, "berlin")) as berlin:
        await berlin.wait_for_state(State.CONNECTED, timeout_seconds=60)
        await berlin.sync(_WANTS)
        await asyncio.sleep(0.5)  # its stream is open by then
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_be_the_primary(sys.argv[1]))
