"""Agreements and leasing meet: what was bought or is tried is lent, and only an end of the use itself takes it away."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, lease_pb2, license_pb2
from tests.rules.asking import Reason, give_back, grant, refuse, used
from tests.support.agreements import Desk, noon, prices_of
from tests.support.masters import InProcess
from tests.support.papers import bind, listed, refusal
from tests.support.pbx import BarePbx, granted, opened, seat, seats

ISYM = ("isym-1-instance", "isym-1-user")
START = "2026-01-15"


def trial(key: str = "T1", **counts: int) -> orders.StartTrial:
    return orders.StartTrial(license="isym-1", product="isymphony", counts=counts or {"user": 5}, key=key, major=3)


def buy(**counts: int) -> orders.Buy:
    return orders.Buy(id="isym-1", product="isymphony", counts=counts or {"user": 20}, major=3)


class Site(Desk):
    """A project whose licenses come from its agreements."""

    async def paid(self, order: Message, key: str) -> agreement_pb2.PlacedOrder:
        ordered = await self.place(order)
        return await self.place(orders.ConfirmPayment(order=ordered.entries[0].number, key=key))

    async def bound(self, *ids: str) -> None:
        assert all(one.HasField("moved") for one in await bind(self.master.wire, "hq-box", *ids))

    def just_before(self, day: str) -> None:
        """Ten seconds before a day begins."""
        self.master.clock.now = noon(day) - 43_200 - 10

    def midnight(self) -> None:
        """The day begins."""
        self.master.clock.advance(10)

    async def look(self) -> None:
        """What happens by itself happens: uses end, releases complete."""
        await self.master.running.uses.look()
        await self.master.running.releases.look()

    async def quantities(self) -> dict[str, int]:
        return {key: one.quantity for key, one in (await listed(self.master.wire)).items()}


async def site(master: InProcess, catalog: str = "isymphony", day: str = START) -> Site:
    at = Site(master, prices_of(catalog))
    await at.opened(day, catalog=catalog)
    return at


async def on_trial(master: InProcess) -> tuple[Site, BarePbx]:
    at = await site(master)
    await at.place(trial())
    await at.bound(*ISYM)
    hq = await opened(master.wire, "hq")
    return at, hq


@pytest.mark.rule("P1")
async def test_the_end_of_a_trial_takes_its_seats(any_master: InProcess) -> None:
    at, hq = await on_trial(any_master)
    granted(await hq.acquire(*seats("user", 5)))
    assert (await refuse(hq, seat("user", "more"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    await give_back(hq, *seats("user", 2))
    at.just_before("2026-01-29")
    await hq.open()
    await at.look()
    assert await used(at.master.wire, "user") == (3, 5)
    at.midnight()
    await at.look()
    (revoked,) = [one for one in (await hq.renew()).notices if one.kind == lease_pb2.NOTICE_KIND_SEATS_REVOKED]
    assert {one.holder for one in revoked.seats} == {"phone-2", "phone-3", "phone-4"}
    assert await used(at.master.wire, "user") == (3, 5)  # until they are given back
    gone = await refuse(hq, seat("user", "more"))
    assert gone.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    await give_back(hq, *revoked.seats)
    await at.look()
    assert await used(at.master.wire, "user") == (0, 0)
    assert (await refuse(hq, seat("user", "more"))).reason == Reason.REFUSAL_REASON_NONE_INSTALLED
    refusal_of_bind = refusal(await bind(at.master.wire, "hq-box", "isym-1-user"))
    assert refusal_of_bind.problem == license_pb2.MOVE_PROBLEM_USE_ENDED
    assert refusal_of_bind.remedy.startswith("buy or renew license isym-1")
    await at.look()
    assert await at.quantities() == {"isym-1-instance": 1, "isym-1-user": 5}


@pytest.mark.rule("P2")
async def test_a_purchase_takes_the_place_of_a_trial_without_losing_a_seat(any_master: InProcess) -> None:
    at, hq = await on_trial(any_master)
    at.just_before("2026-01-29")
    await hq.open()
    granted(await hq.acquire(*seats("user", 5)))
    await at.paid(buy(user=20), "K1")
    assert await used(at.master.wire, "user") == (5, 20)
    at.midnight()
    await at.look()
    assert not (await hq.renew()).notices
    granted(await hq.acquire(*seats("user", 20)))
    assert not (await listed(any_master.wire))["isym-1-user"].HasField("use_end_time")


@pytest.mark.rule("P2")
async def test_a_purchase_of_fewer_drains_what_is_too_much(any_master: InProcess) -> None:
    at = await site(any_master)
    await at.place(trial(user=40))
    await at.bound(*ISYM)
    hq = await opened(any_master.wire, "hq")
    granted(await hq.acquire(*seats("user", 30)))
    await at.paid(buy(user=20), "K1")
    assert await at.quantities() == {"isym-1-instance": 1, "isym-1-user": 20, "isym-1-user-surplus": 20}
    assert await used(any_master.wire, "user") == (30, 40)
    assert [one.kind for one in (await hq.renew()).notices] == [lease_pb2.NOTICE_KIND_LICENSES_LEAVING]
    await refuse(hq, seat("user", "more"))
    await give_back(hq, *seats("user", 9))
    await at.look()
    assert await used(any_master.wire, "user") == (21, 40)
    await refuse(hq, seat("user", "more"))
    await give_back(hq, seat("user", "phone-9"))
    await at.look()
    assert await used(any_master.wire, "user") == (20, 20)
    assert await at.quantities() == {"isym-1-instance": 1, "isym-1-user": 20}
    await give_back(hq, seat("user", "phone-10"))
    await grant(hq, seat("user", "more"))


@pytest.mark.rule("P5")
async def test_the_end_of_maintenance_takes_nothing(any_master: InProcess) -> None:
    at = await site(any_master)
    await at.paid(buy(user=20), "K1")
    await at.bound(*ISYM)
    at.just_before("2027-01-15")
    hq = await opened(any_master.wire, "hq")
    granted(await hq.acquire(*seats("user", 19)))
    at.midnight()
    assert (await at.cover("isym-1", "maintenance"))[0] is False
    await at.look()
    await any_master.running.renewals.look()
    assert not (await hq.renew()).notices
    await grant(hq, seat("user", "phone-19"))
    assert (await refuse(hq, seat("user", "more"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED


@pytest.mark.rule("P6")
async def test_an_upgrade_counts_at_once(any_master: InProcess) -> None:
    at = await site(any_master)
    await at.paid(buy(user=20), "K1")
    await at.bound(*ISYM)
    hq = await opened(any_master.wire, "hq")
    granted(await hq.acquire(*seats("user", 20)))
    ordered = await at.place(orders.UpgradeTier(license="isym-1", counts={"user": 40}))
    await refuse(hq, seat("user", "more"))  # not before it is paid (P9)
    await at.place(orders.ConfirmPayment(order=ordered.entries[0].number, key="K2"))
    assert await used(any_master.wire, "user") == (20, 40)
    granted(await hq.acquire(*seats("user", 40)))
