"""A client's state, lease, loans and notices at one moment, for status pages and logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from slave_client.values.notices import Notice
from slave_client.values.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """Seats that the PBX has borrowed: it may use `seats` seats when its lease is over, whoever holds them."""

    license_type: str
    """The license type's catalog key."""
    seats: int
    end_time: datetime
    """The signed end by the master's clock."""
    remaining_seconds: float
    """Seconds that the client will rely on the loan without hearing from a master."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A client's state, lease, loans and notices at one moment."""

    state: State
    why: str
    epoch: int | None
    """The lease's epoch, None where this run of the client has opened none."""
    lease_end: datetime | None
    """The lease's signed end by the master's clock, in the past where only loans are in force; None without a lease."""
    remaining_seconds: float
    """Seconds that the client will use its seats without hearing from a master."""
    seats_held: int
    """Seats in use."""
    loans: tuple[Loan, ...]
    """The loans in force."""
    master: str
    """The address of the master in use."""
    notices: tuple[Notice, ...]
    """The notices that hold now."""
