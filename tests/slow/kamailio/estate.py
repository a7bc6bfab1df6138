"""A master, sites with Kamailio and an agent each, and more phones than ports: processes that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from licensemaster.v1 import status_pb2
from simulator.sip.phones import Answers, Phones
from simulator.sip.site import AgentProcess, Kamailio
from tests.license_agent.kamailio.conftest import CONFIG, need_programs, until
from tests.support.masters import PROJECT, MasterProcess, master_process, sqlite_url, upgraded, wire_to
from tests.support.projects.estates import project


@dataclass(frozen=True, slots=True)
class Site:
    """Kamailio and its agent; `phones` are the users that belong here."""

    name: str
    folder: Path
    kamailio: Kamailio
    agent: AgentProcess
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SipEstate:
    """What runs."""

    master: MasterProcess
    sites: tuple[Site, ...]

    async def counted(self, site: Site) -> set[str]:
        """Who has a seat, by the master."""
        holders: set[str] = set()
        request = status_pb2.ListSeatsRequest(
            project=f"projects/{PROJECT}", pbx=site.name, license_type="port", page_size=1000
        )
        async with wire_to(self.master.address) as wire:
            while True:
                answer = await wire.status.ListSeats(request)
                holders |= {held.seat.holder for held in answer.seats}
                request.page_token = answer.next_page_token
                if not request.page_token:
                    return holders

    def phones(self, part: str) -> list[Phones]:
        """Every phone of every site, about to register."""
        return [Phones(site.folder / part, site.kamailio, site.users) for site in self.sites]

    async def until_all_agree(self) -> int:
        """Wait until master, agent and Kamailio name the same holders at each site; returns how many there are."""
        total = 0

        async def agree() -> bool:
            nonlocal total
            total = 0
            for site in self.sites:
                try:
                    counted, held, registered = await asyncio.gather(
                        self.counted(site), site.agent.holders(), site.kamailio.registered()
                    )
                except (OSError, aiohttp.ClientError, TimeoutError):  # being started, or busy
                    return False
                if not counted == held == registered:
                    return False
                total += len(registered)
            return True

        await until(agree)
        return total


async def answered(phones: Sequence[Phones]) -> Answers:
    """What they were answered, once each of them is accepted or refused."""
    codes = await asyncio.gather(*(group.wait() for group in phones))
    assert set(codes) == {0}, codes
    answers = [group.answers() for group in phones]
    return Answers(
        accepted=frozenset().union(*(one.accepted for one in answers)),
        refused=frozenset().union(*(one.refused for one in answers)),
        told_to_come_back=sum(one.told_to_come_back for one in answers),
    )


@asynccontextmanager
async def running_estate(folder: Path, *, sites: int, phones: int, ports: int) -> AsyncIterator[SipEstate]:
    """Everything, until the context ends; skips by name where Kamailio or SIPp is missing."""
    need_programs()
    names = [f"site-{number}" for number in range(sites)]
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(master_process(await upgraded(sqlite_url(folder))))
        async with wire_to(master.address) as wire:
            await wire.apply(project({"PBX-Port12": ports}, pbxs=dict.fromkeys(names, "slave 12 gateway")))
        running = []
        for number, name in enumerate(names):
            of_site = folder / name
            of_site.mkdir()
            kamailio = Kamailio(of_site, CONFIG, shared_megabytes=32 + phones // sites // 100)
            agent = AgentProcess(
                of_site,
                kamailio,
                masters=master.address,
                pbx=f"projects/{PROJECT}/pbxs/{name}",
                kamailio_compare_seconds=2,
            )
            for program in (kamailio, agent):
                stack.push_async_callback(program.kill)
                await program.start()
            users = tuple(f"p{user:05}" for user in range(number, phones, sites))
            running.append(Site(name, of_site, kamailio, agent, users))
        yield SipEstate(master, tuple(running))
