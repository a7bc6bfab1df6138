"""A running client when agreements end: a trial's end takes its seats after notice, maintenance takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from google.protobuf.message import Message

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, license_pb2
from slave_client import HolderKind, LossCause, Lost, NoticeKind, SeatChange, SlaveClient, State, Want
from tests.slave_client.conftest import HeldClock, RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Wire, wire_to
from tests.support.projects.agreements import NAME, noon, prices_of, wanted
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import bind, listed
from tests.support.waiting import until

USERS = [Want("user", HolderKind.USER, f"user-{number}") for number in range(3)]
START, TRIAL_ENDS, MAINTENANCE_ENDS = "2026-01-15", "2026-01-30", "2027-01-15"


async def ordered(wire: Wire, order: Message) -> agreement_pb2.PlacedOrder:
    prices = agreement_pb2.PriceFile(name="prices.toml", text=prices_of("isymphony"))
    request = agreement_pb2.PlaceOrderRequest(project=NAME, order=wanted(order), prices=prices, request_id=str(uuid4()))
    return (await wire.agreements.PlaceOrder(request)).placed


async def bought(wire: Wire) -> None:
    first = await ordered(wire, orders.Buy(id="isym-1", product="isymphony", counts={"user": 20}, major=3))
    await ordered(wire, orders.ConfirmPayment(order=first.entries[0].number, key="K1"))


class Site:
    """A client with seats of a license that an agreement brought, ten seconds before something ends."""

    def __init__(self, master: RestartableMaster) -> None:
        self.master = master
        self.time = HeldClock(master.clock)
        self.lost: list[Lost] = []
        self.heard: asyncio.Queue[NoticeKind] = asyncio.Queue()

    def _seat(self, want: Want, change: SeatChange) -> None:
        self.lost += [change] if isinstance(change, Lost) else []

    @asynccontextmanager
    async def running(self, ends: str) -> AsyncIterator[SlaveClient]:
        self.master.clock.now = noon(ends) - 43_200 - 10
        client = SlaveClient(
            self.master.config("hq", software_version="3"),
            clock=self.time,
            on_seat=self._seat,
            on_notice=lambda notice: self.heard.put_nowait(notice.kind),
        )
        async with client:
            await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            assert all(outcome.granted for outcome in await client.acquire_many(USERS))
            yield client

    async def hears(self, kind: NoticeKind) -> None:
        async with asyncio.timeout(HANG_SECONDS):
            while await self.heard.get() is not kind:
                pass


@pytest.fixture
async def site(master: RestartableMaster) -> Site:
    master.clock.now = noon(START)
    estate = project({}, pbxs={"hq": "master 3 server"}, ttl_seconds=30, grace_seconds=30)
    estate.catalog = "isymphony"
    await master.apply(estate)
    async with wire_to(master.address) as wire:
        trial = orders.StartTrial(license="isym-1", product="isymphony", counts={"user": 5}, key="T1", major=3)
        await ordered(wire, trial)
        assert all(result.HasField("moved") for result in await bind(wire, "hq-box", "isym-1-user", "isym-1-instance"))
    return Site(master)


@pytest.mark.rule("P1")
async def test_the_end_of_a_trial_takes_the_seats_of_a_running_client_after_notice(site: Site) -> None:
    async with site.running(TRIAL_ENDS) as client, wire_to(site.master.address) as wire:
        await site.hears(NoticeKind.LICENSES_END)
        (collected,) = [notice for notice in client.notices if notice.kind is NoticeKind.LICENSES_END]
        assert f"Trial of license isym-1 ends on {TRIAL_ENDS}" in collected.message
        site.time.advance(10)

        async def all_gone() -> bool:
            return (await listed(wire))["isym-1-user"].state == license_pb2.LICENSE_STATE_ENDED

        await until(all_gone)
        assert {lost.want for lost in site.lost} == set(USERS)
        assert {lost.cause for lost in site.lost} == {LossCause.REVOKED}
        assert not client.held
        assert client.state is State.CONNECTED


@pytest.mark.rule("P2", "P5")
async def test_a_running_client_notices_neither_a_purchase_nor_the_end_of_maintenance(site: Site) -> None:
    async with wire_to(site.master.address) as wire:
        await bought(wire)
        async with site.running(MAINTENANCE_ENDS) as client:
            site.time.advance(10)
            more = [Want("user", HolderKind.USER, f"more-{number}") for number in range(17)]
            assert all(outcome.granted for outcome in await client.acquire_many(more))
            assert not site.lost
            assert not client.notices
            assert (await listed(wire))["isym-1-user"].state == license_pb2.LICENSE_STATE_BOUND
