"""Lines that are neither whole nor cut: silent ones are given up for new ones, slow ones are waited for."""

from __future__ import annotations

import asyncio

import pytest

from licensemaster.v1 import status_pb2
from slave_client import HolderKind, SlaveClient, State, Want
from slave_client.connection.master_failures import MasterError
from tests.slave_client.conftest import RestartableMaster, client_config
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, wire_to
from tests.support.network.lines import FAIR, Way, Weather, line_to
from tests.support.waiting import until

ANNA = Want("port", HolderKind.USER, "anna")


def _impatient(address: str) -> SlaveClient:
    return SlaveClient(client_config(address, call_timeout_seconds=0.3, give_up_after_seconds=0.3))


@pytest.mark.parametrize("way", [Way.THERE, Way.BACK, Way.BOTH])
async def test_a_connection_that_fell_silent_is_not_relied_on_again(master: RestartableMaster, way: Way) -> None:
    async with line_to(master.address) as line, _impatient(line.address) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        line.weather = Weather(silent=way)
        assert not (await client.acquire(ANNA)).granted
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        line.weather = FAIR  # for new connections; the old one stays silent for good
        async with asyncio.timeout(HANG_SECONDS):
            while not (await client.acquire(ANNA)).granted:  # a busy machine may need longer than an impatient client
                client.look_again()
                await client.wait_for_state(State.CONNECTED)
        assert line.happened["connections"] > 1


async def test_a_line_of_long_latency_is_waited_for(master: RestartableMaster) -> None:
    """Connecting takes several round trips; over a satellite with TLS that is more than a second."""
    async with line_to(master.address) as line:
        line.weather = Weather(delay_seconds=0.7)
        async with SlaveClient(client_config(line.address)) as client:
            await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            assert (await client.acquire(ANNA)).granted
        assert line.happened["connections"] == 1


async def test_a_line_that_is_only_late_keeps_its_connection(master: RestartableMaster) -> None:
    async with line_to(master.address) as line, SlaveClient(client_config(line.address)) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        line.weather = Weather(delay_seconds=0.1, jitter_seconds=0.1)
        for number in range(5):
            await client.acquire(Want("port", HolderKind.USER, f"phone-{number}"))
        assert line.happened["connections"] == 1


async def test_a_master_that_refuses_a_call_keeps_its_connection(master: RestartableMaster) -> None:
    async with line_to(master.address) as line, SlaveClient(client_config(line.address)) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        with pytest.raises(MasterError):
            await client._runtime.parts.masters.acquire_seats(99, [ANNA])  # under an epoch that there is not
        assert (await client.acquire(ANNA)).granted
        assert line.happened["connections"] == 1


async def test_an_opening_whose_answer_was_lost_is_not_made_twice(master: RestartableMaster) -> None:
    """However late an attempt at it comes, as of a master that slept, it must not fence what another one opened."""
    async with line_to(master.address) as line:
        line.weather = Weather(delay_seconds=0.3)
        async with SlaveClient(client_config(line.address, call_timeout_seconds=1.0)) as client:
            await until(lambda: _is_open(master))
            line.weather = Weather(silent=Way.BACK)
            await asyncio.sleep(2.5)
            line.weather = FAIR
            await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            assert await _epoch(master) == 1


async def _is_open(master: RestartableMaster) -> bool:
    return await _epoch(master) > 0


async def _epoch(master: RestartableMaster) -> int:
    async with wire_to(master.address) as wire:
        request = status_pb2.ListLeasesRequest(project=f"projects/{PROJECT}", page_size=1000)
        return next(lease.epoch for lease in (await wire.status.ListLeases(request)).leases if "berlin" in lease.pbx)
