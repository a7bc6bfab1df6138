"""Days, sums and limits of orders that the rules' tests (tests/rules/agreements) do not reach."""

from __future__ import annotations

from copy import copy
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from master.domain.agreements.ledger.orders import (
    AddCredits,
    AddSeats,
    Buy,
    ConfirmPayment,
    Extend,
    ExtendTrial,
    Order,
    SetPremier,
    StartTrial,
    UpgradeTier,
)
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.rights.endings import endings
from master.domain.agreements.rights.rights import RightStatus, right_of
from master.values import replace
from tests.domain.agreements.ledger_in_memory import (
    DISTRIBUTION_ENGINE,
    INNOVAPHONE,
    ISYMPHONY,
    LedgerInMemory,
    contract,
    license,
    owned,
    prices,
)

DAY = date(2026, 1, 15)
ONE = license("L1")
RENEW = Extend(subjects=(ONE,), offer="renewal")
TIERS = '[tiers.user]\n20 = "100.00"\n40 = "180.00"\n[offers.renewal]\n12 = "40.00"\n'


def ports() -> LedgerInMemory:
    """Ten ports that were bound on 1 January 2024, and credits."""
    made = LedgerInMemory(
        INNOVAPHONE, prices(INNOVAPHONE, '[values]\nport = "100"\n'), {"ports": owned("ports", "port")}
    )
    made.do(AddCredits(amount=Decimal(1_000_000)), DAY)
    return made


def keys() -> LedgerInMemory:
    return LedgerInMemory(ISYMPHONY, prices(ISYMPHONY, TIERS))


def buy(**counts: int) -> Buy:
    return Buy(id="L1", product="isymphony", counts=counts or {"user": 20}, major=3)


def paid(made: LedgerInMemory, order: Order, day: date) -> None:
    assert made.do(order, day).awaits_payment
    made.do(ConfirmPayment(order=made.entries[-1].number, key=f"K{len(made.entries)}"), day)


def seats() -> LedgerInMemory:
    """Ten seats for 2026."""
    listed = prices(DISTRIBUTION_ENGINE, '[seat_months]\nseat = "45.00"\n[premier]\nseats = "20"\n')
    made = LedgerInMemory(DISTRIBUTION_ENGINE, listed)
    made.do(Buy(id="C", product="seats", counts={"seat": 10}), date(2026, 1, 1))
    return made


@pytest.mark.parametrize("amount", ["0", "NaN", "Infinity", "0.0000001", "1e13"])
def test_m2_an_amount_that_is_none(amount: str) -> None:
    refusal = ports().refused(AddCredits(amount=Decimal(amount)), DAY)
    assert (refusal.problem, refusal.field) == (AgreementProblem.MALFORMED, "amount")


@pytest.mark.parametrize("months", [0, -1, 1201])
def test_m4_what_is_no_period(months: int) -> None:
    order = Extend(subjects=(license("ports"),), offer="ssa", months=months)
    assert ports().refused(order, DAY).problem is AgreementProblem.MALFORMED


def test_m4_not_for_ever() -> None:
    made, century = ports(), Extend(subjects=(license("ports"),), offer="ssa", months=1200)
    for _ in range(9):
        made.do(century, DAY)
    refusal = made.refused(century, DAY)
    assert (refusal.problem, refusal.field) == (AgreementProblem.MALFORMED, "months")


def test_p1_a_second_key_after_the_first_ran_out_still_gives_14_days() -> None:
    made = keys()
    made.do(StartTrial(license="L1", product="isymphony", counts={"user": 20}, key="T1", major=3), DAY)
    made.do(ExtendTrial(license="L1", key="T2"), date(2026, 3, 1))
    assert right_of(made.snapshot, ONE, date(2026, 2, 1)).status is RightStatus.STOPPED
    assert right_of(made.snapshot, ONE, date(2026, 3, 15)).until == date(2026, 3, 16)
    first = date(2026, 1, 30)
    assert endings(made.snapshot, from_day=DAY, to_day=first) == ()
    assert endings(made.snapshot, from_day=DAY, to_day=date(2026, 1, 31))[0].day == first


def test_p4_at_most_two_years_ahead() -> None:
    made = keys()
    paid(made, buy(), DAY)
    paid(made, RENEW, DAY)
    refusal = made.refused(RENEW, date(2027, 1, 14))
    assert (refusal.problem, refusal.remedy) == (AgreementProblem.TOO_FAR_AHEAD, "order it on 2027-01-15 or later")
    paid(made, RENEW, date(2027, 1, 15))
    assert made.snapshot.cover(ONE, "maintenance").ends == date(2029, 1, 15)


def test_p4_two_years_ahead_on_a_leap_day() -> None:
    made = keys()
    paid(made, buy(), date(2028, 2, 29))
    paid(made, RENEW, date(2028, 2, 29))
    paid(made, RENEW, date(2029, 3, 1))
    assert made.snapshot.cover(ONE, "maintenance").ends == date(2031, 2, 28)
    refusal = made.refused(RENEW, date(2030, 2, 27))
    assert refusal.remedy == "order it on 2030-03-01 or later", "on 28 February two years end before the leap day"


def test_p6_a_tier_is_on_the_list_of_the_catalog_or_of_the_price_file() -> None:
    product = replace(ISYMPHONY.time.products["isymphony"], tiers={"user": (20, 40)})
    listed = copy(ISYMPHONY)
    listed.time = replace(ISYMPHONY.time, products={"isymphony": product})
    made = LedgerInMemory(listed)
    paid(made, buy(user=20), DAY)
    wrong = made.refused(UpgradeTier(license="L1", counts={"user": 37}), DAY)
    assert (wrong.problem, wrong.rules) == (AgreementProblem.PRICE_MISSING, ("P6",))
    assert "20, 40" in wrong.message
    unlisted = made.refused(UpgradeTier(license="L1", counts={"queue": 1}), DAY)
    assert "--prices" in unlisted.remedy, "the catalog lists no queues"


@pytest.mark.parametrize(
    ("order", "problem", "field"),
    [
        (Buy(id="", product="isymphony", counts={"user": 20}, major=3), AgreementProblem.MALFORMED, "id"),
        (Buy(id="x" * 201, product="isymphony", counts={"user": 20}, major=3), AgreementProblem.MALFORMED, "id"),
        (Buy(id="x", product="symphony", counts={"user": 20}, major=3), AgreementProblem.UNKNOWN_PRODUCT, "product"),
        (Buy(id="x", product="isymphony", counts={}, major=3), AgreementProblem.MALFORMED, "counts"),
        (Buy(id="x", product="isymphony", counts={"user": -1}, major=3), AgreementProblem.MALFORMED, "counts"),
        (Buy(id="x", product="isymphony", counts={"user": 20}), AgreementProblem.MALFORMED, "major"),
        (
            Buy(id="x", product="isymphony", counts={"user": 20}, major=3, premier=True),
            AgreementProblem.NO_PREMIER,
            "premier",
        ),
        (UpgradeTier(license="x", counts={"user": 20}), AgreementProblem.UNKNOWN_SUBJECT, "license"),
        (Extend(subjects=(), offer="renewal"), AgreementProblem.MALFORMED, "subjects"),
        (Extend(subjects=(ONE, ONE), offer="trial"), AgreementProblem.MALFORMED, "subjects"),
    ],
)
def test_what_means_nothing_is_refused_by_field(order: Order, problem: AgreementProblem, field: str) -> None:
    refusal = keys().refused(order, DAY)
    assert (refusal.problem, refusal.field) == (problem, field)


def test_r4_a_begun_month_is_charged_by_its_days() -> None:
    quote = seats().quote(AddSeats(contract="C", counts={"seat": 1}), date(2026, 2, 11))
    assert quote.lines[0].months == 10 + Fraction(18, 28)
    assert quote.totals == {"USD": Decimal("478.93")}  # 478.928...


def test_r5_seats_added_beyond_a_renewal_pay_premier_support_from_the_renewal_on() -> None:
    made, day = seats(), date(2026, 7, 1)
    made.do(SetPremier(contract="C", on=True), day)
    made.do(Extend(subjects=(contract("C"),), offer="yearly"), day)
    quote = made.quote(AddSeats(contract="C", counts={"seat": 1}), day)
    assert [(line.months, line.amount) for line in quote.lines] == [
        (Fraction(6), Decimal("270.00")),
        (Fraction(12), Decimal("540.00")),
        (Fraction(12), Decimal("108.00")),
    ]
