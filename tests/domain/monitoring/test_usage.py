"""Trends: a date only where there is one, and which answer there is otherwise."""

from __future__ import annotations

import pytest

from master.domain.monitoring.usage import TREND_DAYS_AHEAD_MAX, Outlook, Trend, day_of, trend

TODAY = 20_000


def _days(*peaks: int) -> dict[int, int]:
    """Peaks of the days that end today."""
    return {TODAY - len(peaks) + 1 + at: peak for at, peak in enumerate(peaks)}


def test_a_line_reaches_the_capacity() -> None:
    """50 a fortnight ago, 2 more each day: 100 on the 25th day from the first."""
    line = trend(_days(*range(50, 78, 2), 0), used=60, capacity=100, today=TODAY)
    assert (line.outlook, line.day) == (Outlook.RUNS_OUT, TODAY - 14 + 25)
    assert line.seats_per_day == pytest.approx(2)


def test_days_on_which_no_master_ran_do_not_bend_it() -> None:
    peaks = _days(*range(50, 82, 2), 0)
    del peaks[TODAY - 4]
    line = trend(peaks, used=60, capacity=100, today=TODAY)
    assert line.seats_per_day == pytest.approx(2, rel=0.05)


def test_weekends_do_not_bend_it() -> None:
    """One more each day from 40 on, but for weekends; the window ends with one."""
    peaks = _days(*(40 + at if at % 7 < 5 else 5 for at in range(28)), 0)
    line = trend(peaks, used=20, capacity=100, today=TODAY)
    assert line.outlook is Outlook.RUNS_OUT
    assert line.day is not None
    assert abs(line.day - (TODAY - 28 + 60)) < 5


def test_a_line_that_is_past_the_capacity_runs_out_today() -> None:
    line = trend(_days(*range(80, 99), 0), used=10, capacity=95, today=TODAY)
    assert (line.outlook, line.day) == (Outlook.RUNS_OUT, TODAY)


@pytest.mark.parametrize("known", [0, 1, 13])
def test_less_than_a_fortnight_is_not_enough(known: int) -> None:
    """Today does not count: it is not over."""
    assert trend(_days(*range(known), 99), used=10, capacity=100, today=TODAY) == Trend(Outlook.NOT_ENOUGH_DATA)


@pytest.mark.parametrize("peaks", [[40] * 20, list(range(60, 40, -1)), [40, 41] * 10, [0] * 14])
def test_what_does_not_rise_never_runs_out(peaks: list[int]) -> None:
    line = trend(_days(*peaks, 0), used=10, capacity=100, today=TODAY)
    assert (line.outlook, line.day) == (Outlook.NOT_RISING, None)


def test_beyond_two_years_there_is_no_date() -> None:
    slow = _days(*(at // 5 for at in range(30)), 0)
    near = trend(slow, used=5, capacity=100, today=TODAY)
    assert near.outlook is Outlook.RUNS_OUT
    assert near.day is not None
    assert near.day - TODAY < TREND_DAYS_AHEAD_MAX
    assert trend(slow, used=5, capacity=1000, today=TODAY).outlook is Outlook.FAR_OFF


def test_used_up_is_used_up_however_little_is_known() -> None:
    assert trend({}, used=5, capacity=5, today=TODAY).outlook is Outlook.USED_UP


def test_days_begin_at_midnight_utc() -> None:
    assert day_of(86_400 * TODAY - 0.001) == TODAY - 1
    assert day_of(86_400 * TODAY) == TODAY
