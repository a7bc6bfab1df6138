"""One batch: read what it needs under lock, let the core decide, write seats, counters and events together.

Requests are decided in order, each on what those before it left. The caller commits; nobody is answered before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar, cast

from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.ending import NoLeaseToEndError
from master.domain.leases.leases import LeaseError
from master.domain.leases.loans import LoanError
from master.domain.leases.presence import Observer
from master.service.batch.answers import DatabaseOutdatedError, WaitingDropped
from master.service.batch.batch_events import BatchEvents
from master.service.batch.batch_leases import BatchLeases
from master.service.batch.batch_seats import BatchSeats
from master.service.batch.batch_waiting import BatchWaiting
from master.service.batch.claims.takeovers import BatchTakeovers
from master.service.batch.loading import LoadedBatch, load
from master.service.batch.remedies import Remedies
from master.service.batch.requests import (
    AcquireSeats,
    Answer,
    BorrowSeats,
    CloseLease,
    DropWaiting,
    EndClaims,
    EndLease,
    GrantWaiting,
    OpenLease,
    ReclaimSeats,
    RenewLease,
    Request,
    ReturnLoan,
    ReturnSeats,
    SyncSeats,
    TakeOverLease,
)
from master.service.batch.resolved_request import ResolvedRequest
from master.service.estates.estate_cache import EstateCache
from master.service.runtime.errors import RequestIdTakenError
from master.service.runtime.names import UnknownNameError, UnknownPbxError
from master.service.runtime.request_answers import RequestKey, answered_before, keep_answer
from master.store.backends.database import Tx
from master.store.statements import seats as store
from master.store.statements.events import write_events

T = TypeVar("T")
CONCERNS_ONE = (
    LeaseError,
    LoanError,
    NoLeaseToEndError,
    RequestIdTakenError,
    UnknownNameError,
    UnknownPbxError,
    DatabaseOutdatedError,
)
"""The errors that answer one request of a batch; the batch's other requests go on."""


class BatchAnswers(NamedTuple):
    answers: list[object]
    """The answers, in the order of the requests."""
    frees_seats: bool
    """Whether other PBXs may now get seats: fewer seats of a pool are counted, or a PBX waits no longer."""


def run_batch(
    tx: Tx,
    estates: EstateCache,
    time: LeaseTime,
    requests: Sequence[Request[object]],
    *,
    observer: Observer | None = None,
) -> BatchAnswers:
    """Decide and write all requests of a batch; return an answer, or the error of that request alone, for each.

    `observer` is what is seen of PBXs; without it nobody is taken for gone before its lease says so.
    """
    loaded = load(tx, estates, time, requests)
    batch = Batch(tx, loaded, observer)
    answers = [
        batch.answer(resolved) if isinstance(resolved, ResolvedRequest) else resolved
        for resolved in loaded.resolved_requests
    ]
    return BatchAnswers(answers, frees_seats=batch.write())


def answer_to(tx: Tx, estates: EstateCache, time: LeaseTime, request: Request[Answer]) -> Answer:
    """Decide and write one request in a batch of its own. Raises one of CONCERNS_ONE if the request is not served."""
    (answer,) = run_batch(tx, estates, time, [request]).answers
    if isinstance(answer, Exception):
        raise answer
    return cast(Answer, answer)  # it was asked for with this very request


class Batch:
    """Decides requests on what was loaded for them, one after the other, and writes what came of it."""

    def __init__(self, tx: Tx, loaded: LoadedBatch, observer: Observer | None) -> None:
        self._tx = tx
        self._loaded = loaded
        self._observer = observer
        self._events = BatchEvents(loaded.time.now)
        self._waiting = BatchWaiting(loaded, self._events)
        remedies = Remedies(tx, loaded.working_set, loaded.time)
        self._seats = BatchSeats(loaded.working_set, self._events, remedies, self._waiting, loaded.time)
        self._leases = BatchLeases(tx, loaded, self._events, self._seats, self._waiting)

    def answer(self, resolved: ResolvedRequest) -> object:
        """Return the answer to one request, or the exception that concerns this request alone."""
        try:
            return self._carried_out(resolved)
        except CONCERNS_ONE as error:
            return error

    def write(self) -> bool:
        """Write claims, seats, counters, leases and, last of all, events; then name the biggest holders in refusals.
        Return whether other PBXs may now get seats that they could not get before.
        """
        self._loaded.claims.write(self._tx)
        frees_seats = store.write_working_set(self._tx, self._loaded.working_set, now=self._loaded.time.now)
        for pbx_id, revoked in self._loaded.revoked.items():
            store.forget_revoked(self._tx, pbx_id, revoked - self._loaded.working_set.seats[pbx_id].revoked)
        self._waiting.write(self._tx)
        self._loaded.proofs.write(self._tx)
        self._leases.write(self._tx)
        self._note_overdrafts()
        write_events(self._tx, self._events.noted)
        self._seats.name_top_holders(self._tx)
        return frees_seats or self._waiting.is_shorter

    # --- Who answers what -------------------------------------------------------------------------------------------

    def _carried_out(self, resolved: ResolvedRequest) -> object:
        """Carry out one request and return the answer that belongs to its type."""
        leases, seats = self._leases, self._seats
        match resolved.request:
            case RenewLease() as request:
                return leases.renew(resolved, request)
            case AcquireSeats() as request:
                return seats.acquire(resolved, leases.called(resolved, request), request)
            case ReturnSeats() as request:
                return seats.give_back(resolved, leases.called(resolved, request), request)
            case SyncSeats() as request:
                return seats.sync(resolved, leases.called(resolved, request), request)
            case OpenLease() as request:
                return leases.open(resolved, request)
            case CloseLease() as request:
                return leases.close(resolved, request)
            case ReclaimSeats() as request:
                return leases.reclaim(resolved, request)
            case GrantWaiting() as request:
                return seats.hand_on(resolved, leases.of(resolved.pbx.id), request)
            case TakeOverLease() as request:
                takeovers = BatchTakeovers(self._tx, self._loaded, leases, self._events, self._observer)
                return takeovers.take_over(resolved, request)
            case EndClaims():
                return leases.end_claims(resolved)
            case EndLease() as request:
                return self._once(resolved, request.key, partial(leases.end, resolved, request))
            case BorrowSeats() as request:
                lease = leases.of(resolved.pbx.id)
                return self._once(resolved, request.key, partial(leases.loans.borrow, resolved, lease, request))
            case ReturnLoan() as request:
                return self._once(resolved, request.key, partial(leases.loans.give_back, resolved, request))
            case DropWaiting() as request:
                return self._once(resolved, request.key, lambda: WaitingDropped(self._waiting.drop(resolved, request)))
        raise NotImplementedError(type(resolved.request))

    def _once(self, resolved: ResolvedRequest, key: RequestKey[T], carry_out: Callable[[], T]) -> object:
        """Carry out a request with an id, unless that was done before. The answer is kept at once, as a retry may be in
        this same batch.
        """
        project_id = resolved.eligibilities.estate.project_id
        if (before := answered_before(self._tx, project_id, key)) is not None:
            return before
        answer = carry_out()
        keep_answer(self._tx, project_id, key, answer, now=self._loaded.time.now)
        return answer

    def _note_overdrafts(self) -> None:
        """Note an event for each pool whose number of overdrawn seats this batch has changed."""
        for pool_id, pool in sorted(self._loaded.working_set.pools.items()):
            if pool.overdrawn == (before := pool.account.overdrawn):
                continue
            estates = (
                resolved.eligibilities.estate
                for resolved in self._loaded.resolved_requests
                if isinstance(resolved, ResolvedRequest)
            )
            estate = next(estate for estate in estates if pool_id in estate.pool_devices)
            self._events.overdrawn(estate, pool_id, before, pool.account_after(self._loaded.time.now))
