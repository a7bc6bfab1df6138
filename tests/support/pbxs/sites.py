"""Sites that keep two masters busy, and note when they were answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

from licensemaster.v1 import project_pb2
from slave_client import ClientConfig, Granted, HolderKind, Lost, SeatChange, SlaveClient, Source, State, Want
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT
from tests.support.projects.estates import project

SITES = 20
_PBXS = {f"site-{number}": "slave 12 gateway" for number in range(SITES)}


def estate() -> project_pb2.Project:
    """Twenty sites and more licenses than they can ask for."""
    return project({"PBX-Port12": 1_000_000}, pbxs=_PBXS)


class Site:
    """A PBX that takes one seat after the other and gives it back, and notes when it was answered."""

    def __init__(self, number: int, addresses: Sequence[str]) -> None:
        self.name = f"site-{number}"
        self.lost: list[SeatChange] = []
        self.answers: list[tuple[float, float]] = []
        """When a question was begun, and when a master granted it: seconds."""
        config = ClientConfig(
            addresses=tuple(addresses), pbx=f"projects/{PROJECT}/pbxs/{self.name}", software_version="12"
        )
        self.client = SlaveClient(config, on_seat=self._note)
        self._ending = False

    def _note(self, _want: Want, change: SeatChange) -> None:
        if isinstance(change, Lost):
            self.lost.append(change)

    async def work(self) -> None:
        """Until told to end; where no master answers, ask again."""
        for number in count():
            if self._ending:
                return
            want, begun = Want("port", HolderKind.USER, f"phone-{number}"), time.perf_counter()
            outcome = await self.client.acquire(want)
            if isinstance(outcome, Granted) and outcome.source is Source.MASTER:
                self.answers.append((begun, time.perf_counter()))
                if number % 2:
                    await self.client.return_seat(want)
            await asyncio.sleep(0.01)

    def end(self) -> None:
        """Work no more."""
        self._ending = True

    async def served_after(self, moment: float) -> float:
        """How long after a moment the first question begun since was granted by a master: seconds."""
        while True:
            since = [answered for begun, answered in self.answers if begun >= moment]
            if since:
                return since[0] - moment
            await asyncio.sleep(0.005)


@asynccontextmanager
async def working_sites(addresses: Sequence[str]) -> AsyncIterator[list[Site]]:
    """Twenty sites that were answered once, and work until the context ends."""
    sites = [Site(number, addresses) for number in range(SITES)]
    async with AsyncExitStack() as stack:
        for site in sites:
            await stack.enter_async_context(site.client)
        await asyncio.gather(
            *(site.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS) for site in sites)
        )
        working = [asyncio.create_task(site.work()) for site in sites]
        await asyncio.gather(*(site.served_after(0) for site in sites))
        yield sites
        for site in sites:
            site.end()
        await asyncio.gather(*working)
