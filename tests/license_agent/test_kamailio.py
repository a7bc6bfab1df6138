"""A real Kamailio whose registrations the agent decides, down to a real master."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest

from license_agent.kamailio.locations import Locations
from slave_client import SlaveClient, State
from tests.license_agent.conftest import PORTS, Pbx, agent_settings, running_agent
from tests.license_agent.kamailio import Kamailio, Phone, running_kamailio
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS


@pytest.fixture
async def kamailio(tmp_path: Path) -> AsyncIterator[Kamailio]:
    async with running_kamailio(tmp_path) as found:
        yield found


async def until(there: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again: other programs tell nobody when something has come about."""
    async with asyncio.timeout(HANG_SECONDS):
        for _ in count():
            if await there():
                return
            await asyncio.sleep(0.1)


class Site:
    """Kamailio, its agent, and phones."""

    def __init__(self, kamailio: Kamailio, master: RestartableMaster, folder: Path) -> None:
        self._kamailio, self._master, self._folder = kamailio, master, folder
        self._stack = AsyncExitStack()
        self.pbx: Pbx

    async def start_agent(self) -> None:
        settings = agent_settings(
            self._master.address,
            self._folder,
            kamailio=self._kamailio.evapi,
            kamailio_rpc=self._kamailio.rpc,
            kamailio_compare_seconds=0.2,
        )
        self.pbx = await self._stack.enter_async_context(running_agent(settings))
        await self.pbx.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)

    async def stop_agent(self) -> None:
        await self._stack.aclose()

    async def phone(self, user: str) -> Phone:
        return await Phone(user, self._kamailio).open()

    async def licensed(self, phone: Phone) -> None:
        """Register, as soon as the agent is connected to Kamailio."""

        async def there() -> bool:
            return (await phone.register()).code != 503

        await until(there)


@pytest.fixture
async def site(kamailio: Kamailio, master: RestartableMaster, tmp_path: Path) -> AsyncIterator[Site]:
    found = Site(kamailio, master, tmp_path)
    await found.start_agent()
    yield found
    await found.stop_agent()


async def until_held(master: RestartableMaster, holders: set[str]) -> None:
    async def there() -> bool:
        return await master.holders("berlin") == holders

    await until(there)


@pytest.mark.rule("E1", "E3")
async def test_phones_register_until_the_licenses_are_used_up(site: Site, master: RestartableMaster) -> None:
    phones = [await site.phone(f"p{number}") for number in range(PORTS + 1)]
    await site.licensed(phones[0])
    assert [(await phone.register()).code for phone in phones] == [200] * PORTS + [403]
    refused = await phones[-1].register()
    assert (refused.code, refused.reason) == (403, "No License: pool_exhausted")
    assert refused.headers["Retry-After"] == "60"
    assert refused.headers["Warning"].startswith('399 license-agent "')
    assert await master.holders("berlin") == {f"p{number}" for number in range(PORTS)}

    second = await site.phone("p0")  # the same address of record, another contact
    assert (await second.register()).code == 200
    assert len(await master.holders("berlin")) == PORTS
    assert (await second.register(expires=0)).code == 200
    assert (await phones[0].register(expires=0)).code == 200
    await until_held(master, {f"p{number}" for number in range(1, PORTS)})
    assert (await phones[-1].register()).code == 200


async def test_a_registration_that_expires_gives_its_seat_back(site: Site, master: RestartableMaster) -> None:
    phone = await site.phone("p0")
    await site.licensed(phone)
    assert (await (await site.phone("brief")).register(expires=1)).code == 200
    await until_held(master, {"p0"})


async def test_calls_never_ask(site: Site, master: RestartableMaster) -> None:
    """Somebody without a seat calls, and the call comes through; with the master away, and with the agent away."""
    callee, caller = await site.phone("callee"), await site.phone("nobody")
    await site.licensed(callee)
    answered = site.pbx.agent.outcomes.total()
    assert (await caller.call("callee")).code == 200
    assert callee.called.is_set()
    assert site.pbx.agent.outcomes.total() == answered
    await master.stop()
    assert (await caller.call("callee")).code == 200
    await site.stop_agent()
    assert (await caller.call("callee")).code == 200
    await master.start()


async def test_without_an_agent_registered_phones_go_on(site: Site, master: RestartableMaster) -> None:
    phone, new = await site.phone("p0"), await site.phone("new")
    await site.licensed(phone)
    await site.stop_agent()

    async def noticed() -> bool:
        return (await new.register()).code == 503

    await until(noticed)
    assert (await phone.register()).code == 200
    refused = await new.register()
    assert (refused.code, refused.reason, refused.headers["Retry-After"]) == (503, "License agent away", "30")
    gone = await site.phone("p0")
    assert (await phone.register(expires=0)).code == 200
    gone.close()
    await site.start_agent()  # compares, and gives back what went meanwhile
    await until_held(master, set())


async def test_phones_that_registered_without_an_agent_are_licensed_when_it_comes(
    master: RestartableMaster, tmp_path: Path
) -> None:
    async with running_kamailio(tmp_path, defines="#!define LICENSE_ALLOW_WITHOUT_AGENT") as kamailio:
        site = Site(kamailio, master, tmp_path)
        phones = [await site.phone(f"p{number}") for number in range(PORTS + 1)]
        assert [(await phone.register()).code for phone in phones] == [200] * len(phones)
        await site.start_agent()
        locations = Locations(kamailio.rpc)

        async def agree() -> bool:
            registered = await locations.holders()
            return len(registered) == PORTS and registered == await master.holders("berlin")

        try:
            await until(agree)
        finally:
            await locations.close()
            await site.stop_agent()


async def test_a_pbx_that_is_fenced_loses_its_contacts(
    site: Site, kamailio: Kamailio, master: RestartableMaster
) -> None:
    phone = await site.phone("p0")
    await site.licensed(phone)
    locations = Locations(kamailio.rpc)
    assert await locations.has_contacts("p0")
    async with SlaveClient(master.config("berlin")) as other:  # the same PBX, on another machine
        await other.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)

        async def gone() -> bool:
            return not await locations.has_contacts("p0")

        await until(gone)
        await locations.close()
    assert (await phone.register()).code == 403
