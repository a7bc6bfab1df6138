"""Every account of Kamailio's machine can connect to it; who shows no token is neither told nor believed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from license_agent.kamailio.locations import Locations, LocationsError
from license_agent.kamailio.netstrings import message
from simulator.sip.site import Kamailio
from tests.license_agent.conftest import PORTS, agent_settings
from tests.license_agent.kamailio.conftest import Site, until
from tests.slave_client.conftest import RestartableMaster


async def test_a_stranger_that_is_there_first_is_neither_told_nor_believed(
    kamailio: Kamailio, master: RestartableMaster, tmp_path: Path
) -> None:
    """It would license phones, hear of all of them, and, as it need not read, hold up Kamailio and all calls."""
    reader, writer = await asyncio.open_connection("127.0.0.1", kamailio.evapi_port)
    for token in ("", "wrong", f"{kamailio.token}x"):
        writer.write(message("alive", 4_000, token))
    locations = Locations(kamailio.rpc, kamailio.token)
    phones = [await Site(kamailio, master, tmp_path).phone(f"p{number}") for number in range(PORTS + 1)]
    assert (await phones[0].register()).reason == "License agent away"

    site = Site(kamailio, master, tmp_path)
    await site.start_agent()
    await site.licensed(phones[0])
    writer.write(message(100) * 100)
    assert [(await phone.register()).code for phone in phones] == [200] * PORTS + [403]
    assert (await phones[0].register(expires=0)).code == 200

    async def is_counted() -> bool:
        return await locations.unanswered() == 0

    await until(is_counted)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    writer.close()
    await locations.close()
    assert (await phones[0].register()).code == 200, "and the agent goes on when it leaves"
    await site.stop_agent()


async def test_while_an_agent_is_there_nobody_else_is_let_in(site: Site, kamailio: Kamailio) -> None:
    await site.licensed(await site.phone("p0"))
    for _ in range(100):  # more than there are places
        reader, writer = await asyncio.open_connection("127.0.0.1", kamailio.evapi_port)
        assert await reader.read() == b""
        writer.close()
    assert (await (await site.phone("p1")).register()).code == 200


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_nobody_else_controls_kamailio(kamailio: Kamailio, token: str) -> None:
    locations = Locations(kamailio.rpc, token)
    with pytest.raises(LocationsError, match="is Kamailio's LICENSE_TOKEN the word in token_file"):
        await locations.holders()
    await locations.close()


def test_an_agent_has_a_token_for_kamailio(tmp_path: Path) -> None:
    settings = agent_settings("127.0.0.1:1", tmp_path, kamailio="127.0.0.1:8448")
    with pytest.raises(ValueError, match="token_file: not set; this agent, at Kamailio, has to show a token"):
        settings.secret()
    (tmp_path / "token").write_text('"quotes"-and-|bars|')
    settings = agent_settings("127.0.0.1:1", tmp_path, kamailio="127.0.0.1:8448", token_file=tmp_path / "token")
    with pytest.raises(ValueError, match="letters, digits"):
        settings.secret()
