"""Every order has a way back, or says that it has none: reversals and corrections, through the API."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2
from tests.rpc.failures import failure
from tests.support.masters import InProcess
from tests.support.projects.agreements import (
    SSA_PRICES,
    AgreementOrders,
    Problem,
    contract,
    device,
    license_,
    prices_of,
)
from tests.support.projects.signed_documents import listed


def reverse(placed: agreement_pb2.PlacedOrder) -> orders.Reverse:
    return orders.Reverse(order=placed.entries[-1].number)


async def rights(at: AgreementOrders) -> tuple[str, str]:
    """Everything that is known: what there is, and what may run."""
    return str(await at.all()), str(await at.agreements.GetRights(agreement_pb2.GetRightsRequest(project=PROJECT)))


PROJECT = "projects/acme"
SSA = orders.Extend(subjects=license_("ports"), offer="ssa", months=12)
CASES: dict[str, tuple[str, list[Message], Message]] = {
    "credits": ("innovaphone", [], orders.AddCredits(amount="50")),
    "an agreement": ("innovaphone", [], SSA),
    "an agreement for a PBX": ("innovaphone", [], orders.Extend(pbx="hq", offer="ssa", months=12)),
    "a free version": ("innovaphone", [SSA], orders.UpgradeVersion(licenses=["ports"], version=13)),
    "a conversion": ("innovaphone", [], orders.ConvertVersion(licenses=["spare"], version=13, offer="ssa")),
    "licenses paid": ("innovaphone", [], orders.PayLicenses(type="PBX-Port12", quantity=2)),
    "a publication": ("innovaphone", [], orders.PublishRelease(release="14", day="2026-01-01")),
    "a corrected publication": ("innovaphone", [], orders.PublishRelease(release="13", day="2026-01-05", correct=True)),
    "a registration": (
        "innovaphone",
        [],
        orders.RegisterDevice(device="box", product="device", delivered_on="2026-01-10", serial="S1"),
    ),
    "a correction": ("allworx", [], orders.CorrectDevice(device="S", delivered_on="2026-01-02", serial="S9")),
    "a warranty": ("allworx", [], orders.Extend(subjects=device("S"), offer="bundle", key="B1")),
    "an installation": ("allworx", [], orders.InstallRelease(device="S", release="7.2")),
    "an exception": ("allworx", [], orders.AllowBuild(device="S", release="7.9")),
    "a feature": ("allworx", [], orders.AddFeature(device="S", feature="feature", key="F1")),
    "a trial": (
        "isymphony",
        [],
        orders.StartTrial(license="try", product="isymphony", counts={"user": 20}, key="T1", major=3),
    ),
    "a further key": (
        "isymphony",
        [orders.StartTrial(license="try", product="isymphony", counts={"user": 20}, key="T1", major=3)],
        orders.ExtendTrial(license="try", key="T2"),
    ),
    "a payment": (
        "isymphony",
        [orders.Buy(id="crm", product="isymphony", counts={"user": 20}, major=3)],
        orders.ConfirmPayment(order=1, key="K1"),
    ),
    "a cancellation": (
        "isymphony",
        [orders.Buy(id="crm", product="isymphony", counts={"user": 20}, major=3)],
        orders.CancelOrder(order=1),
    ),
    "automatic renewal": (
        "isymphony",
        [
            orders.Buy(id="crm", product="isymphony", counts={"user": 20}, major=3),
            orders.ConfirmPayment(order=1, key="K1"),
        ],
        orders.SetAutoRenewal(license="crm", offer="renewal", on=True),
    ),
    "a contract": ("distribution_engine", [], orders.Buy(id="D", product="seats", counts={"seat": 5})),
    "more seats": ("distribution_engine", [], orders.AddSeats(contract="C", counts={"seat": 2})),
    "a renewal": ("distribution_engine", [], orders.Extend(subjects=contract("C"), offer="yearly")),
    "premier support": ("distribution_engine", [], orders.SetPremier(contract="C", on=True)),
    "a seat": ("distribution_engine", [], orders.AssignSeat(contract="C", user="ben", uses=["views"])),
    "a passed seat": (
        "distribution_engine",
        [],
        orders.ReassignSeat(contract="C", from_user="ann", to_user="ben", uses=["views"]),
    ),
    "a taken seat": ("distribution_engine", [], orders.UnassignSeat(contract="C", user="ann")),
}


SEEN_LATER = {"licenses paid", "an exception", "a publication", "a corrected publication", "premier support"}
"""What changes no right of today."""


async def opened_project(master: InProcess, catalog: str) -> AgreementOrders:
    """Something of each vendor to order about."""
    at = await AgreementOrders(master, SSA_PRICES if catalog == "innovaphone" else prices_of(catalog)).opened(
        "2026-01-10", catalog=catalog
    )
    if catalog == "innovaphone":
        await at.licensed("ports", "PBX-Port12", 10)
        await at.licensed("spare", "PBX-Port12", 10, bound=False)
        await at.place(orders.AddCredits(amount="1000"))
        await at.place(orders.PublishRelease(release="13", day="2026-01-10"))
    if catalog == "allworx":
        server = orders.RegisterDevice(
            device="S", product="server", delivered_on="2026-01-10", release="7.1", serial="S1"
        )
        await at.place(server)
    if catalog == "distribution_engine":
        await at.place(orders.Buy(id="C", product="seats", counts={"seat": 5}))
        await at.place(orders.AssignSeat(contract="C", user="ann", uses=["views"]))
    return at


@pytest.mark.rule("M2", "N1", "P9", "Q3", "R2")
@pytest.mark.parametrize("case", CASES)
async def test_after_a_reversal_everything_is_as_before_and_can_be_ordered_again(master: InProcess, case: str) -> None:
    catalog, before, order = CASES[case]
    at = await opened_project(master, catalog)
    for message in before:
        await at.place(message)
    known = await rights(at)
    placed = await at.place(order)
    assert await rights(at) != known or case in SEEN_LATER
    dry = await at.place(reverse(placed), dry_run=True)
    undone = await at.place(reverse(placed))
    assert [entry.kind for entry in undone.entries] == [entry.kind for entry in dry.entries] == ["reversed"]
    assert undone.entries[0].given_reason == "a slip"
    assert await rights(at) == known
    assert {entry.number for entry in (await at.ledger()).entries if entry.reversed} == {
        entry.number for entry in placed.entries
    }
    again = await at.refuse(reverse(placed))
    assert again.problem == Problem.AGREEMENT_PROBLEM_ALREADY_THERE
    twice = await at.refuse(reverse(undone))
    assert twice.problem == Problem.AGREEMENT_PROBLEM_NOT_REVERSIBLE
    await at.place(order)  # its keys can be used again, too


def test_every_order_has_a_way_back_or_says_that_it_has_none() -> None:
    named = {type(order).__name__ for _, before, order in CASES.values() for order in (*before, order)}
    without = {"Reverse"}
    through_its_payment = {"UpgradeTier"}
    every = {field.message_type.name for field in orders.AgreementOrder.DESCRIPTOR.fields if field.message_type}
    assert named | without | through_its_payment == every


async def test_what_cannot_be_reversed_says_why_and_what_to_do(master: InProcess) -> None:
    at = await opened_project(master, "innovaphone")
    bought = (await at.ledger()).entries[0].number
    extended = await at.place(SSA)
    later = await at.place(SSA)
    first = await at.refuse(reverse(extended))
    assert (first.problem, first.remedy) == (
        Problem.AGREEMENT_PROBLEM_LATER_ORDER,
        f"reverse order {later.entries[0].number} first",
    )
    spent = await at.refuse(orders.Reverse(order=bought))
    assert (spent.problem, "300 credits" in spent.remedy) == (Problem.AGREEMENT_PROBLEM_CREDITS_SHORT, True)
    assert (await at.refuse(orders.AddCredits(amount="-701"))).problem == Problem.AGREEMENT_PROBLEM_CREDITS_SHORT
    assert (await at.place(orders.AddCredits(amount="-700"))).balance == "0"
    for number in (0, 99):
        assert (await at.refuse(orders.Reverse(order=number))).problem == Problem.AGREEMENT_PROBLEM_UNKNOWN_ORDER
    await at.place(reverse(later))
    await at.place(reverse(extended))
    assert await at.balance() == "300"

    silent = agreement_pb2.PlaceOrderRequest(project=PROJECT, request_id="r")
    silent.order.reverse.order = bought
    assert list((await failure(at.agreements.PlaceOrder(silent))).fields) == ["reason"]


@pytest.mark.rule("P1", "P2")
async def test_a_trial_that_was_used_has_no_way_back_and_a_purchase_gives_it_back(master: InProcess) -> None:
    at = await opened_project(master, "isymphony")
    trial = await at.place(
        orders.StartTrial(license="crm", product="isymphony", counts={"user": 20}, key="T1", major=3)
    )
    at.on("2026-01-12")
    used = await at.refuse(reverse(trial))
    assert (used.problem, "day of its key only" in used.message) == (Problem.AGREEMENT_PROBLEM_NOT_REVERSIBLE, True)
    ordered = await at.place(orders.Buy(id="crm", product="isymphony", counts={"user": 20}, major=3))
    waiting = await at.refuse(reverse(ordered))
    assert waiting.remedy == f"cancel order {ordered.entries[0].number} instead"
    paid = await at.place(orders.ConfirmPayment(order=ordered.entries[0].number, key="K1"))
    assert not (await listed(master.wire))["crm-user"].HasField("use_end_time")
    bought = await at.refuse(reverse(ordered))
    assert bought.remedy.startswith(f"reverse order {paid.entries[0].number}")
    await at.place(reverse(paid))
    assert (await at.right("crm")).until_day == "2026-01-25"
    assert (await listed(master.wire))["crm-user"].HasField("use_end_time")
    assert [order.order for order in (await at.all()).awaited] == [ordered.entries[0].number]


@pytest.mark.rule("R2")
async def test_seats_that_are_assigned_keep_what_they_are_counted_in(master: InProcess) -> None:
    at = await opened_project(master, "distribution_engine")
    added = await at.place(orders.AddSeats(contract="C", counts={"seat": 1}))
    for user in "bcdef":
        await at.place(orders.AssignSeat(contract="C", user=user, uses=["views"]))
    refused = await at.refuse(reverse(added))
    assert (refused.problem, refused.remedy) == (Problem.AGREEMENT_PROBLEM_SEATS_EXHAUSTED, "unassign 1 first")
    await at.place(orders.UnassignSeat(contract="C", user="b"))
    await at.place(reverse(added))
    assert dict((await at.agreement("C")).counts) == {"seat": 5}
