"""A real agent in front of a real master, and a PBX that asks it over its Unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from license_agent.daemon import Running, running
from license_agent.settings import AgentSettings
from licensemaster.daemon.settings import load
from slave_client import State
from tests.slave_client.conftest import PORTS, HeldClock, RestartableMaster, estate
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, Clock

__all__ = ["PORTS", "Asked", "Pbx", "agent_settings", "port", "running_agent"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the agent answered."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def reason(self) -> str:
        return str(self.body["reason"])


class Pbx:
    """Asks an agent over its Unix socket, as a PBX does."""

    def __init__(self, session: aiohttp.ClientSession, found: Running) -> None:
        self.session, self.agent, self.server = session, found.agent, found.server

    async def ask(self, method: str, path: str, **options: Any) -> Asked:
        async with self.session.request(method, f"http://agent{path}", **options) as answer:
            is_json = "json" in answer.content_type
            body = await (answer.json(content_type=None) if is_json else answer.text())
            return Asked(answer.status, dict(answer.headers), body)

    async def register(self, *holders: str) -> list[int]:
        """Ask for a port for each of these."""
        return [(await self.ask("PUT", port(holder))).status for holder in holders]


def port(holder: str) -> str:
    """The path of a user's port."""
    return f"/v1/seats/port/user/{holder}"


def agent_settings(address: str, folder: Path, **changes: object) -> AgentSettings:
    """Settings of an agent of Berlin's PBX whose state and socket lie in a folder."""
    given = {
        "masters": (address,),
        "pbx": f"projects/{PROJECT}/pbxs/berlin",
        "software_version": "12r1",
        "state_dir": folder / "state",
        "socket": folder / "socket",
        "plaintext": True,
        "call_timeout_seconds": HANG_SECONDS,
        "give_up_after_seconds": HANG_SECONDS,
        "request_timeout_seconds": HANG_SECONDS,
        **changes,
    }
    return load(AgentSettings, None, **given)


@asynccontextmanager
async def running_agent(settings: AgentSettings, clock: HeldClock | None = None) -> AsyncIterator[Pbx]:
    """An agent in this process."""
    async with (
        running(settings, clock) as found,
        aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(settings.socket)), timeout=aiohttp.ClientTimeout(HANG_SECONDS)
        ) as session,
    ):
        yield Pbx(session, found)


@pytest.fixture
async def master(sqlite_database_url: str, clock: Clock) -> AsyncIterator[RestartableMaster]:
    """A master with Berlin's and Rome's PBXs and five floating ports."""
    found = RestartableMaster(sqlite_database_url, clock)
    await found.start()
    await found.apply(estate())
    yield found
    await found.stop()


@pytest.fixture
async def pbx(master: RestartableMaster, tmp_path: Path) -> AsyncIterator[Pbx]:
    """Berlin's PBX beside its agent, which has a lease."""
    async with running_agent(agent_settings(master.address, tmp_path)) as found:
        await found.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        yield found
