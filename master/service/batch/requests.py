"""What can be asked of the leasing engine; `answers.py` has what it answers. Each names its PBX and its caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

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
Found = TypeVar("Found", contravariant=True)


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

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> Answer:
        """Call the handler of this kind of request, once its PBX is found."""
        raise NotImplementedError


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

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> LeaseGranted:
        return handlers.open(resolved, self)


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

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> LeaseGranted | TakeOverRefused:
        return handlers.take_over(resolved, self)


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

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> LeaseGranted:
        return handlers.renew(resolved, self)


class CloseLease(UnderLease[LeaseClosed], kw_only=True):
    """End a lease; all seats go back."""

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> LeaseClosed:
        return handlers.close(resolved, self)


class EndLease(Request[LeaseEnded | AnsweredBefore], kw_only=True):
    """End a PBX's lease on an operator's word, and every claim in its name; all seats are free at once."""

    reason: str
    key: RequestKey[LeaseEnded]

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> LeaseEnded | AnsweredBefore:
        return handlers.end(resolved, self)


class AcquireSeats(SeatCall[SeatsAcquired], kw_only=True):
    """Acquire seats, each by itself."""

    wants: Sequence[Want]
    waits: bool = False
    """Whether those that are short are waited for."""

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> SeatsAcquired:
        return handlers.acquire(resolved, self)


class ReturnSeats(SeatCall[SeatsReturned], kw_only=True):
    """Return seats, each by itself."""

    keys: Sequence[SeatKey]

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> SeatsReturned:
        return handlers.give_back(resolved, self)


class SyncSeats(SeatCall[SeatsSynced], kw_only=True):
    """Make what is held equal to what is wanted."""

    wants: Sequence[Want]
    waits: bool = False
    """Whether those that are short are waited for."""

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> SeatsSynced:
        return handlers.sync(resolved, self)


class ReclaimSeats(Request[SeatsReclaimed], kw_only=True):
    """End a lease that ran out and take back the seats of some of its holders."""

    holders_max: int

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> SeatsReclaimed:
        return handlers.reclaim(resolved, self)


class BorrowSeats(Request[LoanBorrowed | AnsweredBefore], kw_only=True):
    """Lend a PBX whose lease runs seats for days."""

    license_type: str
    seats: int
    ends_at: float
    """UNIX seconds."""
    reason: str
    key: RequestKey[LoanBorrowed]

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> LoanBorrowed | AnsweredBefore:
        return handlers.borrow(resolved, self)


class ReturnLoan(Request[LoanReturned | AnsweredBefore], kw_only=True):
    """Take back what a PBX has borrowed, but for some seats."""

    license_type: str
    seats_kept: int
    released_serial: int
    """Of the loan by which the PBX itself says that it goes no longer; 0 where it does not say so."""
    reason: str
    key: RequestKey[LoanReturned]

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> LoanReturned | AnsweredBefore:
        return handlers.return_loan(resolved, self)


class GrantWaiting(Request[SeatsAcquired], kw_only=True):
    """Grant a PBX seats that it waits for, as far as it is their turn; answered for those that were settled."""

    wants: Sequence[Want]

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> SeatsAcquired:
        return handlers.grant_waiting(resolved, self)


class DropWaiting(Request[WaitingDropped | AnsweredBefore], kw_only=True):
    """Have a PBX wait no longer, on an operator's word."""

    license_type: str
    """By catalog key; every type where it is empty."""
    reason: str
    key: RequestKey[WaitingDropped]

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> WaitingDropped | AnsweredBefore:
        return handlers.drop_waiting(resolved, self)


class EndClaims(Request[ClaimsEnded], kw_only=True):
    """Let go of the claims in a PBX's name that are past their end."""

    def answered_by(self, handlers: Handlers[Found], resolved: Found) -> ClaimsEnded:
        return handlers.end_claims(resolved, self)


class Handlers(Protocol[Found]):
    """Who answers requests, one method for each kind; a `Found` is a request whose PBX is found."""

    def open(self, resolved: Found, request: OpenLease, /) -> LeaseGranted: ...
    def take_over(self, resolved: Found, request: TakeOverLease, /) -> LeaseGranted | TakeOverRefused: ...
    def renew(self, resolved: Found, request: RenewLease, /) -> LeaseGranted: ...
    def close(self, resolved: Found, request: CloseLease, /) -> LeaseClosed: ...
    def end(self, resolved: Found, request: EndLease, /) -> LeaseEnded | AnsweredBefore: ...
    def acquire(self, resolved: Found, request: AcquireSeats, /) -> SeatsAcquired: ...
    def give_back(self, resolved: Found, request: ReturnSeats, /) -> SeatsReturned: ...
    def sync(self, resolved: Found, request: SyncSeats, /) -> SeatsSynced: ...
    def reclaim(self, resolved: Found, request: ReclaimSeats, /) -> SeatsReclaimed: ...
    def drop_waiting(self, resolved: Found, request: DropWaiting, /) -> WaitingDropped | AnsweredBefore: ...
    def grant_waiting(self, resolved: Found, request: GrantWaiting, /) -> SeatsAcquired: ...
    def end_claims(self, resolved: Found, request: EndClaims, /) -> ClaimsEnded: ...
    def borrow(self, resolved: Found, request: BorrowSeats, /) -> LoanBorrowed | AnsweredBefore: ...
    def return_loan(self, resolved: Found, request: ReturnLoan, /) -> LoanReturned | AnsweredBefore: ...
