"""Rules R1 to R5: yearly seats by name, through the API."""

from __future__ import annotations

import pytest

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2
from tests.rpc.failures import failure
from tests.support.masters import InProcess
from tests.support.projects.agreements import AgreementOrders, Problem, contract, prices_of

RENEW = orders.Extend(subjects=contract("C"), offer="yearly")


def buy(seats: int, *, premier: bool = False) -> orders.Buy:
    return orders.Buy(id="C", product="seats", counts={"seat": seats}, premier=premier)


def add(seats: int) -> orders.AddSeats:
    return orders.AddSeats(contract="C", counts={"seat": seats})


def assign(user: str, *uses: str) -> orders.AssignSeat:
    return orders.AssignSeat(contract="C", user=user, uses=uses or ("team_member",))


async def bought(master: InProcess, seats: int = 10, *, premier: bool = False) -> AgreementOrders:
    at = await AgreementOrders(master, prices_of("distribution_engine")).opened(
        "2026-01-01", catalog="distribution_engine"
    )
    await at.place(buy(seats, premier=premier))
    return at


async def users(at: AgreementOrders) -> list[str]:
    return [seat.user for seat in (await at.agreement("C")).seats]


@pytest.mark.rule("R1")
@pytest.mark.parametrize("use", ["team_member", "configures", "views"])
async def test_a_seat_for_whoever_takes_part_and_for_nobody_else(any_master: InProcess, use: str) -> None:
    at = await bought(any_master, 5)
    await at.place(assign("ann", use))
    assert await users(at) == ["ann"]
    guest = await at.place(orders.AssignSeat(contract="C", user="guest"))
    assert list(guest.entries) == []
    assert "guest needs no seat" in guest.notes[0]
    assert await users(at) == ["ann"]
    again = await at.refuse(assign("ann", "views"))
    assert (again.problem, list(again.rules)) == (Problem.AGREEMENT_PROBLEM_ALREADY_ASSIGNED, ["R1", "R2"])
    sees = await failure(at.answer(assign("ben", "sees")))
    assert list(sees.fields) == ["order.assign_seat.uses"]


@pytest.mark.rule("R2")
async def test_assigned_by_name_up_to_the_count_and_reassigned(master: InProcess) -> None:
    at = await bought(master, 5)
    for user in "abcde":
        await at.place(assign(user))
    full = await at.refuse(assign("f"))
    assert (full.problem, list(full.rules)) == (Problem.AGREEMENT_PROBLEM_SEATS_EXHAUSTED, ["R2"])
    await at.place(orders.ReassignSeat(contract="C", from_user="a", to_user="f", uses=["views"]))
    assert sorted(await users(at)) == ["b", "c", "d", "e", "f"]
    gone = await at.refuse(orders.ReassignSeat(contract="C", from_user="a", to_user="g", uses=["views"]))
    assert gone.problem == Problem.AGREEMENT_PROBLEM_NOT_ASSIGNED
    double = await at.refuse(orders.ReassignSeat(contract="C", from_user="b", to_user="f", uses=["views"]))
    assert double.problem == Problem.AGREEMENT_PROBLEM_ALREADY_ASSIGNED
    await at.place(orders.UnassignSeat(contract="C", user="b"))
    twice = await at.refuse(orders.UnassignSeat(contract="C", user="b"))
    assert twice.problem == Problem.AGREEMENT_PROBLEM_NOT_ASSIGNED
    await at.place(assign("g"))


@pytest.mark.rule("R3")
async def test_five_at_least_and_by_the_year(any_master: InProcess) -> None:
    at = await AgreementOrders(any_master, prices_of("distribution_engine")).opened(
        "2026-01-01", catalog="distribution_engine"
    )
    few = await at.refuse(buy(4))
    assert (few.problem, few.remedy, list(few.rules)) == (
        Problem.AGREEMENT_PROBLEM_BELOW_MINIMUM,
        "order 5 or more",
        ["R3"],
    )
    assert (await at.place(buy(5))).totals[0].amount == "2700.00"
    assert await at.cover("C", "subscription") == (True, "2027-01-01")
    for months in (1, 6, 24):
        refused = await at.refuse(orders.Extend(subjects=contract("C"), offer="yearly", months=months))
        assert (refused.problem, list(refused.rules)) == (Problem.AGREEMENT_PROBLEM_PERIOD_NOT_OFFERED, ["R3", "R4"])


@pytest.mark.rule("R4")
async def test_six_months_left_in_the_year(master: InProcess) -> None:
    """The document's example: what is added is charged for the months left, ends with the others and renews as one."""
    at = await bought(master, 10)
    at.on("2026-07-01")
    placed = await at.place(add(2))
    assert [(line.quantity, line.months, line.amount) for line in placed.lines] == [(2, "6", "540.00")]
    right = await at.right("C")
    assert (dict(right.counts), right.until_day) == ({"seat": 12}, "2027-01-01")
    assert dict((await at.right("C", "2026-06-30")).counts) == {"seat": 10}
    (ending,) = await at.endings(days=200)
    assert (ending.day, dict(ending.stops), ending.what_goes_on) == ("2027-01-01", {"seat": 12}, "nothing of it")
    at.on("2026-12-01")
    assert [(line.quantity, line.amount) for line in (await at.place(RENEW)).lines] == [(12, "6480.00")]
    assert await at.cover("C", "subscription") == (True, "2028-01-01")


@pytest.mark.rule("R4")
async def test_seats_are_added_to_a_running_contract_only(master: InProcess) -> None:
    at = await bought(master)
    at.on("2027-01-01")
    for order in (add(2), assign("ann")):
        refused = await at.refuse(order)
        assert (refused.problem, refused.remedy) == (Problem.AGREEMENT_PROBLEM_NOT_IN_FORCE, "renew it first")
        assert "R4" in refused.rules
    right = await at.right("C")
    assert (right.status, dict(right.counts), right.supported) == (agreement_pb2.RIGHT_STATUS_STOPPED, {}, False)
    at.on("2027-03-01")
    await at.place(RENEW)
    assert (await at.right("C", "2027-02-01")).status == agreement_pb2.RIGHT_STATUS_STOPPED
    assert (await at.right("C")).until_day == "2028-03-01"


@pytest.mark.rule("R5")
async def test_premier_support_is_a_share_of_the_whole_and_changes_at_renewal(master: InProcess) -> None:
    at = await bought(master)
    at.on("2026-07-01")
    now = await at.refuse(orders.SetPremier(contract="C", on=True, from_day="2026-07-01"))
    assert (now.problem, list(now.rules)) == (Problem.AGREEMENT_PROBLEM_ONLY_AT_RENEWAL, ["R5"])
    assert now.remedy == "give 2027-01-01, or no day"
    await at.place(orders.SetPremier(contract="C", on=True))
    assert not (await at.agreement("C")).premier
    assert (await at.quote(add(1))).totals[0].amount == "270.00"  # not yet
    assert (await at.quote(RENEW)).totals[0].amount == "6480.00"  # the whole, and 20 % of it
    assert not (await at.agreement("C", "2027-01-01")).premier  # the contract ends with the year, and it with that
    assert list((await at.place(orders.SetPremier(contract="C", on=True, from_day="2027-01-01"))).entries) == []
    await at.place(orders.SetPremier(contract="C", on=False))
    assert (await at.quote(RENEW)).totals[0].amount == "5400.00"
    await at.place(orders.SetPremier(contract="C", on=True))
    await at.place(RENEW)
    assert (await at.agreement("C", "2027-01-01")).premier
    assert not (await at.agreement("C", "2028-01-01")).premier


@pytest.mark.rule("R5")
async def test_premier_support_is_for_all_or_none(master: InProcess) -> None:
    at = await bought(master, premier=True)
    at.on("2026-07-01")
    assert (await at.quote(add(2))).totals[0].amount == "648.00"
    whole, support = (await at.quote(RENEW)).lines
    assert (whole.amount, support.amount, list(support.rules)) == ("5400.00", "1080.00", ["R5"])
