"""What queues and overdrafts of a project came to over some days, told by its audit alone.

A seat that is waited for is granted as it is handed on, or given up; whoever still waits, and whose lease ended, is
neither. An event of an overdraft says how many seats are above what is installed from then on, and how many were until
then: so what it cost is known exactly, be it begun before these days or not yet over. Pure arithmetic over events,
oldest first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median

from msgspec import Struct

from master.domain.allocation.overdraft import Overdraft
from master.domain.audit.chain import Record
from master.values import Value, field

AWAITED, GIVEN_UP, DROPPED, ACQUIRED = "seats.awaited", "seats.given_up", "waiting.dropped", "seats.acquired"
OVERDRAWN, OVERDRAFT_ENDED = "pool.overdrawn", "pool.overdraft_ended"
HANDS_ON = "master:waiting"
"""Who acquires seats for those who waited."""
_MICROSECONDS = 1_000_000


class PolicyUse(Value, kw_only=True):
    """What the policy of a license type came to."""

    license_type: str
    waited: int
    """Seats that began to be waited for."""
    granted: int
    gave_up: int
    wait_seconds_median: float
    """Of those granted; 0 where none was."""
    wait_seconds_max: float
    overdrawn_seconds: float
    overdrawn_peak: int
    """The most seats at once."""
    overdrawn_seat_hours: float
    """What was spent of the budget."""
    budget_left_seat_hours: float | None
    """What is left of it now; None where nothing may be overdrawn, and nothing is."""


class _Use(Struct):
    since: dict[tuple[str, str], float] = field(default_factory=dict)
    """By PBX and holder, since when a seat is waited for."""
    waited: int = 0
    gave_up: int = 0
    waits: list[float] = field(default_factory=list)
    overdrawn: int = 0
    overdrawn_at: float | None = None
    """Since when so many are; None before the first event."""
    overdrawn_seconds: float = 0.0
    overdrawn_peak: int = 0
    seat_seconds: float = 0.0

    def become(self, overdrawn: int, at: float) -> None:
        """Count what is overdrawn up to a moment, after which it is another number of seats."""
        if self.overdrawn and self.overdrawn_at is not None:
            passed = max(at - self.overdrawn_at, 0.0)
            self.overdrawn_seconds += passed
            self.seat_seconds += passed * self.overdrawn
        self.overdrawn_peak = max(self.overdrawn_peak, self.overdrawn, overdrawn)
        self.overdrawn, self.overdrawn_at = overdrawn, at


def policy_uses(
    events: Iterable[Record], overdrafts: Mapping[str, Overdraft], *, since: float, now: float
) -> list[PolicyUse]:
    """What queues and overdrafts came to, by license type.

    `overdrafts` are as they stand now, by license type; times are UNIX seconds.
    """
    uses: defaultdict[str, _Use] = defaultdict(_Use)
    for event in events:
        at, details = event.time_us / _MICROSECONDS, json.loads(event.details)
        if event.kind in (OVERDRAWN, OVERDRAFT_ENDED):
            use = uses[details["type"]]
            if use.overdrawn_at is None:
                use.become(details["overdrawn_before"], since)
            use.become(details["overdrawn"], at)
            continue
        for license_type, holders in details.items():
            for holder in holders:
                _waits(uses[license_type], event.kind, (event.pbx, holder), at)
    for license_type, overdraft in overdrafts.items():
        if overdraft.seats and uses[license_type].overdrawn_at is None:
            uses[license_type].become(overdraft.seats, since)
    for use in uses.values():
        use.become(use.overdrawn, now)
    return [
        PolicyUse(
            license_type=license_type,
            waited=use.waited,
            granted=len(use.waits),
            gave_up=use.gave_up,
            wait_seconds_median=median(use.waits) if use.waits else 0.0,
            wait_seconds_max=max(use.waits, default=0.0),
            overdrawn_seconds=use.overdrawn_seconds,
            overdrawn_peak=use.overdrawn_peak,
            overdrawn_seat_hours=use.seat_seconds / 3600,
            budget_left_seat_hours=(
                overdrafts[license_type].budget_left_seat_hours if license_type in overdrafts else None
            ),
        )
        for license_type, use in sorted(uses.items())
    ]


def _waits(use: _Use, kind: str, seat: tuple[str, str], at: float) -> None:
    if kind == AWAITED:
        use.waited += 1
        use.since[seat] = at
    elif kind == ACQUIRED and seat in use.since:
        use.waits.append(max(at - use.since.pop(seat), 0.0))
    elif kind in (GIVEN_UP, DROPPED) and seat in use.since:
        del use.since[seat]
        use.gave_up += 1
