"""Agreements and leasing meet: what was bought or is tried is lent, and only an end of the use itself takes it away."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, lease_pb2, license_pb2, plan_pb2, seat_pb2
from tests.rules.asking import Reason, give_back, grant, refuse, used
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, seat, seats
from tests.support.projects.agreements import AgreementOrders, contract, noon, prices_of
from tests.support.projects.plans import NOT_POSSIBLE, OK, day, plan, rebind, refusals
from tests.support.projects.signed_documents import bind, cancel, enrolled, hand_in, listed, refusal, release

ISYM = ("isym-1-instance", "isym-1-user")
START = "2026-01-15"


def trial(key: str = "T1", **counts: int) -> orders.StartTrial:
    return orders.StartTrial(license="isym-1", product="isymphony", counts=counts or {"user": 5}, key=key, major=3)


def buy(**counts: int) -> orders.Buy:
    return orders.Buy(id="isym-1", product="isymphony", counts=counts or {"user": 20}, major=3)


class Site(AgreementOrders):
    """A project whose licenses come from its agreements."""

    async def paid(self, order: Message, key: str) -> agreement_pb2.PlacedOrder:
        ordered = await self.place(order)
        return await self.place(orders.ConfirmPayment(order=ordered.entries[0].number, key=key))

    async def bound(self, *ids: str) -> None:
        assert all(result.HasField("moved") for result in await bind(self.master.wire, "hq-box", *ids))

    def just_before(self, day: str) -> None:
        """Ten seconds before a day begins."""
        self.master.clock.now = noon(day) - 43_200 - 10

    def midnight(self) -> None:
        """The day begins."""
        self.master.clock.advance(10)

    async def look(self) -> None:
        """What happens by itself happens: uses end, releases complete."""
        await self.master.running.agreements.end_uses()
        await self.master.running.licenses.complete_releases()

    async def quantities(self) -> dict[str, int]:
        return {key: each.quantity for key, each in (await listed(self.master.wire)).items()}


async def site(master: InProcess, catalog: str = "isymphony", day: str = START) -> Site:
    at = Site(master, prices_of(catalog))
    await at.opened(day, catalog=catalog, software="3")
    return at


async def on_trial(master: InProcess) -> tuple[Site, BarePbx]:
    at = await site(master)
    await at.place(trial())
    await at.bound(*ISYM)
    hq = await opened(master.wire, "hq", "3")
    return at, hq


@pytest.mark.rule("P1")
async def test_the_end_of_a_trial_takes_its_seats(master: InProcess) -> None:
    at, hq = await on_trial(master)
    granted(await hq.acquire(*seats("user", 5)))
    assert (await refuse(hq, seat("user", "more"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    await give_back(hq, *seats("user", 2))
    at.just_before("2026-01-30")
    await hq.open("3")
    await at.look()
    assert await used(at.master.wire, "user") == (3, 5)
    at.midnight()
    await at.look()
    (revoked,) = [notice for notice in (await hq.renew()).notices if notice.kind == lease_pb2.NOTICE_KIND_SEATS_REVOKED]
    assert {seat.holder for seat in revoked.seats} == {"phone-2", "phone-3", "phone-4"}
    assert await used(at.master.wire, "user") == (3, 5)  # until they are given back
    gone = await refuse(hq, seat("user", "more"))
    assert gone.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    await give_back(hq, *revoked.seats)
    await at.look()
    assert await used(at.master.wire, "user") == (0, 0)
    none = await refuse(hq, seat("user", "more"))
    assert (none.reason, list(none.rules)) == (Reason.REFUSAL_REASON_NONE_INSTALLED, ["A1", "P6", "P8", "P1"])
    ended = "Trial of license isym-1 ended on 2026-01-30, and with it the use of 5 x iSymphony User 3 (isym-1-user)"
    assert none.message == f"no iSymphony User license is installed on hq-box; {ended}"
    assert none.remedy.text.startswith(
        "buy or renew license isym-1 and bind 5 x iSymphony User 3 (isym-1-user) to hq-box, or bind 1 more"
    )
    refusal_of_bind = refusal(await bind(at.master.wire, "hq-box", "isym-1-user"))
    assert refusal_of_bind.problem == license_pb2.MOVE_PROBLEM_USE_ENDED
    assert refusal_of_bind.remedy.startswith("buy or renew license isym-1")
    await at.look()
    assert await at.quantities() == {"isym-1-instance": 1, "isym-1-user": 5}


@pytest.mark.rule("P1")
async def test_the_end_is_told_before_and_a_second_key_moves_it(master: InProcess) -> None:
    at, hq = await on_trial(master)
    at.on("2026-01-22")
    await hq.open("3")
    assert not (await hq.renew()).notices
    at.on("2026-01-23")  # the first reminder is a week before
    await hq.open("3")
    (soon,) = (await hq.renew()).notices
    assert (soon.kind, len(soon.licenses)) == (lease_pb2.NOTICE_KIND_LICENSES_END, 2)
    assert soon.message.startswith("Trial of license isym-1 ends on 2026-01-30, and with it the use of 1 x")
    assert (await listed(master.wire))["isym-1-user"].use_end_time.seconds == noon("2026-01-30") - 43_200
    await at.place(orders.ExtendTrial(license="isym-1", key="T2"))
    assert not (await hq.renew()).notices
    at.on("2026-01-30")
    await hq.open("3")
    await at.look()
    granted(await hq.acquire(*seats("user", 5)))


@pytest.mark.rule("P1", "P2")
async def test_a_purchase_while_seats_are_being_taken_gives_it_up(master: InProcess) -> None:
    at, hq = await on_trial(master)
    at.just_before("2026-01-30")
    await hq.open("3")
    granted(await hq.acquire(*seats("user", 5)))
    at.midnight()
    await at.look()
    refused_cancel = refusal(await cancel(master.wire, "isym-1-user"))
    assert refused_cancel.problem == license_pb2.MOVE_PROBLEM_USE_ENDED
    await at.paid(buy(user=20), "K1")
    (revoked,) = (await hq.renew()).notices
    assert revoked.kind == lease_pb2.NOTICE_KIND_SEATS_REVOKED
    await give_back(hq, *revoked.seats)
    await at.look()
    granted(await hq.acquire(*seats("user", 20)))
    assert await used(master.wire, "user") == (20, 20)


@pytest.mark.rule("P2")
async def test_a_purchase_after_the_end_comes_back_under_the_same_id(any_master: InProcess) -> None:
    at, _ = await on_trial(any_master)
    at.on("2026-02-15")
    await at.look()
    assert {license.state for license in (await listed(any_master.wire)).values()} == {license_pb2.LICENSE_STATE_ENDED}
    first_bound = (await listed(any_master.wire))["isym-1-user"].first_bind_time
    await at.paid(buy(user=20), "K1")
    assert {license.state for license in (await listed(any_master.wire)).values()} == {license_pb2.LICENSE_STATE_FREE}
    await at.bound(*ISYM)
    actual = (await listed(any_master.wire))["isym-1-user"]
    assert (actual.origin, actual.agreement, actual.file) == (license_pb2.LICENSE_ORIGIN_AGREED, "license isym-1", "")
    assert actual.first_bind_time == first_bound  # L7
    hq = await opened(any_master.wire, "hq", "3")
    granted(await hq.acquire(*seats("user", 20)))


async def test_a_dry_run_and_a_retry_change_nothing_more(any_master: InProcess) -> None:
    at = await site(any_master)
    await at.place(trial(), dry_run=True)
    assert await at.quantities() == {}
    for _ in range(2):
        await at.answer(trial(), request_id="the-same")
    assert await at.quantities() == {"isym-1-instance": 1, "isym-1-user": 5}
    await any_master.running.agreements.renew_and_reconcile()
    await at.look()
    assert await at.quantities() == {"isym-1-instance": 1, "isym-1-user": 5}


@pytest.mark.rule("P2")
async def test_a_purchase_takes_the_place_of_a_trial_without_losing_a_seat(master: InProcess) -> None:
    at, hq = await on_trial(master)
    at.just_before("2026-01-30")
    await hq.open("3")
    granted(await hq.acquire(*seats("user", 5)))
    await at.paid(buy(user=20), "K1")
    assert await used(at.master.wire, "user") == (5, 20)
    at.midnight()
    await at.look()
    assert not (await hq.renew()).notices
    granted(await hq.acquire(*seats("user", 20)))
    assert not (await listed(master.wire))["isym-1-user"].HasField("use_end_time")


@pytest.mark.rule("P2")
async def test_a_purchase_of_fewer_drains_what_is_too_much(any_master: InProcess) -> None:
    at = await site(any_master)
    await at.place(trial(user=40))
    await at.bound(*ISYM)
    hq = await opened(any_master.wire, "hq", "3")
    granted(await hq.acquire(*seats("user", 30)))
    await at.paid(buy(user=20), "K1")
    assert await at.quantities() == {"isym-1-instance": 1, "isym-1-user": 20, "isym-1-user-surplus": 20}
    assert await used(any_master.wire, "user") == (30, 40)
    assert [notice.kind for notice in (await hq.renew()).notices] == [lease_pb2.NOTICE_KIND_LICENSES_LEAVING]
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
async def test_the_end_of_maintenance_takes_nothing(master: InProcess) -> None:
    at = await site(master)
    await at.paid(buy(user=20), "K1")
    await at.bound(*ISYM)
    at.just_before("2027-01-15")
    hq = await opened(master.wire, "hq", "3")
    granted(await hq.acquire(*seats("user", 19)))
    at.midnight()
    assert (await at.cover("isym-1", "maintenance"))[0] is False
    await at.look()
    await master.running.agreements.renew_and_reconcile()
    assert not (await hq.renew()).notices
    await grant(hq, seat("user", "phone-19"))
    assert (await refuse(hq, seat("user", "more"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED


@pytest.mark.rule("P6")
async def test_an_upgrade_counts_at_once(master: InProcess) -> None:
    at = await site(master)
    await at.paid(buy(user=20), "K1")
    await at.bound(*ISYM)
    hq = await opened(master.wire, "hq", "3")
    granted(await hq.acquire(*seats("user", 20)))
    ordered = await at.place(orders.UpgradeTier(license="isym-1", counts={"user": 40}))
    await refuse(hq, seat("user", "more"))  # not before it is paid (P9)
    await at.place(orders.ConfirmPayment(order=ordered.entries[0].number, key="K2"))
    assert await used(master.wire, "user") == (20, 40)
    granted(await hq.acquire(*seats("user", 40)))


@pytest.mark.rule("P1", "P5")
async def test_a_plan_says_what_is_left_on_a_day(master: InProcess) -> None:
    at, hq = await on_trial(master)
    granted(await hq.acquire(*seats("user", 3)))
    wire = master.wire
    assert (await plan(wire, day("2026-01-29"))).verdict == OK
    then = await plan(wire, day("2026-01-30"))
    assert then.verdict == NOT_POSSIBLE
    assert then.reasons[0].startswith(
        "Trial of license isym-1 ends on 2026-01-30, and with it the use of 1 x iSymphony"
    )
    assert refusals(then) == {("hq", "user", "NONE_INSTALLED"): 3}
    assert list(then.refused[0].rules) == ["A1", "P6", "P8", "P1"]
    assert not then.obstacles
    renew = {advice.text for advice in then.advice if advice.action == plan_pb2.ADVICE_ACTION_RENEW}
    assert "buy or renew license isym-1 in time, and 5 x iSymphony User 3 (isym-1-user) stays" in renew
    assert (await plan(wire, day("2026-01-30"), rebind("isym-1-user", to="hq-box"))).obstacles[0].refusal.problem == (
        license_pb2.MOVE_PROBLEM_USE_ENDED
    )
    for wrong in ("2026-01-15", "tomorrow"):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await plan(wire, day(wrong))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "changes[0].reach_day.day" in str(failed.value.details()) + str(failed.value.trailing_metadata())
    await at.paid(buy(user=20), "K1")
    assert (await plan(wire, day("2029-01-29"))).verdict == OK  # maintenance takes nothing


@pytest.mark.rule("P3")
async def test_a_license_for_v3_is_not_for_v4(master: InProcess) -> None:
    at = await site(master)
    await at.paid(buy(user=20), "K1")
    await at.bound(*ISYM)
    await grant(await opened(master.wire, "hq", "3r2"), seat("user", "ann"))
    hq = await opened(master.wire, "hq", "4")
    too_new = await refuse(hq, seat("user", "ben"))
    assert too_new.reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert [license.license for license in too_new.licenses] == ["isym-1-user"]


@pytest.mark.rule("Q5", "Q7")
async def test_a_feature_key_is_on_its_server_and_outlives_maintenance(any_master: InProcess) -> None:
    at = await site(any_master, "allworx")
    register = orders.RegisterDevice(device="hq-box", product="server", delivered_on=START, serial="S1", release="7.1")
    await at.place(register)
    at.just_before("2026-04-15")
    hq = await opened(any_master.wire, "hq", "7")
    feature = seat("feature", "queues", kind=seat_pb2.HOLDER_KIND_PBX)
    assert (await refuse(hq, feature)).reason == Reason.REFUSAL_REASON_NONE_INSTALLED
    await at.place(orders.AddFeature(device="hq-box", feature="feature", key="F1"))
    await grant(hq, feature)
    at.midnight()
    assert (await at.cover("hq-box", "maintenance"))[0] is False
    await at.look()
    await any_master.running.agreements.renew_and_reconcile()
    assert not (await hq.renew()).notices
    await give_back(hq, feature)
    await grant(hq, feature)
    berlin = await opened(any_master.wire, "berlin", "7")
    assert (await refuse(berlin, feature)).reason == Reason.REFUSAL_REASON_NONE_INSTALLED


@pytest.mark.rule("R3", "R4")
async def test_yearly_seats_grow_together_and_stop_together(master: InProcess) -> None:
    at = await site(master, "distribution_engine")
    await at.place(orders.Buy(id="de", product="seats", counts={"seat": 5}))
    await at.bound("de-seat")
    at.on("2026-07-15")
    hq = await opened(master.wire, "hq", "3")
    granted(await hq.acquire(*seats("seat", 5)))
    await refuse(hq, seat("seat", "more"))
    await at.place(orders.AddSeats(contract="de", counts={"seat": 3}))
    assert await used(master.wire, "seat") == (5, 8)
    at.just_before("2027-01-15")
    await hq.open("3")
    granted(await hq.acquire(*seats("seat", 8)))
    at.midnight()
    await at.look()
    (revoked,) = (await hq.renew()).notices[:1]
    assert len(revoked.seats) == 8
    await give_back(hq, *revoked.seats)
    await at.look()
    assert await used(master.wire, "seat") == (0, 0)
    await at.place(orders.Extend(subjects=contract("de"), offer="yearly"))
    await at.bound("de-seat")
    granted(await hq.acquire(*seats("seat", 8)))


@pytest.mark.rule("L3")
async def test_a_bought_license_moves_like_any_other(any_master: InProcess, tmp_path: Path) -> None:
    at = await site(any_master)
    await at.paid(buy(user=20), "K1")
    key = await enrolled(any_master.wire, tmp_path, "hq-box")
    (bound,) = await bind(any_master.wire, "hq-box", "isym-1-user")
    key.accept_binding(bound.binding)
    (leaving,) = await release(any_master.wire, "isym-1-user")
    answer = await hand_in(any_master.wire, key.certify(leaving.moved.release.request))
    assert answer.license.state == license_pb2.LICENSE_STATE_FREE
    await any_master.running.agreements.renew_and_reconcile()
    assert (await listed(any_master.wire))["isym-1-user"].state == license_pb2.LICENSE_STATE_FREE
