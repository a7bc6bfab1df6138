"""A real Kamailio, its agent in this process, and phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from license_agent.kamailio.locations import Locations
from simulator.sip.programs import missing_programs
from simulator.sip.site import Kamailio
from slave_client import SlaveClient, State
from tests.license_agent.conftest import Pbx, agent_settings, running_agent
from tests.license_agent.kamailio.phone import Phone
from tests.slave_client.conftest import HeldClock, RestartableMaster
from tests.support import waiting
from tests.support.limits import HANG_SECONDS

CONFIG = Path(__file__).parents[3] / "examples" / "kamailio" / "kamailio.cfg"


def need_programs() -> None:
    """Skip by name where Kamailio or SIPp is not installed."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")


@asynccontextmanager
async def running_kamailio(folder: Path, *, shared_megabytes: int = 64, **defines: str) -> AsyncIterator[Kamailio]:
    """Kamailio with the example's configuration."""
    need_programs()
    kamailio = Kamailio(folder, CONFIG, defines=defines, shared_megabytes=shared_megabytes)
    await kamailio.start()
    try:
        yield kamailio
    finally:
        await kamailio.kill()


@pytest.fixture
async def kamailio(tmp_path: Path) -> AsyncIterator[Kamailio]:
    async with running_kamailio(tmp_path) as found:
        yield found


until = partial(waiting.until, every_seconds=0.1)
"""Other programs are asked less often."""


class Site:
    """Kamailio, its agent, and phones."""

    def __init__(
        self, kamailio: Kamailio, master: RestartableMaster, folder: Path, clock: HeldClock | None = None
    ) -> None:
        self._kamailio, self._master, self._folder, self._clock = kamailio, master, folder, clock
        self._stack = AsyncExitStack()
        self.pbx: Pbx

    @property
    def client(self) -> SlaveClient:
        return self.pbx.agent.client

    def holds(self, holder: str) -> Callable[[], Awaitable[bool]]:
        """Whether a user has its port, by the agent."""

        async def does() -> bool:
            return any(held.want.holder == holder for held in self.client.held)

        return does

    async def start_agent(self, **changes: object) -> None:
        token_file = self._folder / "token"
        token_file.write_text(self._kamailio.token)
        settings = agent_settings(
            self._master.address,
            self._folder,
            token_file=token_file,
            kamailio=self._kamailio.evapi,
            kamailio_rpc=self._kamailio.rpc,
            **{"kamailio_compare_seconds": 0.2, **changes},
        )
        self.pbx = await self._stack.enter_async_context(running_agent(settings, self._clock))
        await self.pbx.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)

    async def crash(self) -> None:
        """Kill Kamailio, and end the agent as a kill would."""
        await self._kamailio.kill()
        await self.client.crash()
        await self.stop_agent()

    async def start_again(self, **changes: object) -> None:
        """Start both after a crash."""
        await self._kamailio.start()
        await self.start_agent(**changes)

    async def until_it_has_a_standby_lease(self) -> None:
        """Wait until the agent has on its disk what it may carry without a master."""

        await until(lambda: any((self._folder / "state").glob("standby-*")))

    async def stop_agent(self) -> None:
        await self._stack.aclose()

    async def phone(self, user: str) -> Phone:
        return await Phone(user, self._kamailio).open()

    async def decided(self, phone: Phone) -> int:
        """Register until the agent is connected to Kamailio and has an answer in time; return the reply's code."""
        async with asyncio.timeout(HANG_SECONDS):
            while (code := (await phone.register()).code) == 503:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.01)
        return code

    async def licensed(self, phone: Phone) -> None:
        """Register, and have it accepted."""
        assert await self.decided(phone) == 200


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


class Registered:
    """Who is registered, by Kamailio."""

    def __init__(self, kamailio: Kamailio) -> None:
        self.locations = Locations(kamailio.rpc, kamailio.token)

    async def until(self, users: set[str]) -> None:
        """Wait until just these are registered."""

        async def agrees() -> bool:
            return await self.locations.holders() == users

        await until(agrees)


@pytest.fixture
async def registered(kamailio: Kamailio) -> AsyncIterator[Registered]:
    found = Registered(kamailio)
    yield found
    await found.locations.close()
