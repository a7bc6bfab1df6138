"""Time as a question: what may run on a day, what ends, and what was known then."""

from datetime import date
from decimal import Decimal

import pytest

from master.domain.agreements.ledger.entries import Draft, Entry, EntryKind
from master.domain.agreements.ledger.fold import fold
from master.domain.agreements.ledger.orders import AddCredits, Buy, Extend, PublishRelease, order_from_plain
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.rights.endings import endings
from master.domain.agreements.rights.rights import Right, right_of
from master.domain.catalog.dates import add_days
from tests.domain.agreements.ledger_in_memory import (
    DISTRIBUTION_ENGINE,
    INNOVAPHONE,
    LedgerInMemory,
    contract,
    known_on,
    license,
    owned,
    prices,
    what_may_run,
)

DAY = date(2026, 1, 1)
MARCH = date(2027, 3, 1)


def seats() -> LedgerInMemory:
    made = LedgerInMemory(DISTRIBUTION_ENGINE, prices(DISTRIBUTION_ENGINE, '[seat_months]\nseat = "45"\n'))
    made.do(Buy(id="C", product="seats", counts={"seat": 10}), DAY)
    made.do(Extend(subjects=(contract("C"),), offer="yearly"), date(2026, 12, 1))
    return made


def as_known(made: LedgerInMemory, known: date, day: date) -> tuple[Right, ...]:
    return what_may_run(AgreementSnapshot(catalog=made.catalog, state=fold(known_on(made.entries, known))), day)


def test_what_may_this_project_run_on_1_march() -> None:
    (right,) = what_may_run(seats().snapshot, MARCH)
    assert (right.subject, right.counts, right.until) == (contract("C"), {"seat": 10}, date(2028, 1, 1))


def test_a_past_day_answers_as_it_was_known_then() -> None:
    made = seats()
    (before,) = as_known(made, date(2026, 11, 30), MARCH)
    assert before.counts == {}, "nobody had renewed it yet"
    (after,) = as_known(made, date(2026, 12, 1), MARCH)
    assert after.counts == {"seat": 10}
    assert as_known(made, date(2025, 12, 31), MARCH) == ()


def test_before_it_was_there_nothing_ran() -> None:
    right = right_of(seats().snapshot, contract("C"), date(2025, 12, 31))
    assert (right.status.value, right.counts, right.newest) == ("not_yet", {}, None)


def test_what_ends_in_the_next_90_days_and_what_will_stop_working() -> None:
    licenses = {"ports": owned("ports", "port"), "old": owned("old", "port", agreement_ends_on=date(2026, 3, 1))}
    made = LedgerInMemory(INNOVAPHONE, prices(INNOVAPHONE, '[values]\nport = "100"\n'), licenses)
    made.do(AddCredits(amount=Decimal(10_000)), DAY)
    made.do(Extend(subjects=(license("ports"),), offer="ssa", months=1), DAY)
    ahead = endings(made.snapshot, from_day=DAY, to_day=add_days(DAY, 90))
    assert [(ending.day, ending.subject.id, ending.stops) for ending in ahead] == [
        (date(2026, 2, 1), "ports", {}),
        (date(2026, 3, 1), "old", {}),
    ]
    assert ahead[0].what_goes_on.startswith("everything that runs")
    assert ahead[0].renew_by == ("ssa",)
    (stopping,) = endings(seats().snapshot, from_day=DAY, to_day=date(2030, 1, 1))
    assert (stopping.stops, stopping.what_goes_on) == ({"seat": 10}, "nothing of it")


def test_the_newest_version_that_a_license_can_have() -> None:
    ports = {"ports": owned("ports", "port")}
    made = LedgerInMemory(INNOVAPHONE, prices(INNOVAPHONE, '[values]\nport = "100"\n'), ports)
    for release, day in (("12r2", date(2024, 2, 1)), ("13r1", date(2024, 6, 1)), ("14r1", date(2026, 6, 1))):
        made.do(PublishRelease(release=release, day=day), DAY)
    assert str(right_of(made.snapshot, license("ports"), DAY).newest) == "12r2"
    made.do(AddCredits(amount=Decimal(10_000)), DAY)
    made.do(Extend(subjects=(license("ports"),), offer="ssa", months=12), DAY)
    assert str(right_of(made.snapshot, license("ports"), DAY).newest) == "13r1", (
        "the time that was paid afterwards counts"
    )
    assert str(right_of(made.snapshot, license("ports"), date(2026, 6, 1)).newest) == "14r1"
    assert str(right_of(made.snapshot, license("ports"), date(2027, 1, 1)).newest) == "12r2", "it was never upgraded"


def test_entries_follow_on_each_other() -> None:
    draft = Draft(kind=EntryKind.CREDITS_ADDED, day=DAY, details={"amount": "1"}, reason="x")
    second: Entry = draft.recorded(number=2, recorded_at=0, caller="x")
    with pytest.raises(ValueError, match="entry 2 does not follow entry 0"):
        fold([second])


@pytest.mark.parametrize(
    "data", [{}, {"kind": "Steal"}, {"kind": "AddCredits"}, {"kind": "AddCredits", "amount": "much"}]
)
def test_what_is_no_order(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is no"):
        order_from_plain(data)
