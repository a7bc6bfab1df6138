"""What the ledger is heard of elsewhere: webhooks, metrics, ends of agreements; days at the ends of the calendar."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import pytest

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, webhook_pb2
from master.metrics import EstateCollector
from tests.rpc.failures import failure
from tests.support.masters import InProcess
from tests.support.network.receiver import Receiver
from tests.support.projects.agreements import NAME, SSA_PRICES, AgreementOrders, license_, noon, prices_of
from tests.support.projects.signed_documents import Vendor, imported, item, moment


async def _told(master: InProcess, receiver: Receiver) -> list[tuple[str, str, str]]:
    """Kind, subject and state of what is told from the last time on."""
    receiver.got.clear()
    await master.running.alarms.run_once()
    await master.running.webhook_delivery.run_once()
    await master.running.webhook_delivery.idle()
    return [(got.said["kind"], got.said["subject"], got.said["state"]) for got in receiver.got]


async def _listen(at: AgreementOrders, receiver: Receiver) -> None:
    request = webhook_pb2.AddWebhookRequest(
        name=f"{NAME}/webhooks/pager",
        url=receiver.url,
        kinds=["agreement.ends", "term.ends", "renewal.unpaid"],
        request_id=str(uuid4()),
    )
    await at.master.wire.webhooks.AddWebhook(request)


@pytest.mark.rule("P1", "M5")
async def test_a_trials_end_is_told_before_it_stops_anything(master: InProcess, receiver: Receiver) -> None:
    at = await AgreementOrders(master).opened("2026-01-15", catalog="isymphony")
    await at.place(orders.StartTrial(license="crm", product="isymphony", counts={"user": 20}, key="T1", major=3))
    await _listen(at, receiver)
    at.on("2026-01-22")
    assert await _told(master, receiver) == []
    at.on("2026-01-23")
    assert await _told(master, receiver) == [("term.ends", "license crm/trial", "began")]
    (got,) = receiver.got
    assert got.said["message"] == (
        "Trial of license crm ends on 2026-01-30; what stops then: its use: 1 instance, 20 user"
    )
    await at.place(orders.ExtendTrial(license="crm", key="T2"))
    assert await _told(master, receiver) == []
    master.clock.advance(600)
    assert await _told(master, receiver) == [("term.ends", "license crm/trial", "ended")]


@pytest.mark.rule("M5")
async def test_a_service_agreement_from_the_ledger_is_told_like_one_from_a_file(
    master: InProcess, receiver: Receiver
) -> None:
    at = await AgreementOrders(master, SSA_PRICES).opened("2026-01-10")
    await at.licensed("ports", "PBX-Port12", 10)
    await at.place(orders.AddCredits(amount="1000"))
    await _listen(at, receiver)
    await at.place(orders.Extend(subjects=license_("ports"), offer="ssa", months=3))
    at.on("2026-02-08")  # 61 days before
    assert await _told(master, receiver) == []
    at.on("2026-02-09")
    assert await _told(master, receiver) == [("agreement.ends", "license ports/ssa", "began")]
    (got,) = receiver.got
    assert got.said["message"].startswith(
        "Software Service Agreement of 10 x PBX-Port12 (ports) on hq-box ends on 2026-04-10; what stops then: newer"
    )
    await at.place(orders.Extend(subjects=license_("ports"), offer="ssa", months=12))
    assert await _told(master, receiver) == []
    master.clock.advance(600)
    assert await _told(master, receiver) == [("agreement.ends", "license ports/ssa", "ended")]


async def test_ends_are_measured_by_policy(master: InProcess) -> None:
    at = await AgreementOrders(master, prices_of("isymphony")).opened("2026-01-15", catalog="isymphony")
    for license_id, key in (("crm", "T1"), ("wall", "T2")):
        await at.place(
            orders.StartTrial(license=license_id, product="isymphony", counts={"user": 20}, key=key, major=3)
        )
        at.on("2026-01-17")
    overviews = await master.running.status.overviews()
    families = {metric.name: metric for metric in EstateCollector(lambda: overviews).collect()}
    (sample,) = families["license_master_term_end_timestamp_seconds"].samples
    assert sample.labels == {"project": "acme", "policy": "trial", "stops": "true"}
    assert sample.value == noon("2026-01-30") - 43_200
    order = await at.place(orders.Buy(id="crm", product="isymphony", counts={"user": 20}, major=3))
    await at.place(orders.ConfirmPayment(order=order.entries[0].number, key="K1"))
    overviews = await master.running.status.overviews()  # what was folded before is folded on
    families = {metric.name: metric for metric in EstateCollector(lambda: overviews).collect()}
    collected = {
        (each.labels["policy"], each.labels["stops"]): each.value
        for each in families["license_master_term_end_timestamp_seconds"].samples
    }
    assert collected == {
        ("trial", "true"): noon("2026-02-01") - 43_200,
        ("maintenance", "false"): noon("2027-01-17") - 43_200,
    }


@pytest.mark.parametrize("time_zone", ["Asia/Tokyo", "America/New_York", "UTC"])
@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1970-01-01"])
async def test_any_day_of_the_calendar_can_be_asked_about(master: InProcess, day: str, time_zone: str) -> None:
    at = await AgreementOrders(master, SSA_PRICES).opened("2026-01-10", time_zone=time_zone)
    await at.licensed("ports", "PBX-Port12", 10, agreement="2027-01-10")
    await at.place(orders.AddCredits(amount="1000"))
    await at.all(day)
    await at.endings(day, 36_600)
    request = agreement_pb2.GetRightsRequest(project=NAME, day=day)
    await at.agreements.GetRights(request)
    answer = await at.gate("hq-box", "13", day=day)
    assert answer.allowed


@pytest.mark.rule("M5")
@pytest.mark.parametrize("time_zone", ["Asia/Kathmandu", "America/Sao_Paulo", "UTC"])
@pytest.mark.parametrize("ends_at", ["9999-12-31T12:00:00Z", "9999-12-31T23:59:59Z"])
async def test_an_agreement_that_never_ends_is_one_to_the_last_day_of_the_calendar(
    master: InProcess, ends_at: str, time_zone: str
) -> None:
    """Vendors write the last day for "without end"; there is no day after it, and in the east not even that second."""
    at = await AgreementOrders(master, SSA_PRICES).opened("2026-01-10", time_zone=time_zone)
    ends = datetime.fromisoformat(ends_at).timestamp()
    file = {"ports": item("ports", "PBX-Port12", 10, agreement=ends)}
    await imported(master.wire, Vendor(), file, now=master.clock.now)
    assert await at.cover("ports", "ssa") == (True, "9999-12-31")
    assert (await at.all()).agreements
    await at.endings("9999-12-31", 36_600)
    await at.place(orders.AddCredits(amount="1000"))
    await at.bound("ports")
    seen = await failure(at.place(orders.Extend(subjects=license_("ports"), offer="ssa", months=3)))
    assert "beyond the calendar" in seen.fields["order.extend.months"]
    assert (await master.running.status.overviews())[0].agreement_ends
    request = agreement_pb2.ListAgreementsRequest(project=NAME, as_of=moment(ends))
    await at.agreements.ListAgreements(request)


@pytest.mark.rule("M5")
@pytest.mark.parametrize("bound", [True, False])
async def test_what_a_vendors_file_says_is_told_whether_or_not_it_was_bound(
    master: InProcess, receiver: Receiver, bound: bool
) -> None:
    """Nothing was ordered: the reminder comes all the same, and an agreement that ended hides none that ends."""
    at = await AgreementOrders(master).opened("2026-01-10")
    await at.licensed("old", "PBX-Port12", 1, agreement="2026-01-12", bound=bound)
    await at.licensed("ports", "PBX-Port12", 10, agreement="2027-01-10", bound=bound)
    assert await at.cover("ports", "ssa") == (True, "2027-01-10")
    await _listen(at, receiver)
    at.on("2026-11-11")
    assert await _told(master, receiver) == [("agreement.ends", "license ports/ssa", "began")]
    overview = (await master.running.status.overviews())[0]
    assert list(overview.agreement_ends.values()) == [noon("2027-01-10") - 43_200]


@pytest.mark.rule("P4")
async def test_an_automatic_renewal_that_awaits_its_payment_is_told(master: InProcess, receiver: Receiver) -> None:
    at = await AgreementOrders(master, prices_of("isymphony")).opened("2026-01-15", catalog="isymphony")
    number = (await at.place(orders.Buy(id="crm", product="isymphony", counts={"user": 20}, major=3))).entries[0].number
    await at.place(orders.ConfirmPayment(order=number, key="K1"))
    await at.place(orders.SetAutoRenewal(license="crm", offer="renewal", on=True))
    await _listen(at, receiver)
    at.on("2027-02-01")  # no master ran in the week before the end
    assert await master.running.agreements.renew_and_reconcile() == 1
    assert await _told(master, receiver) == [("renewal.unpaid", "license crm", "began")]
    (got,) = receiver.got
    assert "of 2027-02-01, the automatic renewal of license crm, awaits its payment" in got.said["message"]
    (awaited,) = (await at.all()).awaited
    await at.place(orders.CancelOrder(order=awaited.order))
    at.on("2027-02-02")
    assert await master.running.agreements.renew_and_reconcile() == 0  # what was cancelled is not ordered again
    assert await _told(master, receiver) == []
    master.clock.advance(600)
    assert await _told(master, receiver) == [("renewal.unpaid", "license crm", "ended")]
