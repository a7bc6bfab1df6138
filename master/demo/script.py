"""What happens in the demo, act by act, with real processes, sockets and files.

A master on SQLite and three sites of the estate `examples/demo.toml`. Phones come and go, more than there are licenses;
the master is killed and comes back; a site dies and its seats are free again. At the end the counters are checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
from msgspec import Struct
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from licensemaster.files.writer import Readers, write_file
from licensemaster.tls.channels import open_channel
from licensemaster.v1 import project_pb2, project_pb2_grpc, seat_pb2, status_pb2, status_pb2_grpc
from master.auth.authority.authority import Authority
from master.auth.authority.keys import key_pem, new_key, pem
from master.auth.callers.identity import SCHEME, identity_of
from master.demo.interruptible import interruptible_folder
from master.demo.screen import PoolLine, Screen, SiteLine
from master.launch import MasterProcess, master_process
from master.store.backends.opening import open_database
from master.store.upkeep import schema
from master.store.upkeep.integrity import counter_mismatches
from master.values import field
from simulator import SiteEvent, SiteEventKind, SiteSimulator
from slave_client import CallKind, ClientConfig, Refused, State, TlsFiles

PHONES = {"berlin": 30, "paris": 18, "oslo": 27}
_SETTINGS: dict[str, Any] = {"expiry_interval_seconds": 0.5, "clock_allowance_seconds": 1, "drain_seconds": 1}


class Result(Struct):
    seconds: float = 0
    most_used: dict[str, int] = field(default_factory=dict)
    capacity: dict[str, int] = field(default_factory=dict)
    registered: int = 0
    refused: int = 0
    kept_while_down: int = 0
    returned_home: int = 0
    mismatches: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether everything ended as expected."""
        return not self.mismatches and all(self.most_used[name] <= self.capacity[name] for name in self.capacity)


class Demo:
    def __init__(self, console: Console, project: project_pb2.Project, folder: Path) -> None:
        self._project = project
        self._folder = folder
        self._pools: list[PoolLine] = []
        self._sites: dict[str, SiteSimulator] = {}
        self._screen = Screen(console, self._site_lines, lambda: self._pools)
        self._told_refusal = False
        self._is_over = False
        self.result = Result()

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[MasterProcess]:
        """Play all acts; the master still runs while the context lasts."""
        url = f"sqlite:///{self._folder / 'license-master.db'}"
        await asyncio.to_thread(schema.upgrade, url, schema.IfAbsent.CREATE)
        started = time.monotonic()
        tls = await asyncio.to_thread(self._certificates)
        async with master_process(url, **_SETTINGS, **tls) as process:
            channel = open_channel(process.address, self._tls_files("operator").credentials())
            watcher = asyncio.create_task(self._watch_pools(status_pb2_grpc.StatusServiceStub(channel)))
            try:
                with self._screen:
                    await self._play(process, channel)
                self.result.seconds = time.monotonic() - started
                self.result.mismatches = await _mismatches(url)
                yield process
            finally:
                self._is_over = True
                watcher.cancel()
                await asyncio.gather(watcher, *(site.stop() for site in self._sites.values()), return_exceptions=True)
                await channel.close()

    def _certificates(self) -> dict[str, Any]:
        """Issue an authority and certificates for all processes; return the settings of the master."""
        now, folder = time.time(), self._folder / "pki"
        authority = Authority.create(folder, name="demo", days=1, now=now)
        pbxs = {name: f"projects/{self._project.name}/pbxs/{name}" for name in PHONES}
        for name, subject in ({"operator": "operators/demo"} | pbxs).items():
            key = new_key()
            issued = authority.issue(identity_of(f"{SCHEME}{subject}"), key.public_key(), days=1, now=now)
            write_file(folder / f"{name}.key", key_pem(key))
            write_file(folder / f"{name}.crt", pem(issued.certificate), readers=Readers.ALL)
        key = new_key()
        issued = authority.issue_server(["127.0.0.1", "localhost"], key.public_key(), days=1, now=now)
        write_file(folder / "server.key", key_pem(key))
        write_file(folder / "server.crt", pem(issued.certificate), readers=Readers.ALL)
        files = {"certificate": "server.crt", "key": "server.key", "ca": "ca.crt", "revocations": "revoked.crl"}
        return {f"tls_{setting}_file": folder / file for setting, file in files.items()}

    def _tls_files(self, name: str) -> TlsFiles:
        folder = self._folder / "pki"
        return TlsFiles(ca=folder / "ca.crt", certificate=folder / f"{name}.crt", key=folder / f"{name}.key")

    async def _play(self, process: MasterProcess, channel: grpc.aio.Channel) -> None:
        screen = self._screen
        screen.act(f"A master serves on {process.address}; the estate is applied")
        await project_pb2_grpc.ProjectServiceStub(channel).ApplyProject(
            project_pb2.ApplyProjectRequest(project=self._project, request_id=str(uuid4()))
        )
        phones = sum(PHONES.values())
        screen.act(f"Morning: three sites open their leases, {phones} phones want a port at once")
        await self._start_sites(process)
        await asyncio.gather(*(site.register_all() for site in self._sites.values()))
        await self._explain(channel)
        screen.act("Phones come and go")
        for site in self._sites.values():
            site.run()
        await asyncio.sleep(6)
        await self._kill_and_return(process)
        await self._lose_a_site(channel)
        self.result.registered = sum(site.counts.granted_total for site in self._sites.values())
        self.result.refused = sum(site.counts.refused_total for site in self._sites.values())

    async def _start_sites(self, process: MasterProcess) -> None:
        for number, (name, phones) in enumerate(PHONES.items()):
            config = ClientConfig(
                addresses=(process.address,),
                pbx=f"projects/{self._project.name}/pbxs/{name}",
                software_version="12r1",
                state_dir=self._folder / name,
                tls=self._tls_files(name),
                call_timeout_seconds=1,
                give_up_after_seconds=1,
                backoff_max_seconds=1,
            )
            self._sites[name] = SiteSimulator(
                config, phones=phones, seed=number, pace_seconds=0.25, on_event=self._happened
            )
        await asyncio.gather(*(site.start() for site in self._sites.values()))
        await self._wait_for(State.CONNECTED)

    async def _explain(self, channel: grpc.aio.Channel) -> None:
        wanted = seat_pb2.Seat(license_type="port", holder_kind=seat_pb2.HOLDER_KIND_USER, holder="one-more-phone")
        answer = await status_pb2_grpc.StatusServiceStub(channel).ExplainSeats(
            status_pb2.ExplainSeatsRequest(pbx=f"projects/{self._project.name}/pbxs/oslo", seats=[wanted])
        )
        refusal = answer.results[0].refused
        if not refusal.reason:
            return
        held = ", ".join(f"{top.site} {top.seats}" for top in refusal.top_holders)
        self._screen.show(
            Panel(
                Text.assemble(
                    f"{refusal.message}\n",
                    (
                        f"rules {', '.join(refusal.rules)}; {refusal.in_use} of {refusal.capacity} in use: {held}\n",
                        "dim",
                    ),
                    ("what would help: ", "bold"),
                    refusal.remedy.text,
                ),
                title="Why would Oslo not get one more port?",
                border_style="yellow",
                expand=False,
            )
        )

    async def _kill_and_return(self, process: MasterProcess) -> None:
        self._screen.act("The master is killed (SIGKILL)")
        await process.kill()
        for site in self._sites.values():
            site.client.look_again()
        await self._wait_for(State.OFFLINE)
        kept = {name: site.counts.registered for name, site in self._sites.items()}
        await asyncio.sleep(3)
        self.result.kept_while_down = sum(site.counts.registered for site in self._sites.values())
        may_call = all(site.may_call(0, CallKind.EMERGENCY) for site in self._sites.values())
        self._screen.tell(
            f"the sites carry on with what they hold: {sum(kept.values())} phones were registered,"
            f" {self.result.kept_while_down} are now; emergency calls {'go out' if may_call else 'ARE BLOCKED'}",
            "green",
        )
        self._screen.act("The master comes back on the same database")
        await process.start()
        for site in self._sites.values():
            site.client.look_again()
        await self._wait_for(State.CONNECTED)
        self._screen.tell("every site has synced what it holds", "green")
        await asyncio.sleep(3)

    async def _lose_a_site(self, channel: grpc.aio.Channel) -> None:
        site = self._sites["oslo"]
        self._screen.act("Oslo burns down; until its signed lease ends, its seats count as used")
        await site.crash()
        status = status_pb2_grpc.StatusServiceStub(channel)
        held = (await self._lease(status, "oslo")).seats
        while (lease := await self._lease(status, "oslo")).seats:
            state = status_pb2.LeaseState.Name(lease.state).removeprefix("LEASE_STATE_").lower()
            self._screen.happened(f"oslo is {state}, {lease.seats} seats still count as used")
            await asyncio.sleep(0.5)
        self.result.returned_home = held
        self._screen.tell(f"the lease of Oslo ended: its {held} seats are back in the pool", "green")
        await asyncio.sleep(2)

    async def _lease(self, status: status_pb2_grpc.StatusServiceAsyncStub, pbx: str) -> status_pb2.LeaseStatus:
        request = status_pb2.ListLeasesRequest(project=f"projects/{self._project.name}")
        answer = await status.ListLeases(request, wait_for_ready=True)  # the master was killed a moment ago
        return next(lease for lease in answer.leases if lease.pbx.endswith(f"/{pbx}"))

    async def _wait_for(self, state: State) -> None:
        await asyncio.gather(*(site.client.wait_for_state(state, timeout_seconds=15) for site in self._sites.values()))

    async def _watch_pools(self, status: status_pb2_grpc.StatusServiceAsyncStub) -> None:
        request = status_pb2.GetStatusRequest(project=f"projects/{self._project.name}")
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):  # the master is killed meanwhile
                pools = (await status.GetStatus(request, timeout=1)).pools
                self._pools = [
                    PoolLine(f"{pool.display_name} on {pool.device}", pool.used, pool.capacity) for pool in pools
                ]
                for pool in self._pools:
                    self.result.capacity[pool.name] = pool.capacity
                    self.result.most_used[pool.name] = max(pool.used, self.result.most_used.get(pool.name, 0))
            await asyncio.sleep(0.2)

    def _site_lines(self) -> list[SiteLine]:
        return [
            SiteLine(
                name, site.client.state.value, site.counts.registered, site.counts.phones, site.counts.refused_total
            )
            for name, site in self._sites.items()
        ]

    def _happened(self, event: SiteEvent) -> None:
        if self._is_over:
            return
        site = event.pbx.rpartition("/")[2]
        if event.kind is SiteEventKind.STATE:
            self._screen.tell(f"{site}: {event.text}")
        elif event.kind is SiteEventKind.REFUSED and isinstance(event.change, Refused):
            if not self._told_refusal:
                self._told_refusal = True
                self._screen.tell(f"{site}: {event.text}", "yellow")
            self._screen.happened(f"{site}: {event.text}", "yellow")
        elif event.kind in (SiteEventKind.LOST, SiteEventKind.NOTICE):
            self._screen.happened(f"{site}: {event.text}", "red")
        else:
            self._screen.happened(f"{site}: {event.text}")

    def summary(self) -> Table:
        """Return a table of what was seen, in numbers."""
        result = self.result
        table = Table("what", "seen", title="Summary", show_header=False)
        table.add_row("phones registered, refused", f"{result.registered}, {result.refused}")
        for name, most in result.most_used.items():
            if most:
                table.add_row(f"most in use of {name}", f"{most} of {result.capacity[name]}")
        table.add_row("phones registered while the master was dead", str(result.kept_while_down))
        table.add_row("seats of the dead site that came home", str(result.returned_home))
        verdict = "agree with the seats" if not result.mismatches else "; ".join(result.mismatches)
        table.add_row("counters", verdict)
        table.add_row("took", f"{result.seconds:.0f} s")
        return table


async def play(console: Console, project: project_pb2.Project, *, keep: bool) -> bool:
    """Play the demo and print its summary; return whether all ended as expected. With `keep`, serve until interrupted.
    Raises asyncio.CancelledError if the demo was interrupted; everything that it started is gone."""
    with interruptible_folder() as folder:
        demo = Demo(console, project, folder)
        async with demo.playing() as process:
            console.print(demo.summary())
            if keep:
                console.print(
                    f"Still running: gRPC on {process.address}, metrics on https://127.0.0.1:{process.metrics_port}/metrics\n"
                    f"Try: cd {folder}/pki; license-master --tls-ca ca.crt --tls-certificate operator.crt"
                    f" --tls-key operator.key status --server {process.address}\n"
                    "Ctrl-C ends it."
                )
                await asyncio.Event().wait()
        return demo.result.is_right


async def _mismatches(url: str) -> list[str]:
    database = open_database(url)
    try:
        return await database.read(counter_mismatches)
    finally:
        await database.close()
