"""Rules P1 to P9: trials, tiers, maintenance and payments as the iSymphony document says, through the API."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, seat_pb2
from tests.rpc.failures import failure
from tests.rules.asking import Reason, grant, refuse
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened, seat
from tests.support.projects.agreements import NAME, AgreementOrders, Problem, license_, prices_of

RUNS, STOPPED = agreement_pb2.RIGHT_STATUS_RUNS, agreement_pb2.RIGHT_STATUS_STOPPED
RENEW = orders.Extend(subjects=license_("L1"), offer="renewal")


def trial(key: str, license_id: str = "L1", **counts: int) -> orders.StartTrial:
    return orders.StartTrial(license=license_id, product="isymphony", counts=counts or {"user": 20}, key=key, major=3)


def buy(license_id: str = "L1", **counts: int) -> orders.Buy:
    return orders.Buy(id=license_id, product="isymphony", counts=counts or {"user": 20}, major=3)


def totals(**counts: int) -> orders.UpgradeTier:
    return orders.UpgradeTier(license="L1", counts=counts)


class Shop(AgreementOrders):
    """Where orders are paid."""

    async def paid(self, order: Message, key: str) -> agreement_pb2.PlacedOrder:
        ordered = await self.place(order)
        assert ordered.awaits_payment
        return await self.place(orders.ConfirmPayment(order=ordered.entries[0].number, key=key))


async def shop(master: InProcess, day: str = "2026-01-15") -> Shop:
    at = Shop(master, prices_of("isymphony"))
    await at.opened(day, catalog="isymphony")
    return at


async def bought(master: InProcess, day: str = "2026-01-15", **counts: int) -> Shop:
    at = await shop(master, day)
    await at.paid(buy("L1", **counts), "K1")
    return at


@pytest.mark.rule("P1")
async def test_a_trial_is_14_days_and_14_more_and_no_third_key(any_master: InProcess) -> None:
    at = await shop(any_master)
    await at.place(trial("T1", user=40, queue=1))
    right = await at.right("L1", "2026-01-29")  # 14 x 24 hours are over at noon of that day
    assert right.supported
    assert (right.status, right.until_day, dict(right.counts)) == (
        RUNS,
        "2026-01-30",
        {"instance": 1, "user": 40, "queue": 1},
    )
    over = await at.right("L1", "2026-01-30")
    assert (over.status, dict(over.counts)) == (STOPPED, {})
    assert not (await at.right("L1", "2026-01-30")).supported
    at.on("2026-01-20")
    assert (await at.refuse(orders.ExtendTrial(license="L1", key="T1"))).problem == Problem.AGREEMENT_PROBLEM_KEY_USED
    assert (await at.refuse(orders.ExtendTrial(license="L1", key=""))).problem == Problem.AGREEMENT_PROBLEM_KEY_MISSING
    unknown = await at.refuse(orders.ExtendTrial(license="L2", key="T2"))
    assert unknown.problem == Problem.AGREEMENT_PROBLEM_UNKNOWN_SUBJECT
    await at.place(orders.Extend(subjects=license_("L1"), offer="trial", key="T2"))  # as ExtendTrial does
    assert (await at.right("L1")).until_day == "2026-02-13"
    assert (await at.agreement("L1")).keys[-1].key == "T2"
    third = await at.refuse(orders.ExtendTrial(license="L1", key="T3"))
    assert (third.problem, list(third.rules)) == (Problem.AGREEMENT_PROBLEM_PURCHASED_ALREADY, ["P1"])
    assert third.remedy == "buy the product"
    await at.place(trial("S1", "staging"))  # staging servers have their own
    (first, *_) = await at.endings()
    assert (first.day, dict(first.stops)) == ("2026-02-04", {"instance": 1, "user": 20})


@pytest.mark.rule("P2")
async def test_a_purchase_replaces_the_key_in_place(any_master: InProcess) -> None:
    at = await shop(any_master)
    await at.place(trial("T1"))
    at.on("2026-01-20")
    other = await at.refuse(orders.Buy(id="L1", product="isymphony", counts={"user": 20}, major=2))
    assert (other.problem, list(other.rules)) == (Problem.AGREEMENT_PROBLEM_OTHER_MAJOR, ["P2", "P3"])
    await at.paid(buy(), "K1")
    agreement = await at.agreement("L1")
    assert [key.key for key in agreement.keys] == ["T1", "K1"]
    right = await at.right("L1")
    assert (right.status, right.until_day, dict(right.counts)) == (RUNS, "", {"instance": 1, "user": 20})
    assert await at.cover("L1", "trial") == (False, "2026-01-20")  # what is left of the trial lapses
    assert [ending.policy for ending in await at.endings(days=2000)] == ["maintenance"]
    for again in (buy(), trial("T9"), orders.Extend(subjects=license_("L1"), offer="trial", key="T9")):
        assert (await at.refuse(again)).problem == Problem.AGREEMENT_PROBLEM_ALREADY_THERE
    assert (await at.right("L1", "2026-01-16")).until_day == "2026-01-30"  # that day answers as it was then


@pytest.mark.rule("P3")
async def test_for_ever_for_what_came_under_maintenance_and_for_one_major_version(master: InProcess) -> None:
    at = await bought(master)
    published = {
        "2.9": "2025-01-01",
        "3.1": "2025-06-01",
        "3.2": "2026-12-01",
        "3.3": "2027-02-01",
        "4.0": "2026-12-01",
    }
    for release, day in published.items():
        await at.place(orders.PublishRelease(release=release, day=day))
    for release in ("2.9", "3.1", "3.2"):
        answer = await _may_run(at, release, "2030-01-01")
        assert (answer.allowed, list(answer.rules)) == (True, ["P3"])
    late = await _may_run(at, "3.3", "2030-01-01")
    assert (late.allowed, late.refused.problem) == (False, Problem.AGREEMENT_PROBLEM_RELEASED_OUTSIDE)
    assert list(late.refused.rules) == ["P3", "P5"]
    unknown = await _may_run(at, "3.4", "2030-01-01")
    assert (unknown.allowed, unknown.refused.problem) == (False, Problem.AGREEMENT_PROBLEM_UNKNOWN_RELEASE)
    other = await _may_run(at, "4.0", "2030-01-01")
    assert (other.allowed, other.refused.problem) == (False, Problem.AGREEMENT_PROBLEM_OTHER_MAJOR)
    assert (await at.right("L1", "2030-01-01")).newest_release == "3.2"


@pytest.mark.rule("P4")
async def test_maintenance_runs_from_the_payment_and_renews_from_its_last_end(master: InProcess) -> None:
    at = await shop(master)
    ordered = await at.place(buy())
    at.on("2026-03-31")
    await at.place(orders.ConfirmPayment(order=ordered.entries[0].number, key="K1"))
    assert await at.cover("L1", "maintenance") == (True, "2027-03-31")
    await at.paid(totals(user=40), "K2")
    assert await at.cover("L1", "maintenance") == (True, "2027-03-31")  # an upgrade does not move it
    await at.paid(RENEW, "K3")
    refused = await at.refuse(RENEW)
    assert (refused.problem, refused.remedy) == (
        Problem.AGREEMENT_PROBLEM_TOO_FAR_AHEAD,
        "order it on 2027-03-31 or later",
    )
    at.on("2029-01-01")
    assert await at.cover("L1", "maintenance") == (False, "2028-03-31")
    await at.paid(RENEW, "K4")
    assert await at.cover("L1", "maintenance") == (True, "2029-03-31")  # however late


@pytest.mark.rule("P4")
async def test_renewals_order_themselves_where_switched_so(master: InProcess) -> None:
    at = await bought(master)
    await at.paid(buy("L2"), "K2")
    wrong = await at.refuse(orders.SetAutoRenewal(license="L1", offer="trial", on=True))
    assert (wrong.problem, wrong.remedy) == (Problem.AGREEMENT_PROBLEM_NO_AUTO_RENEWAL, "choose renewal")
    await at.place(orders.SetAutoRenewal(license="L1", offer="renewal", on=True))
    assert list((await at.place(orders.SetAutoRenewal(license="L1", offer="renewal", on=True))).entries) == []
    at.on("2027-01-07")
    assert await master.running.agreements.renew_and_reconcile() == 0
    at.on("2027-01-08")
    assert await master.running.agreements.renew_and_reconcile() == 1
    assert await master.running.agreements.renew_and_reconcile() == 0  # it awaits its payment
    (awaited,) = (await at.all()).awaited
    assert awaited.subject.id == "L1"
    await at.place(orders.ConfirmPayment(order=awaited.order, key="auto"))
    assert await at.cover("L1", "maintenance") == (True, "2028-01-15")
    assert await at.cover("L2", "maintenance") == (True, "2027-01-15")
    await at.place(orders.SetAutoRenewal(license="L1", offer="renewal", on=False))
    at.on("2028-01-10")
    assert await master.running.agreements.renew_and_reconcile() == 0


@pytest.mark.rule("P4")
async def test_a_renewal_is_ordered_whatever_else_waits_and_however_long_no_master_ran(master: InProcess) -> None:
    at = await bought(master)
    await at.place(orders.SetAutoRenewal(license="L1", offer="renewal", on=True))
    at.on("2027-01-15")  # its last day was yesterday, and an upgrade awaits its payment
    await at.place(totals(user=40))
    assert await master.running.agreements.renew_and_reconcile() == 1
    assert {order.subject.id for order in (await at.all()).awaited} == {"L1"}
    assert len((await at.all()).awaited) == 2
    renewal = (await at.all()).awaited[-1].order
    assert [ending.awaited_order for ending in await at.endings("2027-01-15") if ending.policy == "maintenance"] == [
        renewal
    ]
    await at.place(orders.ConfirmPayment(order=renewal, key="K2"))
    assert await at.cover("L1", "maintenance") == (True, "2028-01-15")


@pytest.mark.rule("P5")
async def test_after_it_ends_only_newer_versions_and_support_stop(master: InProcess) -> None:
    at = await bought(master, user=20, queue=1)
    (ending,) = await at.endings("2026-12-01")
    assert (ending.day, dict(ending.stops), ending.what_stops) == ("2027-01-15", {}, "newer releases and support")
    during, after = await at.right("L1", "2027-01-14"), await at.right("L1", "2027-01-15")
    assert dict(during.counts) == dict(after.counts) == {"instance": 1, "user": 20, "queue": 1}
    assert (during.supported, during.upgrades_until_day) == (True, "2027-01-15")
    assert (after.supported, after.upgrades_until_day, after.status) == (False, "", RUNS)
    at.on("2027-01-15")
    (over,) = await at.endings()
    assert (over.days_left, over.reminder_due) == (0, False)


@pytest.mark.rule("P6")
async def test_a_20_user_license_upgraded_to_40_and_a_queue(master: InProcess) -> None:
    """The document's examples: select 40 users, the total; select 20 users and 1 queue."""
    at = await bought(master, user=20)
    assert (await at.quote(totals(user=20, queue=1))).totals[0].amount == "50.00"
    placed = await at.paid(totals(user=40), "K2")
    assert [(line.what, line.amount) for line in placed.lines] == [("iSymphony User: 40 in all instead of 20", "80.00")]
    assert dict((await at.agreement("L1")).counts) == {"user": 40}
    for order in (totals(user=40), totals(user=20)):
        refused = await at.refuse(order)
        assert (refused.problem, list(refused.rules)) == (Problem.AGREEMENT_PROBLEM_SMALLER_TIER, ["P6"])
    custom = await at.refuse(totals(user=50))
    assert (custom.problem, "20, 40" in custom.message) == (Problem.AGREEMENT_PROBLEM_PRICE_MISSING, True)
    assert (await at.refuse(totals(users=60))).problem == Problem.AGREEMENT_PROBLEM_UNKNOWN_TYPE
    unlisted_orders: tuple[Message, ...] = (totals(user=50), buy("L2", user=37))
    for wanted in unlisted_orders:
        unlisted = (await at.answer(wanted, prices="")).refused  # no list at all sells no tier
        assert (unlisted.problem, list(unlisted.rules)) == (Problem.AGREEMENT_PROBLEM_PRICE_MISSING, ["P6"])


@pytest.mark.rule("P7")
async def test_one_instance_for_each_license(any_master: InProcess) -> None:
    """Two instances need two licenses; one connects to several PBXs."""
    at = await bought(any_master)
    assert (await at.right("L1")).counts["instance"] == 1
    await at.paid(buy("L2"), "K2")
    assert [(await at.right(text)).counts["instance"] for text in ("L1", "L2")] == [1, 1]
    await at.declared("one", "iSymphony Instance", 1)
    hq, berlin = await opened(at.master.wire, "hq"), await opened(at.master.wire, "berlin")
    instance = seat("instance", "panel", kind=seat_pb2.HOLDER_KIND_PBX)
    await grant(hq, instance)
    second = seat("instance", "second", kind=seat_pb2.HOLDER_KIND_PBX)
    assert (await refuse(hq, second)).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert (await refuse(berlin, instance)).reason == Reason.REFUSAL_REASON_NONE_INSTALLED
    for name in ("first", "second", "third"):
        await grant(hq, seat("pbx_connection", name, kind=seat_pb2.HOLDER_KIND_TRUNK))


@pytest.mark.rule("P8")
async def test_named_users_count_logged_in_or_not_concurrent_ones_while_they_are(any_master: InProcess) -> None:
    at = await shop(any_master)
    await at.declared("named", "iSymphony User 12", 1)
    await at.declared("concurrent", "iSymphony Concurrent User 12", 1)
    hq = await opened(at.master.wire, "hq")
    await grant(hq, seat("user", "ann"))
    assert (await refuse(hq, seat("user", "ben"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    login = seat_pb2.HOLDER_KIND_LOGIN
    await grant(hq, seat("concurrent_user", "ann", kind=login))
    assert (await refuse(hq, seat("concurrent_user", "ben", kind=login))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    await hq.give_back(seat("concurrent_user", "ann", kind=login))
    await grant(hq, seat("concurrent_user", "ben", kind=login))


@pytest.mark.rule("P9")
async def test_nothing_is_in_force_before_the_payment_is_confirmed(master: InProcess) -> None:
    at = await shop(master)
    ordered = await at.place(buy())
    assert (ordered.awaits_payment, [entry.kind for entry in ordered.entries]) == (True, ["ordered"])
    number = ordered.entries[0].number
    at.on("2026-02-01")
    nothing = await at.refuse(orders.ConfirmPayment(order=number + 1, key="K"))
    assert nothing.problem == Problem.AGREEMENT_PROBLEM_UNKNOWN_ORDER
    refused = await at.refuse(orders.ConfirmPayment(order=number, key=""))
    assert refused.problem == Problem.AGREEMENT_PROBLEM_KEY_MISSING
    assert (await at.refuse(buy())).problem == Problem.AGREEMENT_PROBLEM_AWAITS_PAYMENT
    await at.place(orders.ConfirmPayment(order=number, key="K1"))
    assert (await at.right("L1")).status == RUNS
    eve = await at.right("L1", "2026-01-31", as_of=at.master.clock.now + 1)
    assert (eve.status, dict(eve.counts)) == (agreement_pb2.RIGHT_STATUS_NOT_YET, {})
    again = await at.refuse(orders.ConfirmPayment(order=number, key="K2"))
    assert (again.problem, list(again.rules)) == (Problem.AGREEMENT_PROBLEM_UNKNOWN_ORDER, ["P9"])
    early = await failure(at.answer(orders.Extend(subjects=license_("L1"), offer="renewal", key="K9")))
    assert list(early.fields) == ["order.extend.key"]
    renewal = await at.place(RENEW)
    assert (await at.agreement("L1")).keys[-1].key == "K1"
    assert await at.cover("L1", "maintenance") == (True, "2027-02-01")
    old_key = await at.refuse(orders.ConfirmPayment(order=renewal.entries[0].number, key="K1"))
    assert old_key.problem == Problem.AGREEMENT_PROBLEM_KEY_USED
    await at.place(orders.ConfirmPayment(order=renewal.entries[0].number, key="K2"))
    assert [key.key for key in (await at.agreement("L1")).keys] == ["K1", "K2"]


async def _may_run(at: AgreementOrders, release: str, day: str) -> agreement_pb2.CheckUpgradeResponse:
    request = agreement_pb2.CheckUpgradeRequest(server=f"{NAME}/licenses/L1", to_release=release, day=day)
    return await at.agreements.CheckUpgrade(request)
