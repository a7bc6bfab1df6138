"""Kamailio's evapi discards what it read where a read ends in the wrong place; a connection has none end there."""

from __future__ import annotations

import asyncio
import socket

import pytest

from license_agent.kamailio import evapi
from license_agent.kamailio.evapi import EvapiConnection
from license_agent.kamailio.locations import Locations
from license_agent.kamailio.netstrings import MessageReader, message
from licensemaster.values import address
from licensemaster.values.addresses import Address
from simulator.sip.site import Kamailio
from tests.license_agent.kamailio.conftest import until

MESSAGES = 2_000
_HEARD = 100


@pytest.mark.parametrize("size", [127, 128, 129])
async def test_no_message_is_lost_whatever_its_size(kamailio: Kamailio, size: int) -> None:
    """Sent at once, all but some 250 of these are lost: Kamailio reads 32,767 bytes, 258 of 127 and one more."""
    pad = "x" * (size - len(f"123:{_HEARD}|,"))
    assert len(message(_HEARD, pad)) == size
    locations = Locations(kamailio.rpc, kamailio.token)
    connection = await _connected(kamailio)
    assert await locations.unanswered() == 0
    reading = asyncio.create_task(_read_all(connection))
    for _ in range(MESSAGES):
        connection.send(_HEARD, pad)

    async def are_read() -> bool:
        """Each answers one of Kamailio's messages, and Kamailio counts."""
        return await locations.unanswered() == -MESSAGES

    await until(are_read)
    reading.cancel()
    connection.close()
    await locations.close()


async def test_a_kamailio_that_reads_nothing_is_told_once_that_the_agent_is_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may hang for days: what it is to be told does not pile up."""
    monkeypatch.setattr(evapi, "_ALIVE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        at = Address(*hangs.getsockname())
        connection = await EvapiConnection.open(at, unanswered_max=MESSAGES, token="x" * 32)
        for _ in range(MESSAGES):
            await asyncio.sleep(0)
        assert len(connection._waiting) == 1
        connection.close()


def test_messages_are_whole_however_they_arrive() -> None:
    sent = [["gone", "34"], [""], ["register", "1"]]
    data = b"".join(message(*words) for words in sent)
    for size in range(1, len(data) + 1):
        reader = MessageReader()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert [words for piece in pieces for words in reader.feed(piece)] == sent


_REFUSED = {
    b"{}": "begins with",
    b"123456": "begins with",
    b"-1:x": "begins with",
    b":,": "begins with",
    b"99999:": "begins with",
    b"2:ab,x": "begins with",
    b"2:abx": "end with a comma",
    b"1:\xff,": "decode",
}


@pytest.mark.parametrize("data", _REFUSED)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=_REFUSED[data]):
        MessageReader().feed(data)


async def _read_all(connection: EvapiConnection) -> None:
    while True:
        await connection.read()


async def _connected(kamailio: Kamailio) -> EvapiConnection:
    while True:
        try:
            return await EvapiConnection.open(address(kamailio.evapi), unanswered_max=MESSAGES, token=kamailio.token)
        except OSError:
            await asyncio.sleep(0.1)
