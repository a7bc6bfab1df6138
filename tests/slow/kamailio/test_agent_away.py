"""The agent is killed, hangs, or is slow: what a phone is answered, and that it is answered."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from license_agent.kamailio import registrar
from license_agent.kamailio.locations import Locations
from simulator.sip.phones import Calls, Phones
from simulator.sip.site import AgentProcess, Kamailio
from tests.license_agent.kamailio.conftest import Site, running_kamailio, until, until_held
from tests.license_agent.kamailio.phone import Phone
from tests.slave_client.conftest import RestartableMaster
from tests.support.masters import PROJECT


async def test_without_an_agent_registered_phones_go_on(
    site: Site, master: RestartableMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    monkeypatch.setattr(registrar, "_ANSWERED_SECONDS", 0.0)  # nobody is being answered
    await site.start_agent()  # compares, and gives back what went meanwhile
    await until_held(master, set())


@asynccontextmanager
async def running_process(
    folder: Path, kamailio: Kamailio, master: RestartableMaster, **settings: object
) -> AsyncIterator[AgentProcess]:
    """An agent that can be killed and stopped."""
    agent = AgentProcess(
        folder,
        kamailio,
        masters=master.address,
        pbx=f"projects/{PROJECT}/pbxs/berlin",
        kamailio_compare_seconds=0.2,
        **settings,
    )
    await agent.start()
    try:
        yield agent
    finally:
        await agent.kill()


async def registered(phone: Phone) -> None:
    """Register, as soon as an agent answers."""

    async def is_accepted() -> bool:
        return (await phone.register()).code == 200

    await until(is_accepted)


async def test_an_agent_that_is_killed_carries_on(
    kamailio: Kamailio, master: RestartableMaster, tmp_path: Path
) -> None:
    async with running_process(tmp_path, kamailio, master) as agent:
        phones = [await Phone(f"p{number}", kamailio).open() for number in range(3)]
        await registered(phones[0])
        await agent.kill()

        async def is_noticed() -> bool:
            return (await phones[1].register()).code == 503

        await until(is_noticed)
        assert (await phones[0].register()).code == 200
        await agent.start()
        for phone in phones:
            await registered(phone)
        await until_held(master, {phone.user for phone in phones})


async def test_an_agent_that_hangs_is_not_waited_for_for_ever(master: RestartableMaster, tmp_path: Path) -> None:
    """It keeps the connection and says nothing: a timer of Kamailio's answers each REGISTER, as if it were away."""
    async with (
        running_kamailio(tmp_path, LICENSE_WAIT="1500") as kamailio,
        running_process(tmp_path, kamailio, master) as agent,
    ):
        phone, new = [await Phone(user, kamailio).open() for user in ("p0", "new")]
        await registered(phone)
        agent.send(signal.SIGSTOP)
        refused = await new.register()
        assert (refused.code, refused.reason, refused.headers["Retry-After"]) == (503, "License agent away", "30")
        assert (await phone.register()).code == 200
        locations = Locations(kamailio.rpc, kamailio.token)
        await locations.forget_licensed()
        assert (await phone.register()).code == 200, "by the timer"
        await locations.close()
        agent.send(signal.SIGCONT)
        await registered(new)
        await until_held(master, {"p0", "new"})


async def test_a_slow_agent_is_waited_for(kamailio: Kamailio, master: RestartableMaster, tmp_path: Path) -> None:
    async with running_process(tmp_path, kamailio, master) as agent:
        phone, new = [await Phone(user, kamailio).open() for user in ("p0", "new")]
        await registered(phone)
        agent.send(signal.SIGSTOP)
        asked = asyncio.create_task(new.register())
        await asyncio.sleep(1)
        agent.send(signal.SIGCONT)
        assert (await asked).code == 200


async def test_an_agent_is_asked_no_more_than_it_takes_on(
    kamailio: Kamailio, master: RestartableMaster, tmp_path: Path
) -> None:
    async with running_process(tmp_path, kamailio, master, asks_waiting_max=2) as agent:
        known, *waiting = [await Phone(f"p{number}", kamailio).open() for number in range(3)]
        await registered(known)
        agent.send(signal.SIGSTOP)
        asked = [asyncio.create_task(phone.register()) for phone in waiting]
        locations = Locations(kamailio.rpc, kamailio.token)

        async def are_asked() -> bool:
            return await locations.unanswered() == len(waiting)

        await until(are_asked)
        refused = await (await Phone("new", kamailio).open()).register()
        assert (refused.code, refused.reason) == (503, "License agent away")
        assert not any(task.done() for task in asked), "the other two wait for the agent"
        agent.send(signal.SIGCONT)
        assert [(await task).code for task in asked] == [200, 200]
        await locations.close()


async def test_calls_pass_while_thousands_of_phones_wait_for_an_agent_that_hangs(
    kamailio: Kamailio, master: RestartableMaster, tmp_path: Path
) -> None:
    """More than buffers hold, with the longest names: Kamailio would wait for the agent, and all for Kamailio."""
    async with running_process(tmp_path, kamailio, master) as agent:
        callee = await Phone("callee", kamailio).open()
        await registered(callee)
        agent.send(signal.SIGSTOP)
        phones = Phones(tmp_path / "phones", kamailio, [f"{number:0>64}" for number in range(12_000)], at_a_time=12_000)
        await phones.start()

        await until(lambda: phones.answers().told_to_come_back > 4_000)
        calls = Calls(tmp_path / "calls", kamailio, [("nobody", "callee")] * 20, seconds=0.1)
        await calls.start()
        assert await calls.wait() == 0
        await phones.kill()
        agent.send(signal.SIGCONT)
        new = await Phone("new", kamailio).open()

        async def is_decided() -> bool:
            return (await new.register()).code != 503

        await until(is_decided)
