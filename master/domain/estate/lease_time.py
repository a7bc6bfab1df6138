"""The time that leases go by."""

from __future__ import annotations

from master.values import Value


class LeaseTime(Value):
    """The moment at which leases are judged; UNIX seconds.

    A clock that was set forward is known to masters alone: PBXs count what they have signed by clocks of their own.
    """

    now: float
    ends_by: float
    """What was signed to end before this is over, by the clocks of PBXs too: `now` without what a clock was set forward
    while it was in force."""
    reclaimed_by: float
    """What was signed to end before this may be taken back: `ends_by` less the allowance for clocks that run behind."""

    @classmethod
    def at(cls, now: float, *, stepped_seconds: float = 0.0, clock_allowance_seconds: float = 0.0) -> LeaseTime:
        """A moment, as far as it is ahead of what PBXs count by."""
        ends_by = now - stepped_seconds
        return cls(now, ends_by, ends_by - clock_allowance_seconds)

    @property
    def clock_allowance_seconds(self) -> float:
        """How much longer than its signed end anything is waited for."""
        return self.ends_by - self.reclaimed_by
