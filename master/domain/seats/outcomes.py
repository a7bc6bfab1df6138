"""What is answered for each seat, and for a whole wanted set."""

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
    """What became of the companions of a PBX's seats (D1)."""

    seats: int
    """Seats of types that have companions somewhere."""
    before: int
    """Companions that they had."""
    after: int
    refused: tuple[Refusal, ...]
    """One for each companion that is missing now."""
