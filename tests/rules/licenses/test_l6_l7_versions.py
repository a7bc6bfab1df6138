"""Rules L6, L7: what happens to an agreement when licenses move, change their version, or came with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import agreement_order_pb2 as orders
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened
from tests.support.projects.agreements import SSA_PRICES, AgreementOrders, Problem, license_, noon
from tests.support.projects.signed_documents import bind, certify, enrolled, imported, item, listed, moved, release


async def opened_project(master: InProcess, folder: Path, *, agreement: str = "") -> tuple[AgreementOrders, DeviceKey]:
    """Ten ports of V12, bound on 10 January 2026; V13 came on 1 May."""
    at = await AgreementOrders(master, SSA_PRICES).opened("2026-01-10")
    key = await enrolled(master.wire, folder, "hq-box")
    await at.licensed("ports", "PBX-Port12", 10, agreement=agreement)
    await at.place(orders.AddCredits(amount="1000"))
    await at.place(orders.PublishRelease(release="13", day="2026-05-01"))
    return at, key


def convert(version: int = 13) -> orders.ConvertVersion:
    return orders.ConvertVersion(licenses=["ports"], version=version, offer="ssa")


def extend(months: int = 12) -> orders.Extend:
    return orders.Extend(subjects=license_("ports"), offer="ssa", months=months)


@pytest.mark.rule("L6")
async def test_converted_in_the_balance_the_agreement_is_void_and_a_new_year_charged(
    master: InProcess, tmp_path: Path
) -> None:
    at, key = await opened_project(master, tmp_path)
    await at.place(extend(36))  # until 2029
    at.on("2026-09-01")
    bound = await at.refuse(convert())
    assert (bound.problem, list(bound.rules)) == (Problem.AGREEMENT_PROBLEM_NOT_FREE, ["L6"])
    assert "keeps its agreement" in bound.remedy
    other = await at.refuse(orders.ConvertVersion(licenses=["ports"], version=13, offer="warranty_later"))
    assert (other.problem, other.remedy) == (Problem.AGREEMENT_PROBLEM_UNKNOWN_OFFER, "choose ssa")
    asked = moved(await release(at.master.wire, "ports")).release.request
    await certify(at.master.wire, key, asked)
    placed = await at.place(convert())
    assert [entry.kind for entry in placed.entries] == ["version_set", "terms_voided", "term_added", "credits_spent"]
    assert (placed.totals[0].amount, placed.balance) == ("150", "400")
    assert await at.cover("ports", "ssa") == (True, "2027-09-01")
    license = (await listed(at.master.wire))["ports"]
    assert (license.type, license.agreement_end_time.ToDatetime().isoformat()) == ("PBX-Port13", "2027-09-01T00:00:00")
    again = await at.refuse(convert())
    assert again.problem == Problem.AGREEMENT_PROBLEM_SAME_VERSION
    await at.licensed("mail", "PBX-VoicemailUser12", 1, bound=False)
    low = await at.refuse(orders.ConvertVersion(licenses=["mail"], version=9, offer="ssa"))
    assert (low.problem, list(low.rules)) == (Problem.AGREEMENT_PROBLEM_VERSION_TOO_LOW, ["I4"])


@pytest.mark.rule("L6", "L7")
async def test_rebinding_straight_keeps_the_agreement_and_the_first_binding(master: InProcess, tmp_path: Path) -> None:
    at, key = await opened_project(master, tmp_path)
    await at.place(extend())
    at.on("2026-06-01")
    asked = moved(await release(at.master.wire, "ports", to_device="berlin-box")).release.request
    await certify(at.master.wire, key, asked)
    license = (await listed(at.master.wire))["ports"]
    assert license.device == "berlin-box"
    assert await at.cover("ports", "ssa") == (True, "2027-01-10")
    assert (await at.agreement("ports")).begin_day == "2026-01-10"
    assert (await at.quote(extend())).totals[0].amount == "150"


@pytest.mark.rule("L7", "M3")
async def test_what_the_vendors_file_said_counts_and_is_carried_on(master: InProcess, tmp_path: Path) -> None:
    at, _ = await opened_project(master, tmp_path, agreement="2027-01-10")
    at.on("2026-06-01")
    await at.place(orders.UpgradeVersion(licenses=["ports"], version=13))
    assert await at.cover("ports", "ssa") == (True, "2027-01-10")
    await at.place(extend())
    assert await at.cover("ports", "ssa") == (True, "2028-01-10")
    terms = [(term.begin_day, term.end_day, term.how) for term in (await at.agreement("ports")).covers[0].terms]
    assert terms == [("2026-01-10", "2027-01-10", "vendor"), ("2027-01-10", "2028-01-10", "bought")]
    port = (await listed(at.master.wire))["ports"]
    assert port.agreement_end_time.ToDatetime().isoformat() == "2028-01-10T00:00:00"


@pytest.mark.rule("L7")
async def test_a_license_of_the_project_file_has_no_first_binding(master: InProcess, tmp_path: Path) -> None:
    at, _ = await opened_project(master, tmp_path)
    await at.declared("declared", "PBX-Port12", 1)
    for order in (
        orders.Extend(subjects=license_("declared"), offer="ssa", months=12),
        orders.UpgradeVersion(licenses=["declared"], version=13),
    ):
        refused = await at.refuse(order)
        assert refused.problem == Problem.AGREEMENT_PROBLEM_UNKNOWN_SUBJECT
        assert "declared in the project file" in refused.message
    assert (await at.right("declared")).version == 12


@pytest.mark.rule("L6", "M1")
async def test_a_released_license_keeps_its_agreement_in_the_balance(any_master: InProcess, tmp_path: Path) -> None:
    at, key = await opened_project(any_master, tmp_path)
    await at.place(extend())
    asked = moved(await release(at.master.wire, "ports")).release.request
    await certify(at.master.wire, key, asked)
    at.on("2026-06-01")
    await at.place(orders.UpgradeVersion(licenses=["ports"], version=13))
    moved(await bind(at.master.wire, "hq-box", "ports"))
    assert await at.cover("ports", "ssa") == (True, "2027-01-10")
    await opened(at.master.wire, "berlin", "13")


@pytest.mark.rule("L6", "M1")
@pytest.mark.parametrize("way", ["an order", "a vendor's file"])
async def test_a_conversion_ends_what_the_agreement_before_it_gave_whichever_way_it_came(
    any_master: InProcess, way: str
) -> None:
    """V14 was published under the agreement before; after the conversion to V13 it is not free, either way."""
    at = await AgreementOrders(any_master, SSA_PRICES).opened("2026-01-10")
    await at.licensed("old", "PBX-Port12", 10, agreement="2028-01-10", bound=False)
    for version in ("13", "14"):
        await at.place(orders.PublishRelease(release=version, day="2026-05-01"))
    at.on("2026-09-01")
    if way == "an order":
        await at.place(orders.AddCredits(amount="1000"))
        await at.place(orders.ConvertVersion(licenses=["old"], version=13, offer="ssa"))
        license_id = "old"
    else:
        license_id = "new"
        what = item("new", "PBX-Port13", 10, replaces="old", agreement=noon("2027-09-01") - 43_200)
        await imported(at.master.wire, at.vendor, {"new": what}, now=at.master.clock.now)
    assert [agreement.subject.id for agreement in (await at.all()).agreements] == [
        license_id
    ]  # no ghost of what was replaced
    assert await at.cover(license_id, "ssa") == (True, "2027-09-01")
    refused = await at.refuse(orders.UpgradeVersion(licenses=[license_id], version=14))
    assert refused.problem == Problem.AGREEMENT_PROBLEM_RELEASED_OUTSIDE
    gone = await at.refuse(orders.Extend(subjects=license_("elsewhere"), offer="ssa", months=12))
    assert gone.problem == Problem.AGREEMENT_PROBLEM_UNKNOWN_SUBJECT
