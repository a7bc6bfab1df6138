"""Calls that arrive after they were given up: they must not undo what the PBX asked for since."""

from __future__ import annotations

import asyncio

from slave_client import HolderKind, SlaveClient, State, Want
from tests.slave_client.conftest import RestartableMaster, client_config
from tests.support.limits import HANG_SECONDS
from tests.support.network.lines import Weather, line_to
from tests.support.waiting import until

ANNA = Want("port", HolderKind.USER, "anna")


async def test_a_return_that_arrives_late_takes_nothing_back(master: RestartableMaster) -> None:
    """The line holds it up; over another one the same seat is acquired again meanwhile."""
    async with line_to(master.address) as line:
        config = client_config(
            line.address, addresses=(line.address, master.address), call_timeout_seconds=0.7, give_up_after_seconds=0.7
        )
        async with SlaveClient(config) as client:
            await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            await until(lambda: _acquired(client))  # a busy machine may need longer than an impatient client
            line.weather = Weather(delay_seconds=3)
            await client.return_seat(ANNA)
            await until(lambda: _acquired(client))
            assert await master.holders("berlin") == {"anna"}
            await asyncio.sleep(3)  # by now it has arrived
            assert await master.holders("berlin") == {"anna"}
            assert [held.want for held in client.held] == [ANNA]


async def _acquired(client: SlaveClient) -> bool:
    return (await client.acquire(ANNA)).granted
