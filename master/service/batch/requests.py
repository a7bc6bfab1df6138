"""What can be asked of the leasing engine; `answers.py` has what it answers. Each names its PBX and its caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from master.domain.catalog.versions import Version
from master.domain.leases.learning import Proof
from master.domain.leases.loans import SignedLoan
from master.domain.seats.seats import SeatKey, Want
from master.service.batch.answers import (
    ClaimsEnded,
    LeaseClosed,
    LeaseEnded,
    LeaseGranted,
    LoanBorrowed,
    LoanReturned,
    SeatsAcquired,
    SeatsReclaimed,
    SeatsReturned,
    SeatsSynced,
    TakeOverRefused,
    WaitingDropped,
)
from master.service.runtime.names import PbxName
from master.service.runtime.request_answers import AnsweredBefore, RequestKey
from master.values import Value

Answer = TypeVar("Answer", covariant=True)


class BlockUse(Value, kw_only=True):
    """What a PBX reports of its use of a block of one license type."""

    license_type: str
    seats: int
    """How many seats the PBX may use in all, by its own count."""
    used: int
    acquired: int
    """How many seats the PBX began to use since it was last answered."""


class Request(Value, Generic[Answer], kw_only=True):
    """A request in a PBX's name; it is answered with an `Answer`."""

    pbx: PbxName
    caller: str


class UnderLease(Request[Answer], kw_only=True):
    """A request under the lease with an epoch."""

    proven: PbxName | None
    """The PBX that proved by its certificate that it asks; None in plain text, where nobody proves a name."""
    epoch: int


class SeatCall(UnderLease[Answer], kw_only=True):
    """A request that changes what a PBX holds, and must not be served once a later one was."""

    unanswered_calls: int = 0


class OpenLease(Request[LeaseGranted], kw_only=True):
    """Open a lease, or take the running one over, and acquire seats under it."""

    instance_id: str
    request_id: str
    software: Version
    proof: Proof | None = None
    """The last signed lease of this PBX, whose signature was verified."""
    wants: Sequence[Want] = ()
    """Seats to be acquired with the opening."""
    waits: bool = False
    """Whether the PBX waits for seats that are short."""
    unanswered_calls: int = 0
    blocks: Sequence[BlockUse] = ()
    loans: Sequence[SignedLoan] = ()
    """The signed loans that the PBX has, whose signatures were verified."""


class CarriedOffline(Value, kw_only=True):
    """What a standby carried while no master answered, under a standby lease whose signature was verified."""

    serial: int
    carried_seconds: float
    in_use: Mapping[str, int]
    """Seats in use, by license type."""


class TakeOverLease(Request[LeaseGranted | TakeOverRefused], kw_only=True):
    """Open the lease of a failed PBX for its standby; `pbx` is the PBX that failed."""

    standby: PbxName
    standby_epoch: int
    instance_id: str
    request_id: str
    software: Version
    reason: str = ""
    force: bool = False
    carried: CarriedOffline | None = None


class Receipt(Value, kw_only=True):
    """What a standby reports of the standby leases that it has for a PBX of its project."""

    primary: str
    serial: int
    discarded: bool
    released_epoch: int


class RenewLease(UnderLease[LeaseGranted], kw_only=True):
    receipts: tuple[Receipt, ...] = ()
    knows_end: float = 0.0
    """The end of the newest signed lease that the PBX has, UNIX seconds; 0 where the PBX does not say."""
    blocks: Sequence[BlockUse] = ()
    block_serial: int = 0


class CloseLease(UnderLease[LeaseClosed], kw_only=True):
    """End a lease; all seats are returned."""


class EndLease(Request[LeaseEnded | AnsweredBefore], kw_only=True):
    """End a PBX's lease, and every claim in its name, for an operator; all seats are free at once."""

    reason: str
    key: RequestKey[LeaseEnded]


class AcquireSeats(SeatCall[SeatsAcquired], kw_only=True):
    """Acquire seats; each is granted or refused by itself."""

    wants: Sequence[Want]
    waits: bool = False
    """Whether the PBX waits for seats that are short."""


class ReturnSeats(SeatCall[SeatsReturned], kw_only=True):
    """Return seats; each is answered by itself."""

    keys: Sequence[SeatKey]


class SyncSeats(SeatCall[SeatsSynced], kw_only=True):
    """Make the seats that a PBX holds equal to those that it wants."""

    wants: Sequence[Want]
    waits: bool = False
    """Whether the PBX waits for seats that are short."""


class ReclaimSeats(Request[SeatsReclaimed], kw_only=True):
    """End a lease that ran out and take back the seats of some of its holders."""

    holders_max: int


class BorrowSeats(Request[LoanBorrowed | AnsweredBefore], kw_only=True):
    """Lend seats for days to a PBX that has a running lease."""

    license_type: str
    seats: int
    ends_at: float
    """The end of the loan, UNIX seconds."""
    reason: str
    key: RequestKey[LoanBorrowed]


class ReturnLoan(Request[LoanReturned | AnsweredBefore], kw_only=True):
    """Take back what a PBX has borrowed, except for some seats."""

    license_type: str
    seats_kept: int
    released_serial: int
    """The number of the loan that the PBX itself says it no longer uses; 0 where the PBX does not say so."""
    reason: str
    key: RequestKey[LoanReturned]


class GrantWaiting(Request[SeatsAcquired], kw_only=True):
    """Grant a PBX the seats that it waits for and whose turn has come; the answer has those that were settled."""

    wants: Sequence[Want]


class DropWaiting(Request[WaitingDropped | AnsweredBefore], kw_only=True):
    """End a PBX's waiting, for an operator."""

    license_type: str
    """The license type by catalog key; empty means every type."""
    reason: str
    key: RequestKey[WaitingDropped]


class EndClaims(Request[ClaimsEnded], kw_only=True):
    """End the claims in a PBX's name that are past their end."""
