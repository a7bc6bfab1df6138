"""What Kamailio and its agent do at the same time: no phone that was accepted loses its seat, or its contact, by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from license_agent.kamailio import registrar as registrar_module
from license_agent.kamailio.evapi import EvapiConnection
from license_agent.kamailio.locations import Locations
from license_agent.kamailio.lost_contacts import LostContacts
from license_agent.kamailio.registrar import Registrar
from licensemaster.values import address
from simulator.sip.site import Kamailio
from tests.license_agent.conftest import Pbx, agent_settings, port, running_agent
from tests.license_agent.kamailio.conftest import until, until_held
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS

_P0 = b"p0".hex()


class Beside:
    """An agent with a registrar that does only what a test has it do."""

    def __init__(self, pbx: Pbx, registrar: Registrar, connection: EvapiConnection) -> None:
        self.pbx, self.registrar, self.connection = pbx, registrar, connection


@pytest.fixture
async def beside(kamailio: Kamailio, master: RestartableMaster, tmp_path: Path) -> AsyncIterator[Beside]:
    """Of an agent that was stopped while p0 had a port, and has been started again."""
    settings = agent_settings(master.address, tmp_path)
    async with running_agent(settings) as before:
        assert (await before.ask("PUT", port("p0"))).status == 200
    async with running_agent(settings) as pbx:
        connection = await EvapiConnection.open(address(kamailio.evapi), unanswered_max=100, token=kamailio.token)
        (tmp_path / "token").write_text(kamailio.token)
        at = {"kamailio": kamailio.evapi, "kamailio_rpc": kamailio.rpc, "token_file": tmp_path / "token"}
        registrar = Registrar(agent_settings(master.address, tmp_path, **at), pbx.agent)
        yield Beside(pbx, registrar, connection)
        connection.close()
        await registrar._locations.close()


async def test_a_phone_that_was_accepted_just_before_the_agent_was_started_again_keeps_its_seat(
    beside: Beside, master: RestartableMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kamailio has not read the answer yet, so there is no contact, or it was not to be asked."""
    await beside.registrar.compare()
    assert await master.holders("berlin") == {"p0"}
    monkeypatch.setattr(registrar_module, "_ANSWERED_SECONDS", 0.0)
    await beside.registrar.compare()
    await until_held(master, set())


@pytest.mark.parametrize("asks_again", [True, False])
async def test_a_phone_that_comes_back_as_it_goes_keeps_its_seat(
    beside: Beside, master: RestartableMaster, monkeypatch: pytest.MonkeyPatch, asks_again: bool
) -> None:
    """Its new contact is not there yet when the agent looks whether the last one has gone."""
    looked, may_go_on = asyncio.Event(), asyncio.Event()
    has_contacts = Locations.has_contacts

    async def slow(locations: Locations, holder: str) -> bool:
        found = await has_contacts(locations, holder)
        looked.set()
        await may_go_on.wait()
        return found

    monkeypatch.setattr(Locations, "has_contacts", slow)
    beside.registrar._answer([["gone", _P0]], beside.connection)
    await looked.wait()
    if asks_again:
        beside.registrar._answer([["register", "1", "2", _P0]], beside.connection)
        await asyncio.sleep(0)
    may_go_on.set()
    await asyncio.gather(*beside.registrar._tasks)
    assert await master.holders("berlin") == ({"p0"} if asks_again else set())


async def test_a_phone_that_comes_back_as_its_contacts_are_removed_is_answered_afterwards(
    kamailio: Kamailio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered before, it would register, and be removed with the others though it has a seat."""
    locations = Locations(kamailio.rpc, kamailio.token)
    lost = LostContacts(locations, lambda _: False)
    removing, may_go_on = asyncio.Event(), asyncio.Event()
    removed: list[str] = []

    async def slow(_: Locations, holder: str) -> None:
        removing.set()
        await may_go_on.wait()
        removed.append(holder)

    async def answered(holder: str) -> tuple[str, ...]:
        async with lost.spared([holder]):
            return tuple(removed)

    monkeypatch.setattr(Locations, "remove", slow)
    lost.add("p0")
    async with asyncio.timeout(HANG_SECONDS):
        await removing.wait()
    comes_back = asyncio.create_task(answered("p0"))
    assert await answered("p1") == (), "who is not removed does not wait"
    assert not comes_back.done()
    may_go_on.set()
    assert await comes_back == ("p0",)
    async with lost.spared(["p2"]):
        lost.add("p2")
        lost.add("p3")
        await until(lambda: _is_gone(lost, "p3"))
        assert lost.holders == {"p2"}
    await until(lambda: _is_gone(lost, "p2"))
    await lost.stop()
    await locations.close()


async def test_who_asked_is_remembered_for_a_while_though_nothing_is_compared(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever asks under ever new names, while Kamailio cannot be asked, would fill the agent's memory."""
    monkeypatch.setattr(registrar_module, "_ANSWERED_SECONDS", 0.1)
    for number in range(300):
        await asyncio.sleep(0.001)
        beside.registrar._answer([["register", "1", "2", f"p{number}".encode().hex()]], beside.connection)
    await asyncio.gather(*beside.registrar._tasks)
    assert {"p299"} <= beside.registrar._asked.keys() != {f"p{number}" for number in range(300)}


async def _is_gone(lost: LostContacts, holder: str) -> bool:
    return holder not in lost.holders
