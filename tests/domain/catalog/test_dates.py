"""Days, terms and months are counted as docs/agreements.md says."""

from datetime import date, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.catalog.dates import (
    Term,
    add_months,
    day_of,
    first_instant_after,
    first_instant_of,
    months_in,
    months_since,
    next_day,
)

DAYS = st.dates(date(1990, 1, 1), date(2090, 12, 31))
MONTHS = st.integers(0, 600)


@pytest.mark.parametrize(
    ("anchor", "months", "day"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2026, 1, 31), 2, date(2026, 3, 31)),
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 12, 15), 1, date(2027, 1, 15)),
        (date(2026, 3, 31), -1, date(2026, 2, 28)),
        (date(2026, 1, 15), -12, date(2025, 1, 15)),
    ],
)
def test_month_ends_and_leap_days(anchor: date, months: int, day: date) -> None:
    assert add_months(anchor, months) == day


def test_beyond_the_calendar() -> None:
    with pytest.raises(OverflowError, match="is beyond the calendar"):
        add_months(date(2026, 1, 1), 12 * 8000)
    with pytest.raises(OverflowError):
        add_months(date(2026, 1, 1), -12 * 2026)


@given(DAYS, MONTHS, st.integers(1, 600))
def test_more_months_end_later(anchor: date, months: int, more: int) -> None:
    assert add_months(anchor, months) < add_months(anchor, months + more)


@given(DAYS, MONTHS)
def test_a_month_from_the_anchor_is_a_whole_one(anchor: date, months: int) -> None:
    assert months_since(anchor, add_months(anchor, months)) == months


@given(DAYS, DAYS, DAYS, DAYS)
def test_the_parts_of_a_term_add_up_to_it(anchor: date, one: date, two: date, three: date) -> None:
    first, middle, last = sorted((one, two, three))
    parts = months_in(Term(first, middle), anchor=anchor) + months_in(Term(middle, last), anchor=anchor)
    assert parts == months_in(Term(first, last), anchor=anchor)


@given(DAYS, DAYS)
def test_a_later_day_is_more_months_away(anchor: date, day: date) -> None:
    assert months_since(anchor, day) < months_since(anchor, day + timedelta(days=1))


def test_a_begun_month_counts_by_its_days() -> None:
    assert months_since(date(2026, 1, 1), date(2026, 2, 11)) == 1 + Fraction(10, 28)
    assert months_since(date(2026, 1, 1), date(2025, 12, 1)) == -1


def test_a_term_holds_from_its_first_day_until_before_its_end() -> None:
    term = Term(date(2026, 1, 1), date(2026, 2, 1))
    assert [term.holds_on(day) for day in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 31), term.ends)] == [
        False, True, True, False
    ]  # fmt: skip
    with pytest.raises(ValueError, match="before it begins"):
        Term(date(2026, 1, 2), date(2026, 1, 1))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 6, 1), 24),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # midnight itself was skipped
        ("America/Sao_Paulo", date(2018, 2, 17), 25),
        ("Pacific/Apia", date(2011, 12, 30), 0),  # the whole day was skipped
        ("UTC", date(2026, 3, 29), 24),
    ],
)
def test_days_of_other_lengths(zone: str, day: date, hours: int) -> None:
    there = ZoneInfo(zone)
    assert first_instant_after(day, there) - first_instant_of(day, there) == hours * 3600
    if hours:
        assert day_of(first_instant_of(day, there), there) == day
        assert day_of(first_instant_after(day, there) - 1, there) == day


def test_one_instant_is_another_day_elsewhere() -> None:
    instant = first_instant_of(date(2026, 1, 1), ZoneInfo("Pacific/Auckland"))
    assert day_of(instant, ZoneInfo("America/Los_Angeles")) == date(2025, 12, 31)


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/Sao_Paulo", "UTC"])
def test_the_calendar_ends_on_its_last_day_everywhere(zone: str) -> None:
    there, last_second = ZoneInfo(zone), 253_402_300_799.0
    assert day_of(last_second, there) == date.max
    assert next_day(date.max) == date.max
    assert first_instant_after(date.max, there) == first_instant_of(date.max, there)
