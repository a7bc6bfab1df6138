"""Rules M1 to M8: service agreements, paid with credits, through the API."""

from __future__ import annotations

import pytest

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import plan_pb2
from tests.rules.asking import Reason, grant, refuse
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened, seat
from tests.support.projects.agreements import SSA_PRICES, AgreementOrders, Problem, license_
from tests.support.projects.plans import plan
from tests.support.projects.plans import upgrade as upgraded_to
from tests.support.projects.signed_documents import listed


def extend(*licenses: str, months: int = 12) -> orders.Extend:
    return orders.Extend(subjects=license_(*licenses), offer="ssa", months=months)


def credits(amount: str) -> orders.AddCredits:
    return orders.AddCredits(amount=amount)


def released(release: str, day: str) -> orders.PublishRelease:
    return orders.PublishRelease(release=release, day=day)


def upgrade(version: int, *licenses: str) -> orders.UpgradeVersion:
    return orders.UpgradeVersion(licenses=licenses, version=version)


async def opened_project(master: InProcess, day: str, *, amount: str = "10000") -> AgreementOrders:
    """Ten ports of V12, bound on that day, and credits."""
    actual = await AgreementOrders(master, SSA_PRICES).opened(day)
    await actual.licensed("ports", "PBX-Port12", 10)
    if amount:
        await actual.place(credits(amount))
    return actual


@pytest.mark.rule("M1")
async def test_upgraded_free_of_charge_to_what_came_within_the_agreement(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10")
    await at.place(extend("ports"))
    at.on("2026-06-01")
    await at.place(released("13", "2026-05-01"))
    again = await at.place(released("V13", "2026-05-01"))
    assert (len(again.entries), len(again.notes)) == (0, 1)
    other_day = await at.refuse(released("13", "2026-05-02"))
    assert other_day.problem == Problem.AGREEMENT_PROBLEM_ALREADY_THERE
    berlin = await opened(master.wire, "berlin", "13")
    assert (await refuse(berlin, seat("port", "alice"))).reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    placed = await at.place(upgrade(13, "ports"))
    assert [entry.kind for entry in placed.entries] == ["version_set"]
    assert list(placed.totals) == []
    await grant(berlin, seat("port", "alice"))  # leasing sees it at once (B3)
    assert (await at.agreement("ports")).version == 13
    license = (await listed(at.master.wire))["ports"]
    assert (license.type, license.device) == ("PBX-Port13", "hq-box")
    lower = await at.refuse(upgrade(12, "ports"))
    assert (lower.problem, list(lower.rules)) == (Problem.AGREEMENT_PROBLEM_VERSION_TOO_LOW, ["B2", "M1"])
    await at.place(released("14", "2027-02-01"))
    assert (await at.refuse(upgrade(14, "ports"))).problem == Problem.AGREEMENT_PROBLEM_UNKNOWN_RELEASE  # not yet
    at.on("2027-03-01")
    refused = await at.refuse(upgrade(14, "ports"))
    assert refused.problem == Problem.AGREEMENT_PROBLEM_NOT_IN_FORCE
    assert "M1" in refused.rules


@pytest.mark.rule("M1")
async def test_not_to_what_came_in_a_gap(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10")
    await at.place(extend("ports"))
    await at.place(released("13", "2025-06-01"))
    refused = await at.refuse(upgrade(13, "ports"))
    assert (refused.problem, list(refused.rules)) == (Problem.AGREEMENT_PROBLEM_RELEASED_OUTSIDE, ["M1"])
    assert "2025-06-01" in refused.message


@pytest.mark.rule("M2")
async def test_credits_are_bought_at_any_time_and_never_go_below_zero(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10", amount="")
    refused = await at.refuse(extend("ports"))
    assert (refused.problem, list(refused.rules)) == (Problem.AGREEMENT_PROBLEM_CREDITS_SHORT, ["M2"])
    assert refused.remedy == "add 150 credits or more"
    bought = await at.place(credits("100"))
    assert (bought.totals[0].amount, bought.totals[0].unit) == ("120.00", "EUR")
    await at.place(credits("49.5"))
    assert (await at.refuse(extend("ports"))).remedy == "add 0.5 credits or more"
    await at.place(credits("50.5"))
    placed = await at.place(extend("ports"))
    assert (placed.totals[0].amount, placed.totals[0].unit, placed.balance) == ("150", "credits", "50.0")
    assert await at.balance() == "50.0"
    added, spent = [
        [entry.details for entry in (await at.ledger()).entries if entry.kind == kind]
        for kind in ("credits_added", "credits_spent")
    ]
    assert (len(added), spent) == (3, ['{"amount": "150"}'])
    assert all(entry.reason for entry in (await at.ledger()).entries)


@pytest.mark.rule("M3", "L7")
async def test_the_first_binding_decides_when_it_begins(master: InProcess) -> None:
    at = await AgreementOrders(master, SSA_PRICES).opened("2026-01-31")
    await at.licensed("ports", "PBX-Port12", 10)
    await at.licensed("spare", "PBX-Port12", 10, bound=False)
    await at.place(credits("1000"))
    refused = await at.refuse(extend("spare"))
    assert (refused.problem, list(refused.rules)) == (Problem.AGREEMENT_PROBLEM_NEVER_BOUND, ["M3", "L7"])
    await at.place(extend("ports", months=1))
    assert await at.cover("ports", "ssa") == (True, "2026-02-28")
    await at.place(extend("ports", months=1))
    assert await at.cover("ports", "ssa") == (True, "2026-03-31")  # counted from the 31st, not from the 28th


@pytest.mark.rule("M4")
async def test_any_period_for_about_15_percent_a_year(any_master: InProcess) -> None:
    at = await opened_project(any_master, "2026-01-10")
    for months, amount in ((12, "150"), (7, "88"), (120, "1500")):  # 87.5 rounds half up
        assert (await at.quote(extend("ports", months=months))).totals[0].amount == amount
    line = (await at.quote(extend("ports", months=18))).lines[0]
    assert (line.quantity, line.each, line.months, line.amount) == (10, "100", "18", "225")
    assert "15 % of the value a year" in line.why
    assert (await at.all()).agreements[0].covers[0].terms == []  # not compulsory
    await at.place(extend("ports", months=7))
    assert await at.cover("ports", "ssa") == (True, "2026-08-10")
    await at.licensed("many", "PBX-Port12", 490)
    await at.licensed("tier", "PBX-Port 12%500", 10)
    assert (await at.quote(extend("tier"))).totals[0].amount == "120"


@pytest.mark.rule("M5")
async def test_a_reminder_comes_early_enough_to_extend_without_surcharge(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10")
    await at.place(extend("ports"))
    at.on("2026-11-10")
    (ending,) = await at.endings()
    assert (ending.day, ending.days_left, ending.reminder_due) == ("2027-01-10", 61, False)
    at.on("2026-11-11")
    (ending,) = await at.endings()
    assert (ending.days_left, ending.reminder_due, list(ending.renew_by)) == (60, True, ["ssa"])
    assert dict(ending.stops) == {}
    assert ending.what_goes_on.startswith("everything that runs")
    assert (await at.quote(extend("ports"))).totals[0].amount == "150"  # extended in time it costs no more
    await at.place(extend("ports"))
    assert list(await at.endings()) == []


@pytest.mark.rule("M6")
async def test_after_it_lapsed_the_unpaid_time_costs_double(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10")
    await at.licensed("never", "PBX-Port12", 10)
    await at.place(extend("ports"))
    at.on("2027-07-10")
    await at.place(released("13", "2027-05-01"))
    refused = await at.refuse(upgrade(13, "ports"))
    assert (refused.problem, list(refused.rules)) == (Problem.AGREEMENT_PROBLEM_NOT_IN_FORCE, ["M1", "M6"])
    gap, year = (await at.quote(extend("ports"))).lines
    assert (gap.months, gap.amount) == ("6", "150")  # half a year, at double the price
    assert (year.months, year.amount) == ("12", "150")
    assert "2 times the price" in gap.why
    never = (await at.quote(extend("never"))).lines  # also where there never was an agreement
    assert [(line.months, line.amount) for line in never] == [("18", "450"), ("12", "150")]
    await at.place(extend("ports"))
    assert await at.cover("ports", "ssa") == (True, "2028-07-10")
    await at.place(upgrade(13, "ports"))  # paid afterwards, the gap counts


@pytest.mark.rule("M7")
async def test_old_versions_get_no_support_and_run_all_the_same(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10")
    await at.place(released("12", "2024-01-10"))
    assert (await at.right("ports", "2027-01-09")).supported
    right = await at.right("ports", "2027-01-10")
    assert (right.supported, dict(right.counts), right.version) == (False, {"port": 10}, 12)
    berlin = await opened(master.wire, "berlin", "12")
    await grant(berlin, seat("port", "alice"))


@pytest.mark.rule("M8")
async def test_what_is_covered(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10")
    await at.licensed("phones-9", "PBX SoftwarePhones9", 1)
    await at.place(extend("phones-9"))
    typed = await at.refuse(orders.Extend(subjects=license_("ports"), offer="sssa", months=12))
    assert "did you mean 'ssa'" in typed.message
    for license_id, printed in (("phones-8", "PBX SoftwarePhones8"), ("bri", "Relay BRIs")):
        await at.licensed(license_id, printed, 1)
        refused = await at.refuse(extend("ports", license_id))
        assert (refused.problem, list(refused.rules)) == (Problem.AGREEMENT_PROBLEM_NOT_COVERED, ["M8"])
        assert (refused.subject.id, "from version 9 on" in refused.message) == (license_id, license_id == "phones-8")
    assert await at.cover("phones-9", "ssa") == (True, "2027-01-10")
    await at.licensed("gsm", "PBX-GSMClient12", 1)
    at.prices += 'gsm_client = "20"\nmypbx = "10"\n' if "mypbx" not in at.prices else 'gsm_client = "20"\n'
    await at.place(extend("gsm"))
    assert (await at.right("gsm")).counts == {"gsm_client": 1}


@pytest.mark.rule("M8", "L6")
async def test_what_cannot_be_released_is_converted_in_place(master: InProcess) -> None:
    at = await AgreementOrders(master, SSA_PRICES + 'ipva = "50"\n').opened("2026-01-10", platform="ipva")
    await at.licensed("vm", "PBX-IPVA12", 10)
    await at.licensed("ports", "PBX-Port12", 10)
    await at.place(credits("1000"))
    await at.place(released("13", "2026-01-09"))
    bound = await at.refuse(orders.ConvertVersion(licenses=["ports"], version=13, offer="ssa"))
    assert bound.problem == Problem.AGREEMENT_PROBLEM_NOT_FREE
    await at.place(orders.ConvertVersion(licenses=["vm"], version=13, offer="ssa"))
    assert (await at.agreement("vm")).version == 13
    assert await at.cover("vm", "ssa") == (True, "2027-01-10")


@pytest.mark.rule("M2")
async def test_credits_pay_for_licenses_too(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10", amount="1000")
    placed = await at.place(orders.PayLicenses(type="PBX-Port12", quantity=4))
    assert (placed.totals[0].amount, placed.balance) == ("400", "600")
    assert "vendor's file" in placed.notes[0]
    dear = await at.refuse(orders.PayLicenses(type="PBX-Port 12%500", quantity=10))
    assert (dear.problem, dear.remedy) == (Problem.AGREEMENT_PROBLEM_CREDITS_SHORT, "add 200 credits or more")
    for printed in ("Relay BRIs", "PBX-Prot12"):
        await at.refuse(orders.PayLicenses(type=printed, quantity=1))


@pytest.mark.rule("M4")
async def test_for_a_whole_pbx_at_once(any_master: InProcess) -> None:
    at = await opened_project(any_master, "2026-01-10")
    await at.licensed("standbys", "PBX-Standby12", 10)
    await at.licensed("bri", "Relay BRIs", 2)
    await at.licensed("spare", "PBX-Port12", 10, bound=False)
    placed = await at.place(orders.Extend(pbx="hq", offer="ssa", months=12))
    assert [line.subject.id for line in placed.lines] == ["ports", "standbys"]
    assert await at.cover("standbys", "ssa") == (True, "2027-01-10")
    assert await at.cover("spare", "ssa") == (False, "")
    none = await at.refuse(orders.Extend(pbx="berlin", offer="ssa", months=12))
    assert (none.problem, none.field) == (Problem.AGREEMENT_PROBLEM_UNKNOWN_SUBJECT, "pbx")


@pytest.mark.rule("M4", "M3")
async def test_time_before_the_first_binding_is_never_charged(master: InProcess) -> None:
    at = await AgreementOrders(master, SSA_PRICES).opened("2024-01-10")
    await at.licensed("ports", "PBX-Port12", 10, agreement="2025-01-10", bound=False)
    await at.place(credits("10000"))
    assert await at.cover("ports", "ssa") == (True, "2025-01-10")
    assert (await at.right("ports")).upgrades_until_day == "2025-01-10"
    at.on("2026-01-10")
    await at.bound("ports")
    assert (await at.quote(extend("ports"))).totals[0].amount == "150"
    at.on("2026-07-10")
    gap, year = (await at.quote(extend("ports"))).lines
    assert (gap.months, gap.amount, year.amount) == ("6", "150", "150")


@pytest.mark.rule("M1", "B7")
async def test_a_plan_says_which_licenses_could_be_upgraded_free_of_charge(master: InProcess) -> None:
    at = await opened_project(master, "2026-01-10")
    await at.licensed("uncovered", "PBX-Port12", 5)
    await at.place(extend("ports"))
    at.on("2026-06-01")
    before = await plan(master.wire, upgraded_to("13"))
    free = plan_pb2.ADVICE_ACTION_UPGRADE
    assert free not in {advice.action for advice in before.advice}  # V13 is not published yet
    await at.place(released("13", "2026-05-01"))
    response = await plan(master.wire, upgraded_to("13"))
    assert response.verdict == plan_pb2.PLAN_VERDICT_NOT_POSSIBLE
    first = response.advice[0]
    assert (first.action, first.version) == (free, 13)
    assert [license.license for license in first.licenses] == ["ports"]
    assert first.text.endswith("under their agreement, free of charge (rule M1); that leaves the others")
    without = await at.refuse(upgrade(13, "ports", "uncovered"))  # all or none
    assert (without.problem, without.subject.id) == (Problem.AGREEMENT_PROBLEM_NOT_IN_FORCE, "uncovered")
    await at.place(extend("uncovered"))
    await at.place(upgrade(13, "ports", "uncovered"))
    assert (await plan(master.wire, upgraded_to("13"))).verdict == plan_pb2.PLAN_VERDICT_OK
