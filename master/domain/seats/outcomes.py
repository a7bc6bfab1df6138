"""What is answered for each seat, and for a whole wanted set."""

from __future__ import annotations

from dataclasses import dataclass

from master.domain.seats.refusals import Refusal
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
