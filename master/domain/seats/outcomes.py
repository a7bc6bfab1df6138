"""The answers to the seats of a request, and to a whole wanted set."""

from __future__ import annotations

from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seats import Granted, Returned, Seat, SeatKey
from master.values import Value

Outcome = Granted | Refusal
ReturnOutcome = Returned | Refusal


class Synced(Value):
    """The answer to a whole wanted set."""

    outcomes: list[Outcome]
    returned: list[SeatKey]
    kept: list[tuple[Seat, Refusal]]
    """Seats that were not wanted but had to stay."""


class CompanionDecisions(Value):
    """The result of deciding the companions of a PBX's seats anew (D1)."""

    seats: int
    """Number of seats whose type has companions on some platform."""
    before: int
    """Number of companions that these seats had before."""
    after: int
    refused: tuple[Refusal, ...]
    """A refusal for each companion that is missing now."""
