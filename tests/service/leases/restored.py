"""Sites whose master was restored from an older backup."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass

from licensemaster.daemon.settings import load
from licensemaster.v1 import document_pb2, lease_pb2, seat_pb2
from master.app import mark_restored
from master.settings import Settings
from tests.rules.asking import status
from tests.support.databases.restoring import BackUp
from tests.support.databases.truth import mismatches
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import BarePbx, granted, seats
from tests.support.projects.estates import project

TTL, GRACE, ALLOWANCE = 60, 600, 5
OLDER_SECONDS = 40
LEARNING = seat_pb2.REFUSAL_REASON_LEARNING
ESTATE = {"berlin": "slave 12 gateway", "bonn": "slave 12 gateway", "ulm": "slave 12 gateway"}


class Site(BarePbx):
    """A PBX that keeps its signed lease, as the client does."""

    def __init__(self, master: InProcess, name: str) -> None:
        super().__init__(master.wire, name)
        self.signed: document_pb2.SignedDocument | None = None
        self.held = 0

    async def start(self, ports: int) -> Site:
        """Open a lease, acquire ports and have them signed."""
        self.signed = (await self.open()).lease.signed
        return await self.use(ports)

    async def use(self, ports: int) -> Site:
        """Use so many ports, and have them signed."""
        granted((await self.sync(*seats("port", ports))).results)
        self.held = ports
        self.signed = (await self.renew()).lease.signed
        return self

    def proof(self, in_use: int | None = None) -> lease_pb2.LeaseProof:
        """What it has to show."""
        holding = lease_pb2.Holding(license_type="PBX-Port", seats=self.held if in_use is None else in_use)
        return lease_pb2.LeaseProof(signed=self.signed, in_use=[holding])

    async def return_to(self, master: InProcess, proof: lease_pb2.LeaseProof | None = None) -> None:
        """Open the lease anew at another master, and show what there is."""
        self.wire = master.wire
        response = await self.wire.leases.OpenLease(
            lease_pb2.OpenLeaseRequest(
                pbx=self.name,
                instance_id=self.instance_id,
                request_id=f"again-{self.epoch}",
                software_version="12",
                proof=self.proof() if proof is None else proof,
            )
        )
        assert response.lease.epoch > self.epoch
        self.epoch, self.signed = response.lease.epoch, response.lease.signed


@asynccontextmanager
async def serving(url: str, clock: Clock) -> AsyncIterator[InProcess]:
    async with in_process_master(url, clock, clock_allowance_seconds=ALLOWANCE) as master:
        yield master


@asynccontextmanager
async def restored(url: str, clock: Clock, *, said: bool = True) -> AsyncIterator[InProcess]:
    """A master over a restored database; `said`: whether the operator says so."""
    if said:
        settings = load(Settings, None, database_url=url, plaintext=True, clock_allowance_seconds=ALLOWANCE)
        await mark_restored(settings, caller="operator anna", clock=clock)
    async with serving(url, clock) as master:
        yield master


async def right(url: str) -> None:
    """The counters agree with the seats, and the events are as they were written."""
    assert await mismatches(url) == []


async def used(master: InProcess) -> int:
    return (await status(master.wire)).pools[0].used


async def pool_of_100(master: InProcess, **pbxs: str) -> None:
    await master.wire.apply(project({"PBX-Port12": 100}, pbxs=pbxs or ESTATE, ttl_seconds=TTL, grace_seconds=GRACE))


@dataclass(frozen=True, slots=True)
class OlderBackup:
    """Of a pool of 100 ports: berlin had 60 and bonn 40; then berlin gave 30 up, ulm got 20 and bonn 10 of them."""

    url: str
    berlin: Site
    bonn: Site
    ulm: Site

    async def copied(self, back_up: BackUp) -> OlderBackup:
        """The same for another test."""
        return OlderBackup(await back_up(self.url), copy(self.berlin), copy(self.bonn), copy(self.ulm))


async def an_older_backup(url: str, clock: Clock, back_up: BackUp) -> OlderBackup:
    """Make one of an empty database; it takes the clock forward by `OLDER_SECONDS`."""
    async with serving(url, clock) as master:
        await pool_of_100(master)
        berlin, bonn, ulm = (Site(master, name) for name in ("berlin", "bonn", "ulm"))
        await berlin.start(60)
        await bonn.start(40)
    backup = await back_up(url)
    clock.advance(30)
    async with serving(url, clock) as master:
        for site in (berlin, bonn, ulm):
            site.wire = master.wire
        await berlin.use(30)
        await ulm.start(20)
        await bonn.use(50)
        assert await used(master) == 100
    clock.advance(OLDER_SECONDS - 30)
    return OlderBackup(backup, berlin, bonn, ulm)
