"""Yearly seats by name as the Distribution Engine document says (rules R1 to R5)."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from master.domain.agreements.ledger.orders import (
    AddSeats,
    AssignSeat,
    Buy,
    Extend,
    ReassignSeat,
    SetPremier,
    UnassignSeat,
)
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.rights.endings import reminders
from master.domain.agreements.rights.rights import RightStatus, right_of
from tests.domain.agreements.ledger_in_memory import DISTRIBUTION_ENGINE, LedgerInMemory, contract, prices

PRICES = prices(DISTRIBUTION_ENGINE, '[seat_months]\nseat = "45.00"\n[premier]\nseats = "20"\n')
DAY = date(2026, 1, 1)
ENDS = date(2027, 1, 1)
C = contract("C")
RENEW = Extend(subjects=(C,), offer="yearly")


def bought(seats: int = 10, *, premier: bool = False) -> LedgerInMemory:
    made = LedgerInMemory(DISTRIBUTION_ENGINE, PRICES)
    made.do(Buy(id="C", product="seats", counts={"seat": seats}, premier=premier), DAY)
    return made


def assign(user: str, *uses: str) -> AssignSeat:
    return AssignSeat(contract="C", user=user, uses=uses or ("team_member",))


def test_r1_nobody_else_needs_one_whatever_they_can_see() -> None:
    made = bought(5)
    decision = made.do(AssignSeat(contract="C", user="guest", uses=()), DAY)
    assert decision.drafts == ()
    assert "guest needs no seat" in decision.notes[0]
    assert made.refused(assign("ann", "sees"), DAY).field == "uses"


def test_r2_seats_go_to_users_of_choice_up_to_the_count_and_can_be_reassigned() -> None:
    made = bought(5)
    for user in ("a", "b", "c", "d", "e"):
        made.do(assign(user), DAY)
    full = made.refused(assign("f"), DAY)
    assert (full.problem, full.rules) == (AgreementProblem.SEATS_EXHAUSTED, ("R2",))
    made.do(ReassignSeat(contract="C", from_user="a", to_user="f", uses=("views",)), DAY)
    assert {seat.user for seat in made.snapshot.state.holding(C).seats} == {"b", "c", "d", "e", "f"}
    gone = made.refused(ReassignSeat(contract="C", from_user="a", to_user="g", uses=("views",)), DAY)
    assert gone.problem is AgreementProblem.NOT_ASSIGNED
    double = made.refused(ReassignSeat(contract="C", from_user="b", to_user="f", uses=("views",)), DAY)
    assert double.problem is AgreementProblem.ALREADY_ASSIGNED
    made.do(UnassignSeat(contract="C", user="b"), DAY)
    assert made.refused(UnassignSeat(contract="C", user="b"), DAY).problem is AgreementProblem.NOT_ASSIGNED
    made.do(assign("g"), DAY)


def test_r2_no_seat_is_assigned_once_the_year_is_over() -> None:
    refusal = bought().refused(assign("ann"), ENDS)
    assert (refusal.problem, refusal.remedy) == (AgreementProblem.NOT_IN_FORCE, "renew it first")


def test_r3_five_at_least_and_by_the_year() -> None:
    made = LedgerInMemory(DISTRIBUTION_ENGINE, PRICES)
    few = made.refused(Buy(id="C", product="seats", counts={"seat": 4}), DAY)
    assert (few.problem, few.rules, few.remedy) == (AgreementProblem.BELOW_MINIMUM, ("R3",), "order 5 or more")
    made.do(Buy(id="C", product="seats", counts={"seat": 5}), DAY)
    assert made.snapshot.cover(C, "subscription").ends == ENDS
    for months in (1, 3, 6, 24):
        refusal = made.refused(Extend(subjects=(C,), offer="yearly", months=months), DAY)
        assert (refusal.problem, refusal.rules) == (AgreementProblem.PERIOD_NOT_OFFERED, ("R3", "R4"))


def test_r4_a_begun_month_is_charged_by_its_days() -> None:
    quote = bought(10).quote(AddSeats(contract="C", counts={"seat": 1}), date(2026, 2, 11))
    assert quote.lines[0].months == 10 + Fraction(18, 28)
    assert quote.totals == {"USD": Decimal("478.93")}  # 478.928...


def test_r4_what_is_added_after_an_early_renewal_is_charged_to_the_new_end() -> None:
    made = bought(10)
    made.do(RENEW, date(2026, 7, 1))
    quote = made.quote(AddSeats(contract="C", counts={"seat": 1}), date(2026, 7, 1))
    assert sum(line.months or 0 for line in quote.lines) == 18


def test_r4_seats_are_added_to_a_running_contract_only() -> None:
    made = bought()
    refusal = made.refused(AddSeats(contract="C", counts={"seat": 2}), ENDS)
    assert (refusal.problem, refusal.rules) == (AgreementProblem.NOT_IN_FORCE, ("R4",))
    made.do(RENEW, date(2027, 3, 1))
    assert right_of(made.snapshot, C, date(2027, 2, 1)).status is RightStatus.STOPPED
    assert right_of(made.snapshot, C, date(2027, 3, 1)).until == date(2028, 3, 1)


def test_r4_the_years_end_stops_the_seats_after_notice() -> None:
    made = bought()
    assert [reminder.due_since_days for reminder in reminders(made.snapshot, date(2026, 12, 20))] == [14]
    over = right_of(made.snapshot, C, ENDS)
    assert (over.status, over.counts, over.is_supported) == (RightStatus.STOPPED, {}, False)


def test_r5_premier_support_is_a_percentage_of_the_whole() -> None:
    made = LedgerInMemory(DISTRIBUTION_ENGINE, PRICES)
    quote = made.quote(Buy(id="C", product="seats", counts={"seat": 10}, premier=True), DAY)
    assert [line.amount for line in quote.lines] == [Decimal("5400.00"), Decimal("1080.00")]
    assert quote.lines[1].rules == ("R5",)
    added = bought(10, premier=True).quote(AddSeats(contract="C", counts={"seat": 2}), date(2026, 7, 1))
    assert added.totals == {"USD": Decimal("648.00")}, "for all or none: also for those that are added"


def test_r5_it_changes_only_at_renewal() -> None:
    made = bought(10)
    now = made.refused(SetPremier(contract="C", on=True, from_day=date(2026, 7, 1)), date(2026, 7, 1))
    assert (now.problem, now.rules, now.remedy) == (
        AgreementProblem.ONLY_AT_RENEWAL, ("R5",), "give 2027-01-01, or no day"
    )  # fmt: skip
    made.do(SetPremier(contract="C", on=True), date(2026, 7, 1))
    assert not made.snapshot.state.holding(C).premier_on(date(2026, 12, 31))
    assert made.snapshot.state.holding(C).premier_on(ENDS)
    assert made.quote(AddSeats(contract="C", counts={"seat": 1}), date(2026, 7, 1)).totals == {"USD": Decimal("270.00")}
    assert made.quote(RENEW, date(2026, 12, 1)).totals == {"USD": Decimal("6480.00")}
    assert made.do(SetPremier(contract="C", on=True, from_day=ENDS), date(2026, 7, 2)).drafts == ()
    made.do(SetPremier(contract="C", on=False), date(2026, 8, 1))
    assert made.quote(RENEW, date(2026, 12, 1)).totals == {"USD": Decimal("5400.00")}


def test_r5_seats_added_beyond_a_renewal_pay_premier_support_from_the_renewal_on() -> None:
    made = bought(10)
    made.do(SetPremier(contract="C", on=True), date(2026, 7, 1))
    made.do(RENEW, date(2026, 7, 1))
    quote = made.quote(AddSeats(contract="C", counts={"seat": 1}), date(2026, 7, 1))
    assert [(line.months, line.amount) for line in quote.lines] == [
        (Fraction(6), Decimal("270.00")),
        (Fraction(12), Decimal("540.00")),
        (Fraction(12), Decimal("108.00")),
    ]
