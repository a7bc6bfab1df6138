"""The time that leases go by: the database's clock, read now and then, carried on by the steady clock in between.

Decides: what time it is, whatever is done to the database's clock, and how much longer the seats of ended leases wait
after it was set forward. Leaves to others: reading the clocks (`database_health`), and waiting (`committer`, `expiry`).

- Time never goes back. Where the database's clock was set back, time goes on at the steady clock's pace until the other
  has caught up: it neither goes back, which would revive leases, nor stands still, which would stretch them. A small
  lead, by which two clocks drift apart, is worked off by going a little slower.
- It starts no earlier than anything that the database knows of, so that a restart is no way back either.
- Where the database's clock was set forward, time follows at once, as masters that start then would. PBXs count their
  leases by clocks of their own and know nothing of it, so the ends of leases signed before wait for as long as the step
  was, until the last of them is over. What leases are judged by (`LeaseTime`) has both.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from master.domain.estate.lease_time import LeaseTime
from master.values import Value

STEP_SECONDS = 1.0
"""Seconds by which a clock must be off to count as set; less is drift, which the clock allowance is for."""
_DRIFT_MAX_SECONDS = 10.0
"""The largest lead that counts as drift and is worked off; a larger lead means that the clock was set back."""
_SLOWER = 0.001
"""By what share time goes slower while a lead is worked off: more than clocks drift, less than anybody notices."""
_OTHERS_NOTICE_SECONDS = 60.0
"""How long ends are signed by the time before a step: until then all masters have seen the step."""


class Reading(Value, kw_only=True):
    """What the database's clock showed at some moment between two readings of the steady clock."""

    seconds: float
    """The time by the database's clock, UNIX seconds."""
    asked: float
    """When the database was asked, by the steady clock."""
    answered: float
    """When the database answered, by the steady clock."""
    wall: float
    """The time by this machine's own clock on the answer, UNIX seconds."""
    last_end: float
    """The latest lease end that was signed and is not over, UNIX seconds."""

    @property
    def latest(self) -> float:
        """The latest time that the database's clock can show on the answer, UNIX seconds."""
        return self.seconds + (self.answered - self.asked)

    @property
    def likely(self) -> float:
        """The likeliest time of the database's clock on the answer, UNIX seconds: half the round trip
        was the way back.
        """
        return (self.seconds + self.latest) / 2


class Correction(Enum):
    """What a reading changed."""

    NONE = "none"
    SET_FORWARD = "set_forward"
    """The database's clock was set forward, and time with it."""


class _Step(Value):
    seconds: float
    over_at: float
    """When no lease is left that was signed before the step, by the steady clock."""


class LeaseClock:
    """A clock to call for the time, in UNIX seconds; `steady` never jumps."""

    def __init__(self, first: Reading, *, known: float, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._base = max(first.likely, known)
        self._since = first.answered
        self._owed = 0.0
        self._steps: tuple[_Step, ...] = ()
        self.ahead_seconds = max(self._base - first.likely, 0.0)
        """How far time is ahead of the database's clock, because that clock was set back."""

    def __call__(self) -> float:
        """Return the time, UNIX seconds; never less than before."""
        return self._at(self._steady())

    def stepped_seconds(self) -> float:
        """Return how many seconds longer than usual the seats of ended leases wait now."""
        now = self._steady()
        return sum(step.seconds for step in self._steps if now < step.over_at)

    def take(self, reading: Reading) -> Correction:
        """Use a new reading from now on, as far as it is certain: a reading shows between which two moments the clock
        is.
        """
        now = self._at(reading.answered)
        self._base, self._since, self._owed = now, reading.answered, 0.0
        lead = now - reading.likely
        self.ahead_seconds = max(lead, 0.0)
        if now < reading.seconds:
            self._base = reading.seconds
            return self._stepped(reading.seconds - now, now, reading)
        if now > reading.latest and lead <= _DRIFT_MAX_SECONDS:
            self._owed = now - reading.latest
        return Correction.NONE

    def _stepped(self, seconds: float, before: float, reading: Reading) -> Correction:
        if seconds < STEP_SECONDS:
            return Correction.NONE
        over_at = reading.answered + max(reading.last_end - before, 0.0) + _OTHERS_NOTICE_SECONDS
        kept = [step for step in self._steps if reading.answered < step.over_at]
        self._steps = (*kept, _Step(seconds, over_at))
        return Correction.SET_FORWARD

    def _at(self, steady: float) -> float:
        passed = max(steady - self._since, 0.0)
        return self._base + passed - min(self._owed, passed * _SLOWER)


def never_stepped() -> float:
    """Return 0.0 seconds, for a clock that nobody sets forward."""
    return 0.0


def lease_times(
    clock: Callable[[], float], stepped_seconds: Callable[[], float], *, clock_allowance_seconds: float
) -> Callable[[], LeaseTime]:
    """Make a function that returns the time that leases are judged by, at the moment of the call."""
    return lambda: LeaseTime.at(
        clock(), stepped_seconds=stepped_seconds(), clock_allowance_seconds=clock_allowance_seconds
    )
