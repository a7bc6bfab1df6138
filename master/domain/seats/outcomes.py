"""What is answered for each seat, and for a whole wanted set."""

from __future__ import annotations

from dataclasses import dataclass

from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seats import Granted, Returned, Seat, SeatKey

Outcome = Granted | Refusal
ReturnOutcome = Returned | Refusal


@dataclass(frozen=True, slots=True)
class Synced:
    """The answer to a whole wanted set."""

    outcomes: list[Outcome]
    returned: list[SeatKey]
    kept: list[tuple[Seat, Refusal]]
    """Seats that were not wanted but had to stay."""


@dataclass(frozen=True, slots=True)
class CompanionDecisions:
    """What became of the companions of a PBX's seats (D1)."""

    seats: int
    """Seats of types that have companions somewhere."""
    before: int
    """Companions that they had."""
    after: int
    refused: tuple[Refusal, ...]
    """One for each companion that is missing now."""
