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
    """What a PBX says of the seats of a type."""

    license_type: str
    seats: int
    """How many it may use in all by its own count."""
    used: int
    acquired: int
    """How many it began to use since it was last answered."""


class Request(Value, Generic[Answer], kw_only=True):
    """A request in a PBX's name; it is answered with an `Answer`."""

    pbx: PbxName
    caller: str


class UnderLease(Request[Answer], kw_only=True):
    """A request under the lease with an epoch."""

    proven: PbxName | None
    """The PBX that proved to ask; None in plain text, where nobody proves a name."""
    epoch: int


class SeatCall(UnderLease[Answer], kw_only=True):
    """A request that changes what a PBX holds, and must not be served once a later one was."""

    unanswered_calls: int = 0


class OpenLease(Request[LeaseGranted], kw_only=True):
    """Open a lease, or take the running one over; acquire seats under it."""

    instance_id: str
    request_id: str
    software: Version
    proof: Proof | None = None
    """The last signed lease of this PBX, found genuine."""
    wants: Sequence[Want] = ()
    """Seats to be acquired with it."""
    waits: bool = False
    """Whether those that are short are waited for."""
    unanswered_calls: int = 0
    blocks: Sequence[BlockUse] = ()
    loans: Sequence[SignedLoan] = ()
    """The signed loans that the PBX has, found genuine."""


class CarriedOffline(Value, kw_only=True):
    """What a standby carried while no master answered, on the strength of a standby lease found genuine."""

    serial: int
    carried_seconds: float
    in_use: Mapping[str, int]
    """Seats by license type."""


class TakeOverLease(Request[LeaseGranted | TakeOverRefused], kw_only=True):
    """Open the lease of a PBX that failed, by its standby; `pbx` is the one that failed."""

    standby: PbxName
    standby_epoch: int
    instance_id: str
    request_id: str
    software: Version
    reason: str = ""
    force: bool = False
    carried: CarriedOffline | None = None


class Receipt(Value, kw_only=True):
    """What a standby says of the standby leases that it has for a PBX of its project."""

    primary: str
    serial: int
    discarded: bool
    released_epoch: int


class RenewLease(UnderLease[LeaseGranted], kw_only=True):
    receipts: tuple[Receipt, ...] = ()
    knows_end: float = 0.0
    """The end of the newest signed lease that the PBX has, UNIX seconds; 0 where it does not say."""
    blocks: Sequence[BlockUse] = ()
    block_serial: int = 0


class CloseLease(UnderLease[LeaseClosed], kw_only=True):
    """End a lease; all seats go back."""


class EndLease(Request[LeaseEnded | AnsweredBefore], kw_only=True):
    """End a PBX's lease on an operator's word, and every claim in its name; all seats are free at once."""

    reason: str
    key: RequestKey[LeaseEnded]


class AcquireSeats(SeatCall[SeatsAcquired], kw_only=True):
    """Acquire seats, each by itself."""

    wants: Sequence[Want]
    waits: bool = False
    """Whether those that are short are waited for."""


class ReturnSeats(SeatCall[SeatsReturned], kw_only=True):
    """Return seats, each by itself."""

    keys: Sequence[SeatKey]


class SyncSeats(SeatCall[SeatsSynced], kw_only=True):
    """Make what is held equal to what is wanted."""

    wants: Sequence[Want]
    waits: bool = False
    """Whether those that are short are waited for."""


class ReclaimSeats(Request[SeatsReclaimed], kw_only=True):
    """End a lease that ran out and take back the seats of some of its holders."""

    holders_max: int


class BorrowSeats(Request[LoanBorrowed | AnsweredBefore], kw_only=True):
    """Lend a PBX whose lease runs seats for days."""

    license_type: str
    seats: int
    ends_at: float
    """UNIX seconds."""
    reason: str
    key: RequestKey[LoanBorrowed]


class ReturnLoan(Request[LoanReturned | AnsweredBefore], kw_only=True):
    """Take back what a PBX has borrowed, but for some seats."""

    license_type: str
    seats_kept: int
    released_serial: int
    """Of the loan by which the PBX itself says that it goes no longer; 0 where it does not say so."""
    reason: str
    key: RequestKey[LoanReturned]


class GrantWaiting(Request[SeatsAcquired], kw_only=True):
    """Grant a PBX seats that it waits for, as far as it is their turn; answered for those that were settled."""

    wants: Sequence[Want]


class DropWaiting(Request[WaitingDropped | AnsweredBefore], kw_only=True):
    """Have a PBX wait no longer, on an operator's word."""

    license_type: str
    """By catalog key; every type where it is empty."""
    reason: str
    key: RequestKey[WaitingDropped]


class EndClaims(Request[ClaimsEnded], kw_only=True):
    """Let go of the claims in a PBX's name that are past their end."""
