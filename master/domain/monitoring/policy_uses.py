"""The use of a project's queues and overdrafts over some days, told by its audit alone.

A seat that is waited for is granted as it is handed on, or given up; a seat still waited for, or whose PBX's lease
ended, is neither. An event of an overdraft says how many seats are above what is installed from then on, and how many
were until then: so what it cost is known exactly, whether it began before these days or is not over yet. Pure
arithmetic over events, oldest first.
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
"""The caller in the audit that acquires seats for PBXs that waited."""
_MICROSECONDS = 1_000_000


class PolicyUse(Value, kw_only=True):
    """The use of a license type's queue and overdraft."""

    license_type: str
    waited: int
    """Seats that began to be waited for."""
    granted: int
    gave_up: int
    wait_seconds_median: float
    """The median over the seats granted; 0 where none was."""
    wait_seconds_max: float
    overdrawn_seconds: float
    overdrawn_peak: int
    """The most seats overdrawn at once."""
    overdrawn_seat_hours: float
    """How much of the budget was spent."""
    budget_left_seat_hours: float | None
    """How much of the budget is left now; None where nothing may be overdrawn, and nothing is."""


class _Use(Struct):
    since: dict[tuple[str, str], float] = field(default_factory=dict)
    """Since when a seat is waited for, by PBX and holder; UNIX seconds."""
    waited: int = 0
    gave_up: int = 0
    waits: list[float] = field(default_factory=list)
    overdrawn: int = 0
    overdrawn_at: float | None = None
    """Since when `overdrawn` seats are overdrawn; None before the first event."""
    overdrawn_seconds: float = 0.0
    overdrawn_peak: int = 0
    seat_seconds: float = 0.0

    def become(self, overdrawn: int, at: float) -> None:
        """Count the seats overdrawn up to a moment (UNIX seconds), and set how many are overdrawn from then on."""
        if self.overdrawn and self.overdrawn_at is not None:
            passed = max(at - self.overdrawn_at, 0.0)
            self.overdrawn_seconds += passed
            self.seat_seconds += passed * self.overdrawn
        self.overdrawn_peak = max(self.overdrawn_peak, self.overdrawn, overdrawn)
        self.overdrawn, self.overdrawn_at = overdrawn, at


def policy_uses(
    events: Iterable[Record], overdrafts: Mapping[str, Overdraft], *, since: float, now: float
) -> list[PolicyUse]:
    """Add up the use of queues and overdrafts, by license type.

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
