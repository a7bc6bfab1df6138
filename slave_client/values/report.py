"""How a client stands, for status pages and logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from slave_client.values.notices import Notice
from slave_client.values.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """Seats that the PBX has borrowed: it may use so many when its lease is over, whoever holds them."""

    license_type: str
    """By catalog key."""
    seats: int
    end_time: datetime
    """The signed end by the master's clock."""
    remaining_seconds: float
    """How long the client will go by it without hearing from a master."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a client stands, at one moment."""

    state: State
    why: str
    epoch: int | None
    """The lease's epoch, None where this run of the client has opened none."""
    lease_end: datetime | None
    """The signed end by the master's clock, in the past where a loan took its place; None without a lease."""
    remaining_seconds: float
    """How long the client will use what it holds without hearing from a master."""
    seats_held: int
    """Seats in use."""
    loans: tuple[Loan, ...]
    """What is borrowed."""
    master: str
    """The address of the master in use."""
    notices: tuple[Notice, ...]
    """The notices that hold now."""
