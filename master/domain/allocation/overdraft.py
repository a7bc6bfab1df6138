"""Seats above what is installed: how many, for how long, and when some are possible again.

Pure arithmetic on a budget of seat seconds. A seat above what is installed costs one seat second each second. The
budget fills up again at the policy's rate, only while nothing is overdrawn. A seat is granted above what is installed
only where the budget then lasts `NOTICE_SECONDS` for all overdrawn seats: so whoever has one has that much notice
before any is taken away. A clock that is set back spends and fills up nothing.
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
    """Seat seconds spent; more than the budget where seats were not given back in time."""
    at: float = 0.0
    """The moment of the account, UNIX seconds; 0 where nothing was ever overdrawn."""

    def become(self, overdrawn: int, now: float) -> OverdraftAccount:
        """Return the account with another number of overdrawn seats; if none were, call `settled` first."""
        if overdrawn == self.overdrawn:
            return self
        spent = self.spent + self.overdrawn * max(now - self.at, 0.0)
        return OverdraftAccount(overdrawn, spent, max(now, self.at))

    def settled(self, policy: OverdraftPolicy, now: float) -> OverdraftAccount:
        """Return the account at `now`: with what was spent since, or refilled where nothing was overdrawn."""
        budget, passed = budget_of(policy), max(now - self.at, 0.0)
        if self.overdrawn:
            spent = self.spent + self.overdrawn * passed
        else:
            spent = min(self.spent, budget) - policy.refill_seat_hours_per_day * _HOUR_SECONDS * passed / _DAY_SECONDS
        return OverdraftAccount(self.overdrawn, max(spent, 0.0), max(now, self.at))


NOTHING_OVERDRAWN: Final = OverdraftAccount()


class Overdraft(Value, kw_only=True):
    """How far a pool is above what is installed, and how long that may last."""

    seats: int
    """Seats counted above what is installed."""
    seats_max: int
    """The most that the policy allows at once."""
    budget_left_seat_hours: float
    spent_at: float | None
    """When the budget is spent if as many seats stay overdrawn, UNIX seconds; None where no seat is overdrawn."""
    allowed_at: float | None
    """When the budget allows an overdrawn seat if none is until then, UNIX seconds; None where one is, or for never."""
    full_at: float | None
    """When the whole budget is back if nothing is overdrawn from now on, UNIX seconds; None for never."""

    @property
    def room(self) -> int:
        """Seats that could be granted above what is installed now, where no license is free."""
        allowed = min(self.seats_max, int(self.budget_left_seat_hours * _HOUR_SECONDS / NOTICE_SECONDS))
        return max(allowed - self.seats, 0)

    @classmethod
    def of(cls, policy: OverdraftPolicy | None, account: OverdraftAccount, now: float) -> Overdraft | None:
        """Return the overdraft of a pool to report; None where no seat may be overdrawn and none is."""
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
"""The policy of a pool that is still overdrawn when its own policy is gone."""


def budget_of(policy: OverdraftPolicy) -> float:
    """Return the whole budget of a policy, in seat seconds."""
    return policy.budget_seat_hours * _HOUR_SECONDS


def budget_left(policy: OverdraftPolicy, account: OverdraftAccount, now: float) -> float:
    """Return what is left of the budget at `now`, in seat seconds; never negative."""
    return max(budget_of(policy) - account.settled(policy, now).spent, 0.0)


def overdraft_allowed(policy: OverdraftPolicy, account: OverdraftAccount, now: float) -> int:
    """Return how many seats, those already overdrawn included, may be overdrawn if another is asked for now."""
    return min(policy.seats, int(budget_left(policy, account, now) / NOTICE_SECONDS))


def _filled_at(policy: OverdraftPolicy, missing: float, now: float) -> float | None:
    """Return when `missing` seat seconds have come back, UNIX seconds, if nothing is overdrawn; None for never."""
    if missing <= 0:
        return now
    if not policy.refill_seat_hours_per_day:
        return None
    return now + missing * _DAY_SECONDS / (policy.refill_seat_hours_per_day * _HOUR_SECONDS)
