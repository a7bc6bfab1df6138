"""The time that leases go by: it follows the database's clock, and nothing that is done to that revives, ends or
stretches a lease."""

from __future__ import annotations

import math

import pytest

from master.service.runtime.lease_clock import Correction, LeaseClock, Reading

NOW = 1_800_000_000.0
LEASE = 3600.0


class Machines:
    """A database's clock that can be set, and a master's steady one."""

    def __init__(self) -> None:
        self.steady = 500.0
        self.database = NOW
        self.last_end = 0.0

    def pass_(self, seconds: float, *, database_runs: float = 1.0) -> None:
        self.steady += seconds
        self.database += seconds * database_runs

    def reading(self, *, there: float = 0.001, back: float = 0.001) -> Reading:
        """Ask the database; so long there, and so long back."""
        asked = self.steady
        self.pass_(there)
        seconds = self.database
        self.pass_(back)
        return Reading(seconds=seconds, asked=asked, answered=self.steady, wall=self.database, last_end=self.last_end)

    def clock(self, *, known: float = 0.0) -> LeaseClock:
        return LeaseClock(self.reading(), known=known, steady=lambda: self.steady)


@pytest.fixture
def machines() -> Machines:
    return Machines()


def test_it_is_the_databases_clock(machines: Machines) -> None:
    clock = machines.clock()
    for seconds in (0.0, 1.0, 86_400.0):
        machines.pass_(seconds)
        assert clock() == pytest.approx(machines.database, abs=0.001)


def test_a_slow_answer_changes_nothing(machines: Machines) -> None:
    clock = machines.clock()
    for there, back in ((4.0, 0.0), (0.0, 4.0), (30.0, 30.0)):
        assert clock.take(machines.reading(there=there, back=back)) is Correction.NONE
        assert clock() == pytest.approx(machines.database, abs=0.01)
    assert clock.stepped_seconds() == 0


@pytest.mark.parametrize("runs", [0.9999, 1.0001])
def test_drift_is_followed_without_going_back(machines: Machines, runs: float) -> None:
    clock, answer = machines.clock(), 0.0
    for _ in range(10_000):
        machines.pass_(10, database_runs=runs)
        clock.take(machines.reading())
        assert clock() >= answer
        answer = clock()
    assert clock() == pytest.approx(machines.database, abs=0.01)
    assert clock.stepped_seconds() == 0


def test_a_lead_is_worked_off_and_no_more_however_long_nobody_answers(machines: Machines) -> None:
    clock = machines.clock()
    machines.database -= 2
    clock.take(machines.reading())
    machines.pass_(100)
    assert clock() == pytest.approx(machines.database + 1.9, abs=0.01)
    machines.pass_(1_000_000)
    assert clock() == pytest.approx(machines.database, abs=0.01)


def test_set_back_neither_revives_nor_stretches(machines: Machines) -> None:
    clock = machines.clock()
    start, end = machines.steady, clock() + LEASE
    machines.pass_(LEASE / 2)
    machines.database -= 86_400
    for _ in range(200):
        clock.take(machines.reading())
        assert clock() - NOW == pytest.approx(machines.steady - start, abs=0.01)
        machines.pass_(LEASE / 2 / 200 + 0.1)
    assert clock.ahead_seconds == pytest.approx(86_400, abs=0.01)
    assert clock() > end, "it ended when it would have ended"
    machines.database += 86_400
    assert clock.take(machines.reading()) is Correction.NONE, "it was right all the time"
    assert clock.ahead_seconds == pytest.approx(0, abs=0.01)


def test_a_restart_is_no_way_back(machines: Machines) -> None:
    before = machines.clock()
    machines.pass_(100)
    written = before()
    machines.database -= 3600
    after = machines.clock(known=written)
    assert after() >= written
    assert after.ahead_seconds == pytest.approx(3600, abs=0.01)
    machines.pass_(50)
    assert after() == pytest.approx(written + 50, abs=0.01)


def test_set_forward_waits_until_the_last_lease_from_before_is_over(machines: Machines) -> None:
    clock = machines.clock()
    machines.last_end = clock() + LEASE
    steady_end = machines.steady + LEASE
    machines.pass_(LEASE / 4)
    machines.database += 600
    assert clock.take(machines.reading()) is Correction.SET_FORWARD
    assert clock() == pytest.approx(machines.database, abs=0.01)
    while machines.steady < steady_end:
        assert clock.stepped_seconds() == pytest.approx(600, abs=0.01)
        assert clock() - clock.stepped_seconds() <= machines.last_end + 0.01, (
            "it ends no earlier by the PBX's own clock"
        )
        machines.pass_(60)
        assert clock.take(machines.reading()) is Correction.NONE
    machines.pass_(120)
    assert clock.stepped_seconds() == 0


def test_steps_add_up(machines: Machines) -> None:
    clock = machines.clock()
    for total in (10, 20, 30):
        machines.last_end = clock() + LEASE
        machines.database += 10
        clock.take(machines.reading())
        assert clock.stepped_seconds() == pytest.approx(total, abs=0.01)
    assert math.isclose(clock(), machines.database, abs_tol=0.01)
