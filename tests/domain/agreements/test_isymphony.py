"""Trials, tiers, maintenance and payments as the iSymphony document says (rules P1 to P9)."""

from copy import copy
from datetime import date

import pytest

from master.domain.agreements.ledger.orders import (
    Buy,
    CancelOrder,
    ConfirmPayment,
    Extend,
    ExtendTrial,
    Order,
    PublishRelease,
    StartTrial,
    UpgradeTier,
)
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ordering.decide_order import Decision
from master.domain.agreements.rights.endings import endings, reminders
from master.domain.agreements.rights.rights import RightStatus, may_run, right_of
from master.domain.catalog.dates import Term
from master.domain.catalog.releases import ReleaseName
from master.values import replace
from tests.domain.agreements.ledger_in_memory import ISYMPHONY, LedgerInMemory, license, prices

PRICES = prices(
    ISYMPHONY,
    """
[tiers.user]
20 = "100.00"
40 = "180.00"
[tiers.queue]
1 = "50.00"
[offers.renewal]
12 = "40.00"
""",
)
DAY = date(2026, 1, 15)
ONE = license("L1")
RENEW = Extend(subjects=(ONE,), offer="renewal")


def trial(key: str = "T1", **counts: int) -> StartTrial:
    return StartTrial(license="L1", product="isymphony", counts=counts or {"user": 20}, key=key, major=3)


def buy(**counts: int) -> Buy:
    return Buy(id="L1", product="isymphony", counts=counts or {"user": 20}, major=3)


class Keys(LedgerInMemory):
    """A ledger that pays."""

    def paid(self, order: Order, day: date, *, ordered: date | None = None) -> Decision:
        decision = self.do(order, ordered or day)
        assert decision.awaits_payment
        return self.do(ConfirmPayment(order=self.entries[-1].number, key=f"K{len(self.entries)}"), day)


def bought(**counts: int) -> Keys:
    made = Keys(ISYMPHONY, PRICES)
    made.paid(buy(**counts), DAY)
    return made


def test_p1_a_second_key_after_the_first_ran_out_still_gives_14_days() -> None:
    made = Keys(ISYMPHONY)
    made.do(trial(), DAY)
    made.do(ExtendTrial(license="L1", key="T2"), date(2026, 3, 1))
    assert right_of(made.snapshot, ONE, date(2026, 2, 1)).status is RightStatus.STOPPED
    assert right_of(made.snapshot, ONE, date(2026, 3, 15)).until == date(2026, 3, 16)


def test_p1_a_staging_server_has_a_trial_of_its_own() -> None:
    made = bought()
    staging = StartTrial(license="staging", product="isymphony", counts={"user": 20}, key="S1", major=3)
    made.do(staging, DAY)
    assert right_of(made.snapshot, license("staging"), DAY).until == date(2026, 1, 30)
    assert made.refused(trial("T9"), DAY).problem is AgreementProblem.ALREADY_THERE
    again = Extend(subjects=(ONE,), offer="trial", key="T9")
    assert made.refused(again, DAY).problem is AgreementProblem.ALREADY_THERE


def test_p1_keys_are_used_once_and_must_be_there() -> None:
    made = Keys(ISYMPHONY)
    made.do(trial(), DAY)
    assert made.refused(ExtendTrial(license="L1", key="T1"), DAY).problem is AgreementProblem.KEY_USED
    assert made.refused(ExtendTrial(license="L1", key=""), DAY).problem is AgreementProblem.KEY_MISSING
    assert made.refused(ExtendTrial(license="L2", key="T2"), DAY).problem is AgreementProblem.UNKNOWN_SUBJECT


def test_p1_a_trials_end_is_told_before_it_stops_anything() -> None:
    made = Keys(ISYMPHONY)
    made.do(trial(), DAY)
    due = reminders(made.snapshot, date(2026, 1, 23))
    assert [(reminder.days_left, reminder.ending.stops) for reminder in due] == [(7, {"instance": 1, "user": 20})]
    assert endings(made.snapshot, from_day=DAY, to_day=date(2026, 1, 30)) == ()
    assert endings(made.snapshot, from_day=DAY, to_day=date(2026, 1, 31))[0].day == date(2026, 1, 30)


def test_p2_a_purchase_replaces_the_key_in_place() -> None:
    made = Keys(ISYMPHONY, PRICES)
    made.do(trial(), DAY)
    made.paid(buy(), date(2026, 1, 20))
    holding = made.snapshot.state.holding(ONE)
    assert [key.key for key in holding.keys] == ["T1", "K4"]
    assert holding.cover("trial").ends == date(2026, 1, 20), "what is left of the trial lapses"
    right = right_of(made.snapshot, ONE, date(2026, 1, 20))
    assert (right.status, right.counts, right.until) == (RightStatus.RUNS, {"instance": 1, "user": 20}, None)
    assert [ending.policy for ending in endings(made.snapshot, from_day=DAY, to_day=date(2030, 1, 1))] == [
        "maintenance"
    ]
    assert made.refused(buy(), date(2026, 1, 21)).problem is AgreementProblem.ALREADY_THERE
    assert made.refused(ExtendTrial(license="L1", key="T2"), DAY).problem is AgreementProblem.ALREADY_THERE


def test_p3_for_ever_for_what_was_released_under_maintenance_and_for_one_major_version() -> None:
    made = bought()
    for release, day in {"2.9": (2025, 1, 1), "3.1": (2025, 6, 1), "3.2": (2026, 12, 1), "3.3": (2027, 2, 1)}.items():
        made.do(PublishRelease(release=release, day=date(*day)), DAY)
    later = date(2030, 1, 1)
    for release in ("3.1", "3.2"):
        assert may_run(made.snapshot, ONE, ReleaseName.parse(release), later) is None
    outside = may_run(made.snapshot, ONE, ReleaseName.parse("3.3"), later)
    assert outside is not None
    assert (outside.problem, outside.rules) == (AgreementProblem.RELEASED_OUTSIDE, ("P3", "P5"))
    assert may_run(made.snapshot, ONE, ReleaseName.parse("2.9"), later) is None, "what is lower is enabled (B2)"
    higher = may_run(made.snapshot, ONE, ReleaseName.parse("4.0"), later)
    assert higher is not None
    assert (higher.problem, higher.rules) == (AgreementProblem.OTHER_MAJOR, ("P3",))
    unknown = may_run(made.snapshot, ONE, ReleaseName.parse("3.4"), later)
    assert unknown is not None
    assert unknown.problem is AgreementProblem.UNKNOWN_RELEASE
    assert str(right_of(made.snapshot, ONE, later).newest) == "3.2"


def test_p4_a_renewal_starts_where_the_last_ended_however_early_or_late() -> None:
    for day in (DAY, date(2026, 12, 1), date(2027, 6, 1)):
        made = bought()
        made.paid(RENEW, day)
        terms = [term.term for term in made.snapshot.cover(ONE, "maintenance").terms]
        assert terms == [Term(DAY, date(2027, 1, 15)), Term(date(2027, 1, 15), date(2028, 1, 15))]


def test_p4_at_most_two_years_ahead() -> None:
    made = bought()
    made.paid(RENEW, DAY)
    refusal = made.refused(RENEW, date(2027, 1, 14))
    assert (refusal.problem, refusal.remedy) == (AgreementProblem.TOO_FAR_AHEAD, "order it on 2027-01-15 or later")
    made.paid(RENEW, date(2027, 1, 15))
    assert made.snapshot.cover(ONE, "maintenance").ends == date(2029, 1, 15)


def test_p4_two_years_ahead_on_a_leap_day() -> None:
    made = Keys(ISYMPHONY, PRICES)
    made.paid(buy(), date(2028, 2, 29))
    made.paid(RENEW, date(2028, 2, 29))
    made.paid(RENEW, date(2029, 3, 1))
    assert made.snapshot.cover(ONE, "maintenance").ends == date(2031, 2, 28)
    refusal = made.refused(RENEW, date(2030, 2, 27))
    assert refusal.remedy == "order it on 2030-03-01 or later", "on 28 February two years end before the leap day"


def test_p6_tiers_do_not_add_up_and_custom_ones_are_not_sold() -> None:
    made = bought(user=20)
    again = made.refused(UpgradeTier(license="L1", counts={"user": 20}), DAY)
    assert (again.problem, again.rules) == (AgreementProblem.SMALLER_TIER, ("P6",))
    assert "do not add up" in again.message
    made.paid(Buy(id="L2", product="isymphony", counts={"user": 20}, major=3), DAY)
    assert [right_of(made.snapshot, license(id), DAY).counts["user"] for id in ("L1", "L2")] == [20, 20]
    custom = made.refused(UpgradeTier(license="L1", counts={"user": 30}), DAY)
    assert custom.problem is AgreementProblem.PRICE_MISSING
    assert "20, 40" in custom.message
    assert made.refused(UpgradeTier(license="L1", counts={"users": 40}), DAY).problem is AgreementProblem.UNKNOWN_TYPE
    assert made.refused(UpgradeTier(license="L1", counts={"user": -1}), DAY).problem is AgreementProblem.MALFORMED


def test_p9_nothing_is_in_force_before_the_payment_is_confirmed() -> None:
    made = Keys(ISYMPHONY, PRICES)
    made.do(buy(), DAY)
    number = made.entries[-1].number
    assert right_of(made.snapshot, ONE, DAY).status is RightStatus.NOT_YET
    assert made.refused(ConfirmPayment(order=number + 1, key="K"), DAY).problem is AgreementProblem.UNKNOWN_ORDER
    assert made.refused(ConfirmPayment(order=number, key=""), DAY).problem is AgreementProblem.KEY_MISSING
    second = made.refused(buy(), DAY)
    assert (second.problem, second.rules) == (AgreementProblem.AWAITS_PAYMENT, ("P9",))
    made.do(ConfirmPayment(order=number, key="K1"), date(2026, 2, 1))
    assert right_of(made.snapshot, ONE, DAY).status is RightStatus.NOT_YET
    assert right_of(made.snapshot, ONE, date(2026, 2, 1)).status is RightStatus.RUNS
    assert made.refused(ConfirmPayment(order=number, key="K2"), DAY).problem is AgreementProblem.UNKNOWN_ORDER


def test_p9_a_renewal_issues_a_new_key_that_replaces_the_old_one() -> None:
    made = bought()
    before = made.snapshot.state.holding(ONE).key
    made.do(RENEW, date(2026, 6, 1))
    assert made.snapshot.state.holding(ONE).key == before
    assert made.snapshot.cover(ONE, "maintenance").ends == date(2027, 1, 15)
    number = made.entries[-1].number
    assert made.refused(ConfirmPayment(order=number, key=before), DAY).problem is AgreementProblem.KEY_USED
    made.do(ConfirmPayment(order=number, key="K-new"), date(2026, 6, 3))
    assert made.snapshot.state.holding(ONE).key == "K-new"


def test_p9_an_order_can_be_cancelled_before_it_is_paid() -> None:
    made = Keys(ISYMPHONY, PRICES)
    made.do(trial(), DAY)
    made.do(buy(), DAY)
    made.do(CancelOrder(order=made.entries[-1].number), DAY)
    assert made.snapshot.state.awaited == {}
    made.paid(buy(), DAY)
    assert made.refused(CancelOrder(order=99), DAY).problem is AgreementProblem.UNKNOWN_ORDER


@pytest.mark.parametrize(
    ("order", "problem", "field"),
    [
        (Buy(id="", product="isymphony", counts={"user": 20}, major=3), AgreementProblem.MALFORMED, "id"),
        (Buy(id="x" * 201, product="isymphony", counts={"user": 20}, major=3), AgreementProblem.MALFORMED, "id"),
        (Buy(id="x", product="symphony", counts={"user": 20}, major=3), AgreementProblem.UNKNOWN_PRODUCT, "product"),
        (Buy(id="x", product="isymphony", counts={}, major=3), AgreementProblem.MALFORMED, "counts"),
        (Buy(id="x", product="isymphony", counts={"user": 20}), AgreementProblem.MALFORMED, "major"),
        (
            Buy(id="x", product="isymphony", counts={"user": 20}, major=3, premier=True),
            AgreementProblem.NO_PREMIER,
            "premier",
        ),
        (UpgradeTier(license="x", counts={"user": 20}), AgreementProblem.UNKNOWN_SUBJECT, "license"),
        (Extend(subjects=(), offer="renewal"), AgreementProblem.MALFORMED, "subjects"),
    ],
)
def test_what_means_nothing_is_refused_by_field(order: Order, problem: AgreementProblem, field: str) -> None:
    refusal = Keys(ISYMPHONY, PRICES).refused(order, DAY)
    assert (refusal.problem, refusal.field) == (problem, field)


def test_p6_a_tier_is_on_the_list_of_the_catalog_or_of_the_price_file() -> None:
    product = replace(ISYMPHONY.time.products["isymphony"], tiers={"user": (20, 40)})
    listed = copy(ISYMPHONY)
    listed.time = replace(ISYMPHONY.time, products={"isymphony": product})
    made = Keys(listed)
    made.paid(buy(user=20), DAY)
    wrong = made.refused(UpgradeTier(license="L1", counts={"user": 37}), DAY)
    assert (wrong.problem, wrong.rules) == (AgreementProblem.PRICE_MISSING, ("P6",))
    assert "20, 40" in wrong.message
    unlisted = made.refused(UpgradeTier(license="L1", counts={"queue": 1}), DAY)
    assert "--prices" in unlisted.remedy, "the catalog lists no queues"
