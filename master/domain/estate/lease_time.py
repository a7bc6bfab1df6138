"""The time that leases go by."""

from __future__ import annotations

from master.values import Value


class LeaseTime(Value):
    """The moment at which leases are judged; UNIX seconds.

    Only masters know of a clock that was set forward: PBXs count what they have signed by clocks of their own.
    """

    now: float
    ends_by: float
    """Whatever was signed to end before this moment is over by the clocks of PBXs too: `now`, without the time by which
    a clock was set forward while it was in force."""
    reclaimed_by: float
    """Whatever was signed to end before this moment may be taken back: `ends_by` less the allowance for slow clocks."""

    @classmethod
    def at(cls, now: float, *, stepped_seconds: float = 0.0, clock_allowance_seconds: float = 0.0) -> LeaseTime:
        """Return a moment whose clock is `stepped_seconds` ahead of the clocks of PBXs; `now` is UNIX seconds."""
        ends_by = now - stepped_seconds
        return cls(now, ends_by, ends_by - clock_allowance_seconds)

    @property
    def clock_allowance_seconds(self) -> float:
        """How much longer than until its signed end anything is waited for."""
        return self.ends_by - self.reclaimed_by
