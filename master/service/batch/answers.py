"""What the leasing engine answers; `requests.py` has what it can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from licensemaster.api_enums import HolderKind
from master.domain.estate.estate import Pbx
from master.domain.estate.learning import Learning
from master.domain.leases.leases import Lease
from master.domain.leases.loans import Loan
from master.domain.leases.notices import Notice
from master.domain.leases.standby import StandbyProblem
from master.domain.seats.outcomes import Outcome, ReturnOutcome
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seats import Seat, Want
from master.service.runtime.names import PbxName
from master.values import Value, field


class DatabaseOutdatedError(Exception):
    """A PBX has shown what the database has never heard of, or a lease that lasts longer than learning does.

    Answered by learning (`service/leases/learning.py`) and asking again; reaches no caller.
    """

    def __init__(
        self, project: str, why: str, *, number: int, until: float, is_news: bool, learning: Learning | None
    ) -> None:
        super().__init__(why)
        self.project = project
        self.why = why
        self.number = number
        """The epoch or serial that the PBX showed."""
        self.until = until
        """The end of the lease that the PBX showed, UNIX seconds."""
        self.is_news = is_news
        """Whether the database has never heard of what the PBX showed."""
        self.learning = learning
        """The learning that was under way when the PBX showed it."""


class StandbyOffer(Value, kw_only=True):
    """What a standby may carry while no master answers, or the reason why nothing."""

    standby: PbxName
    primary: PbxName
    primary_epoch: int = 0
    serial: int = 0
    """The number of the standby lease; 0 where nothing is promised."""
    issued_at: float = 0.0
    ends_at: float = 0.0
    ttl_seconds: int = 0
    grace_seconds: int = 0
    holdings: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[StandbyProblem, ...] = ()


class SeatBlock(Value):
    """Seats that a PBX may use by their number."""

    license_type: str
    seats: int
    """The number of seats in the block, held seats included."""
    holder_kinds: tuple[HolderKind, ...]


class Blocks(Value):
    """All blocks that a PBX may use, and the serial that names them; the serial is 0 where nothing is counted."""

    blocks: tuple[SeatBlock, ...] = ()
    serial: int = 0


class LeaseGranted(Value):
    """The answer to an opening or a renewal: the lease as it is now."""

    lease: Lease
    pbx: Pbx
    holdings: Mapping[str, int]
    """Seats debited, by license type."""
    notices: tuple[Notice, ...]
    offers: tuple[StandbyOffer, ...] = ()
    """For a standby: what it may carry while no master answers."""
    held_before: int = 0
    """Seats debited before a lease was opened."""
    acquired: SeatsAcquired | None = None
    """The outcomes of the seats that an opening asked for."""
    blocks: Blocks = Blocks()
    loans: tuple[Loan, ...] = ()
    """The loans of the PBX."""


class TakeOverRefused(Value):
    """The answer to a takeover that is not possible: every problem that stands in the way. Nothing was changed."""

    problems: tuple[StandbyProblem, ...]


class ClaimsEnded(Value):
    """The answer to `EndClaims`: how many seats are no longer counted."""

    freed: int


class LeaseClosed(Value):
    seats_returned: int


class LeaseEnded(Value, kw_only=True):
    """The answer to `EndLease`: the seats that were returned, and the seats at risk."""

    epoch: int
    seats_returned: int
    at_risk: Mapping[str, int]
    """Seats that may still be in use, by license type."""
    risk_ends_at: float | None
    """The latest moment at which seats at risk may be in use, UNIX seconds; None where no seat is at risk."""
    connected: bool
    """Whether the user of the seats was connected, and so is notified at once."""
    renewed_at: float
    """When a master last heard of the PBX's lease, UNIX seconds."""
    carried_by: str
    """The standby that carried the seats; empty where the PBX used them itself."""


class LoanBorrowed(Value):
    """The answer to `BorrowSeats`."""

    loan: Loan


class LoanReturned(Value):
    """The answer to `ReturnLoan`: the seats that stay borrowed, and the seats that the PBX may still use."""

    loan: Loan | None
    seats_at_risk: int
    risk_ends_at: float | None
    """The latest moment at which returned seats may be in use, UNIX seconds; None where no seat is at risk."""


class Tally(Value):
    """The counts of one acquire, for metrics and the usage history."""

    debited: Mapping[str, int]
    """Seats newly debited, by license type."""
    refused: Mapping[tuple[str, str], int]
    """Seats refused, by reason and license type."""
    site: str
    """The site of the PBX that asked."""
    wants: Sequence[Want]
    """The seats asked for, with license types as catalog keys (L8)."""


class SeatsAcquired(Value):
    """The answer to `AcquireSeats`: one outcome for each want."""

    outcomes: list[Outcome]
    tally: Tally


class SeatsReturned(Value):
    """The answer to `ReturnSeats`: one outcome for each seat."""

    outcomes: list[ReturnOutcome]


class SeatsSynced(Value):
    """The answer to `SyncSeats`: one outcome for each want, and what was done with all other seats."""

    outcomes: list[Outcome]
    tally: Tally
    seats_returned: int
    kept: list[tuple[Seat, Refusal]]


class WaitingDropped(Value):
    """The answer to `DropWaiting`: how many seats the PBX no longer waits for."""

    seats: int


class SeatsReclaimed(Value):
    """How many seats were taken back, and whether more may be left."""

    seats_returned: int
    more: bool
