"""What can be asked of the leasing engine, and what it answers. Each names its PBX and its caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from master.domain.decide import Outcome, ReturnOutcome
from master.domain.estate import Pbx
from master.domain.leases import Lease
from master.domain.notices import Notice
from master.domain.refusals import Refusal
from master.domain.seats import Seat, SeatKey, Want
from master.domain.versions import Version


@dataclass(frozen=True, slots=True)
class PbxName:
    """A PBX by its project and its name."""

    project: str
    pbx: str

    def __str__(self) -> str:
        """As the API writes it."""
        return f"projects/{self.project}/pbxs/{self.pbx}"


class UnknownPbxError(LookupError):
    """There is no such project or PBX."""

    def __init__(self, name: PbxName) -> None:
        super().__init__(f"{name} is unknown; `license-master project show` lists the PBXs of a project")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLease:
    """Open a lease, or take the running one over."""

    pbx: PbxName
    caller: str
    instance_id: str
    request_id: str
    software: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewLease:
    """Extend a lease."""

    pbx: PbxName
    caller: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLease:
    """End a lease; all seats go back."""

    pbx: PbxName
    caller: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquireSeats:
    """Acquire seats, each by itself."""

    pbx: PbxName
    caller: str
    epoch: int
    wants: Sequence[Want]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnSeats:
    """Return seats, each by itself."""

    pbx: PbxName
    caller: str
    epoch: int
    keys: Sequence[SeatKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSeats:
    """Make what is held equal to what is wanted."""

    pbx: PbxName
    caller: str
    epoch: int
    wants: Sequence[Want]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimSeats:
    """End a lease that ran out and take back the seats of some of its holders."""

    pbx: PbxName
    caller: str
    holders_max: int


Request = OpenLease | RenewLease | CloseLease | AcquireSeats | ReturnSeats | SyncSeats | ReclaimSeats


@dataclass(frozen=True, slots=True)
class LeaseGranted:
    """A lease as it now stands."""

    lease: Lease
    pbx: Pbx
    holdings: Mapping[str, int]
    """Seats debited, by license type."""
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class LeaseClosed:
    """The lease is over."""

    seats_returned: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What acquiring came to, for the metrics."""

    debited: Mapping[str, int]
    """Seats newly debited, by license type."""
    refused: Mapping[tuple[str, str], int]
    """Seats refused, by reason and license type."""


@dataclass(frozen=True, slots=True)
class SeatsAcquired:
    """One outcome per want."""

    outcomes: list[Outcome]
    tally: Tally


@dataclass(frozen=True, slots=True)
class SeatsReturned:
    """One outcome per seat."""

    outcomes: list[ReturnOutcome]


@dataclass(frozen=True, slots=True)
class SeatsSynced:
    """One outcome per want, and what became of the rest."""

    outcomes: list[Outcome]
    tally: Tally
    seats_returned: int
    kept: list[tuple[Seat, Refusal]]


@dataclass(frozen=True, slots=True)
class SeatsReclaimed:
    """How many seats came back, and whether there may be more."""

    seats_returned: int
    more: bool


Answer = LeaseGranted | LeaseClosed | SeatsAcquired | SeatsReturned | SeatsSynced | SeatsReclaimed


def weight(request: Request) -> int:
    """How much work a request is, in seats."""
    if isinstance(request, AcquireSeats | SyncSeats):
        return max(len(request.wants), 1)
    return max(len(request.keys), 1) if isinstance(request, ReturnSeats) else 1
