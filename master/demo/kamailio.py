"""What happens in the demo with a real PBX: Kamailio, a license agent beside it, and phones that SIPp plays.

75 phones want 60 ports. The pool fills, a refusal is explained, the master is killed, the phones go on, some leave and
others get their seats; at the end master, agent and Kamailio name the same phones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from licensemaster.tls.channels import open_channel
from licensemaster.v1 import project_pb2, project_pb2_grpc, seat_pb2, status_pb2, status_pb2_grpc
from master.demo.interruptible import interruptible_folder
from master.demo.screen import Screen
from master.launch import MasterProcess, master_process
from master.shipped import shipped
from master.store.upkeep import schema
from master.values import Value
from simulator.sip.phones import Answers, Phones
from simulator.sip.site import AgentProcess, Kamailio

_PORTS: Final = 60
_PHONES: Final = tuple(f"{number}" for number in range(4701, 4776))
_LEAVING: Final = 10
_AGREE_SECONDS: Final = 20.0


class KamailioDemo:
    """One run of the demo, in a folder of its own."""

    def __init__(self, console: Console, project: project_pb2.Project, folder: Path) -> None:
        self._project, self._folder = project, folder
        self._screen = Screen(console, sites=tuple, pools=tuple)
        self._started = time.monotonic()
        self._pbx = f"projects/{project.name}/pbxs/berlin"
        self._parts = 0

    async def play(self) -> bool:
        """Play all acts; return whether all ended as expected."""
        async with self._running() as site:
            await self._apply(site.master)
            await site.start()
            self._screen.act(f"Morning: {len(_PHONES)} phones register at Kamailio, there are {_PORTS} ports")
            morning = await self._register(site, _PHONES)
            self._tell(f"{len(morning.accepted)} were answered 200, {len(morning.refused)} were answered 403")
            await self._explain(site.master)
            accepted, refused = sorted(morning.accepted), sorted(morning.refused)

            self._screen.act("The master is killed (SIGKILL)")
            await site.master.kill()
            outage = await self._register(site, accepted)
            self._tell(f"{len(outage.accepted)} of {len(accepted)} phones registered again; calls ask nobody anyway")
            self._screen.act("The master is back; ten phones are switched off, and those that were refused try again")
            await site.master.start()
            await self._register(site, accepted[:_LEAVING], expires_seconds=0)
            await _until_held(site.agent, _PORTS - _LEAVING)
            evening = await self._register(site, refused)
            self._tell(f"{len(evening.accepted)} of them were answered 200, {len(evening.refused)} still 403")

            expected = set(accepted[_LEAVING:]) | evening.accepted
            agree = await self._until_all_agree(site, expected)
            self._screen.show(self._summary(morning, outage, evening, agree=agree))
            return agree and [len(morning.accepted), len(outage.accepted), len(expected)] == [_PORTS] * 3

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[_Site]:
        url = f"sqlite:///{self._folder / 'license-master.db'}"
        await asyncio.to_thread(schema.upgrade, url, schema.IfAbsent.CREATE)
        async with AsyncExitStack() as stack:
            master = await stack.enter_async_context(master_process(url))
            kamailio = Kamailio(self._folder, shipped("examples") / "kamailio" / "kamailio.cfg")
            agent = AgentProcess(
                self._folder,
                kamailio,
                masters=master.address,
                pbx=self._pbx,
                call_timeout_seconds=1,
                give_up_after_seconds=1,
                kamailio_compare_seconds=2,
            )
            for program in (agent, kamailio):
                stack.push_async_callback(program.kill)
            yield _Site(master, kamailio, agent)

    async def _apply(self, master: MasterProcess) -> None:
        self._screen.act(f"A master serves on {master.address}, Kamailio and its license agent beside it")
        self._project.lease.ttl_seconds, self._project.lease.grace_seconds = 30, 60
        request = project_pb2.ApplyProjectRequest(project=self._project, request_id=str(uuid4()))
        async with open_channel(master.address) as channel:
            await project_pb2_grpc.ProjectServiceStub(channel).ApplyProject(request)

    async def _register(self, site: _Site, users: Sequence[str], *, expires_seconds: int = 600) -> Answers:
        self._parts += 1
        folder = self._folder / f"phones-{self._parts}"
        phones = Phones(folder, site.kamailio, users, expires_seconds=expires_seconds)
        await phones.start()
        await phones.wait()
        return phones.answers()

    async def _explain(self, master: MasterProcess) -> None:
        wanted = seat_pb2.Seat(license_type="port", holder_kind=seat_pb2.HOLDER_KIND_USER, holder="one-more-phone")
        async with open_channel(master.address) as channel:
            answer = await status_pb2_grpc.StatusServiceStub(channel).ExplainSeats(
                status_pb2.ExplainSeatsRequest(pbx=self._pbx, seats=[wanted])
            )
        refusal = answer.results[0].refused
        rules = f"rules {', '.join(refusal.rules)}; {refusal.in_use} of {refusal.capacity} in use"
        help_ = ("what would help: ", "bold")
        text = Text.assemble(f"{refusal.message}\n", (f"{rules}\n", "dim"), help_, refusal.remedy.text)
        self._screen.show(Panel(text, title="Why is the next phone refused?", border_style="yellow", expand=False))

    async def _until_all_agree(self, site: _Site, expected: set[str]) -> bool:
        """Wait until master, agent and Kamailio name the same phones; return whether they do."""
        async with open_channel(site.master.address) as channel:
            status = status_pb2_grpc.StatusServiceStub(channel)
            request = status_pb2.ListSeatsRequest(
                project=f"projects/{self._project.name}", pbx="berlin", license_type="port", page_size=1000
            )
            until = time.monotonic() + _AGREE_SECONDS
            while time.monotonic() < until:
                counted = {held.seat.holder for held in (await status.ListSeats(request)).seats}
                if counted == await site.agent.holders() == await site.kamailio.registered() == expected:
                    return True
                await asyncio.sleep(0.5)
        return False

    def _summary(self, morning: Answers, outage: Answers, evening: Answers, *, agree: bool) -> Table:
        table = Table("what", "seen", title="Summary", show_header=False)
        table.add_row("phones registered, refused", f"{len(morning.accepted)}, {len(morning.refused)}")
        table.add_row("registered again while the master was dead", str(len(outage.accepted)))
        table.add_row("registered after ten had left", str(len(evening.accepted)))
        table.add_row("master, agent and Kamailio", "name the same phones" if agree else "DO NOT AGREE")
        table.add_row("took", f"{time.monotonic() - self._started:.0f} s")
        return table

    def _tell(self, text: str) -> None:
        self._screen.tell(text, "green")


class _Site(Value):
    master: MasterProcess
    kamailio: Kamailio
    agent: AgentProcess

    async def start(self) -> None:
        """Start Kamailio and the agent, which need the estate."""
        await self.kamailio.start()
        await self.agent.start()


async def _until_held(agent: AgentProcess, seats: int) -> None:
    """Wait for a limited time until `seats` seats are in use."""
    until = time.monotonic() + _AGREE_SECONDS
    while time.monotonic() < until:
        if len(await agent.holders()) == seats:
            return
        await asyncio.sleep(0.2)


async def play_kamailio(console: Console, project: project_pb2.Project) -> bool:
    """Play the demo and print its summary; return whether all ended as expected.
    Raises asyncio.CancelledError if the demo was interrupted; everything that it started is gone."""
    with interruptible_folder() as folder:
        return await KamailioDemo(console, project, folder).play()
