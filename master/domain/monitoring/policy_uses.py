"""What queues and overdrafts of a project came to over some days, told by its audit alone.

A seat that is waited for is granted as it is handed on, or given up; whoever still waits, and whose lease ended, is
neither. An overdraft is from the moment at which a pool has more seats out than licenses until it has none more; what
it cost is what its budget had less then. Pure arithmetic over events, oldest first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from master.domain.audit.chain import Record

AWAITED, GIVEN_UP, DROPPED, ACQUIRED = "seats.awaited", "seats.given_up", "waiting.dropped", "seats.acquired"
OVERDRAWN, OVERDRAFT_ENDED = "pool.overdrawn", "pool.overdraft_ended"
HANDS_ON = "master:waiting"
"""Who acquires seats for those who waited."""
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUse:
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
    overdrawn_seat_hours: float
    """What was spent of the budget."""


@dataclass(slots=True)
class _Use:
    since: dict[tuple[str, str], float] = field(default_factory=dict)
    """By PBX and holder, since when a seat is waited for."""
    waited: int = 0
    gave_up: int = 0
    waits: list[float] = field(default_factory=list)
    overdrawn_since: float | None = None
    budget_then: float = 0.0
    overdrawn_seconds: float = 0.0
    seat_hours: float = 0.0


def policy_uses(events: Iterable[Record], *, now: float) -> list[PolicyUse]:
    """What queues and overdrafts came to, by license type; `now` is UNIX seconds."""
    uses: defaultdict[str, _Use] = defaultdict(_Use)
    for event in events:
        at, details = event.time_us / _MICROSECONDS, json.loads(event.details)
        if event.kind in (OVERDRAWN, OVERDRAFT_ENDED):
            _overdrawn(uses[details["type"]], at, details["budget_left_seat_hours"], begins=event.kind == OVERDRAWN)
            continue
        for license_type, holders in details.items():
            for holder in holders:
                _waits(uses[license_type], event.kind, (event.pbx, holder), at)
    for use in uses.values():
        if use.overdrawn_since is not None:  # it is still
            use.overdrawn_seconds += max(now - use.overdrawn_since, 0.0)
    return [
        PolicyUse(
            license_type=license_type,
            waited=use.waited,
            granted=len(use.waits),
            gave_up=use.gave_up,
            wait_seconds_median=median(use.waits) if use.waits else 0.0,
            wait_seconds_max=max(use.waits, default=0.0),
            overdrawn_seconds=use.overdrawn_seconds,
            overdrawn_seat_hours=use.seat_hours,
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


def _overdrawn(use: _Use, at: float, budget_left: float, *, begins: bool) -> None:
    if begins:
        use.overdrawn_since, use.budget_then = at, budget_left
    elif use.overdrawn_since is not None:
        use.overdrawn_seconds += max(at - use.overdrawn_since, 0.0)
        use.seat_hours += max(use.budget_then - budget_left, 0.0)
        use.overdrawn_since = None
