"""Seats above what is installed: how many, for how long, and when there may be some again.

Pure arithmetic on a budget of seat seconds. A seat above what is installed costs a second's worth each second. The
budget fills up again at the policy's pace, and only in time in which nothing is overdrawn. A seat is granted above what
is installed only where the budget then lasts `NOTICE_SECONDS` for all that are: so whoever has one has had that long
notice before any is taken away again. A clock that is set back spends and fills up nothing.
"""

from __future__ import annotations

from typing import Final

from master.domain.allocation.policies import OverdraftPolicy
from master.values import Value

NOTICE_SECONDS: Final = 3600.0
_HOUR_SECONDS, _DAY_SECONDS = 3600.0, 86_400.0


class OverdraftAccount(Value):
    """What a pool has spent of its budget at a moment, and how many seats are overdrawn from then on."""

    overdrawn: int = 0
    """Seats above what is installed."""
    spent: float = 0.0
    """Seat seconds; more than the budget where seats were not given back in time."""
    at: float = 0.0
    """The moment, UNIX seconds; 0 where nothing was ever overdrawn."""

    def become(self, overdrawn: int, now: float) -> OverdraftAccount:
        """The account once another number of seats is overdrawn; where none was until now, it is to be `settled`
        before.
        """
        if overdrawn == self.overdrawn:
            return self
        spent = self.spent + self.overdrawn * max(now - self.at, 0.0)
        return OverdraftAccount(overdrawn, spent, max(now, self.at))

    def settled(self, policy: OverdraftPolicy, now: float) -> OverdraftAccount:
        """The account as it stands now: with what was spent since, or filled up where nothing was overdrawn."""
        budget, passed = budget_of(policy), max(now - self.at, 0.0)
        if self.overdrawn:
            spent = self.spent + self.overdrawn * passed
        else:
            spent = min(self.spent, budget) - policy.refill_seat_hours_per_day * _HOUR_SECONDS * passed / _DAY_SECONDS
        return OverdraftAccount(self.overdrawn, max(spent, 0.0), max(now, self.at))


NOTHING_OVERDRAWN: Final = OverdraftAccount()


class Overdraft(Value, kw_only=True):
    """How far a pool is above what is installed, and what may come of it."""

    seats: int
    """Seats counted above what is installed."""
    seats_max: int
    """The most that the policy allows at once."""
    budget_left_seat_hours: float
    spent_at: float | None
    """When the budget is spent if as many seats stay overdrawn, UNIX seconds; None where none is."""
    allowed_at: float | None
    """From when on a seat may be overdrawn for want of budget if none is until then; None where one is, or where that
    never comes."""
    full_at: float | None
    """When the whole budget is there again if nothing is overdrawn from now on; None where it never is."""

    @property
    def room(self) -> int:
        """Seats that could be granted above what is installed now, where nothing is free."""
        allowed = min(self.seats_max, int(self.budget_left_seat_hours * _HOUR_SECONDS / NOTICE_SECONDS))
        return max(allowed - self.seats, 0)

    @classmethod
    def of(cls, policy: OverdraftPolicy | None, account: OverdraftAccount, now: float) -> Overdraft | None:
        """What there is to tell of a pool; None where nothing may be overdrawn, and nothing is."""
        if policy is None and not account.overdrawn:
            return None
        known = policy or NO_OVERDRAFT
        left = budget_left(known, account, now)
        return cls(
            seats=account.overdrawn,
            seats_max=known.seats,
            budget_left_seat_hours=left / _HOUR_SECONDS,
            spent_at=now + left / account.overdrawn if account.overdrawn else None,
            allowed_at=None if account.overdrawn else _filled_at(known, NOTICE_SECONDS - left, now),
            full_at=_filled_at(known, budget_of(known) - left, now),
        )


NO_OVERDRAFT: Final = OverdraftPolicy(seats=0, budget_seat_hours=0, refill_seat_hours_per_day=0)
"""What holds for a pool that is overdrawn still when its policy is gone."""


def budget_of(policy: OverdraftPolicy) -> float:
    """All that there is to spend, seat seconds."""
    return policy.budget_seat_hours * _HOUR_SECONDS


def budget_left(policy: OverdraftPolicy, account: OverdraftAccount, now: float) -> float:
    """What is left to spend now, seat seconds; never negative."""
    return max(budget_of(policy) - account.settled(policy, now).spent, 0.0)


def overdraft_allowed(policy: OverdraftPolicy, account: OverdraftAccount, now: float) -> int:
    """How many seats may be overdrawn at once if one more is asked for now, those included that are."""
    return min(policy.seats, int(budget_left(policy, account, now) / NOTICE_SECONDS))


def _filled_at(policy: OverdraftPolicy, missing: float, now: float) -> float | None:
    """When so many seat seconds have come back if nothing is overdrawn from now on; None where they never do."""
    if missing <= 0:
        return now
    if not policy.refill_seat_hours_per_day:
        return None
    return now + missing * _DAY_SECONDS / (policy.refill_seat_hours_per_day * _HOUR_SECONDS)
