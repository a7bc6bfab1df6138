"""Rules N1 to N3: the warranty of devices and its one extension."""

from __future__ import annotations

import pytest

from licensemaster.v1 import agreement_order_pb2 as orders
from tests.support.masters import InProcess
from tests.support.projects.agreements import AgreementOrders, Problem, device, prices_of


async def opened_project(master: InProcess) -> AgreementOrders:
    """A device, bought on 31 January 2026."""
    at = await AgreementOrders(master, prices_of("innovaphone")).opened("2026-01-31")
    await at.place(
        orders.RegisterDevice(device="hq-box", product="device", delivered_on="2026-01-31", serial="0090331")
    )
    return at


def warranty(
    offer: str = "warranty_on_purchase", months: int = 48, key: str = "A-1", serial: str = ""
) -> orders.Extend:
    return orders.Extend(subjects=device("hq-box"), offer=offer, months=months, key=key, serial=serial)


@pytest.mark.rule("N1")
async def test_one_year_and_five_in_all_by_a_key_for_the_serial_number(master: InProcess) -> None:
    at = await opened_project(master)
    assert await at.cover("hq-box", "warranty") == (True, "2027-01-31")
    wrong = await at.refuse(warranty(serial="0090332"))
    assert (wrong.problem, wrong.field) == (Problem.AGREEMENT_PROBLEM_WRONG_SERIAL, "serial")
    assert (await at.refuse(warranty(key=""))).problem == Problem.AGREEMENT_PROBLEM_KEY_MISSING
    placed = await at.place(warranty(serial="0090331"))
    assert (placed.totals[0].amount, placed.totals[0].unit) == ("110.00", "EUR")
    assert await at.cover("hq-box", "warranty") == (True, "2031-01-31")
    assert (await at.right("hq-box", "2031-01-30")).warranty_until_day == "2031-01-31"
    assert (await at.right("hq-box", "2031-01-31")).warranty_until_day == ""
    (ending,) = await at.endings("2031-01-01")
    assert (ending.day, dict(ending.stops), ending.what_goes_on) == ("2031-01-31", {}, "the device")
    await at.place(
        orders.RegisterDevice(device="two", product="device", delivered_on="2026-01-31", serial="serial-two")
    )
    again = orders.Extend(subjects=device("two"), offer="warranty_on_purchase", months=48, key="A-1")
    assert (await at.refuse(again)).problem == Problem.AGREEMENT_PROBLEM_KEY_USED


@pytest.mark.rule("N2")
async def test_all_years_at_once_and_never_a_second_extension(master: InProcess) -> None:
    """The document's example: three years of extension, ordered and bound together."""
    at = await opened_project(master)
    await at.place(warranty(months=36))
    assert await at.cover("hq-box", "warranty") == (True, "2030-01-31")
    for offer in ("warranty_on_purchase", "warranty_later"):
        refused = await at.refuse(warranty(offer, months=36, key="A-2"))
        assert refused.problem == Problem.AGREEMENT_PROBLEM_PURCHASED_ALREADY
        assert list(refused.rules) == ["N1", "N2"]


@pytest.mark.rule("N3")
async def test_with_the_purchase_or_within_the_first_12_months(master: InProcess) -> None:
    at = await opened_project(master)
    assert (await at.quote(warranty("warranty_later"))).totals[0].amount == "150.00"  # from the first day on
    at.on("2026-03-02")
    late = await at.refuse(warranty())
    assert (late.problem, late.remedy) == (Problem.AGREEMENT_PROBLEM_OUTSIDE_WINDOW, "order warranty_later instead")
    five = await at.refuse(warranty("warranty_later", months=60))
    assert five.problem == Problem.AGREEMENT_PROBLEM_PERIOD_NOT_OFFERED
    at.on("2027-01-30")
    assert (await at.quote(warranty("warranty_later"))).totals[0].amount == "150.00"
    at.on("2027-01-31")
    over = await at.refuse(warranty("warranty_later"))
    assert (over.problem, list(over.rules)) == (Problem.AGREEMENT_PROBLEM_OUTSIDE_WINDOW, ["N1", "N3"])
