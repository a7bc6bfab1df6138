"""AgreementService beside the rules: retries, dry runs, past and future, time zones, pages, bad input, two masters."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, license_pb2, status_pb2
from master.domain.agreements.ledger.problems import AgreementProblem
from master.rpc.convert.agreement_orders import ORDERS
from tests.rpc.failures import failure
from tests.support.masters import Clock, InProcess, in_process_master, two_masters
from tests.support.projects.agreements import (
    NAME,
    SSA_PRICES,
    AgreementOrders,
    Problem,
    device,
    license_,
    noon,
    prices_of,
    wanted,
)
from tests.support.projects.beacon import CATALOG

EXTEND = orders.Extend(subjects=license_("ports"), offer="ssa", months=12)
LICENSES = license_pb2.ListLicensesRequest(project=NAME)
TEN = orders.AddCredits(amount="10")


async def opened_project(master: InProcess, *, credits: str = "1000", time_zone: str = "") -> AgreementOrders:
    """Ten ports of V12, bound on 10 January 2026."""
    at = await AgreementOrders(master, SSA_PRICES).opened("2026-01-10", time_zone=time_zone)
    await at.licensed("ports", "PBX-Port12", 10)
    await at.place(orders.AddCredits(amount=credits))
    return at


def test_orders_on_the_wire_have_the_fields_of_the_core() -> None:
    sent = {field.name: field.message_type for field in orders.AgreementOrder.DESCRIPTOR.fields}
    assert list(sent) == list(ORDERS)
    for name, order in ORDERS.items():
        message = sent[name]
        assert message is not None
        assert {field.name for field in message.fields} == set(order.__struct_fields__), name


def test_problems_on_the_wire_are_those_of_the_core() -> None:
    known = {value.name.removeprefix("AGREEMENT_PROBLEM_"): value.number for value in Problem.DESCRIPTOR.values}
    assert known == {"UNSPECIFIED": 0} | {
        agreement_problem.name: agreement_problem.value for agreement_problem in AgreementProblem
    }


# --- Retries, dry runs, the audit -------------------------------------------------------------------------------------


async def test_a_retry_is_answered_alike_and_orders_nothing(master: InProcess) -> None:
    at = await opened_project(master)
    first = await at.answer(EXTEND, request_id="once")
    before = await at.ledger()
    again = await at.answer(EXTEND, request_id="once")
    assert again == first
    assert first.placed.balance == "850"
    assert len(first.placed.lines) == 1
    assert await at.ledger() == before
    seen = await failure(at.answer(TEN, request_id="once"))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_TAKEN")
    assert await at.ledger() == before


async def test_a_refused_order_can_be_tried_again_under_its_id(master: InProcess) -> None:
    at = await opened_project(master, credits="100")
    refused = await at.answer(EXTEND, request_id="later")
    assert refused.refused.problem == Problem.AGREEMENT_PROBLEM_CREDITS_SHORT
    await at.place(orders.AddCredits(amount="50"))
    assert (await at.answer(EXTEND, request_id="later")).placed.balance == "0"


async def test_a_dry_run_writes_nothing(any_master: InProcess) -> None:
    at = await opened_project(any_master)
    before = await at.ledger()
    dry = await at.place(EXTEND, dry_run=True)
    assert await at.ledger() == before
    done = await at.place(EXTEND)
    assert [(entry.kind, entry.details) for entry in dry.entries] == [
        (entry.kind, entry.details) for entry in done.entries
    ]
    assert dry.balance == done.balance == "850"


async def test_an_order_is_one_event_with_what_it_was(master: InProcess) -> None:
    at = await opened_project(master)
    request = agreement_pb2.PlaceOrderRequest(project=NAME, order=wanted(TEN), request_id="why", reason="order 4711")
    await at.agreements.PlaceOrder(request, metadata=(("caller", "anna"),))
    events = await at.master.wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME, page_size=1))
    (event,) = events.events
    assert (event.kind, event.reason, event.request_id) == ("agreement.ordered", "order 4711", "why")
    assert event.caller.startswith("anna (")
    assert '"order":{"kind":"AddCredits","amount":"10"}' in event.details
    (entry,) = (await at.ledger()).entries[-1:]
    assert (entry.number, entry.caller == event.caller) == (2, True)


# --- Past, future, time zones -----------------------------------------------------------------------------------------


@pytest.mark.rule("M1", "L7")
async def test_past_days_answer_as_it_was_then(master: InProcess) -> None:
    at = await opened_project(master)
    at.on("2026-03-01")
    await at.place(EXTEND)
    await at.place(orders.PublishRelease(release="13", day="2026-02-01"))
    at.on("2026-06-01")
    await at.place(orders.UpgradeVersion(licenses=["ports"], version=13))
    await at.licensed("more", "PBX-Port12", 5)
    assert await at.cover("ports", "ssa") == (True, "2027-03-01")
    assert await at.cover("ports", "ssa", "2026-02-01") == (False, "")  # nobody had bought it yet
    assert await at.cover("ports", "ssa", "2026-02-01", as_of=noon("2026-06-02")) == (True, "2027-03-01")
    assert (await at.right("ports", "2026-04-01")).version == 12
    assert (await at.right("ports")).version == 13
    assert (await at.all(as_of=noon("2026-01-09"))).balance == "0"
    assert (await at.ledger(as_of=noon("2026-02-01"))).balance == "1000"
    assert {agreement.subject.id for agreement in (await at.all("2026-04-01")).agreements} == {
        "ports"
    }  # `more` came later
    ahead = await at.right("ports", "2030-01-01")
    assert (ahead.version, ahead.upgrades_until_day) == (13, "")


async def test_days_are_those_of_the_projects_time_zone(master: InProcess) -> None:
    at = await opened_project(master, time_zone="Asia/Tokyo")
    at.master.clock.now = datetime(2026, 1, 31, 15, 30, tzinfo=UTC).timestamp()  # 1 February, half past midnight
    await at.place(TEN)
    assert (await at.ledger()).entries[-1].day == "2026-02-01"
    await at.place(EXTEND)
    listed = await at.master.wire.licenses.ListLicenses(LICENSES)
    assert listed.licenses[0].agreement_end_time.ToDatetime().isoformat() == "2027-01-31T15:00:00"  # 1 February there


async def test_a_time_zone_that_is_none_is_refused(master: InProcess) -> None:
    at = await opened_project(master)
    seen = await failure(at.opened("2026-01-10", time_zone="Europe/Atlantis"))
    assert seen.fields == {"time_zone": "'Europe/Atlantis' is no time zone; write it like Europe/Berlin or UTC"}


async def test_a_project_with_a_ledger_keeps_its_catalog(master: InProcess) -> None:
    at = await AgreementOrders(master).opened("2026-01-15", catalog="isymphony")
    await at.opened("2026-01-15", catalog="allworx")  # nothing was ordered yet
    await at.place(
        orders.RegisterDevice(device="S", product="server", delivered_on="2026-01-10", release="7.1", serial="serial-S")
    )
    seen = await failure(at.opened("2026-01-15", catalog="isymphony"))
    assert (seen.code, list(seen.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["catalog"])
    assert "entries of the agreement ledger" in seen.message


# --- Pages ------------------------------------------------------------------------------------------------------------


async def test_the_ledger_a_page_at_a_time(master: InProcess) -> None:
    at = await opened_project(master)
    for _ in range(4):
        await at.place(TEN)
    await at.place(EXTEND)
    numbers, token = [], ""
    while True:
        request = agreement_pb2.ListEntriesRequest(project=NAME, page_size=2, page_token=token)
        page = await at.agreements.ListEntries(request)
        assert (len(page.entries) <= 2, page.balance) == (True, "890")
        numbers += [entry.number for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert numbers == [1, 2, 3, 4, 5, 6, 7]
    about = agreement_pb2.ListEntriesRequest(project=NAME, subject=license_("ports")[0])
    assert [entry.kind for entry in (await at.agreements.ListEntries(about)).entries] == ["term_added"]


async def test_what_there_is_a_page_at_a_time(master: InProcess) -> None:
    at = await AgreementOrders(master, SSA_PRICES).opened("2026-01-10")
    for license_id in ("b", "a", "c"):
        await at.licensed(license_id, "PBX-Port12", 1)
    long = "y" * 200
    for serial, name in (("S1", "a/b"), ("S2", long), ("S3", "z")):
        await at.place(orders.RegisterDevice(device=name, product="device", delivered_on="2026-01-10", serial=serial))
    listed: list[str] = []
    token = ""
    while True:
        request = agreement_pb2.ListAgreementsRequest(project=NAME, page_size=2, page_token=token)
        page = await at.agreements.ListAgreements(request)
        rights = await at.agreements.GetRights(
            agreement_pb2.GetRightsRequest(project=NAME, page_size=2, page_token=token)
        )
        assert [right.subject for right in rights.rights] == [agreement.subject for agreement in page.agreements]
        assert rights.next_page_token == page.next_page_token
        listed += [agreement.subject.id for agreement in page.agreements]
        token = page.next_page_token
        if not token:
            break
        assert len(page.agreements) == 2
    assert listed == ["a/b", long, "z", "a", "b", "c"]


# --- Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (orders.AgreementOrder(), "order"),
        (wanted(orders.AddCredits(amount="ten")), "order.add_credits.amount"),
        (wanted(orders.AddCredits(amount="1e9")), "order.add_credits.amount"),
        (wanted(orders.AddCredits(amount="0")), "order.add_credits.amount"),
        (wanted(orders.Extend(offer="ssa", months=12)), "order.extend.subjects"),
        (wanted(orders.Extend(subjects=license_("ports"), offer="ssa", months=-1)), "order.extend.months"),
        (wanted(orders.Extend(subjects=[orders.AgreementSubject(id="x")])), "order.extend.subjects[0].kind"),
        (wanted(orders.Extend(subjects=license_(""))), "order.extend.subjects[0].id"),
        (wanted(orders.Extend(subjects=license_("a\nb"))), "order.extend.subjects[0].id"),
        (wanted(orders.PublishRelease(release="13", day="1 May")), "order.publish_release.day"),
        (wanted(orders.PublishRelease(release="13", day="2026-02-30")), "order.publish_release.day"),
        (wanted(orders.PublishRelease(release="x", day="2026-05-01")), "order.publish_release.release"),
        (wanted(orders.UpgradeVersion(licenses=["x" * 201])), "order.upgrade_version.licenses[0]"),
        (wanted(orders.UpgradeVersion(licenses=["ports"] * 1001)), "order.upgrade_version.licenses"),
        (wanted(orders.Buy(id="x\0", product="y")), "order.buy.id"),
    ],
)
async def test_a_malformed_order_names_its_field(master: InProcess, order: orders.AgreementOrder, field: str) -> None:
    at = await opened_project(master)
    before = await at.ledger()
    seen = await failure(
        at.agreements.PlaceOrder(agreement_pb2.PlaceOrderRequest(project=NAME, order=order, request_id="r"))
    )
    assert (seen.code, list(seen.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert await at.ledger() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[prices", "prices.toml:1: not TOML"),
        ('[prices]\ncatalog = "isymphony"\ncurrency = "EUR"', "prices.toml:2: prices.catalog"),
        ('[prices]\ncatalog = "innovaphone"\ncurrency = "EUR"\n[values]\nport = "-1"', "prices.toml:5: values.port"),
    ],
)
async def test_a_wrong_price_file_names_its_place(master: InProcess, text: str, said: str) -> None:
    at = await opened_project(master)
    before = await at.ledger()
    seen = await failure(at.answer(EXTEND, prices=text))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PRICE_FILE_INVALID")
    assert seen.fields["prices.text"].startswith(said)
    assert await at.ledger() == before


async def test_questions_that_are_malformed(master: InProcess) -> None:
    at = await opened_project(master)
    stub = at.agreements
    for call, field in (
        (stub.ListAgreements(agreement_pb2.ListAgreementsRequest(project=NAME, day="today")), "day"),
        (stub.ListAgreements(agreement_pb2.ListAgreementsRequest(project=NAME, kind=99)), "kind"),  # type: ignore[arg-type]
        (stub.GetRights(agreement_pb2.GetRightsRequest(project="acme")), "project"),
        (stub.GetRights(agreement_pb2.GetRightsRequest(project=NAME, page_token="x")), "page_token"),
        (stub.ListAgreements(agreement_pb2.ListAgreementsRequest(project=NAME, page_size=-1)), "page_size"),
        (stub.ListEndings(agreement_pb2.ListEndingsRequest(project=NAME, days=-1)), "days"),
        (stub.ListEndings(agreement_pb2.ListEndingsRequest(project=NAME, from_day="2026-13-01")), "from_day"),
        (stub.ListEntries(agreement_pb2.ListEntriesRequest(project=NAME, page_token="x")), "page_token"),
        (stub.CheckUpgrade(agreement_pb2.CheckUpgradeRequest(server="S", to_release="7")), "server"),
        (stub.CheckUpgrade(agreement_pb2.CheckUpgradeRequest(server=f"{NAME}/devices/S")), "to_release"),
        (stub.QuoteOrder(agreement_pb2.QuoteOrderRequest(project=NAME, order=wanted(TEN))), "prices.name"),
    ):
        seen = await failure(call)
        assert (seen.code, list(seen.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    unknown = await failure(stub.GetRights(agreement_pb2.GetRightsRequest(project="projects/nope")))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PROJECT")
    pbx = agreement_pb2.CheckUpgradeRequest(server=f"{NAME}/pbxs/nope", to_release="7")
    assert (await failure(stub.CheckUpgrade(pbx))).reason == "UNKNOWN_PBX"


async def test_the_calendar_has_an_end(master: InProcess) -> None:
    at = await opened_project(master)
    assert list(await at.endings("9999-12-01", 36_600)) == []


# --- A vendor that nobody has heard of -------------------------------------------------------------------------------


async def test_a_fifth_vendor_is_one_catalog_file(either_database_url: str, clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "beacon.toml"
    file.write_text(CATALOG)
    async with in_process_master(either_database_url, clock, catalog_files=(file,)) as master:
        prices = '[prices]\ncatalog = "beacon"\ncurrency = "CHF"\n[seat_months]\nconsole = "10"\n'
        prices += '[offers.updates]\n7 = "70"\n'
        at = await AgreementOrders(master, prices).opened("2026-01-01", catalog="beacon")
        consoles = {"console": 12}
        await at.place(orders.StartTrial(license="wall", product="consoles", counts=consoles, key="T"))
        assert (await at.right("wall")).until_day == "2026-02-01"
        few = await at.refuse(orders.Buy(id="desk", product="consoles", counts={"console": 11}))
        assert few.problem == Problem.AGREEMENT_PROBLEM_BELOW_MINIMUM
        ordered = await at.place(orders.Buy(id="wall", product="consoles", counts=consoles))
        assert (ordered.totals[0].amount, ordered.totals[0].unit) == ("1440.00", "CHF")
        await at.place(orders.ConfirmPayment(order=ordered.entries[0].number, key="K"))
        assert (await at.right("wall")).until_day == "2027-01-01"
        by_name = await at.refuse(orders.AssignSeat(contract="wall", user="ann", uses=["views"]))
        assert by_name.problem == Problem.AGREEMENT_PROBLEM_WRONG_KIND  # consoles float
        at.on("2026-07-01")
        added = await at.place(orders.AddSeats(contract="wall", counts={"console": 1}))
        assert (added.awaits_payment, added.totals[0].amount) == (True, "60.00")
        await at.place(orders.ConfirmPayment(order=added.entries[0].number, key="K2"))
        assert dict((await at.right("wall")).counts) == {"console": 13}
        await at.place(orders.SetAutoRenewal(license="wall", offer="year", on=True))
        assert [ending.renews_itself for ending in await at.endings(days=400)] == [True]
        at.on("2027-03-01")
        assert (await at.right("wall")).status == agreement_pb2.RIGHT_STATUS_STOPPED
        for offer, year in (("year", "1560.00"), ("three_years", "4680.00")):
            quote = await at.quote(orders.Extend(subjects=license_("wall"), offer=offer))
            assert [line.amount for line in quote.lines] == ["390.00", year]  # two months at one and a half
        await at.place(
            orders.RegisterDevice(
                device="hub", product="hub", delivered_on="2025-09-01", release="3", serial="serial-hub"
            )
        )
        assert (await at.right("hub")).warranty_until_day == "2027-09-01"
        assert not (await at.gate("hub", "4")).allowed
        updates = orders.Extend(subjects=device("hub"), offer="updates", months=7)
        assert (await at.place(updates)).totals[0].amount == "70.00"
        assert (await at.gate("hub", "4")).allowed
        assert (await at.right("hub")).newest_release == "4"


# --- Two masters ------------------------------------------------------------------------------------------------------


@pytest.mark.rule("M2")
async def test_two_masters_ordering_at_once_never_spend_a_credit_twice(postgresql_database_url: str) -> None:
    clock = Clock()
    async with two_masters(postgresql_database_url, clock) as (first, other):
        at, too = await opened_project(first, credits="450"), AgreementOrders(other, SSA_PRICES)
        months = [orders.Extend(subjects=license_("ports"), offer="ssa", months=12)] * 6
        answers = await asyncio.gather(
            *(desk_.answer(order) for order, desk_ in zip(months, (at, too) * 3, strict=True))
        )
        placed = [answer for answer in answers if answer.WhichOneof("outcome") == "placed"]
        assert len(placed) == 3  # 150 each
        short = {answer.refused.problem for answer in answers if answer not in placed}
        assert short == {Problem.AGREEMENT_PROBLEM_CREDITS_SHORT}
        ledger = await too.ledger()
        assert ledger.balance == "0"
        assert [entry.number for entry in ledger.entries] == list(range(1, len(ledger.entries) + 1))
        assert await at.cover("ports", "ssa") == (True, "2029-01-10")


async def test_masters_whose_clocks_differ_keep_the_ledger_in_order(postgresql_database_url: str) -> None:
    ahead, behind = Clock(), Clock()
    async with (
        in_process_master(postgresql_database_url, ahead) as first,
        in_process_master(postgresql_database_url, behind) as other,
    ):
        at, too = await opened_project(first, credits="1"), AgreementOrders(other)
        behind.now = ahead.now - 30
        await too.place(TEN)
        for moment, balance in ((-31, "0"), (-1, "0"), (1, "11")):
            assert (await at.ledger(as_of=ahead.now + moment)).balance == balance
            await at.all(as_of=ahead.now + moment)


@pytest.mark.rule("P4")
async def test_two_masters_order_a_renewal_once(postgresql_database_url: str) -> None:
    clock = Clock()
    async with two_masters(postgresql_database_url, clock) as (first, other):
        at = await AgreementOrders(first, prices_of("isymphony")).opened("2026-01-15", catalog="isymphony")
        await at.place(orders.Buy(id="L1", product="isymphony", counts={"user": 20}, major=3))
        await at.place(orders.ConfirmPayment(order=1, key="K1"))
        await at.place(orders.SetAutoRenewal(license="L1", offer="renewal", on=True))
        at.on("2027-01-10")
        ordered = await asyncio.gather(
            first.running.agreements.renew_and_reconcile(), other.running.agreements.renew_and_reconcile()
        )
        assert sum(ordered) == 1
        (awaited,) = (await at.all()).awaited
        assert awaited.subject.id == "L1"
        (last,) = (await at.ledger()).entries[-1:]
        assert (last.kind, last.caller) == ("ordered", "master:renewals")
