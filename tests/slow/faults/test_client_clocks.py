"""A PBX's program that is started again, without a master, on a machine whose wall clock was set meanwhile."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.limits import HANG_SECONDS
from tests.support.machine_clock import MachineClock
from tests.support.masters import MasterProcess, wire_to
from tests.support.projects.estates import project

_DAY = 86_400.0
_PROGRAM = """
import asyncio, json, sys, time
from pathlib import Path
from slave_client import ClientConfig, HolderKind, SlaveClient, State, Want

async def main(address, folder):
    config = ClientConfig(
        addresses=(address,), pbx="projects/acme/pbxs/berlin", software_version="12r1", state_dir=Path(folder)
    )
    async with SlaveClient(config) as client:
        await client.wait_for_state(State.CONNECTED, State.OFFLINE, State.EXPIRED)
        outcome = await client.acquire(Want("port", HolderKind.USER, "anna"))
        shown = {"state": client.state.value, "granted": outcome.granted, "wall": time.time()}
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        left = client.report().remaining_seconds
        ends = before + left, time.clock_gettime(time.CLOCK_BOOTTIME) + left
        print(json.dumps({**shown, "ends": ends, "notices": [notice.kind.value for notice in client.notices]}))

asyncio.run(main(*sys.argv[1:]))
"""


async def _run(address: str, folder: Path) -> dict[str, Any]:
    """Start the program, have it acquire a seat, and end it; return what it says: `ends` are the earliest and the
    latest moment that its end may be, by the steady clock.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, address, str(folder)), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(process.communicate(), HANG_SECONDS)
    said: dict[str, Any] = json.loads(printed)
    return said


@pytest.mark.parametrize("jump", [-3650 * _DAY, -_DAY, -3600.0, 3600.0, _DAY, 3650 * _DAY])
async def test_a_wall_clock_that_is_set_moves_no_end(sqlite_database_url: str, tmp_path: Path, jump: float) -> None:
    clock, folder = MachineClock(tmp_path / "clock"), tmp_path / "state"
    master = MasterProcess(sqlite_database_url)
    await master.start()
    try:
        async with wire_to(master.address) as wire:
            await wire.apply(project({"PBX-Port12": 5}, ttl_seconds=HANG_SECONDS, grace_seconds=HANG_SECONDS))
        with clock.in_force():
            first = await _run(master.address, folder)
            assert (first["state"], first["granted"]) == ("connected", True)
            await master.kill()
            clock.set_by(jump)
            second = await _run(master.address, folder)
    finally:
        await master.kill()
    assert second["wall"] - first["wall"] == pytest.approx(jump, abs=HANG_SECONDS), "the clock was set"
    assert (second["state"], second["granted"], second["notices"]) == ("offline", True, [])
    assert max(first["ends"][0], second["ends"][0]) <= min(first["ends"][1], second["ends"][1]) + 0.001
