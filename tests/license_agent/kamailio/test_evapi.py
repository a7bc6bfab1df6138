"""Kamailio's evapi discards what it read where a read ends in the wrong place; a connection has none end there."""

from __future__ import annotations

import asyncio

import pytest

from license_agent.kamailio.evapi import EvapiConnection
from license_agent.kamailio.locations import Locations
from license_agent.kamailio.netstrings import message
from licensemaster.values import address
from simulator.sip.site import Kamailio
from tests.license_agent.kamailio.conftest import until

MESSAGES = 2_000
_HEARD = 100


@pytest.mark.parametrize("size", [127, 128, 129])
async def test_no_message_is_lost_whatever_its_size(kamailio: Kamailio, size: int) -> None:
    """Sent at once, all but some 250 of these are lost: Kamailio reads 32,767 bytes, 258 of 127 and one more."""
    pad = "x" * (size - len(message(code=_HEARD, pad="")) - 1)
    assert len(message(code=_HEARD, pad=pad)) == size
    locations = Locations(kamailio.rpc)
    connection = await _connected(kamailio)
    reading = asyncio.create_task(connection.read())
    for _ in range(MESSAGES):
        connection.send(code=_HEARD, pad=pad)

    async def are_read() -> bool:
        """Each answers one of Kamailio's messages, and Kamailio counts."""
        return await locations.unanswered() == -MESSAGES

    await until(are_read)
    reading.cancel()
    connection.close()
    await locations.close()


async def _connected(kamailio: Kamailio) -> EvapiConnection:
    while True:
        try:
            return await EvapiConnection.open(address(kamailio.evapi))
        except OSError:
            await asyncio.sleep(0.1)
